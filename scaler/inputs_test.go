package scaler

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/scaler/plan"
)

func TestARecordCarriesWhatItsDecisionsRestOn(t *testing.T) {
	w := newWorld(t)
	w.predict = func(_ context.Context, req api.PredictRequest) (api.PredictResponse, error) {
		resp := w.answer(req)
		for i := range resp.Forecasts {
			f := &resp.Forecasts[i]
			d := f.Point[0]
			f.Point = []float64{d, d, d, math.NaN()} // no decision reads the last one
			f.Quantiles = []float64{0.5, 0.9}
			f.Values = [][]float64{{d, d}, {d, d}, {d, d}, {d, math.Inf(1)}}
			f.Peaks = f.Values
		}
		return resp, nil
	}
	s := w.scaler()
	s.deps.Version = "v1.2.3"
	before := w.state()
	rec, err := w.once(s, t0)
	if err != nil || rec.Version != "v1.2.3" {
		t.Fatalf("version %q, %v", rec.Version, err)
	}
	if len(rec.Configs) != 2 { // live and dry-run
		t.Errorf("configurations %s", rec.Configs)
	}
	for i, d := range rec.Decisions {
		var g plan.Group
		if err := json.Unmarshal(rec.Configs[d.Config], &g); err != nil {
			t.Fatal(err)
		}
		g.Name = d.Group
		want, _ := json.Marshal(s.groups[i])
		if got, _ := json.Marshal(g); string(got) != string(want) {
			t.Errorf("%s: the record says %s, configured is %s", d.Group, got, want)
		}
		if f := d.Forecast; len(f.Point) != 3 || len(f.Values) != 3 || len(f.Peaks) != 3 || f.Error != nil {
			t.Errorf("%s: forecast %+v", d.Group, f)
		}
		recalled := before.Groups[d.Group].State.Recall(t0.Add(-step*time.Duration(recentSlots)), step, slices.Repeat([]float64{w.groups[d.Group].demand}, recentSlots-1))
		if want, _ := json.Marshal(recalled); string(d.Before) != string(want) {
			t.Errorf("%s: state before %s, was %s", d.Group, d.Before, want)
		}
	}
}

func TestAForecastThatNoRecordCanKeepIsNotDecidedUpon(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*api.Forecast)
		field string // "": the forecast is used
	}{
		{"a sound forecast", func(*api.Forecast) {}, ""},
		{"a point that is no number", func(f *api.Forecast) { f.Point[1] = math.NaN() }, "point[1]"},
		{"an infinite point", func(f *api.Forecast) { f.Point[2] = math.Inf(1) }, "point[2]"},
		{"a level that is no number", func(f *api.Forecast) { f.Quantiles[0] = math.NaN() }, "quantiles[0]"},
		{"an infinite quantile", func(f *api.Forecast) { f.Values[0][1] = math.Inf(-1) }, "values[0][1]"},
		{"a peak that is no number", func(f *api.Forecast) { f.Peaks[2][0] = math.NaN() }, "peaks[2][0]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.predict = func(_ context.Context, req api.PredictRequest) (api.PredictResponse, error) {
				resp := w.answer(req)
				f := &resp.Forecasts[0]
				d := f.Point[0]
				f.Quantiles = []float64{0.5, 0.9}
				f.Values = [][]float64{{d, d}, {d, d}, {d, d}}
				f.Peaks = [][]float64{{d, d}, {d, d}, {d, d}}
				c.spoil(f)
				return resp, nil
			}
			d := decisionOf(w.mustOnce(t0), "up")
			switch {
			case c.field == "" && (d.Basis != api.BasisPredictive || d.Forecast.Error != nil):
				t.Errorf("basis %s, forecast %+v", d.Basis, d.Forecast)
			case c.field != "" && (d.Basis != api.BasisReactive || d.Forecast.Error.Type != ProblemNotFinite || d.Forecast.Error.Field != c.field ||
				!strings.Contains(reasons(d), c.field)):
				t.Errorf("basis %s, problem %+v\n%s", d.Basis, d.Forecast.Error, reasons(d))
			}
			w.check(c.name)
		})
	}
}

// What the log cannot keep costs one group its decision, and no other.
func TestAGroupThatCannotBeRecordedIsLeftAsItIs(t *testing.T) {
	w := newWorld(t)
	s := w.scaler()
	s.groups[0].Policies.Threshold.Out = math.Inf(1) // which no configuration file can say
	rec, err := w.once(s, t0)
	if err != nil || len(rec.Decisions) != 4 || len(rec.Errors) != 1 || !strings.Contains(rec.Errors[0], "group up") {
		t.Fatalf("%v, errors %v", err, rec.Errors)
	}
	if d := rec.Decisions[0]; d.Group != "up" || d.Desired != 4 || d.Outcome.Status != api.OutcomeNone || !strings.Contains(reasons(d), "not decided") {
		t.Errorf("%+v", d)
	}
	if w.desired("down") != 5 {
		t.Error("the other groups did not go on")
	}
}

// sale is a calendar whose sale begins a slot after t0.
type sale struct{}

func (sale) Flag(name string, at time.Time) float64 {
	if name == "is_sale" && !at.Before(t0.Add(step)) {
		return 1
	}
	return 0
}

func TestAScheduleSeesTheCalendarAhead(t *testing.T) {
	w := newWorld(t)
	scheduled := func(c *Config) {
		c.Groups[2].Policy.Schedule = []Entry{{Name: "the sale", Flag: "is_sale", Min: 9}, {Name: "nothing", Flag: "is_never", Min: 15}}
	}
	s := w.scaler(scheduled)
	s.deps.Flags = sale{}
	rec, err := w.once(s, t0)
	if err != nil {
		t.Fatal(err)
	}
	d := decisionOf(rec, "same")
	if got := d.Flags["is_sale"]; len(got) != s.groups[2].Steps() || got[0] != 0 || got[1] != 1 || d.Flags["is_never"][1] != 0 {
		t.Errorf("flags %v", d.Flags)
	}
	if d.Desired != 9 || decisionOf(rec, "up").Flags != nil {
		t.Errorf("desired %d\n%s", d.Desired, reasons(d))
	}
	w.replay("the sale", rec)

	// Without a calendar, the lake's own column answers: its last value holds on.
	w = newWorld(t)
	s = w.scaler(scheduled)
	s.deps.History = withFlag{w}
	if rec, err = w.once(s, t0); err != nil || decisionOf(rec, "same").Desired != 9 {
		t.Errorf("%v, flags %v", err, decisionOf(rec, "same").Flags)
	}
}

// withFlag is a lake with a column of flags.
type withFlag struct{ *world }

func (h withFlag) Scan(ctx context.Context, q dataset.Query) ([]api.Sample, error) {
	samples, err := h.world.Scan(ctx, q)
	for _, s := range samples {
		if s.Metric == api.MetricCPU {
			s.Metric, s.Value = "is_sale", 1
			samples = append(samples, s)
		}
	}
	return samples, err
}

// A lake that holds the demand itself, as what was asked for, and one that holds
// what the instances did.
func TestWhatWasAskedForIsToldFromWhatWasDone(t *testing.T) {
	w := newWorld(t)
	if d := decisionOf(w.mustOnce(t0), "up"); d.Offered {
		t.Error("demand out of CPU counts as what was asked for")
	}
	w = newWorld(t)
	s := w.scaler()
	s.deps.History = offered{w}
	rec, err := w.once(s, t0)
	if d := decisionOf(rec, "up"); err != nil || !d.Offered || d.Observed[api.SeriesDemand] != 7 {
		t.Errorf("%v, %+v", err, d)
	}
}

type offered struct{ *world }

func (h offered) Scan(ctx context.Context, q dataset.Query) ([]api.Sample, error) {
	samples, err := h.world.Scan(ctx, q)
	for _, s := range samples {
		if s.Metric == api.MetricCPU {
			s.Metric, s.Value = api.SeriesDemand, 7
			samples = append(samples, s)
		}
	}
	return samples, err
}

func TestASmallFleetsRecordKeepsTheWholeForecast(t *testing.T) {
	w := newWorld(t)
	w.predict = func(_ context.Context, req api.PredictRequest) (api.PredictResponse, error) {
		resp := w.answer(req)
		for i := range resp.Forecasts {
			resp.Forecasts[i].Point = []float64{2, 2, 2, 2, 2, 2}
		}
		return resp, nil
	}
	s := w.scaler()
	rec, err := w.once(s, t0)
	if err != nil || len(rec.Decisions[0].Forecast.Point) != 6 {
		t.Fatalf("%v: %+v", err, rec.Decisions[0].Forecast)
	}
	s.groups = slices.Repeat(s.groups[:1], wholeForecasts+1)
	if got := (&tick{Scaler: s}).shown(s.groups[0]); got != s.groups[0].Steps() {
		t.Errorf("a large fleet's record keeps %d steps", got)
	}
}
