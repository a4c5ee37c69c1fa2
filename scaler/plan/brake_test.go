package plan

import (
	"fmt"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

// evening is a fleet of 50 groups of ten instances, each of which wishes to remove by.
func evening(by int, basis api.Basis, safety api.SafetyState) []api.Decision {
	ds := make([]api.Decision, 50)
	for i := range ds {
		ds[i] = api.Decision{Group: fmt.Sprint(i), Basis: basis, Safety: safety, Desired: 10 - by,
			Capacity: api.Capacity{InService: 10, Desired: 10, Max: 20}}
	}
	return ds
}

// A whole region goes to bed: what the brake holds gets through in the end, at a
// bounded rate, and only where forecasts confirm it.
func TestTheBrakeLetsThroughWhatForecastsConfirm(t *testing.T) {
	const limit = 0.2
	for name, c := range map[string]struct {
		release time.Time
		by      int
		basis   api.Basis
		safety  api.SafetyState
		let     int
	}{
		"nothing before its release":                    {noon.Add(time.Second), 1, api.BasisPredictive, api.SafetyPredictive, 0},
		"then as many groups as the limit says":         {noon, 1, api.BasisPredictive, api.SafetyPredictive, 10},
		"long after as well":                            {noon.Add(-5 * time.Hour), 1, api.BasisPredictive, api.SafetyPredictive, 10},
		"as many groups, whatever each removes":         {noon, 9, api.BasisPredictive, api.SafetyPredictive, 10},
		"nothing of groups in a reactive state":         {noon, 1, api.BasisReactive, api.SafetyDrift, 0},
		"nothing that was decided without its forecast": {noon, 1, api.BasisReactive, api.SafetyPredictive, 0},
		"nothing ever without a release":                {time.Time{}, 1, api.BasisPredictive, api.SafetyPredictive, 0},
	} {
		t.Run(name, func(t *testing.T) {
			ds := evening(c.by, c.basis, c.safety)
			b := ApplyBrake(limit, noon, c.release, ds)
			if b == nil {
				t.Fatal("it was not pulled")
			}
			let := 0
			for _, d := range ds {
				switch {
				case d.Desired < 10:
					let++
				case len(d.Reasons) != 1 || d.Reasons[0].Rule != RuleBrake || d.Outcome.Status != api.OutcomeNone:
					t.Fatalf("held without a reason: %+v", d)
				}
			}
			if let != c.let || b.Let != c.let {
				t.Errorf("%d groups got through, the brake says %d; want %d", let, b.Let, c.let)
			}
		})
	}
}

// A group that is a large part of the fleet must not slip through beside others.
func TestTheBrakeBoundsTheInstancesThatGetThrough(t *testing.T) {
	ds := evening(5, api.BasisPredictive, api.SafetyPredictive)
	ds[0].Capacity.Desired, ds[0].Desired = 1000, 500
	ds[1].Capacity.Desired, ds[1].Desired = 1000, 700
	for tick := range 50 {
		fleet := append([]api.Decision(nil), ds...)
		b := ApplyBrake(0.2, noon.Add(time.Duration(tick)*time.Minute), noon, fleet) // of 2480 instances, 496 may go
		gone := 0
		for _, d := range fleet {
			gone += d.Capacity.Desired - d.Desired
		}
		if b == nil || gone > 496 || fleet[0].Desired == 500 {
			t.Fatalf("%d instances went: %+v", gone, b)
		}
	}
}

func TestNoGroupWaitsForeverBehindTheBrake(t *testing.T) {
	through := map[string]bool{}
	for tick := range 60 {
		ds := evening(1, api.BasisPredictive, api.SafetyPredictive)
		ApplyBrake(0.2, noon.Add(time.Duration(tick)*5*time.Minute), noon, ds)
		for _, d := range ds {
			if d.Desired < 10 {
				through[d.Group] = true
			}
		}
	}
	if len(through) != 50 {
		t.Errorf("%d of 50 groups got through in five hours", len(through))
	}
}
