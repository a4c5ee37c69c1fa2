package fleet_test

import (
	"testing"

	"github.com/forescale/forescale/internal/fleet"
)

// BenchmarkSimulate runs a fleet over the last fifth of 60 days, 12 days and their
// warm-up, and measures it: what a sweep does a hundred times and more.
func BenchmarkSimulate(b *testing.B) {
	trace, err := fleet.Generate(fleet.GenerateConfig{Seed: 1, Days: 60})
	if err != nil {
		b.Fatal(err)
	}
	d, err := trace.Demand()
	if err != nil {
		b.Fatal(err)
	}
	from, to := d.ScoreStart()*d.SlotMinutes(), d.Minutes()
	demand, scored := d.Window(from, to)
	for name, c := range map[string]func() fleet.Controller{
		"rule":            func() fleet.Controller { return fleet.ReferenceRule },
		"target tracking": func() fleet.Controller { return fleet.NewTargetTracking(0.6) },
		"hpa":             func() fleet.Controller { return fleet.NewHPA(0.6) },
		"aws predictive":  func() fleet.Controller { return fleet.NewAWSPredictive(0.6, 5) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				run, err := fleet.Simulate(d, c(), from, to, 5)
				if err != nil {
					b.Fatal(err)
				}
				fleet.Measure(demand, scored, run)
			}
		})
	}
}
