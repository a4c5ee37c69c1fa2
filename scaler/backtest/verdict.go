package backtest

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/forescale/forescale/internal/fleet"
)

// Recommended is the policy and knob that the rehearsal speaks for.
type Recommended struct {
	Policy string  `json:"policy"`
	Knob   float64 `json:"knob"`
	// Helps says whether forecasts were worth having.
	Helps  bool   `json:"prediction_helps"`
	Reason string `json:"reason"`
	// Rehearsed is how it fared in the rehearsal, which it was chosen by, and Tested
	// how it then fared in the test part, which nothing was chosen by.
	Rehearsed Outcome `json:"rehearsed"`
	Tested    Outcome `json:"tested"`
}

// Outcome is how a policy fared at one knob.
type Outcome struct {
	ViolationPct  float64 `json:"violation_pct"`
	InstanceHours float64 `json:"instance_hours"`
	RatioToOracle float64 `json:"ratio_to_oracle"`
}

func outcome(w *sweep, t *trial) Outcome {
	return Outcome{t.metrics.ViolationPct, t.metrics.InstanceHours, *rounded(t.metrics.InstanceHours / w.stage.best.InstanceHours)}
}

const (
	// worthwhile is the share of instance-hours that forecasts must save before they
	// are recommended: less is within what another week would change.
	worthwhile = 0.03
	// defaultBears is the violation percentage up to which a policy keeps its default
	// knob. A knob tuned on so few days transfers badly; one that fails by twice what
	// is allowed is wrong all the same.
	defaultBears = 2 * Allowed
)

// reactive are the policies that look at the present alone: the best of them is
// what forecasts have to beat.
func reactive(p Policy) bool {
	return slices.Contains([]string{TargetTracking, HPA, Rule}, p.Name)
}

// recommend chooses by the rehearsal alone and reports how its choice fared in the
// test.
func recommend(rehearsal, test *sweep) *Recommended {
	if rehearsal.stage.best.ScoredMinutes == 0 {
		return nil // nothing of it was observed
	}
	ships, shipHours := best(rehearsal, func(p Policy) bool { return p.Ships })
	other, otherHours := best(rehearsal, reactive)
	r := &Recommended{Helps: other == nil || ships != nil && shipHours <= (1-worthwhile)*otherHours}
	chosen := other
	at := fmt.Sprintf("at %g %% violation minutes", Allowed)
	switch {
	case ships == nil && other == nil:
		return nil
	case other == nil:
		chosen, r.Reason = ships, "nothing else that was replayed kept the violations in bounds in the rehearsal"
	case ships == nil:
		r.Reason = "no setting of a policy that forecasts kept the violations in bounds in the rehearsal"
	case r.Helps:
		chosen, r.Reason = ships, fmt.Sprintf("in the rehearsal it needed %s fewer instance-hours than %s %s", less(shipHours, otherHours), other.policy.Title, at)
	case shipHours < otherHours:
		r.Reason = fmt.Sprintf("in the rehearsal forecasts saved no more than %s of its instance-hours %s: too little to depend on them", less(shipHours, otherHours), at)
	default:
		r.Reason = fmt.Sprintf("in the rehearsal no forecast beat it: policy %s needed %s more instance-hours %s", ships.policy.Name, over(shipHours/otherHours), at)
	}
	r.Policy, r.Knob = chosen.policy.Name, chosen.knob
	r.Rehearsed, r.Tested = outcome(rehearsal, chosen), outcome(test, test.at(r.Policy, r.Knob))
	return r
}

// best returns, of the policies wanted, the one that needs the fewest instance-hours
// at the allowed violations, at the knob to run it with; nil where none gets there.
func best(w *sweep, wanted func(Policy) bool) (chosen *trial, hours float64) {
	hours = math.Inf(1)
	for _, t := range w.trials {
		if !t.keep || !wanted(t.policy) { // once a policy
			continue
		}
		if h, ok := w.curve(t.policy.Name).HoursAt(Allowed); ok && h < hours {
			hours, chosen = h, w.settled(t)
		}
	}
	return chosen, hours
}

// settled returns the trial of the knob to run a policy with: its default, unless
// that has far too many violations or the policy has no knob that suits all loads.
// Then it is the one before the cheapest that is within what is allowed, for the
// same knob has more violations on other days: the higher, the closer to the edge.
func (w *sweep) settled(standard *trial) *trial {
	if standard.policy.Ships && standard.metrics.ViolationPct <= defaultBears {
		return standard
	}
	trials := w.of(standard.policy.Name) // by ascending knob
	cheapest := -1
	for i, t := range trials {
		if t.metrics.ViolationPct <= Allowed && (cheapest < 0 || t.metrics.InstanceHours <= trials[cheapest].metrics.InstanceHours) {
			cheapest = i
		}
	}
	if cheapest < 0 {
		return standard
	}
	return trials[max(0, cheapest-1)]
}

// less says how much less a is than b, in percent of b.
func less(a, b float64) string { return fmt.Sprintf("%.0f %%", 100*(1-a/b)) }

// verdict says in plain words what the default policy would have done for the
// history, whichever way it went.
func verdict(r Report, s *stage) string {
	own := r.Policy(DefaultPolicy)
	if own == nil {
		own = firstShipped(r)
	}
	tracking := r.Policy(TargetTracking)
	if own == nil || tracking == nil {
		return ""
	}
	var b strings.Builder
	b.WriteString(atAllowed(r, s, own, tracking))
	fmt.Fprintf(&b, "\nUntuned, %s had %s; %s had %s.",
		called(own), figures(own), called(tracking), figures(tracking))
	if s.best.ViolationPct > 0 {
		fmt.Fprintf(&b, "\nFor %.2f %% of the minutes the load is more than the %d instances can serve that a fleet has at most.", s.best.ViolationPct, fleet.MaxInstances)
	}
	if days := s.days(); days < fewDays {
		fmt.Fprintf(&b, "\nThe test is only %.1f days long: take all of this for a hint.", days)
	}
	return b.String()
}

// fewDays is the length of a test that is too short to rely on.
const fewDays = 2.0

func firstShipped(r Report) *PolicyReport {
	if i := slices.IndexFunc(r.Policies, func(p PolicyReport) bool { return p.ships }); i >= 0 {
		return &r.Policies[i]
	}
	return nil
}

// subject names a policy in a sentence.
func subject(p *PolicyReport) string {
	if p.ships {
		return "Forescale with policy " + p.Name
	}
	return p.Title
}

// called names a policy and its setting.
func called(p *PolicyReport) string { return fmt.Sprintf("%s at %g", subject(p), p.Knob) }

func figures(p *PolicyReport) string {
	return fmt.Sprintf("%.2f %% violation minutes at %.2f times the least possible instance-hours", p.ViolationPct, p.RatioToOracle)
}

// atAllowed compares two policies at the same violations.
func atAllowed(r Report, s *stage, own, tracking *PolicyReport) string {
	level, a, b, ok := Allowed, 0.0, 0.0, false
	if own.HoursAtAllowed != nil && tracking.HoursAtAllowed != nil {
		a, b, ok = *own.HoursAtAllowed, *tracking.HoursAtAllowed, true
	} else if a, ok = own.curve.HoursAt(tracking.ViolationPct); ok {
		level, b = tracking.ViolationPct, tracking.InstanceHours
	}
	if !ok {
		return fmt.Sprintf("%s would not have helped here, because no setting of it has as few violations as %s.%s", subject(own), called(tracking), why(r, s, tracking))
	}
	week := (b - a) / s.days() * 7
	at := fmt.Sprintf("at the same violations (%.3g %% of the minutes)", level)
	if a <= (1-worthwhile)*b {
		return fmt.Sprintf("%s would have saved %s a week over target tracking %s, %s of them.", subject(own), hours(week), at, less(a, b))
	}
	if a < b {
		return fmt.Sprintf("%s would hardly have helped here: it would have saved %s a week (%s) over target tracking %s.%s", subject(own), hours(week), less(a, b), at, why(r, s, tracking))
	}
	return fmt.Sprintf("%s would not have helped here: it would have needed %s a week more than target tracking %s.%s", subject(own), hours(-week), at, why(r, s, tracking))
}

func hours(h float64) string { return fmt.Sprintf("%.0f instance-hours", h) }

// smooth is the ratio to the oracle from which down there is nothing to gain.
const smooth = 1.08

// why says what keeps forecasts from paying, as far as the figures show it.
func why(r Report, s *stage, tracking *PolicyReport) string {
	idle := true
	for _, d := range s.offered {
		idle = idle && fleet.Required(d) == fleet.MinInstances
	}
	switch {
	case idle:
		return fmt.Sprintf(" The reason: the load never needs more than the %d instances that are always there.", fleet.MinInstances)
	case tracking.RatioAtAllowed != nil && *tracking.RatioAtAllowed <= smooth:
		return fmt.Sprintf(" The reason: the load is so smooth that well-set target tracking needs %s more than somebody who knows the future.", over(*tracking.RatioAtAllowed))
	case r.ForecastSkill != nil && *r.ForecastSkill < 0.05:
		return fmt.Sprintf(" The reason: the load cannot be foreseen; forecasts err as much as repeating the last value does (skill %.2f).", *r.ForecastSkill)
	case r.ForecastSkill != nil:
		return fmt.Sprintf(" The reason is not the forecasts, which err %.0f %% less than repeating the last value does, but that the policy makes too little of them.", 100**r.ForecastSkill)
	}
	return ""
}

// over says how much more than 1 a ratio is.
func over(ratio float64) string {
	if ratio < 1.005 {
		return "hardly"
	}
	return fmt.Sprintf("%.0f %%", 100*(ratio-1))
}
