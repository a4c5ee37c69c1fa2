package calendar

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
)

// Parse reads a calendar. The error gives the line and column, the path of the
// value, what is wrong with it and what is allowed.
func Parse(raw []byte) (*Calendar, error) {
	p := &parser{raw: raw, dec: json.NewDecoder(bytes.NewReader(raw))}
	p.dec.UseNumber()
	always := make(map[string]float64)
	var events []api.Event
	err := p.object("the calendar", func(key string, at int) error {
		if key == "events" {
			var err error
			events, err = p.events()
			return err
		}
		if err := checkFlag(key, 0); err != nil {
			return p.fault(at, "%v; the other key is events", err)
		}
		value, err := p.number(key)
		always[key] = value
		return err
	})
	if err != nil {
		return nil, err
	}
	at := p.offset()
	if _, err := p.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, p.fault(at, "there is something after the end of the calendar")
	}
	return New(events, always)
}

// parser walks the tokens of a calendar. encoding/json by itself can refuse
// unknown keys, but neither say where they stand nor notice repeated ones.
type parser struct {
	raw []byte
	dec *json.Decoder
}

// offset returns where the next token starts, in bytes.
func (p *parser) offset() int {
	i := int(p.dec.InputOffset())
	for i < len(p.raw) && strings.IndexByte(" \t\r\n,:", p.raw[i]) >= 0 {
		i++
	}
	return i
}

// fault returns an error at an offset, as line and column.
func (p *parser) fault(at int, format string, args ...any) error {
	before := p.raw[:min(at, len(p.raw))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - (bytes.LastIndexByte(before, '\n') + 1) + 1
	return fmt.Errorf("line %d, column %d: %s", line, column, fmt.Sprintf(format, args...))
}

// token returns the next token and where it starts.
func (p *parser) token() (json.Token, int, error) {
	at := p.offset()
	token, err := p.dec.Token()
	if err == nil {
		return token, at, nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, at, p.fault(len(p.raw), "the calendar ends early")
	}
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		at = max(at, int(syntax.Offset)-1)
	}
	return nil, at, p.fault(at, "not JSON: %v", err)
}

// object reads an object, handing each key and its offset to field, which reads
// the value.
func (p *parser) object(what string, field func(key string, at int) error) error {
	token, at, err := p.token()
	if err != nil {
		return err
	}
	if token != json.Delim('{') {
		return p.fault(at, "%s must be an object in braces", what)
	}
	seen := make(map[string]bool)
	for {
		token, at, err := p.token()
		if err != nil {
			return err
		}
		if token == json.Delim('}') {
			return nil
		}
		key := token.(string) // the decoder allows nothing else here
		if seen[key] {
			return p.fault(at, "%s has the key %.40q twice", what, key)
		}
		seen[key] = true
		if err := field(key, at); err != nil {
			return err
		}
	}
}

func (p *parser) events() ([]api.Event, error) {
	token, at, err := p.token()
	if err != nil {
		return nil, err
	}
	if token != json.Delim('[') {
		return nil, p.fault(at, "events must be a list in brackets")
	}
	var events []api.Event
	for p.dec.More() {
		at := p.offset()
		what := fmt.Sprintf("events[%d]", len(events))
		e, err := p.event(what)
		if err != nil {
			return nil, err
		}
		if err := checkEvent(e); err != nil {
			return nil, p.fault(at, "%s.%v", what, err)
		}
		events = append(events, e)
	}
	_, _, err = p.token() // the closing bracket
	return events, err
}

func (p *parser) event(what string) (e api.Event, err error) {
	err = p.object(what, func(key string, at int) (err error) {
		switch path := what + "." + key; key {
		case "name":
			e.Name, err = p.text(path)
		case "start":
			e.Start, err = p.time(path)
		case "end":
			e.End, err = p.time(path)
		case "flags":
			e.Flags, err = p.flags(path)
		default:
			err = p.fault(at, "%s: unknown key %.40q; an event has name, start, end and flags", what, key)
		}
		return err
	})
	return e, err
}

// flags reads {"is_holiday": 1} or ["is_holiday"].
func (p *parser) flags(what string) (map[string]float64, error) {
	flags := make(map[string]float64)
	if at := p.offset(); at < len(p.raw) && p.raw[at] == '{' {
		return flags, p.object(what, func(key string, at int) error {
			if err := checkFlag(key, 0); err != nil {
				return p.fault(at, "%s: %v", what, err)
			}
			value, err := p.number(what + "." + key)
			flags[key] = value
			return err
		})
	}
	token, at, err := p.token()
	if err != nil {
		return nil, err
	}
	if token != json.Delim('[') {
		return nil, p.fault(at, "%s must be an object of names and values, or a list of names", what)
	}
	for p.dec.More() {
		at := p.offset()
		name, err := p.text(what)
		if err != nil {
			return nil, err
		}
		if err := checkFlag(name, 1); err != nil {
			return nil, p.fault(at, "%s: %v", what, err)
		}
		flags[name] = 1
	}
	_, _, err = p.token()
	return flags, err
}

func (p *parser) text(what string) (string, error) {
	token, at, err := p.token()
	if err != nil {
		return "", err
	}
	text, ok := token.(string)
	if !ok {
		return "", p.fault(at, "%s must be a text in quotes", what)
	}
	return text, nil
}

func (p *parser) time(what string) (time.Time, error) {
	at := p.offset()
	text, err := p.text(what)
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, p.fault(at, "%s: %.40q is not a time; write RFC 3339 with a zone, for example 2026-07-01T00:00:00Z", what, text)
	}
	return t.UTC(), nil
}

func (p *parser) number(what string) (float64, error) {
	token, at, err := p.token()
	if err != nil {
		return 0, err
	}
	switch v := token.(type) {
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	case json.Number:
		value, err := v.Float64()
		if err != nil {
			return 0, p.fault(at, "%s: %.40s is not a finite number", what, v)
		}
		return value, nil
	}
	return 0, p.fault(at, "%s must be a number, usually 1", what)
}
