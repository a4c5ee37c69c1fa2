package search

import (
	"encoding/json"
	"fmt"
	"math"
)

// State says how an evaluation ended.
type State string

// The states. An evaluation that was cancelled leaves no trace.
const (
	Done   State = "done"
	Failed State = "failed"
)

// Trial is one evaluation: the parameters of a trial at the budget of a rung. A
// trial that was promoted has one in each of its rungs.
type Trial struct {
	ID      int // from 0
	Bracket int // from 0
	Params  Params
	Rung    int // from 0, the least budget
	Budget  int
	Loss    float64 // NaN when the evaluation failed
	Seconds float64 // 0 without a clock
	State   State
	Err     string // why it failed
}

// trialJSON is a trial as it is written: JSON has no NaN.
type trialJSON struct {
	ID      int      `json:"id"`
	Bracket int      `json:"bracket"`
	Rung    int      `json:"rung"`
	Budget  int      `json:"budget"`
	Params  Params   `json:"params"`
	Loss    *float64 `json:"loss,omitempty"`
	Seconds float64  `json:"seconds"`
	State   State    `json:"state"`
	Err     string   `json:"error,omitempty"`
}

func (t Trial) json() trialJSON {
	j := trialJSON{ID: t.ID, Bracket: t.Bracket, Rung: t.Rung, Budget: t.Budget, Params: t.Params,
		Seconds: t.Seconds, State: t.State, Err: t.Err}
	if !math.IsNaN(t.Loss) {
		j.Loss = &t.Loss
	}
	return j
}

func (j trialJSON) trial() Trial {
	t := Trial{ID: j.ID, Bracket: j.Bracket, Rung: j.Rung, Budget: j.Budget, Params: j.Params,
		Loss: math.NaN(), Seconds: j.Seconds, State: j.State, Err: j.Err}
	if j.Loss != nil {
		t.Loss = *j.Loss
	}
	return t
}

// MarshalJSON leaves out the loss of a trial that failed.
func (t Trial) MarshalJSON() ([]byte, error) { return json.Marshal(t.json()) }

// Result is what a search found.
type Result struct {
	// Best is the trial with the least loss in the last complete rung with any, or
	// else in the one that was cut short; its State is not Done when there is none.
	Best Trial
	// Trials are all evaluations, by rung and then by number.
	Trials  []Trial
	Budgets []int // of the rungs
	// Complete is how many rungs were completed, from the first on. Below
	// len(Budgets) the search was cut short: by its time, if TimedOut, or by the
	// error beside the result.
	Complete int
	TimedOut bool
}

// Summary says in a sentence or two who won and what cut the search short.
func (r Result) Summary() string {
	text := "no trial has a loss"
	if b := r.Best; b.State == Done {
		text = fmt.Sprintf("trial %d won with a loss of %.6g at a budget of %d", b.ID, b.Loss, b.Budget)
	}
	trials, failed := map[int]bool{}, 0
	for _, t := range r.Trials {
		trials[t.ID] = true
		if t.State == Failed {
			failed++
		}
	}
	text += fmt.Sprintf("; %d evaluations of %d trials", len(r.Trials), len(trials))
	if failed > 0 {
		text += fmt.Sprintf(", of which %d failed", failed)
	}
	if r.Complete < len(r.Budgets) {
		why := "the search was stopped"
		if r.TimedOut {
			why = "the time budget ran out, so that the result depends on this machine"
		}
		text += fmt.Sprintf(". Only %d of %d rungs are complete: %s", r.Complete, len(r.Budgets), why)
	}
	return text
}

// Fragment returns the best parameters as YAML to paste into the configuration,
// under a comment that says where they come from. It is empty when there are none.
func (r Result) Fragment() string {
	if r.Best.State != Done {
		return ""
	}
	return fmt.Sprintf("# %s\n%s", r.Summary(), r.Best.Params.YAML())
}
