package trainer

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/score"
)

func TestValidateNamesEveryFaultAtOnce(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	c := Config{Preset: "huge", Horizon: -1, Lookback: 1e6, Workers: -1, Rate: math.NaN(), TimeZone: "Mars/Olympus", Known: []string{"x_label", ""}}
	err := c.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"preset: \"huge\"", "advanced, default, fast, reference", "horizon: -1", "lookback: 1000000", "workers: -1", "rate: NaN", "Mars/Olympus", "x_label", "name is empty"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %s:\n%v", want, err)
		}
	}
}

func TestInputs(t *testing.T) {
	g := history(5, 1)
	n := g.Len()
	sparse := make(api.Series, n)
	for i := range sparse {
		sparse[i] = math.NaN()
		if i%2 == 0 {
			sparse[i] = 1
		}
	}
	g.Columns["often_missing"] = sparse
	g.Columns["is_weekend"] = make(api.Series, n)
	for _, name := range []string{api.MetricCPU, api.MetricInService, api.MetricDesired} {
		g.Columns[name] = slices.Clone(g.Columns["demand"])
	}
	spec := func(change func(*Config)) (series, future, notes []string, err error) {
		c := quick(PresetReference)
		change(&c)
		s, notes, err := c.spec(c.recipe(), Data{Grid: g, FlagNames: []string{"is_holiday"}})
		return s.Series, s.Future, notes, err
	}
	for name, c := range map[string]struct {
		change         func(*Config)
		series, future []string
	}{
		"demand does not read what the scaler's own actions change": {func(*Config) {},
			[]string{"demand", "request_count", "is_holiday", "is_sale_active"}, []string{"is_holiday", "is_sale_active"}},
		"another target reads every metric that is known often enough": {func(c *Config) { c.Target = api.MetricCPU; c.Known = []string{} },
			[]string{api.MetricCPU, "demand", api.MetricDesired, api.MetricInService, "request_count"}, nil},
		"inputs and flags by name": {func(c *Config) { c.Inputs = []string{"often_missing"}; c.Known = []string{"is_weekend"} },
			[]string{"demand", "often_missing", "is_weekend"}, []string{"is_weekend"}},
		"nothing but the target": {func(c *Config) { c.Inputs, c.Known = []string{}, []string{} }, []string{"demand"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			series, future, _, err := spec(c.change)
			if err != nil || !slices.Equal(series, c.series) || !slices.Equal(future, c.future) {
				t.Errorf("series %v, future %v, error %v", series, future, err)
			}
		})
	}
	if _, _, notes, _ := spec(func(*Config) {}); len(notes) != 1 || !strings.Contains(notes[0], "often_missing") {
		t.Errorf("notes %q", notes)
	}
	for want, change := range map[string]func(*Config){
		"it has cpu_utilization, ":  func(c *Config) { c.Target = "dmand" },
		"no series \"x\"":           func(c *Config) { c.Inputs = []string{"x"} },
		"has a flag \"is_x\"":       func(c *Config) { c.Known = []string{"is_x"} },
		"its future is not known":   func(c *Config) { c.Known = []string{"demand"} },
		"future is not known":       func(c *Config) { c.Inputs, c.Known = []string{"request_count"}, []string{"request_count"} },
		"the data has no such seri": func(c *Config) { c.Target = "" },
	} {
		if _, _, _, err := spec(change); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

func TestLagsReachBackNoFurtherThanAShareOfTheTraining(t *testing.T) {
	for days, want := range map[int]int{2: 0, 5: 1, 12: 3, 40: 7, 60: 14, 110: 28} {
		c := quick(PresetFast)
		g := history(days, 1)
		s, _, err := c.spec(c.recipe(), Data{Grid: g})
		if err != nil {
			t.Fatal(err)
		}
		oldest := 0
		for _, lag := range s.Lags {
			oldest = max(oldest, lag.Offsets[len(lag.Offsets)-1])
		}
		if got := oldest / 288; got != want {
			t.Errorf("%d days of history: the oldest lag is of %d days, want %d", days, got, want)
		}
		if limit := int(reachShare*float64(score.NewSplit(g.Len()).Train)) + s.Horizon; oldest > limit {
			t.Errorf("%d days of history: the oldest lag is %d slots, more than %d", days, oldest, limit)
		}
	}
}

// calendar is a business calendar without events.
type calendar struct{}

func (calendar) Flag(string, time.Time) float64 { return 0 }

func TestACalendarAloneSaysWhichFlagsAreKnownInAdvance(t *testing.T) {
	c := quick(PresetReference)
	d := Data{Grid: history(5, 1), Flags: calendar{}, FlagNames: []string{"is_holiday"}}
	spec, _, err := c.spec(c.recipe(), d)
	if err != nil || !slices.Equal(spec.Future, []string{"is_holiday"}) {
		t.Errorf("future %v, error %v: the calendar never sets is_sale_active, so the model would learn that no sale comes", spec.Future, err)
	}
	c.Known = []string{"is_sale_active"}
	if _, _, err := c.spec(c.recipe(), d); err == nil || !strings.Contains(err.Error(), `the calendar never sets a flag "is_sale_active"`) {
		t.Errorf("error %v", err)
	}
}
