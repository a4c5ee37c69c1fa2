package plan

import (
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

// Four instances are full, and no other ever comes: whatever a policy makes of it,
// the orders must end somewhere, since all of them may come at once one day.
func TestAGroupWhoseInstancesNeverComeDoesNotGrowForEver(t *testing.T) {
	fallback := Fallback{Utilisation: 0.65}
	policies := map[string]Policies{
		"threshold": {Threshold: &Threshold{Out: 70, In: 35, Step: 1}},
		"cost":      {Cost: &Cost{InstanceHour: 1, ViolationPeaks: 8, Utilisation: 0.9, Fallback: fallback}},
		"target":    {Target: &Target{Quantile: 0.98, Utilisation: 0.9, Fallback: fallback}},
		"both":      {Cost: &Cost{InstanceHour: 1, ViolationPeaks: 8, Utilisation: 0.9, Fallback: fallback}, Threshold: &Threshold{Out: 70, In: 35, Step: 1}},
	}
	for name, ps := range policies {
		for what, c := range map[string]struct {
			launchError string
			cpu         float64
			most        int
		}{
			"launches fail":                   {"no capacity", 95, 6},
			"launches fail, and CPU is full":  {"no capacity", 100, 7},
			"instances hang":                  {"", 95, 12},
			"instances hang, and CPU is full": {"", 100, 16},
		} {
			s := calm()
			s.policies, s.Forecast, s.Max = &ps, nil, 0
			s.CooldownOut, s.CooldownIn = 0, 0
			s.Observed = map[string]float64{api.MetricCPU: c.cpu, api.SeriesDemand: 4 * c.cpu / 100}
			in := s.input()
			desired := 5
			for i := range 100 {
				in.Tick = noon.Add(time.Duration(i) * step)
				in.Observation.Slot = in.Tick.Add(-step)
				size := api.Capacity{InService: 4, Pending: desired - 4, Desired: desired, Max: 1000, LaunchError: c.launchError}
				if c.launchError != "" {
					size.Pending = 0
				}
				in.Observation.Capacity = &size
				d, next := Decide(in)
				if d.Desired != size.Desired {
					d.Outcome.Status = api.OutcomeAccepted
				}
				in.State = next.After(d)
				desired = d.Desired
			}
			if desired > c.most || desired < 5 {
				t.Errorf("%s, %s: %d are desired in the end", name, what, desired)
			}
		}
	}
}
