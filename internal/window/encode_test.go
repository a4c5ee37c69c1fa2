package window

import (
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/models"
)

// goodWindow fits fullSpec. Its newest slot starts on Saturday at 00:15 in Berlin.
func goodWindow() api.Window {
	return api.Window{
		Group: "web", End: start.Add(20 * time.Minute), StepSeconds: 300,
		Series: map[string]api.Series{
			"demand": {nan, 2, 3, nan, nan, 6}, "request_count": {10, nan, nan, nan, nan, nan}, "is_sale_active": {0, 0, 0, 1, 1, 1},
		},
		Lags: map[string]map[int]api.Series{
			"demand": {3: {3, nan, nan, 6}, 12: {nan, nan, 1, 2}}, "is_holiday": {12: {0, nan, 1, 1}},
		},
		Future: map[string]api.Series{"is_holiday": {0.5, 0, 1, 1}, "is_sale_active": {1, 1, 0, 0}},
	}
}

func TestEncodeLayout(t *testing.T) {
	spec, w := fullSpec(), goodWindow()
	w.Series["request_count"] = api.Series{10, nan, nan, nan, 50, nan}
	series, context, err := encode(t, spec, w)
	if err != nil {
		t.Fatal(err)
	}
	wantSeries := []float32{ // demand, requests, sale, then which of them was missing
		2, 10, 0, 1, 0, 0, // the first known value stands in at the start
		2, 10, 0, 0, 1, 0,
		3, 10, 0, 0, 1, 0,
		3, 10, 1, 1, 1, 0,
		3, 50, 1, 1, 0, 0,
		6, 50, 1, 0, 1, 0,
	}
	if !slices.Equal(series, wantSeries) {
		t.Errorf("series:\ngot  %v\nwant %v", series, wantSeries)
	}
	wantContext := []float32{
		3, 6, 6, 6, 6, 6, 1, 2, // demand 3 and 12 steps before; missing takes the newest demand
		0, 0.5, 1, 1, // is_holiday 12 before; missing takes the flag at the newest slot
		0.5, 0, 1, 1, // is_holiday ahead
		1, 1, 0, 0, // is_sale_active ahead
	}
	hour, minute := 0.25/24*2*math.Pi, 15./60*2*math.Pi
	for k := 1.; k <= 3; k++ {
		wantContext = append(wantContext, float32(math.Sin(k*hour)), float32(math.Cos(k*hour)))
	}
	for k := 1.; k <= 5; k++ {
		wantContext = append(wantContext, float32(math.Sin(k*minute)), float32(math.Cos(k*minute)))
	}
	wantContext = append(wantContext, 0, 0, 0, 0, 0, 1, 0) // Saturday
	wantContext = append(wantContext, 1)                   // weekend
	if len(context) != len(wantContext) || len(context) != ContextLen(spec) {
		t.Fatalf("context has %d values, want %d, ContextLen %d", len(context), len(wantContext), ContextLen(spec))
	}
	names := ContextNames(spec)
	for i, want := range wantContext {
		if math.Abs(float64(context[i]-want)) > 1e-6 {
			t.Errorf("context[%d] (%s): got %v, want %v", i, names[i], context[i], want)
		}
	}
}

func TestCalendarFollowsTheTimeZone(t *testing.T) {
	spec := models.Spec{Target: "demand", StepSeconds: 300, Lookback: 1, Horizon: 1, Series: []string{"demand"},
		Calendar: []string{"weekend", "day_of_week"}}
	for _, tt := range []struct {
		zone string
		want []float32
	}{
		{"", []float32{0, 0, 0, 0, 0, 1, 0, 0}},                 // still Friday 22:15
		{"Europe/Berlin", []float32{1, 0, 0, 0, 0, 0, 1, 0}},    // Saturday 00:15
		{"America/New_York", []float32{0, 0, 0, 0, 0, 1, 0, 0}}, // Friday 18:15
	} {
		spec.TimeZone = tt.zone
		w := api.Window{End: start.Add(20 * time.Minute), StepSeconds: 300, Series: map[string]api.Series{"demand": {1}}}
		_, context, err := encode(t, spec, w)
		if err != nil || !slices.Equal(context, tt.want) {
			t.Errorf("%q: got %v, %v, want %v", tt.zone, context, err, tt.want)
		}
	}
}

func TestEncodeNamesTheFieldThatDoesNotFit(t *testing.T) {
	inf := math.Inf(1)
	tests := []struct {
		name   string
		spoil  func(w *api.Window)
		field  string
		detail string
	}{
		{"another step", func(w *api.Window) { w.StepSeconds = 60 }, "step_seconds", "expected 300, got 60"},
		{"no end", func(w *api.Window) { w.End = time.Time{} }, "end", "got none"},
		{"no series at all", func(w *api.Window) { w.Series = nil }, "series.demand", "no such series"},
		{"a series is absent", func(w *api.Window) { delete(w.Series, "request_count") }, "series.request_count", "expected 6 values, got no such series"},
		{"a series is null", func(w *api.Window) { w.Series["request_count"] = nil }, "series.request_count", "expected 6 values, got 0"},
		{"a series is short", func(w *api.Window) { w.Series["demand"] = api.Series{1, 2, 3} }, "series.demand", "expected 6 values, got 3"},
		{"a series is long", func(w *api.Window) { w.Series["demand"] = make(api.Series, 7) }, "series.demand", "expected 6 values, got 7"},
		{"a series nobody reads", func(w *api.Window) { w.Series["requests_count"] = make(api.Series, 6); w.Series["zzz"] = nil }, "series.requests_count", "does not read"},
		{"a value is infinite", func(w *api.Window) { w.Series["demand"][1] = inf }, "series.demand[1]", "+Inf"},
		{"a value overflows float32", func(w *api.Window) { w.Series["demand"][2] = -1e300 }, "series.demand[2]", "-1e+300"},
		{"the newest target is null", func(w *api.Window) { w.Series["demand"][5] = nan }, "series.demand[5]", "3 in all up to it"},
		{"a gap of the target is too long", func(w *api.Window) { w.Series["demand"][2] = nan }, "series.demand[2]", "at most 2 values in a row to be null, got 3"},
		{"the newest values of another series are null", func(w *api.Window) { w.Series["is_sale_active"] = api.Series{1, 1, 1, nan, nan, nan} }, "series.is_sale_active[5]", "3 in all"},
		{"a whole series is null", func(w *api.Window) { w.Series["is_sale_active"] = slices.Repeat(api.Series{nan}, 6) }, "series.is_sale_active[5]", "6 in all"},
		{"no lags", func(w *api.Window) { w.Lags = nil }, "lags.demand", "no such series"},
		{"an offset is absent", func(w *api.Window) { delete(w.Lags["demand"], 12) }, "lags.demand.12", "no such offset"},
		{"an offset nobody reads", func(w *api.Window) { w.Lags["demand"][13] = make(api.Series, 4) }, "lags.demand.13", "does not read"},
		{"a lagged series nobody reads", func(w *api.Window) { w.Lags["cpu"] = nil }, "lags.cpu", "does not read"},
		{"a lag is short", func(w *api.Window) { w.Lags["demand"][3] = api.Series{1} }, "lags.demand.3", "expected 4 values, got 1"},
		{"a lagged value is infinite", func(w *api.Window) { w.Lags["demand"][3][2] = inf }, "lags.demand.3[2]", "+Inf"},
		{"no future", func(w *api.Window) { w.Future = nil }, "future.is_holiday", "no such flag"},
		{"the future is short", func(w *api.Window) { w.Future["is_sale_active"] = api.Series{1, 1, 1} }, "future.is_sale_active", "expected 4 values, got 3"},
		{"a future value is null", func(w *api.Window) { w.Future["is_sale_active"][3] = nan }, "future.is_sale_active[3]", "got null"},
		{"a future value is infinite", func(w *api.Window) { w.Future["is_sale_active"][0] = inf }, "future.is_sale_active[0]", "+Inf"},
		{"a flag nobody reads", func(w *api.Window) { w.Future["is_event_active"] = nil }, "future.is_event_active", "does not read"},
		{"an odd name is quoted and cut", func(w *api.Window) { w.Series["a\n"+strings.Repeat("x", 1<<16)] = nil }, `series["a\n` + strings.Repeat("x", 62) + `"]`, "does not read"},
	}
	spec := fullSpec()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := goodWindow()
			w.Series["request_count"][4] = 50
			tt.spoil(&w)
			_, _, err := encode(t, spec, w)
			var fe *FieldError
			if !errors.As(err, &fe) {
				t.Fatalf("got %v, want a FieldError", err)
			}
			if fe.Field != tt.field || !strings.Contains(fe.Detail, tt.detail) {
				t.Errorf("got %q, want field %q with %q", fe, tt.field, tt.detail)
			}
		})
	}
}

func TestEncodeRefusesWindowsThatSlideRefuses(t *testing.T) {
	// The two must draw the line between a gap and a usable window alike.
	spec, rng := plainSpec(), rand.New(rand.NewPCG(9, 9))
	spec.Series = append(spec.Series, "request_count")
	refused := 0
	for range 5000 {
		g := count(spec.Lookback)
		for _, column := range g.Columns {
			for i := range column {
				if rng.IntN(3) == 0 {
					column[i] = nan
				}
			}
		}
		_, slideErr := Slide(spec, g, nil, spec.Lookback-1)
		_, _, encodeErr := encode(t, spec, api.Window{End: g.End(), StepSeconds: 300, Series: g.Columns})
		if errors.Is(slideErr, ErrGap) != (encodeErr != nil) {
			t.Fatalf("%v: Slide says %v, Encode %v", g.Columns, slideErr, encodeErr)
		}
		if slideErr != nil {
			refused++
		}
	}
	if refused == 0 || refused == 5000 {
		t.Fatalf("%d of 5000 refused", refused)
	}
}

func TestEncodeNeedsRoomAsLargeAsTheModelReads(t *testing.T) {
	spec, w := fullSpec(), goodWindow()
	n, m := spec.Lookback*spec.Channels(), ContextLen(spec)
	for _, sizes := range [][2]int{{n - 1, m}, {n + 1, m}, {n, m - 1}, {n, 0}} {
		var fe *FieldError
		if err := Encode(spec, &w, make([]float32, sizes[0]), make([]float32, sizes[1])); err == nil || errors.As(err, &fe) {
			t.Errorf("sizes %v: got %v", sizes, err)
		}
	}
}

func TestNamesMatchTheLayout(t *testing.T) {
	spec := fullSpec()
	if got := ChannelNames(spec); len(got) != spec.Channels() || got[0] != "demand" || got[3] != "demand missing" {
		t.Errorf("channels: %q", got)
	}
	names := ContextNames(spec)
	if len(names) != ContextLen(spec) {
		t.Fatalf("%d names for %d values", len(names), ContextLen(spec))
	}
	for i, want := range map[int]string{0: "demand lag 3 at +0", 7: "demand lag 12 at +3", 8: "is_holiday lag 12 at +0",
		12: "is_holiday at +0", 19: "is_sale_active at +3", 20: "hour_of_day sin1", 35: "minute_of_hour cos5", 36: "day_of_week monday", 43: "weekend"} {
		if names[i] != want {
			t.Errorf("name %d: got %q, want %q", i, names[i], want)
		}
	}
	if ContextLen(plainSpec()) != 0 || len(ContextNames(plainSpec())) != 0 {
		t.Error("a model of series alone has no context")
	}
}

func TestCheckNamesTheFaultOfASpec(t *testing.T) {
	if err := Check(fullSpec()); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(s *models.Spec){
		"lookback":                 func(s *models.Spec) { s.Lookback = 0 },
		"calendar[1]: unknown":     func(s *models.Spec) { s.Calendar = []string{"weekend", "moon"} },
		`names "weekend" twice`:    func(s *models.Spec) { s.Calendar = []string{"weekend", "weekend"} },
		"differs between machines": func(s *models.Spec) { s.TimeZone = "Local" },
		"time_zone":                func(s *models.Spec) { s.TimeZone = "Mars/Olympus" },
		"the context has":          func(s *models.Spec) { s.Horizon = 10_000; s.Lags = nil; s.Future = manyNames(200) },
	} {
		spec := fullSpec()
		spoil(&spec)
		if err := Check(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func manyNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = "is_" + strings.Repeat("x", i+1)
	}
	return names
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	spec, w := fullSpec(), goodWindow()
	w.Series["request_count"][4] = 50
	series, context := make([]float32, spec.Lookback*spec.Channels()), make([]float32, ContextLen(spec))
	if err := Encode(spec, &w, series, context); err != nil { // the time zone is loaded once
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _ = Encode(spec, &w, series, context) }); n != 0 {
		t.Errorf("%v allocations a window", n)
	}
}

// FuzzEncode looks for a window that makes Encode panic, or that it accepts and
// turns into something that is not a finite number.
func FuzzEncode(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09"))
	f.Add([]byte{255, 254, 253, 0, 7, 9, 1, 1, 1, 1, 30, 40})
	spec := fullSpec()
	spec.Calendar = append(spec.Calendar, "business_hours", "day_of_week_ahead", "hour_of_day_ahead")
	f.Fuzz(func(t *testing.T, data []byte) {
		w := scramble(goodWindow(), data)
		series, context := make([]float32, spec.Lookback*spec.Channels()), make([]float32, ContextLen(spec))
		err := Encode(spec, &w, series, context)
		var fe *FieldError
		if err != nil {
			if !errors.As(err, &fe) {
				t.Fatalf("%v is no FieldError", err)
			}
			return
		}
		for _, v := range append(series, context...) {
			if v != v || math.IsInf(float64(v), 0) {
				t.Fatalf("encoded %v from %+v", v, w)
			}
		}
		again, context2 := make([]float32, len(series)), make([]float32, len(context))
		if err := Encode(spec, &w, again, context2); err != nil || !reflect.DeepEqual(again, series) || !reflect.DeepEqual(context2, context) {
			t.Fatalf("a second time it encodes differently: %v", err)
		}
	})
}

// scramble changes a window in as many places as data has pairs of bytes.
func scramble(w api.Window, data []byte) api.Window {
	values := []float64{nan, math.Inf(1), math.Inf(-1), 0, -1, 1e300, math.MaxFloat32, 1e-300, math.MaxFloat64, 5}
	slots := []api.Series{
		w.Series["demand"], w.Series["request_count"], w.Series["is_sale_active"], w.Lags["demand"][3], w.Lags["demand"][12],
		w.Lags["is_holiday"][12], w.Future["is_holiday"], w.Future["is_sale_active"],
	}
	for ; len(data) >= 2; data = data[2:] {
		what, how := int(data[0]), int(data[1])
		s := slots[what%len(slots)]
		switch {
		case what < 200:
			s[what/8%len(s)] = values[how%len(values)]
		case what < 210:
			w.Series["demand"] = make(api.Series, how%8)
		case what < 220:
			w.Lags["demand"][how%16] = make(api.Series, how%6)
		case what < 230:
			w.Future["is_holiday"] = make(api.Series, how%6)
		case what < 240:
			w.End = time.Unix(int64(how)<<(how%56), 0)
		case what < 250:
			w.StepSeconds = 300 * (how % 3)
		default:
			delete(w.Series, []string{"demand", "request_count", "is_sale_active"}[how%3])
		}
	}
	return w
}

func BenchmarkEncode(b *testing.B) {
	spec := models.Spec{Target: "demand", StepSeconds: 300, Lookback: 24, Horizon: 12,
		Series: []string{"demand", "request_count", "network_in", "is_sale_active"}, Masks: true,
		Lags:     []models.Lag{{Series: "demand", Offsets: []int{288, 576, 2016}}},
		Future:   []string{"is_sale_active"},
		Calendar: []string{"hour_of_day", "minute_of_hour", "day_of_week", "weekend"}, TimeZone: "Europe/Berlin", MaxGap: 3}
	g := randomGrid(rand.New(rand.NewPCG(1, 1)), 3000)
	g.Columns["network_in"] = g.Columns["request_count"]
	var w api.Window
	for newest := 2500; ; newest++ {
		var err error
		if w, err = Slide(spec, g, nil, newest); err == nil {
			break
		}
	}
	series, context := make([]float32, spec.Lookback*spec.Channels()), make([]float32, ContextLen(spec))
	b.ReportAllocs()
	for b.Loop() {
		if err := Encode(spec, &w, series, context); err != nil {
			b.Fatal(err)
		}
	}
}
