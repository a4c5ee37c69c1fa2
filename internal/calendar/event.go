package calendar

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/window"
)

// Event is an event that takes place once.
type Event struct {
	api.Event
	// Lead and Tail are how long before its start and after its end the event is
	// felt. They make flags of their own, see LeadSuffix; 0: none.
	Lead, Tail time.Duration
}

// LeadSuffix and TailSuffix end the names of the flags that an event's lead and
// tail hold: an event of is_sale with both sets is_sale_lead in [start-lead,
// start), is_sale in [start, end) and is_sale_tail in [end, end+tail), all three
// to the same value.
//
// They are flags of their own, and not the same one stretched, because what comes
// before an event is seldom a smaller copy of it: customers wait for a sale, and
// are exhausted after it. A model learns one weight for each phase. They are
// steps, and no ramps, because the clock tells a model already how a day goes on.
const (
	LeadSuffix = "_lead"
	TailSuffix = "_tail"
)

// Bounds of what an event may be.
const (
	maxLength = 366 * 24 * time.Hour // of an event that recurs, of a lead and of a tail
	firstYear = 1970                 // of what recurs
	lastYear  = 2200
)

// check returns all faults of an event, each beginning with the name of the field.
func (e Event) check() []error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	switch {
	case e.Start.IsZero():
		bad("start: an event needs a start")
	case e.End.IsZero():
		bad("end: an event needs an end")
	case e.Start.UTC().Year() < 1 || e.End.UTC().Year() > 9999:
		bad("start: %s to %s is not within the years 1 to 9999", stamp(e.Start), stamp(e.End))
	case !e.End.After(e.Start):
		bad("end: %s is not after the start %s", stamp(e.End), stamp(e.Start))
	}
	return append(faults, checkPlan(e.Name, e.Flags, e.Lead, e.Tail)...)
}

// checkPlan returns what is wrong with what every kind of event has.
func checkPlan(name string, flags map[string]float64, lead, tail time.Duration) []error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	switch {
	case name == "":
		bad("name: an event needs a name")
	case len(name) > api.MaxNameLen:
		bad("name: %.40q… is longer than %d bytes", name, api.MaxNameLen)
	}
	if len(flags) == 0 {
		bad("flags: an event needs at least one flag")
	}
	for _, flag := range slices.Sorted(maps.Keys(flags)) {
		err := checkFlag(flag, flags[flag])
		if err == nil && (lead > 0 || tail > 0) && len(flag)+len(LeadSuffix) > api.MaxNameLen {
			err = fmt.Errorf("the name %.40q… is too long to have a lead or a tail", flag)
		}
		if err != nil {
			bad("flags: %w", err)
		}
	}
	for _, d := range []struct {
		name   string
		length time.Duration
	}{{"lead", lead}, {"tail", tail}} {
		if d.length < 0 || d.length > maxLength {
			bad("%s: %s is not between 0 and %d days", d.name, d.length, maxLength/(24*time.Hour))
		}
	}
	return faults
}

func checkFlag(name string, value float64) error {
	switch {
	case !strings.HasPrefix(name, window.FlagPrefix) || len(name) == len(window.FlagPrefix):
		return fmt.Errorf("unknown key %.40q; names of flags begin with %s", name, window.FlagPrefix)
	case len(name) > api.MaxNameLen:
		return fmt.Errorf("the name %.40q… is longer than %d bytes", name, api.MaxNameLen)
	case strings.HasSuffix(name, labelSuffix):
		return fmt.Errorf("%s: names that end in %s are labels, which nothing reads", name, labelSuffix)
	case math.IsNaN(value) || math.IsInf(value, 0):
		return fmt.Errorf("%s: %v is not finite", name, value)
	}
	return nil
}

// labelSuffix is what internal/tidy calls a label.
const labelSuffix = "_label"

// spans adds to by the time that each flag of the event holds.
func (e Event) spans(by map[string][]span) {
	for flag, value := range e.Flags {
		by[flag] = append(by[flag], span{e.Start, e.End, value})
		if e.Lead > 0 {
			by[flag+LeadSuffix] = append(by[flag+LeadSuffix], span{e.Start.Add(-e.Lead), e.Start, value})
		}
		if e.Tail > 0 {
			by[flag+TailSuffix] = append(by[flag+TailSuffix], span{e.End, e.End.Add(e.Tail), value})
		}
	}
}

// addNames adds to names the flags that an event sets.
func addNames(names map[string]bool, flags map[string]float64, lead, tail time.Duration) {
	for flag := range flags {
		names[flag] = true
		if lead > 0 {
			names[flag+LeadSuffix] = true
		}
		if tail > 0 {
			names[flag+TailSuffix] = true
		}
	}
}

// compareEvents orders events by start, end and name.
func compareEvents(a, b Event) int {
	return cmp.Or(a.Start.Compare(b.Start), a.End.Compare(b.End), strings.Compare(a.Name, b.Name))
}

// felt returns the first and the last instant at which the event sets a flag.
func (e Event) felt() (from, to time.Time) { return e.Start.Add(-e.Lead), e.End.Add(e.Tail) }

// join returns faults as one error, with prefix before each; nil for none. Past
// maxFaults they are only counted.
func join(prefix string, faults []error) error {
	var out []error
	for i, err := range faults {
		if i == maxFaults {
			out = append(out, fmt.Errorf("%sand %d more faults", prefix, len(faults)-i))
			break
		}
		out = append(out, fmt.Errorf("%s%w", prefix, err))
	}
	return errors.Join(out...)
}

// maxFaults bounds the faults that an error lists.
const maxFaults = 50
