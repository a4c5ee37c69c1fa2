package plan

import (
	"fmt"
	"math"
)

// Threshold is the reference rule: a predicted CPU above Out adds Step
// instances, one below In removes Step.
//
//	out   max(predicted, live) > Out, or the live CPU is saturated; but where
//	      instances do not come, no more than makes up for them (see Evidence.live)
//	in    max(predicted, live) < In, with the live load known, and as many of Step
//	      as can go without that being above Out for the rest
//
// predicted is the peak of the point forecast over the launch window. Without a
// forecast the live load decides alone.
type Threshold struct {
	Out  float64 `json:"out"`  // percent
	In   float64 `json:"in"`   // percent, below Out
	Step int     `json:"step"` // instances, at least 1
}

// Name implements Policy.
func (Threshold) Name() string { return "threshold" }

// Want implements Policy.
func (t Threshold) Want(e Evidence) (int, string) {
	live := e.LiveCPU()
	predicted, step := e.PredictedCPU(e.Desired)
	what := fmt.Sprintf("live CPU %s", percent(live))
	if e.Ahead != nil {
		what = fmt.Sprintf("predicted CPU peaks at %s in step %d, live %s", percent(predicted), step, percent(live))
	}
	what += fmt.Sprintf(", of %d instances", e.Desired)
	if enough := e.live(t.Out / 100); e.Stuck && enough.size <= e.Desired && (live > t.Out || e.Saturated) && !(predicted > t.Out) {
		// One more at each tick would all come at once when the provider can launch
		// again, and an image that does not boot would fill the group to its maximum.
		return e.Desired, fmt.Sprintf("%s; instances do not come, and enough are ordered for the %d that the load needs: hold", what, enough.serve)
	}
	switch {
	case e.Saturated && e.Desired < overOrder*e.InService+t.Step:
		return e.Desired + t.Step, fmt.Sprintf("CPU %s is saturated: add %d", percent(e.CPU), t.Step)
	case predicted > t.Out || live > t.Out:
		return e.Desired + t.Step, fmt.Sprintf("%s, above %g %%: add %d", what, t.Out, t.Step)
	case e.Saturated:
		return e.Desired, fmt.Sprintf("CPU %s is saturated, and %d are ordered for the %d that are in service: hold until they come", percent(e.CPU), e.Desired, e.InService)
	case math.IsNaN(live):
		return e.Desired, what + ": hold"
	}
	// Leaving is judged by those who will stay behind: instances that never came
	// into service cannot make the group look idle.
	if e.Ahead != nil {
		predicted, _ = e.PredictedCPU(min(e.Desired, e.Serving))
	}
	if live < t.In && !(predicted >= t.In) {
		if predicted > live {
			live = predicted
		}
		n := t.remaining(e.Desired, live)
		if n == e.Desired {
			return n, fmt.Sprintf("%s, below %g %%, but one less would be above %g %%: hold", what, t.In, t.Out)
		}
		return n, fmt.Sprintf("%s, below %g %%: remove %d", what, t.In, e.Desired-n)
	}
	return e.Desired, fmt.Sprintf("%s, between %g and %g %%: hold", what, t.In, t.Out)
}

// remaining returns how many of n instances at cpu percent stay when as much as
// Step of them go, and those who stay do not have to be joined again at once:
//
//	cpu · n / remaining <= Out
func (t Threshold) remaining(n int, cpu float64) int {
	needed := int(math.Ceil(cpu * float64(n) / t.Out))
	return min(n, max(needed, n-t.Step, 0))
}

func percent(v float64) string {
	switch {
	case math.IsNaN(v):
		return "unknown"
	case math.IsInf(v, 0):
		return "boundless"
	}
	return fmt.Sprintf("%.1f %%", v)
}
