package audit

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/scaler/plan"
)

// next tells what the size means for the load, and what the following decisions may
// do at the earliest. A record without configuration says too little for that.
func (e *explanation) next() {
	g := e.config
	if g == nil || !e.d.Capacity.Known() {
		return
	}
	e.section("What follows from it")
	e.utilisation(g)
	e.waits(g)
	if c := e.d.Control; c != nil {
		e.entry("order", "the %s ends at %s", c.Kind, e.clock(c.Until))
	}
	if g.Step > 0 {
		e.entry("next", "the decision of %s", e.clock(e.d.Tick.Add(g.Step)))
	}
}

// utilisation says how busy the group is at its new size, now and at the highest of
// the forecast's steps: demand over size, against the objective.
func (e *explanation) utilisation(g *plan.Group) {
	d, size := e.d, e.d.Desired
	if d.Outcome.Status == api.OutcomeDryRun || d.Outcome.Status == api.OutcomeFailed || d.Outcome.Status == api.OutcomeSkipped {
		size = d.Capacity.Desired // it stays as it was
	}
	if size <= 0 {
		return
	}
	objective := 100 * cmp.Or(g.Objective, plan.DefaultObjective)
	busy := func(demand float64) string {
		percent := 100 * demand / float64(size)
		text := fmt.Sprintf("%.0f %% of %s", percent, count(size, "instance"))
		if percent > objective {
			text += ", which is TOO MUCH,"
		}
		return text
	}
	if demand, ok := d.Observed[api.SeriesDemand]; ok {
		e.entry("busy", "%s by the newest load; the objective is at most %.0f %%", busy(demand), objective)
	}
	f := d.Forecast
	if f == nil || f.Error != nil || len(f.Point) == 0 {
		return
	}
	peak := 0
	for k, v := range f.Point {
		if v > f.Point[peak] {
			peak = k
		}
	}
	step := time.Duration(f.StepSeconds) * time.Second
	from := f.IssuedAt.Add(time.Duration(peak) * step)
	e.entry("", "%s at the forecast's highest step, %.2f in %s-%s", busy(f.Point[peak]), f.Point[peak], e.clock(from), e.clock(from.Add(step)))
}

// waits tells until when cooldowns hold, by the state that this decision leaves
// behind.
func (e *explanation) waits(g *plan.Group) {
	var s plan.State
	if len(e.d.Before) > 0 && json.Unmarshal(e.d.Before, &s) != nil {
		return // the state's section says so
	}
	s = s.After(e.d)
	last := s.LastOut
	if s.LastIn.After(last) {
		last = s.LastIn
	}
	until := func(label string, from time.Time, wait time.Duration, why string) {
		if end := from.Add(wait); !from.IsZero() && end.After(e.d.Tick) {
			e.entry(label, "not before %s, by the cooldown%s", e.clock(end), why)
		}
	}
	until("scale-out", s.LastOut, g.Cooldown.Out, "")
	in, doubled := g.Cooldown.In, ""
	if e.d.Basis != api.BasisPredictive && g.Signal != plan.SignalObserved { // as plan has it
		in, doubled = 2*max(in, g.Step), ", which is doubled while there is no forecast"
	}
	until("scale-in", last, in, doubled)
}
