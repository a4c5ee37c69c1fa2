package calendar

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	ics "github.com/arran4/golang-ical"
)

// icsFile is what the events of a file share.
type icsFile struct {
	given settings
	zones map[string]*ics.VTimezone // by TZID
	made  map[string]icsZone        // by TZID, once they were looked up
}

// read fills in an event, and returns its faults.
func (f *icsFile) read(e *entry) (faults []error) {
	c := e.component
	note := func(field string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", field, err))
		}
	}
	e.uid, e.name = value(c, "UID"), cmp.Or(value(c, "SUMMARY"), "event")
	e.sequence, _ = strconv.Atoi(value(c, "SEQUENCE")) // absent is 0
	e.cancelled = strings.EqualFold(value(c, "STATUS"), "CANCELLED")
	e.lead, e.tail = f.given.lead, f.given.tail
	var err error
	if e.flags, err = flagsOf(c, f.given.flags); err != nil {
		faults = append(faults, err)
	}
	for _, length := range []struct {
		name string
		into *time.Duration
	}{{propLead, &e.lead}, {propTail, &e.tail}} {
		if text := value(c, length.name); text != "" {
			*length.into, err = icsLength(text)
			note(length.name, err)
		}
	}
	if p := first(c, "RECURRENCE-ID"); p != nil {
		if len(p.ICalParameters["RANGE"]) > 0 {
			note("RECURRENCE-ID", errors.New("RANGE is not supported; end the old series with UNTIL and begin a new one"))
		}
		t, err := f.moment(*p)
		note("RECURRENCE-ID", err)
		e.replaces = t.at
	}
	for _, name := range []string{"EXRULE"} {
		if first(c, name) != nil {
			note(name, errors.New("is not supported, as RFC 5545 withdrew it; list the dates with EXDATE"))
		}
	}
	for _, p := range c.UnknownPropertiesIANAProperties() {
		switch strings.ToUpper(p.IANAToken) {
		case "RRULE":
			if e.rule != "" {
				note("RRULE", errors.New("an event may have one; make two events of it"))
			}
			e.rule = strings.ToUpper(strings.TrimSpace(p.Value))
		case "EXDATE", "RDATE":
			into := &e.except
			if strings.EqualFold(p.IANAToken, "RDATE") {
				into = &e.also
			}
			times, err := f.list(p)
			note(p.IANAToken, err)
			*into = append(*into, times...)
		}
	}
	note("DTSTART", f.span(e))
	return faults
}

// span reads when an event begins and ends.
func (f *icsFile) span(e *entry) error {
	c := e.component
	p := first(c, "DTSTART")
	if p == nil {
		return errors.New("is missing")
	}
	start, err := f.moment(*p)
	if err != nil {
		return err
	}
	e.start, e.dates, e.startsAt, e.zone, e.zoneName = start.wall, start.date, start.at, start.zone.location, start.zone.name
	switch until, length := first(c, "DTEND"), value(c, "DURATION"); {
	case until != nil && length != "":
		return errors.New("the event has both DTEND and DURATION; remove one")
	case until != nil:
		end, err := f.moment(*until)
		if err != nil {
			return fmt.Errorf("DTEND: %w", err)
		}
		if end.date != start.date {
			return errors.New("of DTSTART and DTEND one is a date and the other a time; make both the same")
		}
		e.end, e.length = end.wall, end.at.Sub(start.at)
	case length != "":
		if e.length, err = icsLength(length); err != nil {
			return fmt.Errorf("DURATION: %w", err)
		}
		e.end = e.start.Add(e.length)
		if e.dates && e.length%(24*time.Hour) != 0 {
			return errors.New("DURATION: an event of whole days lasts for whole days")
		}
	case start.date: // a day; RFC 5545, 3.6.1
		e.end, e.length = e.start.AddDate(0, 0, 1), 24*time.Hour
	default:
		return errors.New("the event has no DTEND and no DURATION, and so no length; give it one")
	}
	if !e.end.After(e.start) || e.length <= 0 {
		return errors.New("the event does not end after it starts")
	}
	return nil
}

// moment is a time of an ICS file.
type moment struct {
	wall wall
	date bool
	at   time.Time
	zone icsZone
}

// moment reads a property with one time.
//
// Source: RFC 5545, 3.3.4, 3.3.5.
func (f *icsFile) moment(p ics.IANAProperty) (moment, error) {
	return f.parse(p, strings.TrimSpace(p.Value))
}

func (f *icsFile) parse(p ics.IANAProperty, text string) (m moment, err error) {
	utc := strings.HasSuffix(text, "Z")
	id := ""
	if ids := p.ICalParameters["TZID"]; len(ids) > 0 {
		id = ids[0]
	}
	switch {
	case utc:
		m.zone = icsZone{time.UTC, "UTC"}
	case id != "":
		m.zone, err = f.zone(id)
	case f.given.zone != nil:
		m.zone = icsZone{f.given.zone, f.given.zoneName}
	default:
		err = fmt.Errorf("%.40q says no time zone; name one beside the file: {\"file\": …, \"zone\": \"Europe/Berlin\"}", text)
	}
	if err != nil {
		return m, err
	}
	if m.wall, err = time.Parse("20060102T150405", strings.TrimSuffix(text, "Z")); err != nil {
		if m.wall, err = time.Parse("20060102", text); err != nil {
			return m, fmt.Errorf("%.40q is not a time such as 20260701T090000 or a date such as 20260701", text)
		}
		m.date = true
	}
	m.at = instant(m.wall, m.zone.location)
	return m, nil
}

// list reads EXDATE and RDATE.
func (f *icsFile) list(p ics.IANAProperty) ([]time.Time, error) {
	if kinds := p.ICalParameters["VALUE"]; len(kinds) > 0 && strings.EqualFold(kinds[0], "PERIOD") {
		return nil, errors.New("periods are not supported; list times")
	}
	var times []time.Time
	for text := range strings.SplitSeq(p.Value, ",") {
		m, err := f.parse(p, strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		times = append(times, m.at)
	}
	return times, nil
}

// icsLength reads a length of time, of RFC 5545, 3.3.6, or as in JSON.
func icsLength(text string) (time.Duration, error) {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(strings.ToUpper(text), "+"), "P")
	if !ok {
		return parseLength(text)
	}
	bad := fmt.Errorf("%.40q is no length of time such as PT90M or P1D", text)
	units := map[byte]time.Duration{'W': 7 * 24 * time.Hour, 'D': 24 * time.Hour}
	var sum time.Duration
	for rest != "" {
		if rest[0] == 'T' {
			units = map[byte]time.Duration{'H': time.Hour, 'M': time.Minute, 'S': time.Second}
			rest = rest[1:]
			continue
		}
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		n, err := strconv.Atoi(rest[:digits])
		if err != nil || digits == len(rest) || n > 1e7 {
			return 0, bad
		}
		unit, known := units[rest[digits]]
		if !known {
			return 0, bad
		}
		sum += time.Duration(n) * unit
		if sum > 10*maxLength {
			return 0, bad
		}
		rest = rest[digits+1:]
	}
	return sum, nil
}
