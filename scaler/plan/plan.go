package plan

import (
	"fmt"
	"math"
	"slices"
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
	// Delay is the time from the tick until an order is carried out.
	Delay time.Duration `json:"delay,omitempty"`
	// Objective is the utilisation, in (0, 1], beyond which load is not served as it
	// should be: a breach. 0: DefaultObjective.
	Objective float64 `json:"objective,omitempty"`
	// StaleAfter is the age, in steps, up to which the newest measured slot counts
	// as fresh. The slot that has just ended has age 0.
	StaleAfter int    `json:"stale_after"`
	Guard      Guard  `json:"guard"`
	Safety     Safety `json:"safety"`
	Rivals     Rivals `json:"rivals,omitempty"`
}

// DefaultObjective is the utilisation beyond which a group is in breach.
const DefaultObjective = 0.9

func (g Group) objective() float64 {
	if g.Objective > 0 {
		return g.Objective
	}
	return DefaultObjective
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
	// Offered says that demand counts what was asked for (requests), and not what
	// the instances could do (CPU): then no CPU hides that it was more.
	Offered bool
	// Unit is how demand was made from another load; nil: it was not.
	Unit *api.Unit
	// Flags are what the calendar says, by flag, of the slot that begins at the tick
	// and of those after it.
	Flags map[string][]float64
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
		CapacityError: o.CapacityError, Control: in.Control, Offered: o.Offered, Unit: o.Unit, Flags: o.Flags,
	}
	if !o.Slot.IsZero() {
		d.ObservedAt = o.Slot.UTC()
	}
	if encodable(in.Forecast) {
		d.Forecast = in.Forecast
	}
	if why := unknown(o); why != "" {
		d.Reasons = []api.Reason{{Rule: RuleCapacity, Detail: why + ": nothing is changed"}}
		d.Safety = in.State.Trust.Shown
		return d, in.State
	}
	d.Capacity = *o.Capacity
	p := path{at: o.Capacity.Desired}
	s := stage{Input: in, c: *o.Capacity, rivals: notice(g.Mode, in.State, *o.Capacity)}
	s.gather(&p, &d)
	wish(&s, &p)
	d.Wanted = p.at
	s.guard(&p)
	s.warn(&p)
	d.Desired, d.Reasons, d.Alerts = p.at, p.reasons, p.alerts
	d.Outcome = intent(in, d)
	return d, s.after(d)
}

// wish takes p to what the policies ask for, within the schedule, and to what a
// breach needs, whatever they ask for.
func wish(s *stage, p *path) {
	response := s.respond(p)
	ps := s.Group.Policies
	byRule := false
	switch {
	case s.Control != nil && s.Control.Kind == api.ControlFreeze:
		p.note(RuleFreeze, "frozen until %s by %s (%s): only a breach changes it", clock(s.Control.Until), s.Control.By, s.Control.Reason)
	case response == ResponseYield:
		p.note(RuleRival, "%s: only a breach changes it", s.yielded)
	default:
		ps.decide(s.e, p)
		if ps.Schedule != nil {
			ps.Schedule.bound(s.Group, s.Observation.Flags, s.Tick, p)
		}
		byRule = ps.Threshold != nil && ps.Target == nil && ps.Cost == nil && ps.Schedule == nil
	}
	live := s.e.live(s.Group.objective())
	if live.serve > s.e.Serving {
		s.live = live.size
	}
	// The reference rule alone answers the live load by itself, in its own steps.
	if !byRule && live.size > p.at {
		p.to(live.size, RuleLive, live.why)
	}
}

// intent returns the outcome that a decision begins with.
func intent(in Input, d api.Decision) api.Outcome {
	switch {
	case d.Desired == d.Capacity.Desired:
		return api.Outcome{Status: api.OutcomeNone}
	case in.Control != nil && in.Control.Kind == api.ControlPause:
		return api.Outcome{Status: api.OutcomeDryRun, Detail: fmt.Sprintf("paused until %s by %s (%s)", clock(in.Control.Until), in.Control.By, in.Control.Reason)}
	case in.Group.Mode != api.ModeLive:
		return api.Outcome{Status: api.OutcomeDryRun}
	}
	return api.Outcome{}
}

// after returns the state that the decision leaves behind, before its outcome.
func (s stage) after(d api.Decision) State {
	st := s.State
	st.Spent = st.Spent.spend(s.Tick, s.c.Desired)
	if window := s.Group.Guard.Stabilise; window > 0 {
		var kept []Wish
		for _, w := range st.Wishes {
			if within(w.At, s.Tick, window) && w.At.Before(s.Tick) {
				kept = append(kept, w)
			}
		}
		st.Wishes = append(kept, Wish{s.Tick, d.Wanted})
	} else {
		st.Wishes = nil
	}
	return st
}

// warn adds what a person should know ahead of time.
func (s stage) warn(p *path) {
	if s.e.Outlook == nil {
		return
	}
	_, limit := Bounds(s.Group, s.c)
	what := "the maximum"
	if q := s.Group.Guard.Quota; q > 0 && q < limit {
		limit, what = q, "the quota"
	}
	for k := range s.e.Outlook.Steps {
		if rho := s.Group.objective(); s.e.Outlook.Exceeds(k+1, rho*float64(limit)) > 1-feasible {
			n := max(limit+1, instances(s.e.Outlook.Quantile(k+1, feasible), rho))
			p.note(RuleFeasible, "step %d may need %d instances (quantile %g), more than %s of %d", k+1, n, feasible, what, limit)
			p.alert(AlertFeasible)
			return
		}
	}
}

// feasible is the quantile of demand that must fit under the maximum.
const feasible = 0.9

// The rules that a reason may name, besides the names of the policies.
const (
	RuleCapacity  = "capacity"    // the capacity is unknown
	RuleForecast  = "forecast"    // the forecast is missing or invalid
	RuleSafety    = "safety"      // the safety state moved, or withholds trust
	RuleUnit      = "unit"        // what an instance can do has changed
	RuleStuck     = "stuck"       // instances should have come into service and have not
	RuleStale     = "stale"       // no fresh metrics: no scale-in
	RuleAnomaly   = "anomaly"     // a load too low to be believed: no scale-in
	RuleErrors    = "errors"      // requests fail: no scale-in
	RulePending   = "pending"     // instances are starting: no scale-in
	RuleRival     = "rival"       // somebody else scales the group
	RuleFreeze    = "freeze"      // an order
	RuleLive      = "live"        // the live load is in breach
	RuleSchedule  = "schedule"    // floors and ceilings at known times
	RuleFlaps     = "flaps"       // too many turns: no scale-in
	RuleStabilise = "stabilise"   // more was wished for lately
	RuleStep      = "step"        // the largest step
	RuleProtected = "protected"   // instances that must not go
	RuleCooldown  = "cooldown"    // too soon after an accepted action
	RuleBudget    = "budget"      // the day's instance-hours
	RuleMin       = "min"         // the lower bound
	RuleMax       = "max"         // the upper bound
	RuleFeasible  = "feasibility" // more will be needed than there can be
	RuleBrake     = "brake"       // the fleet-wide brake
)

// The alerts that a decision may raise.
const (
	AlertMaximum  = "at-maximum"  // more is wished for than the maximum
	AlertFeasible = "feasibility" // more will soon be
	AlertBudget   = "budget"      // the budget holds growth back
	AlertRival    = "rival"       // somebody else scales the group
	AlertDrift    = "drift"       // the forecasts are astray
	AlertUnit     = "unit"        // what an instance can do has changed
	AlertStuck    = "stuck"       // instances do not come into service
)

// path records the way from the present capacity to the desired one.
type path struct {
	at      int
	reasons []api.Reason
	alerts  []string
}

// alert raises an alert, once.
func (p *path) alert(name string) {
	if !slices.Contains(p.alerts, name) {
		p.alerts = append(p.alerts, name)
	}
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
	for _, table := range [][][]float64{f.Values, f.Peaks} {
		for _, row := range table {
			for _, v := range row {
				if !finite(v) {
					return false
				}
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
