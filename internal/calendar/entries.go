package calendar

import (
	"fmt"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
)

// settings are what all entries may have.
type settings struct {
	flags      map[string]float64
	lead, tail time.Duration
	zone       *time.Location // nil: none was given
	zoneName   string
}

// setting reads one of the keys that all entries may have; known is false for
// another key, whose value has not been read.
func (p *parser) setting(s *settings, what, key string) (known bool, err error) {
	switch path := what + "." + key; key {
	case "flags":
		s.flags, err = p.flags(path)
	case "flag": // one that is 1
		at, name := p.offset(), ""
		if name, err = p.text(path); err == nil && name != "" {
			if fault := checkFlag(name, 1); fault != nil {
				p.report(at, "%s: %v", path, fault)
			}
			s.flags = map[string]float64{name: 1}
		}
	case "lead":
		s.lead, err = p.length(path)
	case "tail":
		s.tail, err = p.length(path)
	case "zone":
		at := p.offset()
		if s.zoneName, err = p.text(path); err == nil && s.zoneName != "" {
			var fault error
			if s.zone, fault = loadZone(s.zoneName); fault != nil {
				p.report(at, "%s.%v", what, fault)
			}
		}
	default:
		return false, nil
	}
	return true, err
}

// written is an event as it is written down.
type written struct {
	settings
	name, start, end, repeat string
	except, also             []string
}

// event reads an event into c.
func (p *parser) event(c *content, what string, at int) error {
	var w written
	before := len(p.faults)
	err := p.object(what, func(key string, at int) error {
		known, err := p.setting(&w.settings, what, key)
		if known || err != nil {
			return err
		}
		switch path := what + "." + key; key {
		case "name":
			w.name, err = p.text(path)
		case "start":
			w.start, err = p.clock(path)
		case "end":
			w.end, err = p.clock(path)
		case "repeat":
			w.repeat, err = p.text(path)
		case "except", "also":
			list := &w.except
			if key == "also" {
				list = &w.also
			}
			err = p.list(path, func(what string, _ int) error {
				text, err := p.clock(what)
				*list = append(*list, text)
				return err
			})
		default:
			p.report(at, "%s: unknown key %.40q; an event has name, start, end, flags, lead, tail, zone, repeat, except and also", what, key)
			err = p.skip()
		}
		return err
	})
	if err != nil || len(p.faults) > before { // what was not understood is not judged
		return err
	}
	for _, fault := range w.enter(c) {
		p.report(at, "%s.%v", what, fault)
	}
	return nil
}

// clock reads a time with its zone, or one on the wall, or a date. Which of them
// makes sense is judged with the rest of the event.
func (p *parser) clock(what string) (string, error) {
	at := p.offset()
	text, err := p.text(what)
	if err != nil || text == "" {
		return "", err
	}
	if _, fault := time.Parse(time.RFC3339, text); fault == nil {
		return text, nil
	}
	if _, _, fault := parseClock(text); fault == nil {
		return text, nil
	}
	p.report(at, "%s: %.40q is not a time; write RFC 3339 with a zone, for example 2026-07-01T00:00:00Z, or a local time with zone beside it", what, text)
	return "", nil
}

// enter puts the event into c, or returns its faults.
func (w written) enter(c *content) (faults []error) {
	faults = checkPlan(w.name, w.flags, w.lead, w.tail)
	var times [2]time.Time // start and end
	var walls [2]wall
	dates := 0
	for i, field := range []struct{ name, text string }{{"start", w.start}, {"end", w.end}} {
		if field.text == "" {
			faults = append(faults, fmt.Errorf("%s: an event needs a%s %s", field.name, strings.Repeat("n", i), field.name))
			continue
		}
		t, local, date, err := w.moment(field.text)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", field.name, err))
		}
		times[i], walls[i] = t, local
		if date {
			dates++
		}
	}
	if len(faults) > 0 {
		return faults
	}
	if w.repeat == "" && w.except == nil && w.also == nil {
		once := Event{Event: api.Event{Name: w.name, Start: times[0], End: times[1], Flags: w.flags}, Lead: w.lead, Tail: w.tail}
		if faults = once.check(); faults == nil {
			c.events = append(c.events, once)
		}
		return faults
	}
	r := &recurring{name: w.name, flags: w.flags, lead: w.lead, tail: w.tail, zone: w.zone, zoneName: w.zoneName,
		start: walls[0], length: times[1].Sub(times[0]), rule: w.repeat}
	if r.zone == nil {
		if !strings.HasSuffix(w.start, "Z") {
			return []error{fmt.Errorf("zone: what recurs needs one, such as Europe/Berlin, unless it starts in UTC (…Z)")}
		}
		r.zone, r.zoneName = time.UTC, "UTC"
	}
	if dates == 2 {
		r.days, r.length = int(walls[1].Sub(walls[0])/(24*time.Hour)), 0
	}
	if !times[1].After(times[0]) {
		return []error{fmt.Errorf("end: %s is not after the start %s", w.end, w.start)}
	}
	for _, list := range []struct {
		name string
		text []string
		into *[]time.Time
	}{{"except", w.except, &r.except}, {"also", w.also, &r.also}} {
		for i, text := range list.text {
			t, _, _, err := w.moment(text)
			if err != nil {
				faults = append(faults, fmt.Errorf("%s[%d]: %w", list.name, i, err))
			}
			*list.into = append(*list.into, t)
		}
	}
	if err := r.compile(); err != nil {
		faults = append(faults, err)
	}
	if faults == nil {
		c.repeats = append(c.repeats, r)
	}
	return faults
}

// moment reads a time; on the wall, which is that of the event's zone too.
func (w written) moment(text string) (t time.Time, local wall, date bool, err error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		if w.zone != nil {
			return t.UTC(), wallOf(t, w.zone), false, nil
		}
		return t.UTC(), t.UTC(), false, nil
	}
	local, date, err = parseClock(text)
	if err == nil && w.zone == nil {
		err = fmt.Errorf("%.40q is not a time with a zone; write RFC 3339, for example 2026-07-01T00:00:00Z, or name the zone beside it", text)
	}
	if err != nil {
		return t, local, date, err
	}
	return instant(local, w.zone), local, date, nil
}

// holidays reads a request for holidays into c.
func (p *parser) holidays(c *content, what string, at int) error {
	var h Holidays
	var s settings
	before := len(p.faults)
	err := p.object(what, func(key string, at int) error {
		known, err := p.setting(&s, what, key)
		if known || err != nil {
			return err
		}
		switch path := what + "." + key; key {
		case "country":
			h.Country, err = p.text(path)
		case "region":
			h.Region, err = p.text(path)
		default:
			p.report(at, "%s: unknown key %.40q; holidays have country, region, zone, flag or flags, lead and tail", what, key)
			err = p.skip()
		}
		return err
	})
	if err != nil || len(p.faults) > before {
		return err
	}
	h.Flags, h.Lead, h.Tail, h.Zone = s.flags, s.lead, s.tail, s.zoneName
	if h.Flags == nil {
		h.Flags = map[string]float64{defaultHolidayFlag: 1}
	}
	for _, fault := range h.compile() {
		p.report(at, "%s.%v", what, fault)
	}
	c.holidays = append(c.holidays, &h)
	return nil
}

// The flags of what names none.
const (
	defaultHolidayFlag = "is_holiday"
	defaultEventFlag   = "is_event_active"
)

// include reads an entry of files: a name, or an object with one.
func (p *parser) include(what string, at int) (f include, err error) {
	f.place = p.place(at) + what
	if at < len(p.raw) && p.raw[at] != '{' {
		f.path, err = p.text(what)
		return f, err
	}
	before := len(p.faults)
	err = p.object(what, func(key string, at int) error {
		known, err := p.setting(&f.settings, what, key)
		if known || err != nil {
			return err
		}
		if key == "file" {
			f.path, err = p.text(what + ".file")
			return err
		}
		p.report(at, "%s: unknown key %.40q; a file has file, zone, flag or flags, lead and tail", what, key)
		return p.skip()
	})
	if f.path == "" && len(p.faults) == before {
		p.report(at, "%s.file: is missing", what)
	}
	if f.flags != nil || f.lead != 0 || f.tail != 0 {
		flags := f.flags
		if flags == nil {
			flags = map[string]float64{defaultEventFlag: 1}
		}
		for _, fault := range checkPlan(what, flags, f.lead, f.tail) {
			p.report(at, "%s.%v", what, fault)
		}
	}
	return f, err
}
