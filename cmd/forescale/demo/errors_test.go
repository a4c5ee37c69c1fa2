package demo

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/scaler"
	"github.com/forescale/forescale/scaler/plan"
)

func TestEveryDecisionThatWasNotAsItShouldBeIsCounted(t *testing.T) {
	answer := func(p *api.Problem) *api.Forecast { return &api.Forecast{Error: p} }
	for name, c := range map[string]struct {
		decision     api.Decision
		errors, gaps int
		says         string
	}{
		"a predictive decision is in order":    {api.Decision{Group: groupPredictive, Basis: api.BasisPredictive, Forecast: answer(nil)}, 0, 0, ""},
		"a reactive group needs no forecast":   {api.Decision{Group: groupReactive, Basis: api.BasisReactive}, 0, 0, ""},
		"a gap in the metrics is no error":     {api.Decision{Group: groupPredictive, Basis: api.BasisHold, Forecast: answer(&api.Problem{Type: scaler.ProblemGap})}, 0, 1, ""},
		"a server that is away is one":         {api.Decision{Group: groupPredictive, Basis: api.BasisReactive, Forecast: answer(&api.Problem{Title: "refused connection"})}, 1, 0, "refused connection"},
		"so is a forecast that is not there":   {api.Decision{Group: groupPredictive, Basis: api.BasisReactive}, 1, 0, "there is none"},
		"so is a forecast that plan refused":   {api.Decision{Group: groupPredictive, Basis: api.BasisReactive, Forecast: answer(nil), Reasons: []api.Reason{{Rule: plan.RuleForecast, Detail: "too short"}}}, 1, 0, "too short"},
		"so is a change that was not accepted": {api.Decision{Group: groupReactive, Basis: api.BasisReactive, Outcome: api.Outcome{Status: api.OutcomeFailed, Detail: "throttled"}}, 1, 0, "throttled"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &demo{log: slog.New(slog.DiscardHandler)}
			d.failedDecisions(api.TickRecord{Decisions: []api.Decision{c.decision}})
			if d.report.Errors != c.errors || d.report.Gaps != c.gaps || !strings.Contains(strings.Join(d.report.Messages, "\n"), c.says) {
				t.Errorf("%d errors, %d gaps, %q", d.report.Errors, d.report.Gaps, d.report.Messages)
			}
		})
	}
}
