package window

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/models"
)

var nan = math.NaN()

// start is a Friday, 22:00 UTC.
var start = time.Date(2026, 5, 1, 22, 0, 0, 0, time.UTC)

// fullSpec uses every kind of input.
func fullSpec() models.Spec {
	return models.Spec{
		Target: "demand", StepSeconds: 300, Lookback: 6, Horizon: 3,
		Series: []string{"demand", "request_count", "is_sale_active"}, Masks: true,
		Lags: []models.Lag{
			{Series: "demand", Offsets: []int{3, 12}},
			{Series: "is_holiday", Offsets: []int{12}},
		},
		Future:   []string{"is_holiday", "is_sale_active"},
		Calendar: []string{"hour_of_day", "minute_of_hour", "day_of_week", "weekend"},
		TimeZone: "Europe/Berlin",
		MaxGap:   2,
	}
}

// mapFlags is a calendar for tests: the slots, by their distance in steps from
// start, at which a flag holds.
type mapFlags map[string]map[int]float64

func (f mapFlags) Flag(name string, t time.Time) float64 {
	return f[name][int(t.Sub(start)/(5*time.Minute))]
}

// randomGrid has short gaps in demand and longer ones in request_count.
func randomGrid(rng *rand.Rand, n int) *Grid {
	g := &Grid{Group: "web", Start: start, Step: 5 * time.Minute, Columns: map[string]api.Series{
		"demand": missing(n), "request_count": missing(n), "is_sale_active": missing(n),
	}}
	for name, column := range g.Columns {
		for i := range column {
			switch {
			case name == "is_sale_active":
				column[i] = float64(i / 10 % 2)
			case rng.Float64() < 0.9:
				column[i] = math.Round(rng.Float64()*1e6) / 100
			}
		}
	}
	return g
}

func samplesOf(g *Grid) []api.Sample {
	var out []api.Sample
	for name, column := range g.Columns {
		for i, v := range column {
			if !math.IsNaN(v) {
				out = append(out, api.Sample{Group: g.Group, Metric: name, Stat: api.DefaultStat(name), Time: g.Time(i), Value: v})
			}
		}
	}
	return out
}

// encode returns the rows of a window, or its error.
func encode(t *testing.T, spec models.Spec, w api.Window) (series, context []float32, err error) {
	t.Helper()
	series = make([]float32, spec.Lookback*spec.Channels())
	context = make([]float32, ContextLen(spec))
	err = Encode(spec, &w, series, context)
	return series, context, err
}

func TestSlideAndLatestAgreeOnTheSameSamples(t *testing.T) {
	spec, rng := fullSpec(), rand.New(rand.NewPCG(1, 2))
	calendar := mapFlags{"is_holiday": {40: 1, 41: 1, 42: 1}, "is_sale_active": {100: 1}}
	windows := 0
	for range 20 {
		g := randomGrid(rng, 120)
		samples := samplesOf(g)
		rng.Shuffle(len(samples), func(i, j int) { samples[i], samples[j] = samples[j], samples[i] })
		for newest := -2; newest < 123; newest++ {
			slid, slideErr := Slide(spec, g, calendar, newest)
			// The scaler reads only the stretch of history that the model needs.
			end := g.Time(newest + 1)
			live := FromSamples(samples, g.Step, end.Add(-15*g.Step), end)["web"]
			latest, latestErr := Latest(spec, live, calendar, end)
			if errors.Is(slideErr, ErrGap) != errors.Is(latestErr, ErrGap) || (slideErr == nil) != (latestErr == nil) {
				t.Fatalf("newest %d: Slide says %v, Latest %v", newest, slideErr, latestErr)
			}
			if slideErr != nil {
				continue
			}
			windows++
			a1, a2, err1 := encode(t, spec, slid)
			b1, b2, err2 := encode(t, spec, latest)
			if err1 != nil || err2 != nil {
				t.Fatalf("newest %d: encode: %v, %v", newest, err1, err2)
			}
			if !reflect.DeepEqual(a1, b1) || !reflect.DeepEqual(a2, b2) {
				t.Fatalf("newest %d: Slide and Latest encode differently:\n%v\n%v\n%v\n%v", newest, a1, b1, a2, b2)
			}
		}
	}
	if windows < 500 {
		t.Fatalf("only %d windows were compared", windows)
	}
}

func TestNothingAfterTheOriginButFlagsChangesAWindow(t *testing.T) {
	spec, rng := fullSpec(), rand.New(rand.NewPCG(3, 4))
	windows := 0
	for range 20 {
		g := randomGrid(rng, 60)
		for newest := 12; newest < 56; newest++ {
			before, err := Slide(spec, g, nil, newest)
			changed := &Grid{Group: g.Group, Start: g.Start, Step: g.Step, Columns: map[string]api.Series{}}
			for name, column := range g.Columns {
				c := append(api.Series(nil), column...)
				for i := newest + 1; i < len(c) && !strings.HasPrefix(name, FlagPrefix); i++ {
					c[i] = []float64{nan, -1e9, 7}[rng.IntN(3)]
				}
				changed.Columns[name] = c
			}
			after, err2 := Slide(spec, changed, nil, newest)
			if (err == nil) != (err2 == nil) {
				t.Fatalf("newest %d: %v became %v", newest, err, err2)
			}
			if err != nil {
				continue
			}
			windows++
			x, _ := json.Marshal(before)
			y, _ := json.Marshal(after)
			if string(x) != string(y) {
				t.Fatalf("newest %d: the future leaks into the window:\n%s\n%s", newest, x, y)
			}
		}
	}
	if windows < 200 {
		t.Fatalf("only %d windows were compared", windows)
	}
}

func TestAWindowEncodesTheSameAfterJSON(t *testing.T) {
	spec, rng := fullSpec(), rand.New(rand.NewPCG(5, 6))
	windows := 0
	for range 20 {
		g := randomGrid(rng, 60)
		for newest := range 60 {
			w, err := Slide(spec, g, nil, newest)
			if err != nil {
				continue
			}
			windows++
			text, err := json.Marshal(w)
			if err != nil {
				t.Fatal(err)
			}
			var back api.Window
			if err := json.Unmarshal(text, &back); err != nil {
				t.Fatal(err)
			}
			a1, a2, err1 := encode(t, spec, w)
			b1, b2, err2 := encode(t, spec, back)
			if err1 != nil || err2 != nil || !reflect.DeepEqual(a1, b1) || !reflect.DeepEqual(a2, b2) {
				t.Fatalf("newest %d: %v %v\n%s", newest, err1, err2, text)
			}
		}
	}
	if windows < 200 {
		t.Fatalf("only %d windows were compared", windows)
	}
}

func TestContextAheadAgreesWithTheNames(t *testing.T) {
	spec := models.Spec{Target: "y", StepSeconds: 300, Lookback: 4, Horizon: 3, Series: []string{"y", "is_sale"}, MaxGap: 1,
		Lags: []models.Lag{{Series: "y", Offsets: []int{5, 9}}}, Future: []string{"is_sale"},
		Calendar: []string{"hour_of_day", "weekend_ahead", "weekend", "day_of_week_ahead"}}
	names, aheads := ContextNames(spec), ContextAhead(spec)
	if len(names) != ContextLen(spec) || len(aheads) != len(names) {
		t.Fatalf("%d names, %d slots ahead, %d values", len(names), len(aheads), ContextLen(spec))
	}
	for i, name := range names {
		want := 0
		if at := strings.LastIndex(name, " at +"); at >= 0 {
			want, _ = strconv.Atoi(name[at+len(" at +"):])
		}
		if aheads[i] != want {
			t.Errorf("%s is said to be of slot %d", name, aheads[i])
		}
	}
}
