package request

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Error says what is wrong with a body, and where.
type Error struct {
	Field  string // path of the field, for example windows[2].series.demand[3]; empty: the body itself
	Offset int    // in bytes from the start of the body
	Detail string
}

// Error implements error.
func (e *Error) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("%s (byte %d)", e.Detail, e.Offset)
	}
	return fmt.Sprintf("%s: %s (byte %d)", e.Field, e.Detail, e.Offset)
}

// scanner reads JSON from left to right. Its methods panic with *Error, which
// Parse recovers: a fault deep inside ends the whole.
type scanner struct {
	body []byte
	pos  int
	path []step // of the value being read
	text []byte // of the latest string that held escapes
	names
}

// step is one part of a path: a name, or an index where that is empty.
type step struct {
	name  string
	index int
}

func (s *scanner) fail(format string, args ...any) {
	s.failAt(s.pos, format, args...)
}

func (s *scanner) failAt(offset int, format string, args ...any) {
	var path []byte
	for i, at := range s.path {
		switch {
		case at.name == "" && at.index >= 0:
			path = append(strconv.AppendInt(append(path, '['), int64(at.index), 10), ']')
			continue
		case i > 0:
			path = append(path, '.')
		}
		path = append(path, clip(at.name)...)
	}
	panic(&Error{Field: strings.ToValidUTF8(string(path), "\uFFFD"), Offset: offset, Detail: fmt.Sprintf(format, args...)})
}

// enter appends .name to the path, enterAt [i]; leave takes the last part away.
func (s *scanner) enter(name string) { s.path = append(s.path, step{name, -1}) }
func (s *scanner) enterAt(i int)     { s.path = append(s.path, step{"", i}) }
func (s *scanner) leave()            { s.path = s.path[:len(s.path)-1] }

// clip shortens a name that comes from outside, for messages.
func clip(name string) string {
	const limit = 64
	if len(name) > limit {
		return name[:limit] + "…"
	}
	return name
}

// next skips white space and returns the byte that follows, 0 at the end.
func (s *scanner) next() byte {
	for s.pos < len(s.body) {
		switch c := s.body[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// describe names what stands at the position, for messages.
func (s *scanner) describe() string {
	if s.pos >= len(s.body) {
		return "the end of the body"
	}
	switch c := s.body[s.pos]; {
	case c == '{':
		return "an object"
	case c == '[':
		return "an array"
	case c == '"':
		return "a string"
	case c == '-' || '0' <= c && c <= '9':
		return "a number"
	}
	end := s.pos
	for end < len(s.body) && end-s.pos < 12 && isLetter(s.body[end]) {
		end++
	}
	switch word := string(s.body[s.pos:end]); word {
	case "":
		r, _ := utf8.DecodeRune(s.body[s.pos:])
		return strconv.QuoteRune(r)
	case "true", "false":
		return "a boolean"
	default:
		return word // null, NaN, Infinity, …
	}
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// object reads an object and calls member for each of its names, with the position at
// the value, which member must read, and the name at the end of the path.
func (s *scanner) object(member func(name string)) {
	if s.next() != '{' {
		s.fail("must be an object, not %s", s.describe())
	}
	s.pos++
	if s.next() == '}' {
		s.pos++
		return
	}
	for {
		if s.next() != '"' {
			s.fail("a field name must follow, not %s", s.describe())
		}
		name := s.string()
		if s.next() != ':' {
			s.fail("a colon must follow the field name %q, not %s", clip(name), s.describe())
		}
		s.pos++
		s.enter(name)
		member(name)
		s.leave()
		switch s.next() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			return
		default:
			s.fail("a comma or } must follow, not %s", s.describe())
		}
	}
}

// open reads the beginning of an array, and reports whether there is an element, at
// which the position then is. more reads what follows an element, likewise.
func (s *scanner) open() bool {
	if s.next() != '[' {
		s.fail("must be an array, not %s", s.describe())
	}
	s.pos++
	if s.next() != ']' {
		return true
	}
	s.pos++
	return false
}

func (s *scanner) more() bool {
	switch s.next() {
	case ',':
		s.pos++
		return true
	case ']':
		s.pos++
		return false
	}
	s.fail("a comma or ] must follow, not %s", s.describe())
	return false
}

// null reads null and returns true, or returns false and reads nothing.
func (s *scanner) null() bool {
	if s.next() == 'n' && bytes.HasPrefix(s.body[s.pos:], []byte("null")) {
		s.pos += len("null")
		return true
	}
	return false
}

// string reads a string.
func (s *scanner) string() string { return s.intern(s.bytes()) }

// bytes reads a string. It is valid until the next one is read.
func (s *scanner) bytes() []byte {
	if s.next() != '"' {
		s.fail("must be a string, not %s", s.describe())
	}
	start := s.pos
	s.pos++
	for i := s.pos; i < len(s.body); i++ { // the common case: nothing to unescape
		c := s.body[i]
		if c == '"' {
			text := s.body[s.pos:i]
			if !utf8.Valid(text) {
				s.failAt(start, "invalid UTF-8 in a string")
			}
			s.pos = i + 1
			return text
		}
		if c == '\\' || c < ' ' {
			break
		}
	}
	return s.escaped(start)
}

// escaped reads the rest of a string that holds escapes.
func (s *scanner) escaped(start int) []byte {
	out := s.text[:0]
	for s.pos < len(s.body) {
		c := s.body[s.pos]
		s.pos++
		switch {
		case c == '"':
			if !utf8.Valid(out) {
				s.failAt(start, "invalid UTF-8 in a string")
			}
			s.text = out
			return out
		case c < ' ':
			s.failAt(s.pos-1, "control character in a string")
		case c == '\\':
			out = utf8.AppendRune(out, s.escape())
		default:
			out = append(out, c)
		}
	}
	s.failAt(start, "a string does not end")
	return nil
}

// escape reads what follows a backslash.
func (s *scanner) escape() rune {
	if s.pos >= len(s.body) {
		s.fail("a string does not end")
	}
	c := s.body[s.pos]
	s.pos++
	switch c {
	case '"', '\\', '/':
		return rune(c)
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'u':
		r := s.hex4()
		if !utf16.IsSurrogate(r) {
			return r
		}
		if bytes.HasPrefix(s.body[s.pos:], []byte(`\u`)) {
			s.pos += 2
			if full := utf16.DecodeRune(r, s.hex4()); full != utf8.RuneError {
				return full
			}
		}
		s.fail("half a surrogate pair in a string")
	}
	s.failAt(s.pos-1, "unknown escape in a string")
	return 0
}

func (s *scanner) hex4() rune {
	if s.pos+4 > len(s.body) {
		s.fail("a string does not end")
	}
	v, err := strconv.ParseUint(string(s.body[s.pos:s.pos+4]), 16, 32)
	if err != nil {
		s.fail(`\u must be followed by four hexadecimal digits`)
	}
	s.pos += 4
	return rune(v)
}

// names remembers the names that requests hold: of groups, models, series and flags,
// which are the same in one request after the other.
type names struct{ known map[string]string }

const (
	maxKnown    = 4096 // names that are remembered
	maxKnownLen = 255  // the length of one, in bytes
)

// intern returns b as a string.
func (n *names) intern(b []byte) string {
	if name, ok := n.known[string(b)]; ok {
		return name
	}
	name := string(b)
	if len(b) > maxKnownLen {
		return name
	}
	if n.known == nil || len(n.known) >= maxKnown {
		n.known = map[string]string{}
	}
	n.known[name] = name
	return name
}
