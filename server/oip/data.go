package oip

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/forescale/forescale/server/tensor"
)

// fromJSON reads the data of an input: n elements in one array, or in arrays nested
// as the shape says. raw is valid JSON. The error is an *Error whose field is the
// place within the data.
func fromJSON(raw []byte, t tensor.Type, shape []int64, n int) (tensor.Tensor, error) {
	if len(raw)/2 < n { // an element and what divides it from the next
		return tensor.Tensor{}, fault("", "has fewer than the %d elements of the shape %s", n, tensor.ShapeString(shape))
	}
	switch t {
	case tensor.Float32:
		return elements(raw, shape, n, func(b []byte) (float32, bool) {
			v, err := strconv.ParseFloat(string(b), 32)
			return float32(v), err == nil && isNumber(b)
		}, t)
	case tensor.Float64:
		return elements(raw, shape, n, func(b []byte) (float64, bool) {
			v, err := strconv.ParseFloat(string(b), 64)
			return v, err == nil && isNumber(b)
		}, t)
	case tensor.Int8:
		return elements(raw, shape, n, signed[int8](8), t)
	case tensor.Int16:
		return elements(raw, shape, n, signed[int16](16), t)
	case tensor.Int32:
		return elements(raw, shape, n, signed[int32](32), t)
	case tensor.Int64:
		return elements(raw, shape, n, signed[int64](64), t)
	case tensor.Uint8:
		return elements(raw, shape, n, unsigned[uint8](8), t)
	case tensor.Uint16:
		return elements(raw, shape, n, unsigned[uint16](16), t)
	case tensor.Uint32:
		return elements(raw, shape, n, unsigned[uint32](32), t)
	case tensor.Uint64:
		return elements(raw, shape, n, unsigned[uint64](64), t)
	case tensor.Bool:
		return elements(raw, shape, n, func(b []byte) (bool, bool) {
			return string(b) == "true", string(b) == "true" || string(b) == "false"
		}, t)
	case tensor.String:
		return elements(raw, shape, n, func(b []byte) (string, bool) {
			var text string
			ok := b[0] == '"' && json.Unmarshal(b, &text) == nil && checkText(0, text) == nil
			return text, ok
		}, t)
	}
	return tensor.Tensor{}, fault("", "%s has no form in JSON; send it as binary data", Datatype(t))
}

// isNumber tells a number from what else the parsers of Go would take for one.
func isNumber(b []byte) bool { return b[0] == '-' || '0' <= b[0] && b[0] <= '9' }

// whole returns the integer that a JSON number with a fraction or an exponent is,
// as 3.0 and 1e3 are, if it is one that a float64 holds exactly.
func whole(b []byte) (float64, bool) {
	v, err := strconv.ParseFloat(string(b), 64)
	return v, err == nil && isNumber(b) && v == math.Trunc(v) && math.Abs(v) <= 1<<53
}

func signed[T int8 | int16 | int32 | int64](bits int) func([]byte) (T, bool) {
	return func(b []byte) (T, bool) {
		v, err := strconv.ParseInt(string(b), 10, bits)
		if err == nil {
			return T(v), isNumber(b)
		}
		f, ok := whole(b)
		return T(f), ok && float64(T(f)) == f
	}
}

func unsigned[T uint8 | uint16 | uint32 | uint64](bits int) func([]byte) (T, bool) {
	return func(b []byte) (T, bool) {
		v, err := strconv.ParseUint(string(b), 10, bits)
		if err == nil {
			return T(v), isNumber(b)
		}
		f, ok := whole(b)
		return T(f), ok && f >= 0 && float64(T(f)) == f
	}
}

// elements reads n elements. element returns false for what is none of its type.
func elements[T any](raw []byte, shape []int64, n int, element func([]byte) (T, bool), t tensor.Type) (tensor.Tensor, error) {
	data := make([]T, 0, n)
	w := walker{raw: raw, shape: []int64{int64(n)}}
	if len(shape) > 0 && w.nested() {
		w.shape = shape
	}
	err := w.array(0, func(token []byte) bool {
		v, ok := element(token)
		data = append(data, v)
		return ok
	}, t)
	return tensor.Tensor{Shape: shape, Data: data}, err
}

// walker goes through arrays of a known shape in valid JSON.
type walker struct {
	raw   []byte
	pos   int
	shape []int64
	at    []int // the place of the array that is being read
}

// nested reports whether the data is an array of arrays.
func (w walker) nested() bool {
	if w.next() != '[' {
		return false
	}
	w.pos++
	return w.next() == '['
}

// next skips white space and returns the byte that follows. There is one.
func (w *walker) next() byte {
	for strings.IndexByte(" \t\r\n", w.raw[w.pos]) >= 0 {
		w.pos++
	}
	return w.raw[w.pos]
}

func (w *walker) fail(format string, args ...any) error {
	var b strings.Builder
	for _, i := range w.at {
		b.WriteString("[" + strconv.Itoa(i) + "]")
	}
	return fault(b.String(), format, args...)
}

// array reads the array at the position, whose elements lie along an axis.
func (w *walker) array(axis int, element func([]byte) bool, t tensor.Type) error {
	if w.next() != '[' {
		return w.fail("is not an array of %d", w.shape[axis])
	}
	w.pos++
	want := int(w.shape[axis])
	last := axis == len(w.shape)-1
	for i := 0; ; i++ {
		switch c := w.next(); {
		case c == ']':
			w.pos++
			if i != want {
				return w.fail("has %d elements, the shape says %d", i, want)
			}
			return nil
		case i == want:
			return w.fail("has more than the %d elements that the shape says", want)
		}
		w.at = append(w.at, i)
		if !last {
			if err := w.array(axis+1, element, t); err != nil {
				return err
			}
		} else if token := w.token(); !element(token) {
			return w.fail("is %.40s, not a value of %s", token, Datatype(t))
		}
		w.at = w.at[:len(w.at)-1]
		if w.next() == ',' {
			w.pos++
		}
	}
}

// token returns the value at the position, if it is a scalar, and of an array or
// object the first byte.
func (w *walker) token() []byte {
	start := w.pos
	switch w.raw[w.pos] {
	case '[', '{':
		return w.raw[start : start+1]
	case '"':
		for w.pos++; w.raw[w.pos] != '"'; w.pos++ {
			if w.raw[w.pos] == '\\' {
				w.pos++
			}
		}
		w.pos++
	default:
		for w.pos < len(w.raw) && strings.IndexByte(" \t\r\n,]}", w.raw[w.pos]) < 0 {
			w.pos++
		}
	}
	return w.raw[start:w.pos]
}
