package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/calendar"
	"github.com/forescale/forescale/internal/spool"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
)

// A slot that nobody measured is missing in the lake, in the grid and in the
// window: no zero, no repetition, whatever came before and after.
func TestAGapStaysAGapFromTheSourceToTheWindow(t *testing.T) {
	f := newFloor(t)
	const gapFrom, gapTo = 6, 9
	f.source.down = nil
	for i := range 12 {
		f.clock = at(i).Add(time.Minute)
		if i < gapFrom || i >= gapTo {
			f.source.offer(cpu("hall", i, float64(10+i)))
			f.mustSend(temp("a", i, 60, float64(20+i)))
		}
		f.mustTick(i + 1)
	}
	g := window.FromSamples(f.lake(), step, at(0), at(12))["hall"]
	spec := models.Spec{Target: api.MetricCPU, StepSeconds: 300, Lookback: 12, Horizon: 1,
		Series: []string{api.MetricCPU, "temperature", "temperature_p95"}, Masks: true, MaxGap: 3}
	w, err := window.Latest(spec, g, nil, at(12))
	if err != nil {
		t.Fatal(err)
	}
	for name, first := range map[string]float64{api.MetricCPU: 10, "temperature": 20, "temperature_p95": 20} {
		for i, v := range w.Series[name] {
			if gap := i >= gapFrom && i < gapTo; gap != math.IsNaN(v) || !gap && v != first+float64(i) {
				t.Errorf("%s of slot %d is %v", name, i, v)
			}
		}
	}
	if _, err := window.Latest(spec, g, nil, at(13)); !errors.Is(err, window.ErrGap) {
		t.Errorf("a window whose newest slot is missing: %v", err)
	}
	for i := 12; i < 16; i++ {
		f.mustTick(i + 1)
	}
	// One series of the source and the five of the cell.
	if n := f.c.Stats().Gaps; n != 6*(gapTo-gapFrom) {
		t.Errorf("%d gaps counted", n)
	}
}

// A calendar holds instants. On the days of 23 and 25 hours its flags stand beside
// the slots in which the event really is, each slot once.
func TestFlagsFollowLocalTimeOverTheChangeOfTheClock(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		day   time.Time
		slots int // of the day
		noon  int // slot at which local noon is
	}{
		"in spring": {time.Date(2026, 3, 29, 0, 0, 0, 0, berlin), 23 * 12, 11 * 12},
		"in autumn": {time.Date(2026, 10, 25, 0, 0, 0, 0, berlin), 25 * 12, 13 * 12},
	} {
		t.Run(name, func(t *testing.T) {
			noon := time.Date(c.day.Year(), c.day.Month(), c.day.Day(), 12, 0, 0, 0, berlin)
			cal, err := calendar.New([]api.Event{
				{Name: "sale", Start: noon, End: noon.Add(time.Hour), Flags: map[string]float64{"is_sale_active": 1}},
				{Name: "holiday", Start: c.day, End: c.day.AddDate(0, 0, 1), Flags: map[string]float64{"is_holiday": 1}},
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld(t)
			w.cal = cal
			w.restart()
			start := c.day.UTC().Add(-step) // a slot before the day, and one after it
			for i := range c.slots + 2 {
				slot := start.Add(time.Duration(i) * step)
				w.source.offer(api.Sample{Group: "web", Metric: api.MetricCPU, Stat: api.StatAvg, Time: slot, Value: 1})
			}
			w.clock = start.Add(time.Duration(c.slots+2) * step)
			if err := w.c.Backfill(t.Context(), start, w.clock, nil); err != nil {
				t.Fatal(err)
			}
			seen := map[string]int{}
			for _, s := range w.lake() {
				i := int(s.Time.Sub(start)/step) - 1 // slot of the local day
				seen[s.Metric]++
				var want float64
				switch s.Metric {
				case "is_sale_active":
					if i >= c.noon && i < c.noon+12 {
						want = 1
					}
				case "is_holiday":
					if i >= 0 && i < c.slots {
						want = 1
					}
				default:
					continue
				}
				if s.Value != want {
					t.Errorf("%s of slot %d is %v", s.Metric, i, s.Value)
				}
			}
			if n := c.slots + 2; seen["is_sale_active"] != n || seen["is_holiday"] != n {
				t.Errorf("%v rows, want %d of each", seen, n)
			}
		})
	}
}

// No reading and no sample of a sum is below zero, wherever a counter was reset.
func TestACounterThatWasResetNeverYieldsANegativeSum(t *testing.T) {
	w := newWorld(t)
	requests := func(slot int, v float64) api.Sample {
		return api.Sample{Group: "web", Metric: api.MetricRequests, Stat: api.StatSum, Time: at(slot), Value: v}
	}
	colder := api.Sample{Group: "web", Metric: "temperature", Stat: api.StatSum, Time: at(0), Value: -5} // a sum that may be
	w.source.offer(requests(0, 100), requests(1, -40_000), requests(2, 90), colder)
	for i := 1; i < 5; i++ {
		w.mustTick(i)
	}
	w.expect(requests(0, 100), requests(2, 90), colder)
	n := w.c.Stats().Sources["fake"].Irregular[dropNegative]
	if n == 0 {
		t.Error("it is not counted")
	}
	want := "# HELP forescale_collector_irregular_samples_total Samples of a source that were not taken as they came.\n" +
		"# TYPE forescale_collector_irregular_samples_total counter\n"
	for _, reason := range sourceReasons {
		want += fmt.Sprintf("forescale_collector_irregular_samples_total{reason=%q,source=\"fake\"} %d\n", reason, map[string]int{dropNegative: n}[reason])
	}
	if err := testutil.CollectAndCompare(w.c.Metrics(), strings.NewReader(want), "forescale_collector_irregular_samples_total"); err != nil || !strings.Contains(want, dropNegative) {
		t.Errorf("the metrics do not tell of it: %v", err)
	}
}

func TestChangesOfUnitAreNoticed(t *testing.T) {
	for name, c := range map[string]struct {
		values func(slot int) float64
		want   int
	}{
		"milliseconds for seconds": {func(i int) float64 { return []float64{0.2, 200}[min(i/20, 1)] }, 1},
		"a fraction for percent, and back": {func(i int) float64 {
			if i >= 15 && i < 30 {
				return 0.5
			}
			return 50
		}, 2},
		"a load that grows a thousandfold in a while": {func(i int) float64 { return math.Pow(1.2, float64(i)) }, 0},
		"a spike of two slots":                        {func(i int) float64 { return map[bool]float64{true: 1e6, false: 10}[i == 20 || i == 21] }, 0},
		"a night of zeros":                            {func(i int) float64 { return float64(i%10) / 9 * 3 }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var want []api.Sample
			for i := range 40 {
				s := api.Sample{Group: "web", Metric: api.MetricResponse, Stat: api.StatAvg, Time: at(i), Value: c.values(i)}
				w.source.offer(s)
				want = append(want, s)
			}
			for i := 1; i <= 44; i++ {
				w.mustTick(i)
			}
			w.expect(want...) // nothing is corrected
			if n := w.c.Stats().UnitChanges; n != c.want {
				t.Errorf("%d changes counted, want %d", n, c.want)
			}
		})
	}
}

func TestAnotherStatisticIsAnotherSeries(t *testing.T) {
	w := newWorld(t)
	mean, peak := cpu("web", 0, 10), cpu("web", 1, 90)
	peak.Stat = api.StatMax // the configuration was changed
	w.source.offer(mean, peak)
	w.mustTick(1)
	w.mustTick(2)
	w.expect(mean, peak)
	g := window.FromSamples(w.lake(), step, at(0), at(2))["web"]
	if v := g.Columns[api.MetricCPU]; v[0] != 10 || !math.IsNaN(v[1]) {
		t.Errorf("the mean is %v", v)
	}
}

// hanging is a source that answers when its context ends.
type hanging struct{ fakeSource }

func (s *hanging) Fetch(ctx context.Context, _, _ time.Time) ([]api.Sample, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Sources of several kinds fail in their several ways, and a stream with them.
// Whoever works is stored, and each gets its hole filled when it is back.
func TestAFailingSourceStopsNoOtherAndIsMadeUpFor(t *testing.T) {
	f := newFloor(t)
	f.kill()
	f.ticks, f.readings = f.open("ticks"), f.open("readings")
	now := func() time.Time { return f.clock }
	down := &fakeSource{name: "down", now: now}
	part := &fakeSource{name: "part", now: now}
	garbage := &fakeSource{name: "garbage", now: now}
	slow := &hanging{fakeSource{name: "slow"}}
	good := f.source
	var want []api.Sample
	for _, s := range []*fakeSource{down, good, part} {
		s.offer(ramp(s.name, -3, 30)...)
		want = append(want, ramp(s.name, -3, 22)...)
	}
	part.offer(ramp("part-broken", -3, 30)...)
	want = append(want, ramp("part-broken", -3, 22)...)
	stream := &fakeStream{name: "sensors", emit: make(chan Emit, 1)}
	broken := &fakeStream{name: "broken", err: errDown}
	f.cfg.FetchTimeout = 20 * time.Millisecond
	c, err := New(f.cfg, Deps{
		Sources: []Source{down, good, part, garbage, slow}, Streams: []Stream{broken, stream}, Ticks: f.ticks, Readings: f.readings,
		Lake: f.store, State: f.store, Step: step, Now: now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.c = c
	ctx, cancel := context.WithCancel(t.Context())
	f.stop = cancel
	f.done.Go(func() { c.RunStreams(ctx) })
	f.send = <-stream.emit
	_ = f.tick(0)
	for i := 1; i <= 20; i++ {
		down.down = errDown
		part.broken = map[Series]error{{"part-broken", api.MetricCPU, api.StatAvg}: errDown}
		garbage.raw = []api.Sample{{}, cpu("garbage", 5000, math.NaN())}
		f.mustSend(temp("a", i-1, 0, 1))
		want = append(want, rows(i-1, 1, 1, 1, 1, 1)...)
		err := f.tick(i)
		for _, name := range []string{"down", "part", "slow"} {
			if err == nil || !strings.Contains(err.Error(), "source "+name) {
				t.Fatalf("tick %d does not name %s: %v", i, name, err)
			}
		}
	}
	down.down, part.broken, garbage.raw = nil, nil, nil
	for i := 21; i <= 22; i++ {
		_ = f.tick(i) // the slow one is what it was
	}
	f.expect(want...)
}

// metered is a source that counts its calls.
type metered struct{ *fakeSource }

func (metered) Calls() Calls { return Calls{Made: 12, Throttled: 3} }

func TestMetricsOfStreamsAndSpools(t *testing.T) {
	f := newFloor(t)
	f.source.offer(ramp("web", -3, 20)...)
	f.mustTick(0)
	f.c.sources = []Source{metered{f.source}}
	f.mustSend(temp("a", 1, 0, 1), temp("a", 1, 0, 1), temp("b", 500, 0, 1))
	f.away(true)
	f.mustSpool(1)
	f.mustSpool(2)
	irregular := "" // every reason is there before it happens
	for _, reason := range sourceReasons {
		irregular += fmt.Sprintf("forescale_collector_irregular_samples_total{reason=%q,source=\"fake\"} 0\n", reason)
	}
	for _, reason := range streamReasons {
		n := map[string]int{"duplicate": 1, "future": 1}[reason]
		irregular += fmt.Sprintf("forescale_collector_irregular_samples_total{reason=%q,source=\"sensors\"} %d\n", reason, n)
	}
	want := fmt.Sprintf(`
# HELP forescale_collector_irregular_samples_total Samples of a source that were not taken as they came.
# TYPE forescale_collector_irregular_samples_total counter
%[4]s# HELP forescale_collector_kept_readings Readings of sensors in memory.
# TYPE forescale_collector_kept_readings gauge
forescale_collector_kept_readings 1
# HELP forescale_collector_newest_sample_timestamp_seconds End of the newest slot that a source had a sample of.
# TYPE forescale_collector_newest_sample_timestamp_seconds gauge
forescale_collector_newest_sample_timestamp_seconds{source="fake"} %[1]d
forescale_collector_newest_sample_timestamp_seconds{source="streams"} %[2]d
# HELP forescale_collector_source_calls_total Requests of a source to its provider.
# TYPE forescale_collector_source_calls_total counter
forescale_collector_source_calls_total{source="fake"} 12
# HELP forescale_collector_source_throttles_total Requests that the provider refused because there were too many.
# TYPE forescale_collector_source_throttles_total counter
forescale_collector_source_throttles_total{source="fake"} 3
# HELP forescale_collector_spool_oldest_tick_timestamp_seconds Slot of the oldest tick that waits on the spool; 0 when none waits.
# TYPE forescale_collector_spool_oldest_tick_timestamp_seconds gauge
forescale_collector_spool_oldest_tick_timestamp_seconds %[3]d
# HELP forescale_collector_spool_records Records on a spool.
# TYPE forescale_collector_spool_records gauge
forescale_collector_spool_records{spool="readings"} 1
forescale_collector_spool_records{spool="ticks"} 2
`, at(2).Unix(), at(2).Unix(), at(0).Unix(), irregular)
	var names []string
	for line := range strings.Lines(want) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			names = append(names, strings.Fields(name)[0])
		}
	}
	if err := testutil.CollectAndCompare(f.c.Metrics(), strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(f.c.Metrics()); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

func TestASourceThatNeverHadASampleIsSeenInTheMetrics(t *testing.T) {
	f := newFloor(t)
	want := `
# HELP forescale_collector_samples_total Samples accepted from a source, repetitions by the look-back included.
# TYPE forescale_collector_samples_total counter
forescale_collector_samples_total{source="fake"} 0
forescale_collector_samples_total{source="sensors"} 0
`
	if err := testutil.CollectAndCompare(f.c.Metrics(), strings.NewReader(want), "forescale_collector_samples_total"); err != nil {
		t.Error(err)
	}
}

// The rate at which one collector takes readings, synced, from many connections.
func BenchmarkEmit(b *testing.B) {
	s, err := spool.Open(spool.Config{Dir: filepath.Join(b.TempDir(), "readings"), MaxBytes: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	cfg := DefaultConfig()
	cfg.Stream.MaxReadings = 1 << 40
	c, err := New(cfg, Deps{Readings: s, Lake: newStore(), Step: step, Now: func() time.Time { return t0 }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		list := make([]Reading, 1000)
		for i := range list {
			list[i] = temp(fmt.Sprint("s", i), 0, 0, 1)
			list[i].Time = list[i].Time.Add(time.Duration(n) * time.Microsecond)
		}
		n++
		if err := c.emit(b.Context(), "bench", list); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*1000)/b.Elapsed().Seconds(), "readings/s")
}
