package backtest_test

import (
	"testing"

	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/scaler/backtest"
)

// BenchmarkRun replays 60 days: all policies, every knob, test and rehearsal, on
// two processors and with forecasts at hand.
func BenchmarkRun(b *testing.B) {
	trace, err := fleet.Generate(fleet.GenerateConfig{Seed: 1, Days: 60})
	if err != nil {
		b.Fatal(err)
	}
	d, err := trace.Demand()
	if err != nil {
		b.Fatal(err)
	}
	forecasts := backtest.Forecasts{}
	for origin := range d.Slots {
		f, err := yesterday{d}.Forecast(b.Context(), origin)
		if err != nil {
			b.Fatal(err)
		}
		forecasts.All = append(forecasts.All, f)
	}
	for b.Loop() {
		c := backtest.Config{Trace: "generated", Group: "web", Demand: d, Lead: 5, Forecasts: forecasts, Rehearsal: forecasts, Workers: 2}
		if _, err := backtest.Run(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
}
