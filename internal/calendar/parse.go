package calendar

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Parse reads a calendar in JSON that names no other files. The error lists all
// faults, each with its line and column, the path of the value, what is wrong with
// it and what is allowed.
func Parse(raw []byte) (*Calendar, error) {
	content, includes, faults := parseJSON(raw)
	if len(includes) > 0 {
		faults = append(faults, errors.New("files: only a calendar that is itself a file may name others"))
	}
	if len(faults) > 0 {
		return nil, join("", faults)
	}
	return build(content)
}

// include is an entry of files: another file, and what its events get that do not
// say so themselves.
type include struct {
	path  string
	place string // in the file that names it
	settings
}

// parseJSON reads what it can, and returns all faults.
func parseJSON(raw []byte) (content, []include, []error) {
	p := &parser{raw: raw, dec: json.NewDecoder(bytes.NewReader(raw))}
	p.dec.UseNumber()
	c := content{always: map[string]float64{}}
	var includes []include
	err := p.object("the calendar", func(key string, at int) (err error) {
		switch key {
		case "events":
			return p.list(key, func(what string, at int) error { return p.event(&c, what, at) })
		case "holidays":
			return p.list(key, func(what string, at int) error { return p.holidays(&c, what, at) })
		case "files":
			return p.list(key, func(what string, at int) error {
				f, err := p.include(what, at)
				includes = append(includes, f)
				return err
			})
		}
		if err := checkFlag(key, 0); err != nil {
			p.report(at, "%v; the other keys are events, holidays and files", err)
			return p.skip()
		}
		c.always[key], err = p.number(key)
		return err
	})
	if err == nil {
		at := p.offset()
		if _, end := p.dec.Token(); !errors.Is(end, io.EOF) {
			p.report(at, "there is something after the end of the calendar")
		}
	} else {
		p.faults = append(p.faults, err)
	}
	return c, includes, p.faults
}

// parser walks the tokens of a calendar. encoding/json by itself can refuse
// unknown keys, but neither say where they stand nor notice repeated ones. Its
// methods return an error where the text is no JSON, so that nothing after it can
// be understood; everything else is reported, and reading goes on.
type parser struct {
	raw    []byte
	dec    *json.Decoder
	faults []error
}

// offset returns where the next token starts, in bytes.
func (p *parser) offset() int {
	i := int(p.dec.InputOffset())
	for i < len(p.raw) && strings.IndexByte(" \t\r\n,:", p.raw[i]) >= 0 {
		i++
	}
	return i
}

// place returns an offset as line and column.
func (p *parser) place(at int) string {
	before := p.raw[:min(at, len(p.raw))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - (bytes.LastIndexByte(before, '\n') + 1) + 1
	return fmt.Sprintf("line %d, column %d: ", line, column)
}

// fault returns an error at an offset.
func (p *parser) fault(at int, format string, args ...any) error {
	return errors.New(p.place(at) + fmt.Sprintf(format, args...))
}

func (p *parser) report(at int, format string, args ...any) {
	p.faults = append(p.faults, p.fault(at, format, args...))
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

// skip passes over a value.
func (p *parser) skip() error {
	token, _, err := p.token()
	if err != nil {
		return err
	}
	return p.rest(token)
}

// rest passes over what follows the first token of a value.
func (p *parser) rest(first json.Token) error {
	depth := 0
	for token := first; ; {
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
		var err error
		if token, _, err = p.token(); err != nil {
			return err
		}
	}
}

// object reads an object, handing each key and its offset to field, which reads
// the value.
func (p *parser) object(what string, field func(key string, at int) error) error {
	token, at, err := p.token()
	if err != nil {
		return err
	}
	if token != json.Delim('{') {
		p.report(at, "%s must be an object in braces", what)
		return p.rest(token)
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
			p.report(at, "%s has the key %.40q twice", what, key)
		}
		seen[key] = true
		if err := field(key, at); err != nil {
			return err
		}
	}
}

// list reads a list, handing the path and the offset of each value to item.
func (p *parser) list(what string, item func(what string, at int) error) error {
	token, at, err := p.token()
	if err != nil {
		return err
	}
	if token != json.Delim('[') {
		p.report(at, "%s must be a list in brackets", what)
		return p.rest(token)
	}
	for i := 0; p.dec.More(); i++ {
		if err := item(fmt.Sprintf("%s[%d]", what, i), p.offset()); err != nil {
			return err
		}
	}
	_, _, err = p.token() // the closing bracket
	return err
}

// flags reads {"is_holiday": 1} or ["is_holiday"].
func (p *parser) flags(what string) (map[string]float64, error) {
	flags := make(map[string]float64)
	at := p.offset()
	if at < len(p.raw) && p.raw[at] == '{' {
		return flags, p.object(what, func(key string, at int) error {
			if err := checkFlag(key, 0); err != nil {
				p.report(at, "%s: %v", what, err)
				return p.skip()
			}
			value, err := p.number(what + "." + key)
			flags[key] = value
			return err
		})
	}
	if at < len(p.raw) && p.raw[at] == '[' {
		return flags, p.list(what, func(_ string, at int) error {
			name, err := p.text(what)
			if err != nil || name == "" {
				return err
			}
			if err := checkFlag(name, 1); err != nil {
				p.report(at, "%s: %v", what, err)
				return nil
			}
			flags[name] = 1
			return nil
		})
	}
	p.report(at, "%s must be an object of names and values, or a list of names", what)
	return nil, p.skip()
}

// text reads a text that is not empty; "" is what was no such thing, and has been
// reported.
func (p *parser) text(what string) (string, error) {
	token, at, err := p.token()
	if err != nil {
		return "", err
	}
	text, ok := token.(string)
	switch {
	case !ok:
		p.report(at, "%s must be a text in quotes", what)
		return "", p.rest(token)
	case text == "":
		p.report(at, "%s is empty", what)
	}
	return text, nil
}

// length reads a length of time.
func (p *parser) length(what string) (time.Duration, error) {
	at := p.offset()
	text, err := p.text(what)
	if err != nil || text == "" {
		return 0, err
	}
	d, err := parseLength(text)
	if err != nil {
		p.report(at, "%s: %v", what, err)
	}
	return d, nil
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
			p.report(at, "%s: %.40s is not a finite number", what, v)
			return 0, nil
		}
		return value, nil
	}
	p.report(at, "%s must be a number, usually 1", what)
	return 0, p.rest(token)
}
