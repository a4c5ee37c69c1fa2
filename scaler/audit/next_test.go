package audit

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/scaler/plan"
)

func TestWhatFollowsFromADecision(t *testing.T) {
	tick := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	before := func(s plan.State) json.RawMessage {
		raw, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	group := plan.Group{Step: 5 * time.Minute, Cooldown: plan.Cooldown{Out: 10 * time.Minute, In: 20 * time.Minute}}
	base := api.Decision{Group: "web", Tick: tick, Capacity: api.Capacity{Desired: 4, Max: 9}, Desired: 4, Basis: api.BasisPredictive}
	for name, c := range map[string]struct {
		change func(*api.Decision)
		want   []string
		not    string
	}{
		"nothing is waited for": {func(*api.Decision) {}, []string{"the decision of 12:05"}, "cooldown"},
		"a scale-out that was accepted just now": {func(d *api.Decision) { d.Desired, d.Outcome.Status = 6, api.OutcomeAccepted },
			[]string{"scale-out  not before 12:10, by the cooldown", "scale-in   not before 12:20, by the cooldown"}, "doubled"},
		"one that was not": {func(d *api.Decision) { d.Desired, d.Outcome.Status = 6, api.OutcomeFailed }, nil, "cooldown"},
		"an older scale-in, without a forecast": {func(d *api.Decision) {
			d.Basis, d.Before = api.BasisReactive, before(plan.State{LastIn: tick.Add(-25 * time.Minute)})
		}, []string{"scale-in   not before 12:15, by the cooldown, which is doubled while there is no forecast"}, "scale-out"},
		"the same with a forecast": {func(d *api.Decision) { d.Before = before(plan.State{LastIn: tick.Add(-25 * time.Minute)}) }, nil, "cooldown"},
		"more load than the size can do": {func(d *api.Decision) { d.Observed = map[string]float64{api.SeriesDemand: 3.8} },
			[]string{"95 % of 4 instances, which is TOO MUCH, by the newest load"}, ""},
		"a size that was only wished for": {func(d *api.Decision) {
			d.Desired, d.Outcome.Status, d.Observed = 8, api.OutcomeDryRun, map[string]float64{api.SeriesDemand: 2}
		}, []string{"50 % of 4 instances by"}, "8 instances by"},
		"a peak ahead": {func(d *api.Decision) {
			d.Forecast = &api.Forecast{IssuedAt: tick, StepSeconds: 300, Point: []float64{2, 3, 1}}
		}, []string{"75 % of 4 instances at the forecast's highest step, 3.00 in 12:05-12:10"}, ""},
		"a state that cannot be read": {func(d *api.Decision) { d.Before = json.RawMessage(`[]`) }, []string{"the decision of 12:05"}, "not before"},
		"an unknown size":             {func(d *api.Decision) { d.Capacity = api.Capacity{} }, nil, "What follows"},
	} {
		t.Run(name, func(t *testing.T) {
			d := base
			c.change(&d)
			raw, err := json.Marshal(group)
			if err != nil {
				t.Fatal(err)
			}
			_, text, _ := strings.Cut(Explain(api.TickRecord{Tick: tick, Configs: []json.RawMessage{raw}}, d), "What came of it")
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
			if _, text, _ = strings.Cut(text, "\n\n"); c.not != "" && strings.Contains(text, c.not) {
				t.Errorf("%q in\n%s", c.not, text)
			}
		})
	}
}
