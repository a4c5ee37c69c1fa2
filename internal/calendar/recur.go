package calendar

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/teambition/rrule-go"

	"github.com/forescale/forescale/api"
)

// recurring is an event that takes place again and again. The rule is followed on
// the wall clock of its zone, so that "09:00" stays 09:00 when clocks change, and
// each occurrence is then placed on the line of time.
type recurring struct {
	name       string
	flags      map[string]float64
	lead, tail time.Duration
	zone       *time.Location
	zoneName   string // as it is written; with a digest where the file itself defines the zone
	start      wall
	// An occurrence lasts for whole days of the local clock, of 23 to 25 hours each,
	// or, when days is 0, for a length of time that is always the same.
	//
	// Source: RFC 5545, 3.8.5.3, on the "exact duration" of recurring events.
	days   int
	length time.Duration
	rule   string // a recurrence rule of RFC 5545 without DTSTART; empty: also alone
	except []time.Time
	also   []time.Time

	option rrule.ROption // of rule
}

// Bounds of a rule. They keep a hostile one from costing more than milliseconds.
const (
	maxInterval   = 1000
	maxCount      = 10_000
	maxTimesADay  = 24
	maxExceptions = 10_000
	// maxYearly bounds the occurrences of all rules of a calendar in a year.
	maxYearly = 1_000_000
)

// compile reads the rule. Errors begin with the name of the field.
func (r *recurring) compile() error {
	if y := r.start.Year(); y < firstYear || y > lastYear {
		return fmt.Errorf("start: what recurs must begin in the years %d to %d, not in %d", firstYear, lastYear, y)
	}
	if len(r.except) > maxExceptions || len(r.also) > maxExceptions {
		return fmt.Errorf("except: more than %d exceptions or extra dates", maxExceptions)
	}
	if r.days > 366 || r.length > maxLength || r.days == 0 && r.length <= 0 {
		return fmt.Errorf("end: what recurs must last for more than no time and at most %d days", maxLength/(24*time.Hour))
	}
	slices.SortFunc(r.except, time.Time.Compare)
	slices.SortFunc(r.also, time.Time.Compare)
	if r.rule == "" {
		return nil
	}
	if strings.ContainsAny(r.rule, "\r\n") || strings.Contains(r.rule, "DTSTART") || strings.Contains(r.rule, "BYEASTER") {
		return fmt.Errorf("repeat: %.80q is no recurrence rule", r.rule)
	}
	option, err := rrule.StrToROption(r.rule)
	if err != nil {
		return fmt.Errorf("repeat: %.80q: %w; write a rule of RFC 5545 like FREQ=WEEKLY;BYDAY=MO,TU", r.rule, err)
	}
	if err := bounded(option); err != nil {
		return fmt.Errorf("repeat: %.80q: %w", r.rule, err)
	}
	option.Dtstart = r.start
	option.Until = r.until(option.Until)
	explicit(option)
	r.option = *option
	if next, err := follow(r.option, r.start.AddDate(0, 0, -1), 1); err != nil {
		return fmt.Errorf("repeat: %.80q: %w", r.rule, err)
	} else if len(next) == 0 {
		return fmt.Errorf("repeat: %.80q never happens", r.rule)
	}
	return nil
}

// bounded returns why a rule is refused.
func bounded(o *rrule.ROption) error {
	times := max(1, len(o.Byhour)) * max(1, len(o.Byminute)) * max(1, len(o.Bysecond))
	switch {
	case o.Freq > rrule.DAILY:
		return fmt.Errorf("more often than daily is not supported; write FREQ=DAILY with BYHOUR")
	case o.Interval < 0 || o.Interval > maxInterval:
		return fmt.Errorf("the interval %d is not in 1..%d", o.Interval, maxInterval)
	case o.Count < 0 || o.Count > maxCount:
		return fmt.Errorf("the count %d is not in 1..%d; leave it out for no end", o.Count, maxCount)
	case o.Count > 0 && !o.Until.IsZero():
		return fmt.Errorf("COUNT and UNTIL exclude each other")
	case times > maxTimesADay:
		return fmt.Errorf("%d times a day are more than %d", times, maxTimesADay)
	case len(o.Byweekno) > 0 && (o.Freq != rrule.YEARLY || len(o.Byweekday) == 0):
		return fmt.Errorf("BYWEEKNO goes with FREQ=YEARLY and BYDAY only")
	case len(o.Bysetpos)+len(o.Bymonth)+len(o.Bymonthday)+len(o.Byyearday)+len(o.Byweekno)+len(o.Byweekday) > 1000:
		return fmt.Errorf("it lists too many days")
	}
	for _, day := range o.Byweekday {
		limit := 0
		switch {
		case o.Freq == rrule.MONTHLY, o.Freq == rrule.YEARLY && len(o.Bymonth) > 0:
			limit = 5
		case o.Freq == rrule.YEARLY && len(o.Byweekno) == 0:
			limit = 53
		}
		if n := day.N(); n > limit || n < -limit {
			return fmt.Errorf("BYDAY: %s counts a weekday that a period of this rule cannot have", day)
		}
	}
	return nil
}

// until returns the end of a rule on the wall clock. It is written in UTC, or
// locally where the zone is none; a date means the whole of it.
func (r *recurring) until(t time.Time) wall {
	_, text, found := strings.Cut(r.rule, "UNTIL=")
	text, _, _ = strings.Cut(text, ";")
	switch {
	case !found:
		return time.Time{}
	case len(text) == len(rrule.DateFormat):
		return t.Add(24*time.Hour - time.Second)
	case strings.HasSuffix(text, "Z"):
		return wallOf(t, r.zone)
	}
	return t
}

// explicit writes down what a rule without days takes from its start, so that the
// start may be moved.
func explicit(o *rrule.ROption) {
	if len(o.Byweekno)+len(o.Byyearday)+len(o.Bymonthday)+len(o.Byweekday) > 0 {
		return
	}
	switch o.Freq {
	case rrule.YEARLY:
		if len(o.Bymonth) == 0 {
			o.Bymonth = []int{int(o.Dtstart.Month())}
		}
		o.Bymonthday = []int{o.Dtstart.Day()}
	case rrule.MONTHLY:
		o.Bymonthday = []int{o.Dtstart.Day()}
	}
}

// near returns a rule with the same occurrences from the moment from on, which
// begins shortly before it: the library counts from the start on, and asking for
// the year 2150 must not walk through all days until then.
func near(o rrule.ROption, from wall) rrule.ROption {
	if o.Count > 0 { // every occurrence counts
		return o
	}
	step := max(1, o.Interval)
	start := o.Dtstart
	h, m, s := start.Clock()
	clock := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second
	switch days := int(from.Sub(start) / (24 * time.Hour)); o.Freq {
	case rrule.DAILY:
		if n := days/step - 1; n > 0 {
			o.Dtstart = start.AddDate(0, 0, n*step)
		}
	case rrule.WEEKLY:
		if n := days/(7*step) - 1; n > 0 {
			o.Dtstart = start.AddDate(0, 0, 7*n*step)
		}
	case rrule.MONTHLY:
		months := 12*(from.Year()-start.Year()) + int(from.Month()-start.Month())
		if n := months/step - 1; n > 0 {
			o.Dtstart = time.Date(start.Year(), start.Month()+time.Month(n*step), 1, 0, 0, 0, 0, time.UTC).Add(clock)
		}
	case rrule.YEARLY:
		if n := (from.Year()-start.Year())/step - 1; n > 0 {
			o.Dtstart = time.Date(start.Year()+n*step, 1, 1, 0, 0, 0, 0, time.UTC).Add(clock)
		}
	}
	return o
}

// follow returns the first n occurrences of a rule after from. The library's
// panics are errors: rules come from outside.
func follow(o rrule.ROption, from wall, n int) (found []wall, err error) {
	defer func() {
		if p := recover(); p != nil {
			found, err = nil, fmt.Errorf("it cannot be followed (%v)", p)
		}
	}()
	r, err := rrule.NewRRule(near(o, from))
	if err != nil {
		return nil, err
	}
	next := r.Iterator()
	for len(found) < n {
		t, ok := next()
		if !ok {
			break
		}
		if t.After(from) {
			found = append(found, t)
		}
	}
	return found, nil
}

// between returns the occurrences that set a flag in [from, to).
func (r *recurring) between(from, to time.Time) []Event {
	var out []Event
	reach := r.length + time.Duration(r.days)*25*time.Hour + r.tail
	earliest, latest := from.Add(-reach), to.Add(r.lead)
	add := func(at time.Time, w wall) {
		if _, excepted := slices.BinarySearchFunc(r.except, at, time.Time.Compare); excepted {
			return
		}
		end := at.Add(r.length)
		if r.days > 0 {
			end = instant(w.AddDate(0, 0, r.days), r.zone)
		}
		e := Event{Event: api.Event{Name: r.name, Start: at, End: end, Flags: r.flags}, Lead: r.lead, Tail: r.tail}
		if begins, ends := e.felt(); begins.Before(to) && ends.After(from) {
			out = append(out, e)
		}
	}
	for _, at := range r.also {
		add(at, wallOf(at, r.zone))
	}
	if r.rule == "" {
		return out
	}
	const zones = 26 * time.Hour // more than any zone is away from UTC, there and back
	seen := len(out)
	o := r.option
	if last := latest.Add(zones); o.Until.IsZero() || o.Until.After(last) {
		o.Until = last // without an end the library would look for 290 years
	}
	all, _ := follow(o, earliest.UTC().Add(-zones), maxYearly) // compile has followed it
	for _, w := range all {
		at := instant(w, r.zone)
		if slices.ContainsFunc(out[:seen], func(e Event) bool { return e.Start.Equal(at) }) {
			continue // an extra date that the rule has too
		}
		add(at, w)
	}
	return out
}

// yearly returns the most occurrences of a year.
func (r *recurring) yearly() int {
	o := r.option
	return len(r.also) + 366*max(1, len(o.Byhour))*max(1, len(o.Byminute))*max(1, len(o.Bysecond))
}
