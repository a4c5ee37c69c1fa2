package demo

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/internal/score"
)

func TestLiveForecastsAreComparedWithTheSlotTheySpokeOf(t *testing.T) {
	start := time.Date(2026, 2, 2, 0, 0, 0, 0, time.UTC)
	d := &fleet.Demand{Start: start, Step: 5 * time.Minute, Slots: []float64{1, 2, 4, 7, 11, 16}, Missing: make([]bool, 6)}
	d.Missing[5] = true
	tick := start.Add(4 * d.Step) // slot 3 is the newest known, the forecast speaks of slots 4 and on
	records := []api.TickRecord{{Tick: tick, Decisions: []api.Decision{
		{Group: groupPredictive, Tick: tick, Forecast: &api.Forecast{Point: []float64{10, 20, 30}}},
		{Group: groupReactive, Tick: tick},
	}}}
	scores := liveScores(d, start.Add(3*d.Step), groupPredictive, records)
	if len(scores) != 1 {
		t.Fatalf("%d horizons scored, want the one whose slot was observed: %+v", len(scores), scores)
	}
	h := scores[0]
	if h.Steps != 1 || h.N != 1 || h.Model.MAE != 1 { // 10 for 11
		t.Errorf("got %+v", h)
	}
	if p := h.Baselines[score.Persistence].MAE; p != 4 { // 7 for 11
		t.Errorf("persistence MAE %v, want 4", p)
	}
	if naive := 1.5; math.Abs(h.Model.MASE-1/naive) > 1e-12 { // steps 1 and 2 of the history
		t.Errorf("MASE %v", h.Model.MASE)
	}
}

func TestTheVerdictIsTrueWhicheverWayItWent(t *testing.T) {
	for name, c := range map[string]struct {
		p, q Policy
		want []string
	}{
		"fewer violations for more hours have a price": {Policy{ViolationMinutes: 5, InstanceHours: 110}, Policy{ViolationMinutes: 15, InstanceHours: 100},
			[]string{"10 fewer violation minutes (5 instead of 15)", "10 more instance-hours", "cost 1.00 instance-hours"}},
		"more violations are said to be so": {Policy{ViolationMinutes: 20, InstanceHours: 90}, Policy{ViolationMinutes: 10, InstanceHours: 100},
			[]string{"10 more violation minutes", "10 fewer instance-hours", "accepted saved 1.00 instance-hours"}},
		"worse in both is no help": {Policy{ViolationMinutes: 20, InstanceHours: 110}, Policy{ViolationMinutes: 10, InstanceHours: 100},
			[]string{"10 more violation minutes", "10 more instance-hours", "did not help"}},
		"nothing changed": {Policy{InstanceHours: 100}, Policy{InstanceHours: 100}, []string{"as many violation minutes (0)", "as many instance-hours (100)"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Report{Policies: map[string]Policy{predictive: c.p, reactive: c.q}}.verdict()
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("%q does not say %q", got, want)
				}
			}
		})
	}
}
