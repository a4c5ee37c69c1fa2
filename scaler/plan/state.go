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
	ShortSince  time.Time   `json:"short_since,omitzero"`
	Calibration Calibration `json:"calibration,omitzero"`
	Trust       Trust       `json:"trust,omitzero"`
	// Wishes are what the policies asked for within the stabilisation window, the
	// newest last.
	Wishes []Wish `json:"wishes,omitempty"`
	// Turns are the times of the last day at which an accepted action went the other
	// way than the one before.
	Turns []time.Time `json:"turns,omitempty"`
	// Outs are the accepted scale-outs of the last hours: how many instances each
	// added.
	Outs []Wish `json:"outs,omitempty"`
	// Spent is what the group has cost today.
	Spent Spent `json:"spent,omitzero"`
	// Left is the group as the last decision left it behind.
	Left *Left `json:"left,omitempty"`
	// YieldUntil is until when a rival's change is left alone.
	YieldUntil time.Time `json:"yield_until,omitzero"`
}

// Wish is a number of instances at a tick.
type Wish struct {
	At time.Time `json:"at"`
	N  int       `json:"n"`
}

// Spent is the instance-hours of one UTC day, reckoned from tick to tick.
type Spent struct {
	Until time.Time `json:"until"` // the tick up to which they are reckoned
	Hours float64   `json:"hours"` // of the day of Until
}

// Left is a group's size and bounds after a decision.
type Left struct {
	Desired int `json:"desired"`
	Min     int `json:"min"`
	Max     int `json:"max"`
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
	case s.ShortSince.IsZero(), s.ShortSince.After(d.Tick): // by a clock that was wrong
		s.ShortSince = d.Tick
	}
	s.Left = &Left{Desired: d.Capacity.Desired, Min: d.Capacity.Min, Max: d.Capacity.Max}
	if d.Outcome.Status == api.OutcomeAccepted {
		s = s.Accepted(d.Tick, d.Capacity.Desired, d.Desired)
	}
	return s
}

// Accepted returns the state after the provider accepted a change of the desired
// capacity that was decided at tick.
func (s State) Accepted(tick time.Time, from, to int) State {
	turned := func(other, same time.Time) {
		if other.After(same) {
			s.Turns = append(recent(s.Turns, tick, flapWindow), tick)
		}
	}
	switch {
	case to > from:
		turned(s.LastIn, s.LastOut)
		s.LastOut = tick
		var kept []Wish
		for _, o := range s.Outs {
			if within(o.At, tick, youngWindow) {
				kept = append(kept, o)
			}
		}
		s.Outs = append(kept, Wish{tick, to - from})
	case to < from:
		turned(s.LastOut, s.LastIn)
		s.LastIn = tick
	}
	if s.Left != nil {
		left := *s.Left
		left.Desired = to
		s.Left = &left
	}
	return s
}

// youngWindow is for how long a scale-out is remembered: longer than any start.
const youngWindow = 2 * time.Hour

// young returns how many instances of the group's own orders may have come into
// service since the start of the slot before the newest one.
func (s State) young(g Group, tick time.Time) (n int) {
	for _, o := range s.Outs {
		served := o.At.Add(g.Delay + g.Lead)
		if served.After(tick.Add(-2*g.Step)) && o.At.Before(tick) {
			n += o.N
		}
	}
	return n
}

// recent returns the times within a window before tick, in a list of its own.
func recent(times []time.Time, tick time.Time, window time.Duration) []time.Time {
	var kept []time.Time
	for _, t := range times {
		if within(t, tick, window) {
			kept = append(kept, t)
		}
	}
	return kept
}

// within reports whether tick is less than length away from an action at start.
// The distance counts in both directions: a clock that jumped back must not lose
// a cooldown, and one that had jumped ahead must not hold a group for ever.
func within(start, tick time.Time, length time.Duration) bool {
	return !start.IsZero() && tick.Sub(start).Abs() < length
}

// spend reckons the instances of the time since the last tick, which had been
// desired all along as far as anybody knows.
func (s Spent) spend(tick time.Time, desired int) Spent {
	day := func(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }
	if s.Until.IsZero() || tick.Before(s.Until) {
		return Spent{Until: tick, Hours: s.Hours}
	}
	from := s.Until
	if !day(tick).Equal(day(s.Until)) {
		s.Hours, from = 0, day(tick)
	}
	return Spent{Until: tick, Hours: s.Hours + tick.Sub(from).Hours()*float64(desired)}
}
