package backtest_test

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/scaler/backtest"
)

// workload returns a generated demand.
func workload(t *testing.T, config fleet.GenerateConfig) *fleet.Demand {
	t.Helper()
	trace, err := fleet.Generate(config)
	if err != nil {
		t.Fatal(err)
	}
	d, err := trace.Demand()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// yesterday forecasts what the day before brought at the same time, between that
// and the last value, with quantiles of its own making. It looks at nothing after
// an origin.
type yesterday struct{ *fleet.Demand }

func (y yesterday) Forecast(_ context.Context, origin int) (api.Forecast, error) {
	const horizon = 12
	f := api.Forecast{
		Group: "web", IssuedAt: y.Time((origin + 1) * y.SlotMinutes()), StepSeconds: int(y.Step / time.Second),
		Quantiles: []float64{0.05, 0.1, 0.5, 0.9, 0.95, 0.99},
	}
	if y.Missing[origin] {
		f.Error = &api.Problem{Title: "no forecast", Detail: "the newest slot is missing"}
		return f, nil
	}
	greatest := make([]float64, len(f.Quantiles))
	for k := 1; k <= horizon; k++ {
		point := y.Slots[origin]
		if before := origin + k - int(24*time.Hour/y.Step); before >= 0 && k < int(24*time.Hour/y.Step) {
			point = 0.6*point + 0.4*y.Slots[before]
		}
		values, peaks := make([]float64, len(f.Quantiles)), make([]float64, len(f.Quantiles))
		for j, spread := range []float64{-0.2, -0.15, 0, 0.15, 0.2, 0.35} {
			values[j] = point * (1 + spread*math.Sqrt(float64(k)/2))
			greatest[j] = max(greatest[j], values[j])
			peaks[j] = greatest[j]
		}
		f.Point, f.Values, f.Peaks = append(f.Point, point), append(f.Values, values), append(f.Peaks, peaks)
	}
	return f, nil
}

// configured returns a backtest of all policies on a demand, few knobs each.
func configured(d *fleet.Demand) backtest.Config {
	policies := backtest.Policies()
	for i, p := range policies {
		few := []float64{p.Knobs[0]}
		for k := 3; k < len(p.Knobs); k += 3 {
			few = append(few, p.Knobs[k])
		}
		policies[i].Knobs = few
	}
	return backtest.Config{
		Trace: "generated", Group: "web", Demand: d, Lead: 5, Policies: policies,
		Forecasts: yesterday{d}, Rehearsal: yesterday{d}, Workers: 2,
	}
}

func run(t *testing.T, c backtest.Config) *backtest.Result {
	t.Helper()
	r, err := backtest.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
