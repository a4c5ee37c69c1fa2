package plan

import (
	"fmt"
	"math"
	"time"

	"github.com/forescale/forescale/api"
)

// Group is what the owner of a group has configured. It is plain data, so that
// the audit log can keep it and a decision be reached again from there.
type Group struct {
	Name string   `json:"name,omitempty"`
	Mode api.Mode `json:"mode"`
	// Signal says whether forecasts take part. With SignalObserved their absence
	// is no fault: the reactive rule decides at its full rate.
	Signal   Signal   `json:"signal"`
	Policies Policies `json:"policies"`
	// Min and Max bound the desired capacity, besides the provider's own bounds.
	// A Max of 0 leaves the upper bound to the provider.
	Min      int           `json:"min"`
	Max      int           `json:"max"`
	Cooldown Cooldown      `json:"cooldown"`
	Step     time.Duration `json:"step"` // length of a slot, > 0
	// Lead is the time from the order of an instance until it serves.
	Lead time.Duration `json:"lead"`
	// StaleAfter is the age, in steps, up to which the newest measured slot counts
	// as fresh. The slot that has just ended has age 0.
	StaleAfter int `json:"stale_after"`
}

// Input is all that a decision rests on.
type Input struct {
	Group       Group
	State       State
	Observation Observation
	// Forecast is nil when none was asked for, and carries an Error when there
	// should have been one. It is checked before it is used.
	Forecast *api.Forecast
	Control  *api.Control // the order in force for the group; nil: none
	Tick     time.Time    // end of the newest complete slot
}

// Cooldown says how long after an accepted action the next one must wait, in
// time between ticks. An action that the provider did not accept starts none,
// and neither does a dry-run decision.
type Cooldown struct {
	Out time.Duration `json:"out"` // after a scale-out, until the next scale-out
	// In: after an accepted action in either direction, until the next scale-in.
	// It is doubled while the reactive rule stands in for a missing forecast.
	In time.Duration `json:"in"`
}

// Signal says which evidence a group is scaled on.
type Signal string

// The signals.
const (
	SignalPredicted Signal = "predicted" // the forecast and the live load, whichever asks for more
	SignalObserved  Signal = "observed"  // the live load alone
)

// Observation is what was measured of a group, newest first.
type Observation struct {
	// Capacity is the group's size; nil: unknown.
	Capacity *api.Capacity
	// CapacityError says why Capacity is unknown.
	CapacityError string
	// Slot is the start of the newest slot in which load was measured (CPU or
	// demand). Zero: none is known.
	Slot time.Time
	// Values are the values of that slot by series name. What was not measured has
	// no entry; NaN and infinities are taken for missing.
	Values map[string]float64
}

// Decide returns the decision on in and the state that it leaves behind, whatever
// comes of it; State.After then enters the outcome.
//
// The outcome of the decision is OutcomeNone when nothing is to be done and
// OutcomeDryRun in dry-run mode. Otherwise its Status is empty: the decision is
// an intent, and whoever carries it out completes it.
//
// When the capacity is unknown, Capacity is zero, and Wanted and Desired are
// zeros that mean nothing; the only reason is RuleCapacity.
func Decide(in Input) (api.Decision, State) {
	g, o := in.Group, in.Observation
	d := api.Decision{
		Group: g.Name, Tick: in.Tick.UTC(), Mode: g.Mode, Policy: g.Policies.Name(), Basis: api.BasisHold,
		Observed: finiteOnly(o.Values), Outcome: api.Outcome{Status: api.OutcomeNone},
		CapacityError: o.CapacityError, Control: in.Control,
	}
	if !o.Slot.IsZero() {
		d.ObservedAt = o.Slot.UTC()
	}
	if encodable(in.Forecast) {
		d.Forecast = in.Forecast
	}
	if why := unknown(o); why != "" {
		d.Reasons = []api.Reason{{Rule: RuleCapacity, Detail: why + ": nothing is changed"}}
		return d, in.State
	}
	d.Capacity = *o.Capacity
	p := path{at: o.Capacity.Desired}
	e := gather(g, in.State, o, in.Forecast, in.Tick, &p)
	d.Basis = e.Basis
	g.Policies.decide(e, &p)
	d.Wanted = p.at
	guard(g, in.State, e, *o.Capacity, in.Tick, &p)
	d.Desired, d.Reasons = p.at, p.reasons
	if d.Desired != d.Capacity.Desired {
		d.Outcome.Status = ""
		if g.Mode != api.ModeLive {
			d.Outcome.Status = api.OutcomeDryRun
		}
	}
	return d, in.State
}

// The rules that a reason may name, besides the names of the policies.
const (
	RuleCapacity = "capacity" // the capacity is unknown
	RuleForecast = "forecast" // the forecast is missing or invalid
	RuleStuck    = "stuck"    // instances should have come into service and have not
	RuleStale    = "stale"    // no fresh metrics: no scale-in
	RulePending  = "pending"  // instances are starting: no scale-in
	RuleCooldown = "cooldown" // too soon after an accepted action
	RuleMin      = "min"      // the lower bound
	RuleMax      = "max"      // the upper bound
)

// path records the way from the present capacity to the desired one.
type path struct {
	at      int
	reasons []api.Reason
}

// to moves on to n and keeps why. Holding still is a reason as well.
func (p *path) to(n int, rule, detail string) {
	p.reasons = append(p.reasons, api.Reason{Rule: rule, From: p.at, To: n, Detail: detail})
	p.at = n
}

// note keeps a reason that changes nothing by itself.
func (p *path) note(rule, format string, args ...any) { p.to(p.at, rule, fmt.Sprintf(format, args...)) }

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// finiteOnly drops what is missing, nil when nothing is left: a record is JSON,
// which has no NaN.
func finiteOnly(values map[string]float64) map[string]float64 {
	var out map[string]float64
	for name, v := range values {
		if !finite(v) {
			continue
		}
		if out == nil {
			out = make(map[string]float64, len(values))
		}
		out[name] = v
	}
	return out
}

// encodable reports whether a forecast can be kept in a record.
func encodable(f *api.Forecast) bool {
	if f == nil {
		return false
	}
	for _, v := range f.Point {
		if !finite(v) {
			return false
		}
	}
	for _, row := range f.Values {
		for _, v := range row {
			if !finite(v) {
				return false
			}
		}
	}
	for _, q := range f.Quantiles {
		if !finite(q) {
			return false
		}
	}
	return true
}

// maxInstances is beyond what any provider has; a larger number is a fault.
const maxInstances = 1 << 30

// unknown returns why the capacity cannot be reckoned with, "" when it can.
func unknown(o Observation) string {
	switch c := o.Capacity; {
	case c == nil && o.CapacityError == "":
		return "capacity is unknown"
	case c == nil:
		return "capacity is unknown: " + o.CapacityError
	case min(c.InService, c.Pending, c.Desired, c.Min, c.Max) < 0,
		max(c.InService, c.Pending, c.Desired, c.Min) > maxInstances, c.Min > c.Max:
		return fmt.Sprintf("capacity makes no sense: %d in service, %d pending, %d desired, bounds %d to %d",
			c.InService, c.Pending, c.Desired, c.Min, c.Max)
	}
	return ""
}
