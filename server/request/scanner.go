package request

import (
	"bytes"
	"fmt"
	"math"
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
	path []byte // of the value being read
}

func (s *scanner) fail(format string, args ...any) {
	s.failAt(s.pos, format, args...)
}

func (s *scanner) failAt(offset int, format string, args ...any) {
	panic(&Error{Field: strings.ToValidUTF8(string(s.path), "\uFFFD"), Offset: offset, Detail: fmt.Sprintf(format, args...)})
}

// field runs read with .name appended to the path.
func (s *scanner) field(name string, read func()) {
	n := len(s.path)
	if n > 0 {
		s.path = append(s.path, '.')
	}
	s.path = append(s.path, clip(name)...)
	read()
	s.path = s.path[:n]
}

// element runs read with [i] appended to the path.
func (s *scanner) element(i int, read func()) {
	n := len(s.path)
	s.path = append(s.path, '[')
	s.path = strconv.AppendInt(s.path, int64(i), 10)
	s.path = append(s.path, ']')
	read()
	s.path = s.path[:n]
}

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

// object reads an object and calls member for each of its names, with the
// position at the value, which member must read.
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
		member(name)
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

// array reads an array and calls item for each element, with the position at the
// element, which item must read. It returns their number.
func (s *scanner) array(item func(i int)) int {
	if s.next() != '[' {
		s.fail("must be an array, not %s", s.describe())
	}
	s.pos++
	if s.next() == ']' {
		s.pos++
		return 0
	}
	for i := 0; ; i++ {
		item(i)
		switch s.next() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return i + 1
		default:
			s.fail("a comma or ] must follow, not %s", s.describe())
		}
	}
}

// null reads null and returns true, or returns false and reads nothing.
func (s *scanner) null() bool {
	if s.next() == 'n' && bytes.HasPrefix(s.body[s.pos:], []byte("null")) {
		s.pos += len("null")
		return true
	}
	return false
}

// number reads a finite number.
func (s *scanner) number() float64 {
	start, literal := s.numberLiteral()
	v, err := strconv.ParseFloat(string(literal), 64)
	if err != nil || math.IsInf(v, 0) {
		s.failAt(start, "%s is out of range", clip(string(literal)))
	}
	return v
}

// integer reads a number without fraction or exponent that fits an int.
func (s *scanner) integer() int {
	start, literal := s.numberLiteral()
	v, err := strconv.Atoi(string(literal))
	if err != nil {
		s.failAt(start, "%s is not an integer in range", clip(string(literal)))
	}
	return v
}

// numberLiteral reads a number as RFC 8259 spells it, which is stricter than
// strconv: no leading zeros or plus sign, no hexadecimal, no Inf or NaN.
func (s *scanner) numberLiteral() (start int, literal []byte) {
	if c := s.next(); c != '-' && (c < '0' || c > '9') {
		s.fail("must be a number, not %s", s.describe())
	}
	start = s.pos
	if s.body[s.pos] == '-' {
		s.pos++
	}
	if s.pos < len(s.body) && s.body[s.pos] == '0' {
		s.pos++
	} else {
		s.digits(start)
	}
	if s.pos < len(s.body) && s.body[s.pos] == '.' {
		s.pos++
		s.digits(start)
	}
	if s.pos < len(s.body) && (s.body[s.pos] == 'e' || s.body[s.pos] == 'E') {
		s.pos++
		if s.pos < len(s.body) && (s.body[s.pos] == '+' || s.body[s.pos] == '-') {
			s.pos++
		}
		s.digits(start)
	}
	return start, s.body[start:s.pos]
}

func (s *scanner) digits(start int) {
	n := s.pos
	for s.pos < len(s.body) && '0' <= s.body[s.pos] && s.body[s.pos] <= '9' {
		s.pos++
	}
	if s.pos == n {
		s.failAt(start, "malformed number")
	}
}

// string reads a string.
func (s *scanner) string() string {
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
			return string(text)
		}
		if c == '\\' || c < ' ' {
			break
		}
	}
	return s.escapedString(start)
}

// escapedString reads the rest of a string that holds escapes.
func (s *scanner) escapedString(start int) string {
	var out []byte
	for s.pos < len(s.body) {
		c := s.body[s.pos]
		s.pos++
		switch {
		case c == '"':
			if !utf8.Valid(out) {
				s.failAt(start, "invalid UTF-8 in a string")
			}
			return string(out)
		case c < ' ':
			s.failAt(s.pos-1, "control character in a string")
		case c == '\\':
			out = utf8.AppendRune(out, s.escape())
		default:
			out = append(out, c)
		}
	}
	s.failAt(start, "a string does not end")
	return ""
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
