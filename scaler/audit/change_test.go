package audit

import (
	"testing"

	"github.com/forescale/forescale/api"
)

func TestWhatADecisionChanged(t *testing.T) {
	moved := &api.Move{From: api.SafetyPredictive, To: api.SafetyStale, Why: "no metrics\nsince 11:40"}
	reasons := []api.Reason{
		{Rule: "target", From: 4, To: 7, Detail: "demand 6"}, {Rule: "max", From: 7, To: 5, Detail: "the maximum is 5"}, {Rule: "note", From: 5, To: 5, Detail: "x"},
	}
	for _, c := range []struct {
		name      string
		d         api.Decision
		what, why string // both "": nothing
	}{
		{"nothing", api.Decision{Capacity: api.Capacity{Desired: 4}, Desired: 4}, "", ""},
		{"an unknown size is no change to none", api.Decision{Desired: 0}, "", ""},
		{"the size, by the last step that moved it", api.Decision{Capacity: api.Capacity{Desired: 4}, Desired: 5, Reasons: reasons, Outcome: api.Outcome{Status: api.OutcomeAccepted}},
			"4 -> 5 instances, accepted by the provider", "max: the maximum is 5"},
		{"the size, in a dry run", api.Decision{Capacity: api.Capacity{Desired: 2}, Desired: 1, Outcome: api.Outcome{Status: api.OutcomeDryRun}},
			"2 -> 1 instance is what it would have done (dry-run)", ""},
		{"the safety state", api.Decision{Capacity: api.Capacity{Desired: 4}, Desired: 4, Moved: moved}, "PREDICTIVE -> REACTIVE_STALE", "no metrics since 11:40"},
		{"the safety state of a group of unknown size", api.Decision{Moved: moved}, "PREDICTIVE -> REACTIVE_STALE", "no metrics since 11:40"},
		{"both", api.Decision{Capacity: api.Capacity{Desired: 4}, Desired: 5, Reasons: reasons, Moved: moved, Outcome: api.Outcome{Status: api.OutcomeFailed}},
			"4 -> 5 instances, which FAILED", "max: the maximum is 5; PREDICTIVE -> REACTIVE_STALE: no metrics since 11:40"},
	} {
		t.Run(c.name, func(t *testing.T) {
			what, why, ok := Changed(c.d)
			if what != c.what || why != c.why || ok != (c.what != "") {
				t.Errorf("got %q, %q, %v", what, why, ok)
			}
		})
	}
}
