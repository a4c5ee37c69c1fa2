package plan

import (
	"fmt"
	"time"

	"github.com/forescale/forescale/api"
)

// guard takes the wish on p through the guardrails, in this order:
//
//	stale      no scale-in without fresh metrics
//	pending    no scale-in while instances are starting
//	cooldown   not too soon after an accepted action
//	min, max   the bounds, last, so that nothing can lead out of them again
func guard(g Group, s State, e Evidence, c api.Capacity, tick time.Time, p *path) {
	if p.at < c.Desired && e.Basis == api.BasisHold {
		p.to(c.Desired, RuleStale, "no fresh metrics: not scaled in")
	}
	if p.at < c.Desired && !e.Stuck && c.InService < c.Desired {
		// The load is still being spread over the newcomers, and CPU while they
		// start says little. Stuck ones are no reason to wait.
		p.to(c.Desired, RulePending, fmt.Sprintf("%d of %d instances are not yet in service: not scaled in",
			c.Desired-c.InService, c.Desired))
	}
	if why := cooling(g, s, e, c, tick, p.at); why != "" {
		p.to(c.Desired, RuleCooldown, why)
	}
	bound(g, c, p)
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
