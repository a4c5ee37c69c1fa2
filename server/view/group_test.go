package view

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/forescale/forescale/api"
)

// longWorld has days of one group: load 0, 1, 2, … by slot, a tick for each.
func longWorld(days int) *world {
	w := &world{now: noon, models: map[string]Standing{}}
	n := days * 288
	for i := range n {
		at := noon.Add(-time.Duration(n-i) * step)
		w.samples = append(w.samples, api.Sample{Group: "web", Metric: "request_count", Stat: api.StatSum, Time: at, Value: float64(i)},
			api.Sample{Group: "web", Metric: "temperature", Stat: api.StatAvg, Time: at, Value: 20})
		d := calm("web", at.Add(step))
		d.Capacity.InService, d.Capacity.Desired, d.Desired, d.Wanted = 10+i%3, 10, 10, 10
		w.ticks = append(w.ticks, api.TickRecord{Tick: d.Tick, Decisions: []api.Decision{d}})
	}
	return w
}

func TestALongRangeIsAnsweredInBuckets(t *testing.T) {
	w := longWorld(20)
	h, err := w.view(false).Group(t.Context(), Query{Group: "web", From: noon.Add(-20 * 24 * time.Hour), To: noon, Lead: 2, Points: 500})
	if err != nil {
		t.Fatal(err)
	}
	n := len(h.Series["request_count"])
	slots := h.BucketSeconds / h.StepSeconds
	if n > 500 || n < 300 || slots*300 != h.BucketSeconds || len(h.Lows["request_count"]) != n || len(h.Fan.Times) != len(h.Fan.Point) || len(h.Fan.Times) < n {
		t.Fatalf("%d values of %d seconds, %d of the fan", n, h.BucketSeconds, len(h.Fan.Times))
	}
	for i := 1; i < n-1; i++ {
		low, mean, high := h.Lows["request_count"][i], h.Series["request_count"][i], h.Highs["request_count"][i]
		first := h.From.Add(time.Duration(i*h.BucketSeconds)*time.Second).Sub(noon.Add(-20*24*time.Hour)) / step
		if low != float64(first) || high != low+float64(slots-1) || mean != (low+high)/2 {
			t.Fatalf("bucket %d: %v ≤ %v ≤ %v, begins with slot %d", i, low, mean, high, first)
		}
	}
	if s := h.Sensors["temperature"]; s.Unit != "degrees Celsius" || len(s.Times) != len(s.Values) || len(s.Times) < n-1 || h.Series["temperature"] != nil {
		t.Errorf("sensor %+v", s.Unit)
	}
	if h.TickStride != 3 || w.reads > 5760/3+2*newestTicks+2 {
		t.Errorf("one tick in %d, %d records read", h.TickStride, w.reads)
	}
	lowest, highest := 99, 0
	for _, p := range h.Capacity {
		lowest, highest = min(lowest, p.InService), max(highest, p.InService)
	}
	if len(h.Capacity) > 5*n || lowest != 10 || highest != 12 || !h.Capacity[len(h.Capacity)-1].At.Equal(noon) {
		t.Errorf("%d points of capacity from %d to %d", len(h.Capacity), lowest, highest)
	}
	if raw, err := json.Marshal(h); err != nil || len(raw) > 2_000_000 {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
}

func TestRecordsAreReadOnce(t *testing.T) {
	w := longWorld(2)
	v := w.view(false)
	q := Query{Group: "web", Lead: 2, Points: 1000}
	if _, err := v.Group(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	before := w.reads
	d := calm("web", noon.Add(step))
	w.ticks = append(w.ticks, api.TickRecord{Tick: d.Tick, Decisions: []api.Decision{d}})
	w.now = noon.Add(step)
	h, err := v.Group(t.Context(), q)
	if err != nil || w.reads != before+1 || !h.Decisions[0].Tick.Equal(d.Tick) {
		t.Errorf("%d records read again, %v", w.reads-before, err)
	}
	w.fault = errors.New("away")
	if h, err = v.Group(t.Context(), q); err != nil || len(h.Warnings) == 0 {
		t.Errorf("%v, %v", h.Warnings, err)
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	p := past{by: map[string]*remembered{}}
	for _, group := range []string{"a", "b", "c"} {
		fresh := map[int64]*api.Decision{}
		for i := range maxPast * 2 / 3 {
			fresh[int64(i)] = nil
		}
		p.remember(group, fresh)
		if p.count > maxPast || p.by[group] == nil {
			t.Errorf("%d are remembered after %s", p.count, group)
		}
	}
	fresh := map[int64]*api.Decision{}
	for i := range maxPast {
		fresh[int64(-i-1)] = nil
	}
	p.remember("c", fresh)
	if held := len(p.by["c"].at); p.count > maxPast || p.count != held || p.by["c"].at == nil {
		t.Errorf("%d are remembered, %d held", p.count, held)
	}
	if _, kept := p.by["c"].at[maxPast/2]; !kept {
		t.Error("the newest had to go")
	}
}

func TestMarksSayWhatHeldADecision(t *testing.T) {
	w := &world{now: noon, models: map[string]Standing{}}
	decide := func(minutes int, change func(*api.Decision)) {
		d := calm("web", noon.Add(time.Duration(minutes)*time.Minute))
		change(&d)
		w.ticks = append(w.ticks, api.TickRecord{Tick: d.Tick, Decisions: []api.Decision{d}})
	}
	held := func(d *api.Decision) {
		d.Wanted = 8
		d.Reasons = []api.Reason{{Rule: "capacity", From: 10, To: 8}, {Rule: "cooldown", From: 8, To: 10}}
	}
	decide(-60, func(*api.Decision) {})
	decide(-55, held)
	decide(-50, held) // the same again
	decide(-45, func(d *api.Decision) {
		d.Wanted, d.Desired = 30, 20
		d.Reasons = []api.Reason{{Rule: "capacity", From: 10, To: 30}, {Rule: "max", From: 30, To: 20}}
		d.Outcome.Status = api.OutcomeAccepted
	})
	decide(-40, held)
	decide(-35, func(d *api.Decision) {
		d.Moved = &api.Move{From: api.SafetyPredictive, To: api.SafetyDrift, Why: "astray"}
	})
	decide(-30, func(d *api.Decision) {
		d.Outcome = api.Outcome{Status: api.OutcomeFailed, Detail: "denied"}
		d.Reasons = []api.Reason{{Rule: "live", From: 10, To: 10}}
	})
	decide(-25, func(d *api.Decision) { d.Desired, d.Reasons = 9, []api.Reason{{Rule: "schedule", From: 10, To: 9}} })
	h, err := w.view(false).Group(t.Context(), Query{Group: "web", Lead: 2, Points: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range h.Marks {
		got = append(got, m.At.Format("15:04")+" "+strings.Join(m.Clamps, ","))
	}
	want := []string{"11:35 schedule", "11:30 ", "11:25 ", "11:20 cooldown", "11:15 max", "11:05 cooldown"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestTheTableHasAColumnForEverything(t *testing.T) {
	w := longWorld(1)
	w.samples = append(w.samples, api.Sample{Group: "web", Metric: "=cmd()", Stat: api.StatAvg, Time: noon.Add(-step), Value: 1.5})
	for _, points := range []int{1000, 20} {
		h, err := w.view(false).Group(t.Context(), Query{Group: "web", From: noon.Add(-12 * time.Hour), To: noon, Lead: 2, Points: points})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := WriteCSV(&b, h); err != nil {
			t.Fatal(err)
		}
		table, err := csv.NewReader(&b).ReadAll()
		if err != nil || len(table) != len(h.Fan.Times)+1 {
			t.Fatalf("%d lines, %v", len(table), err)
		}
		head := strings.Join(table[0], "|")
		for _, want := range []string{"time|", "request_count", "temperature", "'=cmd()", "forecast 10 min before|", "quantile 0.1|", "quantile 0.9|", "capacity in service|capacity desired"} {
			if !strings.Contains(head, want) {
				t.Errorf("%s lacks %q", head, want)
			}
		}
		if (points == 20) != strings.Contains(head, "(least)") {
			t.Error(head)
		}
		at := slices.Index(table[0], "request_count")
		if line := table[1]; line[0] != h.From.Format(time.RFC3339) || line[at] == "" {
			t.Errorf("%q", line)
		}
		sensor := slices.Index(table[0], "'=cmd()")
		if table[1][sensor] != "" || !slices.ContainsFunc(table[1:], func(line []string) bool { return line[sensor] == "1.5" }) {
			t.Error("the sensor is not where it was measured")
		}
	}
}

// Whatever the range, there are at most as many buckets as points, they cover it, and
// those of overlapping ranges are the same.
func TestAGridIsFineEnoughAndNoFiner(t *testing.T) {
	property := func(start, length uint32, points uint16) bool {
		from := noon.Add(-time.Duration(start) * time.Second)
		to := from.Add(time.Duration(1+length%(90*86400)) * time.Second)
		n := MinPoints + int(points)%(MaxPoints-MinPoints+1)
		g := newGrid(from, to, step, n)
		covers := !g.from.After(from) && !g.end().Before(to) && from.Sub(g.from) < g.bucket && g.end().Sub(to) < g.bucket
		finer := g.bucket - step
		tooFine := finer >= step && int(to.Sub(from)/finer) < n-2
		return covers && g.n <= n && g.from.Truncate(g.bucket).Equal(g.from) && !tooFine && g.index(from) == 0 && g.index(g.end()) == g.n && g.index(g.from.Add(-1)) == -1
	}
	if err := quick.Check(property, &quick.Config{MaxCount: 5000}); err != nil {
		t.Error(err)
	}
}

func TestHowAModelFaresIsReadFromTheNewestRecord(t *testing.T) {
	w := &world{now: noon}
	state := func(above, below string) []byte {
		return []byte(`{"calibration":{"above":` + above + `,"below":` + below + `,"seen":300}}`)
	}
	a, b, c := calm("a", noon), calm("b", noon), calm("c", noon)
	a.Before, b.Before, c.Before = state("0.1", "0.1"), state("0.3", "0.1"), []byte(`{"calibration":{"above":1,"seen":3}}`)
	b.Safety = api.SafetyDrift
	b.Forecast.Quantiles = []float64{.05, .1, .9} // the first is not what is measured by
	w.ticks = []api.TickRecord{{Tick: noon, Decisions: []api.Decision{a, b, c}}}
	live, err := w.view(false).Live(t.Context())
	got := live["shared"]
	if err != nil || got.Groups != 3 || got.Drift != 1 || math.Abs(*got.Coverage-0.7) > 1e-9 || math.Abs(*got.Expected-0.8) > 1e-9 || got.Worst != "b" || math.Abs(*got.WorstCoverage-0.6) > 1e-9 {
		t.Errorf("%+v, %v", got, err)
	}
}

// Ninety days of a group: what is read from the stores is in memory already, so that
// this is the view's own share.
func BenchmarkNinetyDays(b *testing.B) {
	v := longWorld(90).view(false)
	q := Query{Group: "web", From: noon.Add(-90 * 24 * time.Hour), To: noon, Lead: 2, Points: MaxPoints}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Group(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
}
