package window

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/models"
)

// calendarContext returns the context row of a window that ends at end, for a
// spec with the given calendar features and nothing else in its context.
func calendarContext(t *testing.T, zone string, end time.Time, step time.Duration, horizon int, calendar ...string) []float32 {
	t.Helper()
	spec := models.Spec{Target: "demand", StepSeconds: int(step / time.Second), Lookback: 1, Horizon: horizon,
		Series: []string{"demand"}, Calendar: calendar, TimeZone: zone}
	if err := Check(spec); err != nil {
		t.Fatal(err)
	}
	w := api.Window{End: end, StepSeconds: spec.StepSeconds, Series: map[string]api.Series{"demand": {1}}}
	_, context, err := encode(t, spec, w)
	if err != nil {
		t.Fatal(err)
	}
	return context
}

func TestFeaturesAheadSpeakOfEachSlot(t *testing.T) {
	utc := func(text string) time.Time {
		at, err := time.Parse(time.DateTime, text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	tests := []struct {
		name, zone string
		newest     time.Time // start of the newest slot
		step       time.Duration
		weekend    []float32
		business   []float32
	}{
		{"the weekend begins at local midnight", "Europe/Berlin", utc("2026-05-01 20:00:00"), time.Hour, []float32{0, 0, 1, 1}, []float32{0, 0, 0, 0}},
		{"in UTC it begins two hours later", "", utc("2026-05-01 20:00:00"), time.Hour, []float32{0, 0, 0, 0}, []float32{0, 0, 0, 0}},
		{"business begins at nine and not a minute before", "", utc("2026-05-04 08:58:00"), time.Minute, []float32{0, 0, 0, 0}, []float32{0, 0, 1, 1}},
		{"and ends before five", "", utc("2026-05-04 16:58:00"), time.Minute, []float32{0, 0, 0, 0}, []float32{1, 1, 0, 0}},
		{"there is none on a Saturday", "", utc("2026-05-02 10:00:00"), time.Hour, []float32{1, 1, 1, 1}, []float32{0, 0, 0, 0}},
		{"a zone half an hour off", "Asia/Kolkata", utc("2026-05-04 02:30:00"), 30 * time.Minute, []float32{0, 0, 0, 0}, []float32{0, 0, 1, 1}},
		{"Friday to Monday by steps of a day", "America/New_York", utc("2026-05-01 15:00:00"), 24 * time.Hour, []float32{0, 1, 1, 0}, []float32{1, 0, 0, 1}},
		// 29 March 2026, a Sunday: 6:00 UTC on the Friday before is 7:00 in Berlin, on the Monday after 8:00.
		{"clocks put forward bring business an hour earlier", "Europe/Berlin", utc("2026-03-27 07:00:00"), 24 * time.Hour, []float32{0, 1, 1, 0}, []float32{0, 0, 0, 1}},
		{"clocks put back bring it an hour later", "Europe/Berlin", utc("2026-10-23 07:00:00"), 24 * time.Hour, []float32{0, 1, 1, 0}, []float32{1, 0, 0, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := calendarContext(t, tt.zone, tt.newest.Add(tt.step), tt.step, 3,
				"weekend_ahead", "business_hours_ahead", "weekend", "business_hours")
			want := slices.Concat(tt.weekend, tt.business, tt.weekend[:1], tt.business[:1])
			if !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestTheLayoutOfFeaturesAheadIsSlotBySlot(t *testing.T) {
	spec := models.Spec{Target: "demand", StepSeconds: 3600, Lookback: 1, Horizon: 2, Series: []string{"demand"},
		Calendar: []string{"business_hours", "day_of_week_ahead", "weekend_ahead", "hour_of_day_ahead"}}
	names := ContextNames(spec)
	if len(names) != 1+3*7+3+3*6 || len(names) != ContextLen(spec) {
		t.Fatalf("%d names, ContextLen %d", len(names), ContextLen(spec))
	}
	for i, want := range map[int]string{0: "business_hours", 1: "day_of_week monday at +0", 8: "day_of_week monday at +1",
		21: "day_of_week sunday at +2", 22: "weekend at +0", 24: "weekend at +2", 25: "hour_of_day sin1 at +0", 42: "hour_of_day cos3 at +2"} {
		if names[i] != want {
			t.Errorf("name %d: got %q, want %q", i, names[i], want)
		}
	}
	// The newest slot is the last hour of a Saturday.
	got := calendarContext(t, "", time.Date(2026, 5, 3, 0, 0, 0, 0, time.UTC), time.Hour, 2, spec.Calendar...)
	for i, v := range got[:25] {
		on := names[i] == "day_of_week saturday at +0" || names[i] == "day_of_week sunday at +1" || names[i] == "day_of_week sunday at +2" ||
			strings.HasPrefix(names[i], "weekend")
		if on != (v == 1) || !on && v != 0 {
			t.Errorf("%s: got %v", names[i], v)
		}
	}
}

func TestTheSlotsAheadHaveTheFeaturesOfTheirOwnOrigin(t *testing.T) {
	// What a window sees k slots ahead is what a window k slots later sees at its origin.
	rng := rand.New(rand.NewPCG(4, 4))
	const horizon = 30
	for _, f := range slotFeatures {
		for _, zone := range []string{"", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns", "Pacific/Apia"} {
			for range 40 {
				end := time.Unix(rng.Int64N(4e9)-1e9, rng.Int64N(1e9))
				step := time.Duration(1+rng.IntN(86400)) * time.Second
				ahead := calendarContext(t, zone, end, step, horizon, f.name+"_ahead")
				for k := range 1 + horizon {
					want := calendarContext(t, zone, end.Add(time.Duration(k)*step), step, horizon, f.name)
					if got := ahead[k*len(want) : (k+1)*len(want)]; !slices.Equal(got, want) {
						t.Fatalf("%s in %q, end %s, step %s, slot %d: got %v, want %v", f.name, zone, end, step, k, got, want)
					}
				}
			}
		}
	}
}

func TestClocksAgreeWithTheStandardLibrary(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	changes := 0
	for _, name := range []string{"", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "Africa/Monrovia", "America/Sao_Paulo"} {
		zone, err := loadZone(name)
		if err != nil {
			t.Fatal(err)
		}
		for range 300 {
			origin := time.Unix(rng.Int64N(6e9)-3e9, rng.Int64N(1e9))
			step := time.Duration(1+rng.IntN(86400)) * time.Second
			slots := newClocks(zone, origin, step)
			first := slots.offset
			for range 60 {
				k := rng.IntN(400) // forth and back, as one feature follows another
				local := origin.Add(time.Duration(k) * step).In(zone)
				want := clock{weekday: (int(local.Weekday()) + 6) % 7, hour: local.Hour(), minute: local.Minute(),
					second: float64(local.Second()) + float64(local.Nanosecond())/1e9}
				if got := slots.at(k); got != want {
					t.Fatalf("%q, %s + %d × %s: got %+v, want %+v", name, origin, k, step, got, want)
				}
				if slots.offset != first {
					changes++
				}
			}
		}
	}
	if changes < 1000 {
		t.Errorf("only %d slots lay beyond a change of the clocks", changes)
	}
}

func TestTheHourThatIsSkippedAndTheOneThatComesTwice(t *testing.T) {
	zone, err := loadZone("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		origin time.Time
		hours  []int
	}{
		"clocks put forward at two": {time.Date(2026, 3, 28, 23, 0, 0, 0, time.UTC), []int{0, 1, 3, 4}},
		"clocks put back at three":  {time.Date(2026, 10, 24, 22, 0, 0, 0, time.UTC), []int{0, 1, 2, 2, 3}},
	} {
		for _, first := range []int{0, 2} { // the origin on either side of the change
			slots := newClocks(zone, c.origin.Add(time.Duration(first)*time.Hour), time.Hour)
			for k, hour := range c.hours {
				if got := slots.at(k - first); got.hour != hour || got.weekday != 6 {
					t.Errorf("%s, origin %d, slot %d: got %+v, want hour %d of Sunday", name, first, k, got, hour)
				}
			}
		}
	}
}

func TestCheckKnowsEveryFeatureOfTheTable(t *testing.T) {
	spec := plainSpec()
	err := Check(func() models.Spec { s := spec; s.Calendar = []string{"weekend_before"}; return s }())
	if err == nil {
		t.Fatal("weekend_before passed")
	}
	for _, f := range slotFeatures {
		spec.Calendar = []string{f.name, f.name + "_ahead"}
		if err := Check(spec); err != nil {
			t.Error(err)
		}
		if !strings.Contains(err.Error(), f.name) {
			t.Errorf("%q does not name %s", err, f.name)
		}
	}
	spec.Calendar = []string{"day_of_week_ahead"}
	spec.Horizon, spec.StepSeconds = models.MaxHorizon, 60
	if n := ContextLen(spec); n != 7*(1+models.MaxHorizon) {
		t.Errorf("the context has %d values", n)
	}
}

func TestEncodeOfFeaturesAheadDoesNotAllocate(t *testing.T) {
	spec := plainSpec()
	spec.TimeZone = "Europe/Berlin"
	for _, f := range slotFeatures {
		spec.Calendar = append(spec.Calendar, f.name, f.name+"_ahead")
	}
	// The clocks change between the slots of this window.
	w := api.Window{End: time.Date(2026, 3, 29, 0, 50, 0, 0, time.UTC), StepSeconds: spec.StepSeconds,
		Series: map[string]api.Series{"demand": make(api.Series, spec.Lookback)}}
	series, context := make([]float32, spec.Lookback*spec.Channels()), make([]float32, ContextLen(spec))
	if err := Encode(spec, &w, series, context); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _ = Encode(spec, &w, series, context) }); n != 0 {
		t.Errorf("%v allocations a window", n)
	}
}

// BenchmarkEncodeDeep encodes as many lags as a model of weeks reads, with and
// without what is known of the slots ahead.
func BenchmarkEncodeDeep(b *testing.B) {
	spec := models.Spec{Target: "demand", StepSeconds: 300, Lookback: 24, Horizon: 12, Series: []string{"demand"},
		Lags:     []models.Lag{{Series: "demand", Offsets: []int{12, 276, 282, 288, 294, 300, 576, 864, 1152, 1440, 1728, 2016, 4032, 6048, 8064}}},
		TimeZone: "Europe/Berlin"}
	g := &Grid{Start: start, Step: spec.Step(), Columns: map[string]api.Series{"demand": make(api.Series, 10_000)}}
	for i := range g.Columns["demand"] {
		g.Columns["demand"][i] = 1 + math.Sin(float64(i))
	}
	w, err := Slide(spec, g, nil, 9000)
	if err != nil {
		b.Fatal(err)
	}
	for _, calendar := range [][]string{nil, {"hour_of_day", "minute_of_hour"},
		{"hour_of_day", "minute_of_hour", "weekend_ahead", "business_hours_ahead", "day_of_week_ahead"}, {"hour_of_day_ahead"}} {
		spec.Calendar = calendar
		b.Run(fmt.Sprintf("calendar=%s", strings.Join(calendar, "+")), func(b *testing.B) {
			series, context := make([]float32, spec.Lookback*spec.Channels()), make([]float32, ContextLen(spec))
			b.ReportAllocs()
			for b.Loop() {
				if err := Encode(spec, &w, series, context); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
