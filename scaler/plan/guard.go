package plan

import (
	"fmt"
	"math"
	"time"

	"github.com/forescale/forescale/api"
)

// Guard bounds what a decision may do, whatever its policies wish. A zero value
// does not bound.
type Guard struct {
	MaxOut int `json:"max_out,omitempty"` // most instances added by a decision
	MaxIn  int `json:"max_in,omitempty"`  // most instances removed by a decision
	// MaxInShare is the greatest part of the group that a decision removes, in (0, 1];
	// one instance may always go.
	MaxInShare float64 `json:"max_in_share,omitempty"`
	// Stabilise lets a group shrink only to the greatest wish of so long.
	Stabilise time.Duration `json:"stabilise,omitempty"`
	// Flaps is how many turns, from out to in or back, a group may take in
	// flapWindow. Beyond, it is not scaled in.
	Flaps int `json:"flaps,omitempty"`
	// DailyHours caps the instance-hours of a UTC day: what is left of them is
	// spread over what is left of the day. A breach may exceed it.
	DailyHours float64 `json:"daily_hours,omitempty"`
	// Quota is the most instances that the provider grants, for a warning in time.
	Quota int `json:"quota,omitempty"`
}

// flapWindow is the time in which turns are counted.
const flapWindow = 24 * time.Hour

// stage is all that the guardrails of a decision look at.
type stage struct {
	Input
	e       Evidence
	c       api.Capacity
	live    int    // instances that a breach needs, 0: there is none
	doubt   string // why a low load is not believed
	failing string // why the load is not what was asked for
	rivals  []api.Rival
	yielded string
}

// guard takes the wish on p through the guardrails. What only a scale-in can break
// comes first, the bounds last, so that nothing can lead out of them again.
func (s stage) guard(p *path) {
	s.scaleIn(p)
	s.amount(p)
	if why := cooling(s.Group, s.State, s.e, s.c, s.Tick, p.at); why != "" {
		wait := s.c.Desired
		if p.at > wait {
			wait = min(p.at, max(wait, s.live)) // a breach does not wait
		}
		if wait != p.at {
			p.to(wait, RuleCooldown, why)
		}
	}
	s.budget(p)
	bound(s.Group, s.c, p)
}

// scaleIn holds a wish to shrink back for whatever speaks against it.
func (s stage) scaleIn(p *path) {
	hold := func(rule, why string) {
		if why != "" && p.at < s.c.Desired {
			p.to(s.c.Desired, rule, why)
		}
	}
	g, c := s.Group, s.c
	hold(RuleAnomaly, s.doubt)
	hold(RuleErrors, s.failing)
	if s.e.Basis == api.BasisHold {
		hold(RuleStale, "no metrics that can be trusted: not scaled in")
	}
	if c.InService == 0 {
		hold(RulePending, "no instance is in service: whatever the load looks like, it says nothing")
	}
	if !s.e.Stuck && c.InService < c.Desired && !s.Observation.Offered {
		// The load is still being spread over the newcomers, and CPU while they
		// start says little. Stuck ones are no reason to wait, and a load that is
		// counted at the door does not depend on them.
		hold(RulePending, fmt.Sprintf("%d of %d instances are not yet in service: not scaled in", c.Desired-c.InService, c.Desired))
	}
	hold(RuleRival, s.yielded)
	if g.Guard.Flaps > 0 {
		if n := len(recent(s.State.Turns, s.Tick, flapWindow)); n >= g.Guard.Flaps {
			hold(RuleFlaps, fmt.Sprintf("the group has turned %d times within %s, of %d that it may: not scaled in", n, flapWindow, g.Guard.Flaps))
		}
	}
}

// amount bounds how far a decision goes.
func (s stage) amount(p *path) {
	g, c := s.Group.Guard, s.c
	if most := s.steadiest(); g.Stabilise > 0 && p.at < min(most, c.Desired) {
		p.to(min(most, c.Desired), RuleStabilise, fmt.Sprintf("%d were wished for within the last %s", most, g.Stabilise))
	}
	if n := c.Desired - p.at; n > 0 {
		most := n
		if g.MaxIn > 0 {
			most = min(most, g.MaxIn)
		}
		if g.MaxInShare > 0 {
			most = min(most, max(1, int(g.MaxInShare*float64(c.Desired)+tolerance)))
		}
		if most < n {
			p.to(c.Desired-most, RuleStep, fmt.Sprintf("at most %d go at a time", most))
		}
	}
	if p.at < min(c.Protected, c.Desired) {
		p.to(min(c.Protected, c.Desired), RuleProtected, fmt.Sprintf("%d instances are protected from scale-in", c.Protected))
	}
	if n := p.at - c.Desired; g.MaxOut > 0 && n > g.MaxOut {
		p.to(c.Desired+g.MaxOut, RuleStep, fmt.Sprintf("at most %d are added at a time", g.MaxOut))
	}
}

// steadiest returns the greatest wish within the stabilisation window, the present
// one aside.
func (s stage) steadiest() int {
	most := 0
	for _, w := range s.State.Wishes {
		if within(w.At, s.Tick, s.Group.Guard.Stabilise) {
			most = max(most, w.N)
		}
	}
	return most
}

// budget caps the group by what is left of the day's instance-hours. It stops
// growth and lets shrink: it takes nothing from a group by itself, and a breach
// is served all the same.
func (s stage) budget(p *path) {
	limit := s.Group.Guard.DailyHours
	if limit <= 0 || p.at <= s.c.Desired {
		return
	}
	spent := s.State.Spent.spend(s.Tick, s.c.Desired)
	left := s.Tick.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour).Sub(s.Tick).Hours()
	affordable := int(max(0, math.Floor((limit-spent.Hours)/left+tolerance)))
	if n := max(affordable, s.c.Desired, s.live); p.at > n {
		p.to(n, RuleBudget, fmt.Sprintf("%.1f of today's %.1f instance-hours are spent, which leaves %d for the rest of the day", spent.Hours, limit, affordable))
		p.alert(AlertBudget)
	}
}

// cooling returns why the change to n has to wait, "" when it has not.
func cooling(g Group, s State, e Evidence, c api.Capacity, tick time.Time, n int) string {
	switch {
	case n > c.Desired:
		if within(s.LastOut, tick, g.Cooldown.Out) {
			return fmt.Sprintf("scaled out at %s, less than %s ago", clock(s.LastOut), g.Cooldown.Out)
		}
	case n < c.Desired:
		wait, rate := g.Cooldown.In, ""
		if e.Basis != api.BasisPredictive && g.Signal != SignalObserved {
			// Half rate: twice the wait, and at most every second tick.
			wait, rate = 2*max(wait, g.Step), " (doubled: no forecast)"
		}
		for _, last := range []struct {
			did string
			at  time.Time
		}{{"out", s.LastOut}, {"in", s.LastIn}} {
			if within(last.at, tick, wait) {
				return fmt.Sprintf("scaled %s at %s, less than %s%s ago", last.did, clock(last.at), wait, rate)
			}
		}
	}
	return ""
}

// Bounds returns the range that the desired capacity of a group may be set to:
// the tighter of the owner's and the provider's bounds. Where they contradict
// each other, the provider's maximum wins, because nothing above it can be set.
func Bounds(g Group, c api.Capacity) (low, high int) {
	low, high = max(0, g.Min, c.Min), c.Max
	if g.Max > 0 {
		high = min(high, g.Max)
	}
	return min(low, high), high
}

// bound keeps the wish within the bounds. A group that stands above its maximum,
// because somebody put it there, may stay or shrink as the policy wishes, but
// the bound itself removes nothing: it may be all that carries an incident.
func bound(g Group, c api.Capacity, p *path) {
	low, high := Bounds(g, c)
	if ceiling := max(high, c.Desired); p.at > ceiling {
		detail := fmt.Sprintf("the maximum is %d (own %s, provider's %d)", high, orNone(g.Max), c.Max)
		p.to(ceiling, RuleMax, detail)
		p.alert(AlertMaximum)
	} else if p.at > high && p.at == c.Desired {
		p.note(RuleMax, "%d is above the maximum of %d: not scaled out, and not forced down", c.Desired, high)
	}
	if p.at < low {
		p.to(low, RuleMin, fmt.Sprintf("the minimum is %d (own %d, provider's %d)", low, g.Min, c.Min))
	}
}

func orNone(n int) string {
	if n == 0 {
		return "none"
	}
	return fmt.Sprint(n)
}
