package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
)

// Response is what is done about a rival.
type Response string

// The responses, from none to all.
const (
	ResponseIgnore Response = "ignore"
	ResponseWarn   Response = "warn"    // named and alerted about
	ResponseHoldIn Response = "hold-in" // besides, nothing is scaled in
	ResponseYield  Response = "yield"   // besides, only a breach scales out
)

// Responses are all of them.
var Responses = []Response{ResponseIgnore, ResponseWarn, ResponseHoldIn, ResponseYield}

// Rivals says what is done about each kind of rival. A kind that is not there has
// the response of DefaultResponse.
type Rivals map[api.RivalKind]Response

// DefaultResponse returns what is done about a rival unless a group's owner says
// otherwise: a group whose instances are being replaced, whose processes are
// suspended or whose size somebody has just set by hand is not scaled in.
func DefaultResponse(kind api.RivalKind) Response {
	switch kind {
	case api.RivalRefresh, api.RivalSuspended, api.RivalDesired:
		return ResponseHoldIn
	}
	return ResponseWarn
}

func (r Rivals) response(kind api.RivalKind) Response {
	if own, ok := r[kind]; ok {
		return own
	}
	return DefaultResponse(kind)
}

// yieldFor is how long a change by somebody else is left alone: long enough for a
// person in an incident to be asked.
const yieldFor = 30 * time.Minute

// notice returns the rivals of a group: those that the provider shows, and those
// that show in the group being another than the last decision left behind.
func notice(mode api.Mode, s State, c api.Capacity) []api.Rival {
	rivals := slices.Clone(c.Rivals)
	if s.Left == nil || mode != api.ModeLive {
		return rivals
	}
	add := func(kind api.RivalKind, format string, args ...any) {
		rivals = append(rivals, api.Rival{Kind: kind, Detail: fmt.Sprintf(format, args...)})
	}
	if s.Left.Desired != c.Desired {
		add(api.RivalDesired, "somebody set the desired capacity from %d to %d", s.Left.Desired, c.Desired)
	}
	if s.Left.Min != c.Min || s.Left.Max != c.Max {
		add(api.RivalBounds, "somebody moved the bounds from %d..%d to %d..%d", s.Left.Min, s.Left.Max, c.Min, c.Max)
	}
	return rivals
}

// respond returns the strongest response to the rivals, and what they do. A change
// of the desired capacity is responded to for yieldFor after it was noticed.
func (s *stage) respond(p *path) Response {
	strongest := ResponseIgnore
	var what []string
	for _, r := range s.rivals {
		response := s.Group.Rivals.response(r.Kind)
		if response == ResponseIgnore {
			continue
		}
		p.note(RuleRival, "%s: %s (%s)", r.Kind, r.Detail, response)
		p.alert(AlertRival)
		if slices.Index(Responses, response) > slices.Index(Responses, strongest) {
			strongest = response
		}
		if response != ResponseWarn {
			what = append(what, string(r.Kind))
		}
		if r.Kind == api.RivalDesired && response != ResponseWarn {
			s.State.YieldUntil = s.Tick.Add(yieldFor)
		}
	}
	if len(what) == 0 && s.Tick.Before(s.State.YieldUntil) && s.State.YieldUntil.Sub(s.Tick) <= yieldFor {
		response := s.Group.Rivals.response(api.RivalDesired)
		if slices.Index(Responses, response) >= slices.Index(Responses, ResponseHoldIn) {
			strongest, what = response, []string{fmt.Sprintf("somebody's change is left alone until %s", clock(s.State.YieldUntil))}
		}
	}
	if len(what) > 0 {
		s.yielded = strings.Join(what, ", ") + ": not scaled in"
	}
	return strongest
}
