package calendar

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// A wall is a time on a clock on a wall: a time.Time in UTC whose fields are the
// clock's. Only a zone makes an instant of it.
type wall = time.Time

// instant returns the moment at which the clocks of zone show w. A time that is
// shown twice, when clocks go back, is the first of the two; one that is skipped,
// when they go forward, is counted with the offset before the change, as if they
// had not gone.
//
// Source: RFC 5545, 3.3.5, "DATE-TIME", form 3. time.Date leaves the choice open.
func instant(w wall, zone *time.Location) time.Time {
	offset := func(at time.Time) time.Duration {
		_, seconds := at.In(zone).Zone()
		return time.Duration(seconds) * time.Second
	}
	before, after := offset(w.Add(-24*time.Hour)), offset(w.Add(24*time.Hour))
	first, second := w.Add(-before), w.Add(-after)
	if offset(first) != before && offset(second) == after {
		return second.UTC()
	}
	return first.UTC()
}

// wallOf returns what the clocks of zone show at t.
func wallOf(t time.Time, zone *time.Location) wall {
	_, offset := t.In(zone).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// loadZone returns the time zone of an IANA name.
func loadZone(name string) (*time.Location, error) {
	if name == "" || name == "Local" { // which would be this machine's
		return nil, fmt.Errorf("zone: %q names no time zone; write one like Europe/Berlin", name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("zone: %.60q is no time zone that this machine knows; write one like Europe/Berlin", name)
	}
	return zone, nil
}

// parseClock reads a date, or a time on a wall; date says which.
func parseClock(text string) (w wall, date bool, err error) {
	if w, err = time.Parse(time.DateOnly, text); err == nil {
		return w, true, nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if w, err = time.Parse(layout, text); err == nil {
			return w, false, nil
		}
	}
	return w, false, errors.New("not a local time")
}

// parseLength reads a length of time as Go writes it, or in whole days (2d).
func parseLength(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		if _, err := fmt.Sscanf(days+";", "%d;", &n); err == nil && n >= 0 && n <= int(maxLength/(24*time.Hour)) {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	} else if d, err := time.ParseDuration(text); err == nil {
		return d, nil
	}
	return 0, fmt.Errorf("%.40q is no length of time such as 90m, 24h or 2d", text)
}
