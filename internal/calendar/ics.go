package calendar

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	ics "github.com/arran4/golang-ical"

	"github.com/forescale/forescale/api"
)

// Properties of an event in an ICS file that Forescale reads beside the standard
// ones. Flags is a list like is_sale_active,is_rush=0.5; Lead and Tail are lengths
// of time of RFC 5545 (PT24H, P1D) or as in JSON (24h).
const (
	propFlags = "X-FORESCALE-FLAGS"
	propLead  = "X-FORESCALE-LEAD"
	propTail  = "X-FORESCALE-TAIL"
)

// Bounds of an ICS file.
const (
	maxICSEvents = 20_000
	maxICSDepth  = 8
)

// ParseICS reads a calendar in iCalendar form (RFC 5545). Its events have the
// flags that X-FORESCALE-FLAGS names, else those among CATEGORIES, else
// is_event_active. The error lists all faults, each with the line on which its
// event begins.
func ParseICS(raw []byte) (*Calendar, error) {
	content, faults := parseICS(raw, settings{})
	if len(faults) > 0 {
		return nil, join("", faults)
	}
	return build(content)
}

// parseICS reads what it can, and returns all faults. given is what events get
// that do not say so themselves.
func parseICS(raw []byte, given settings) (content, []error) {
	raw = bytes.TrimPrefix(raw, byteOrderMark)
	lines, err := survey(raw)
	if err != nil {
		return content{}, []error{err}
	}
	doc, err := decodeICS(raw)
	if err != nil {
		return content{}, []error{fmt.Errorf("not an iCalendar file: %w", err)}
	}
	f := &icsFile{given: given, zones: map[string]*ics.VTimezone{}, made: map[string]icsZone{}}
	if f.given.zone == nil {
		f.given.zoneName = zoneOf(doc)
		if f.given.zoneName != "" {
			if f.given.zone, err = loadZone(f.given.zoneName); err != nil {
				return content{}, []error{fmt.Errorf("X-WR-TIMEZONE: %w", err)}
			}
		}
	}
	var entries []*entry
	for _, component := range doc.Components {
		switch component := component.(type) {
		case *ics.VTimezone:
			if id := first(component, "TZID"); id != nil {
				f.zones[id.Value] = component
			}
		case *ics.VEvent:
			entries = append(entries, &entry{component: component, line: lines[min(len(entries), len(lines)-1)]})
		}
	}
	for _, e := range entries { // once all zones are known
		e.faults = f.read(e)
	}
	var c content
	var faults []error
	for _, e := range f.settle(entries) {
		if len(e.faults) == 0 && !e.cancelled {
			e.faults = e.enter(&c)
		}
		for _, err := range e.faults {
			faults = append(faults, fmt.Errorf("line %d: event %.60q: %w", e.line, e.name, err))
		}
	}
	return c, faults
}

// zoneOf returns the time zone that many programs write at the top, for times that
// say none; "" when there is none.
func zoneOf(doc *ics.Calendar) string {
	for _, p := range doc.CalendarProperties {
		if strings.EqualFold(p.IANAToken, "X-WR-TIMEZONE") {
			return strings.TrimSpace(p.Value)
		}
	}
	return ""
}

// survey returns the line on which each event begins, and refuses what is nested
// too deeply for a decoder that descends by recursion.
func survey(raw []byte) (events []int, err error) {
	depth, n := 0, 0
	for line := range bytes.Lines(raw) {
		n++
		name, value, _ := strings.Cut(string(bytes.TrimSpace(line[:min(len(line), 64)])), ":")
		switch strings.ToUpper(name) {
		case "BEGIN":
			if depth++; depth > maxICSDepth {
				return nil, fmt.Errorf("line %d: components are nested more than %d deep", n, maxICSDepth)
			}
			if strings.EqualFold(value, "VEVENT") {
				events = append(events, n)
			}
		case "END":
			depth--
		}
	}
	switch {
	case n == 0 || len(bytes.TrimSpace(raw)) == 0:
		return nil, errors.New("the file is empty")
	case depth > 0:
		return nil, fmt.Errorf("line %d: the file ends early: a BEGIN has no END", n)
	case len(events) > maxICSEvents:
		return nil, fmt.Errorf("%d events are more than %d", len(events), maxICSEvents)
	}
	return append(events, n), nil
}

// decodeICS makes the library's panics errors: files come from outside.
func decodeICS(raw []byte) (doc *ics.Calendar, err error) {
	defer func() {
		if p := recover(); p != nil {
			doc, err = nil, fmt.Errorf("it cannot be read (%v)", p)
		}
	}()
	return ics.ParseCalendar(bytes.NewReader(raw))
}

// entry is an event of an ICS file.
type entry struct {
	component *ics.VEvent
	line      int
	uid       string
	sequence  int
	cancelled bool
	replaces  time.Time // of RECURRENCE-ID; zero: it is an event of its own
	name      string
	settings
	start, end wall
	dates      bool // the two are dates
	startsAt   time.Time
	length     time.Duration
	rule       string
	except     []time.Time
	also       []time.Time
	faults     []error
}

// settle keeps the newest revision of each event, and takes out of the recurring
// ones what single occurrences replace or cancel.
func (f *icsFile) settle(entries []*entry) []*entry {
	type key struct {
		uid      string
		replaces int64
	}
	newest := map[key]*entry{}
	var kept []*entry
	for _, e := range entries {
		if e.uid == "" {
			kept = append(kept, e)
			continue
		}
		k := key{e.uid, e.replaces.Unix()}
		if other := newest[k]; other == nil {
			newest[k] = e
			kept = append(kept, e)
		} else if e.sequence > other.sequence {
			kept[slices.Index(kept, other)] = e
			newest[k] = e
		} else if e.sequence == other.sequence {
			e.faults = append(e.faults, fmt.Errorf("UID: line %d has an event of the same UID and SEQUENCE; remove one", other.line))
			kept = append(kept, e)
		}
	}
	for _, e := range kept {
		if e.replaces.IsZero() {
			continue
		}
		if master := newest[key{e.uid, time.Time{}.Unix()}]; master != nil {
			master.except = append(master.except, e.replaces)
		}
	}
	return kept
}

// enter puts the event into c, or returns its faults.
func (e *entry) enter(c *content) []error {
	if e.rule == "" && len(e.also) == 0 {
		if slices.ContainsFunc(e.except, e.startsAt.Equal) {
			return nil
		}
		end := e.startsAt.Add(e.length)
		if e.dates {
			end = instant(e.end, e.zone)
		}
		once := Event{Event: api.Event{Name: e.name, Start: e.startsAt, End: end, Flags: e.flags}, Lead: e.lead, Tail: e.tail}
		faults := once.check()
		if faults == nil {
			c.events = append(c.events, once)
		}
		return faults
	}
	if faults := checkPlan(e.name, e.flags, e.lead, e.tail); faults != nil {
		return faults
	}
	r := &recurring{name: e.name, flags: e.flags, lead: e.lead, tail: e.tail, zone: e.zone, zoneName: e.zoneName,
		start: e.start, length: e.length, rule: e.rule, except: e.except, also: e.also}
	if e.dates {
		r.days, r.length = int(e.end.Sub(e.start)/(24*time.Hour)), 0
	}
	// DTSTART is the first occurrence, whether the rule says so or not.
	//
	// Source: RFC 5545, 3.8.5.3.
	if err := r.compile(); err != nil {
		return []error{err}
	}
	ruled := false
	if r.rule != "" {
		next, _ := follow(r.option, r.start.Add(-time.Second), 1) // compile has followed it
		ruled = len(next) > 0 && next[0].Equal(r.start)
	}
	if !ruled && !slices.ContainsFunc(r.also, e.startsAt.Equal) {
		r.also = append(r.also, e.startsAt)
		slices.SortFunc(r.also, time.Time.Compare)
	}
	c.repeats = append(c.repeats, r)
	return nil
}

// first returns the first property of a name, nil when there is none.
func first(c ics.Component, name string) *ics.IANAProperty {
	for _, p := range c.UnknownPropertiesIANAProperties() {
		if strings.EqualFold(p.IANAToken, name) {
			return &p
		}
	}
	return nil
}

// value returns the text of the first property of a name, "" when there is none.
func value(c ics.Component, name string) string {
	if p := first(c, name); p != nil {
		return strings.TrimSpace(p.Value)
	}
	return ""
}

// flagsOf returns the flags of an event.
func flagsOf(c ics.Component, given map[string]float64) (map[string]float64, error) {
	if text := value(c, propFlags); text != "" {
		flags := map[string]float64{}
		for item := range strings.SplitSeq(text, ",") {
			name, number, valued := strings.Cut(strings.TrimSpace(item), "=")
			v := 1.0
			if valued {
				var err error
				if v, err = strconv.ParseFloat(number, 64); err != nil {
					return nil, fmt.Errorf("%s: %.40q is not like is_sale_active or is_rush=0.5", propFlags, item)
				}
			}
			if err := checkFlag(name, v); err != nil {
				return nil, fmt.Errorf("%s: %w", propFlags, err)
			}
			flags[name] = v
		}
		return flags, nil
	}
	flags := map[string]float64{}
	for _, p := range c.UnknownPropertiesIANAProperties() {
		if !strings.EqualFold(p.IANAToken, "CATEGORIES") {
			continue
		}
		for name := range strings.SplitSeq(p.Value, ",") {
			if name = strings.TrimSpace(name); checkFlag(name, 1) == nil {
				flags[name] = 1
			}
		}
	}
	switch {
	case len(flags) > 0:
		return flags, nil
	case given != nil:
		return maps.Clone(given), nil
	}
	return map[string]float64{defaultEventFlag: 1}, nil
}
