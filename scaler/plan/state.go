package plan

import (
	"time"

	"github.com/forescale/forescale/api"
)

// State is what a group's next decision needs to know of the past. It lives in
// the store, so that it survives a restart.
type State struct {
	// LastOut and LastIn are the ticks of the last accepted scale-out and scale-in.
	LastOut time.Time `json:"last_out,omitzero"`
	LastIn  time.Time `json:"last_in,omitzero"`
	// ShortSince is the tick since which, without a break, fewer instances have
	// been in service than were desired. Zero: as many are.
	ShortSince time.Time `json:"short_since,omitzero"`
}

// After returns the state that a completed decision leaves behind. Cooldowns
// count from the decision's tick and not from the moment of acceptance, so that
// a cooldown of two steps always ends with the second tick.
func (s State) After(d api.Decision) State {
	if !d.Capacity.Known() {
		return s // unknown: nothing was learned and nothing done
	}
	switch short := d.Capacity.InService < d.Capacity.Desired; {
	case !short:
		s.ShortSince = time.Time{}
	case s.ShortSince.IsZero():
		s.ShortSince = d.Tick
	}
	if d.Outcome.Status == api.OutcomeAccepted {
		s = s.Accepted(d.Tick, d.Capacity.Desired, d.Desired)
	}
	return s
}

// Accepted returns the state after the provider accepted a change of the desired
// capacity that was decided at tick.
func (s State) Accepted(tick time.Time, from, to int) State {
	switch {
	case to > from:
		s.LastOut = tick
	case to < from:
		s.LastIn = tick
	}
	return s
}

// within reports whether tick is less than length away from an action at start.
// The distance counts in both directions: a clock that jumped back must not lose
// a cooldown, and one that had jumped ahead must not hold a group for ever.
func within(start, tick time.Time, length time.Duration) bool {
	return !start.IsZero() && tick.Sub(start).Abs() < length
}
