package request

import (
	"math"
	"strconv"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/server/tensor"
)

// MaxWindows bounds the windows of one request.
const MaxWindows = 100_000

// Request is a decoded body. Exactly one of Windows and Instances is set.
type Request struct {
	Model     string
	Windows   []api.Window
	Instances *Instances
}

// Instances is a nested array of numbers, whose first axis is the batch.
type Instances struct {
	Shape  []int64
	Values []float64 // in row-major order
}

// Parse decodes a body. The error is an *Error.
func Parse(body []byte) (req Request, err error) {
	s := &scanner{body: body}
	defer func() {
		if r := recover(); r != nil {
			fault, ok := r.(*Error)
			if !ok {
				panic(r)
			}
			req, err = Request{}, fault
		}
	}()
	req = s.request()
	if s.next() != 0 || s.pos < len(s.body) {
		s.path = nil
		s.fail("nothing may follow the request, but there is %s", s.describe())
	}
	return req, nil
}

// fields reads an object with a fixed set of fields, none twice. read returns
// false for a name that is not among them.
func (s *scanner) fields(read func(name string) bool) {
	seen := make([]string, 0, 8)
	s.object(func(name string) {
		s.field(name, func() {
			s.once(&seen, name)
			if !read(name) {
				s.fail("unknown field")
			}
		})
	})
}

// once fails when name is among seen, and adds it.
func (s *scanner) once(seen *[]string, name string) {
	for _, old := range *seen {
		if old == name {
			s.fail("the field is there twice")
		}
	}
	*seen = append(*seen, name)
	if len(*seen) > maxFields {
		s.fail("more than %d fields", maxFields)
	}
}

// maxFields bounds the fields of one of the request's own objects; they have fewer.
const maxFields = 16

func (s *scanner) request() Request {
	var req Request
	var windows bool
	s.fields(func(name string) bool {
		switch name {
		case "model":
			req.Model = s.name()
		case "windows":
			windows = true
			req.Windows = s.windows()
		case "instances":
			req.Instances = s.instances()
		default:
			return false
		}
		return true
	})
	switch {
	case windows && req.Instances != nil:
		s.failAt(0, "a request has either windows or instances, not both")
	case !windows && req.Instances == nil:
		s.failAt(0, "a request has either windows or instances, and there is neither")
	}
	return req
}

// name reads a name of a group, model or series: a string that is neither empty
// nor longer than the names that can be stored.
func (s *scanner) name() string {
	s.next()
	start := s.pos
	name := s.string()
	s.checkName(start, name)
	return name
}

func (s *scanner) checkName(start int, name string) {
	if name == "" {
		s.failAt(start, "is empty")
	}
	if len(name) > api.MaxNameLen {
		s.failAt(start, "is longer than %d bytes", api.MaxNameLen)
	}
}

func (s *scanner) windows() []api.Window {
	s.next()
	start := s.pos
	var windows []api.Window
	s.array(func(i int) {
		s.element(i, func() {
			if i >= MaxWindows {
				s.fail("more than %d windows", MaxWindows)
			}
			windows = append(windows, s.window())
		})
	})
	if len(windows) == 0 {
		s.failAt(start, "must hold at least one window")
	}
	return windows
}

func (s *scanner) window() api.Window {
	start := s.pos
	var w api.Window
	s.fields(func(name string) bool {
		switch name {
		case "group":
			w.Group = s.name()
		case "end":
			w.End = s.time()
		case "step_seconds":
			s.next()
			at := s.pos
			if w.StepSeconds = s.integer(); w.StepSeconds <= 0 {
				s.failAt(at, "is %d, must be positive", w.StepSeconds)
			}
		case "series":
			w.Series = s.seriesByName()
		case "lags":
			w.Lags = s.lags()
		case "future":
			w.Future = s.seriesByName()
		default:
			return false
		}
		return true
	})
	missing := func(name string, absent bool) {
		if absent {
			s.field(name, func() { s.failAt(start, "is missing") })
		}
	}
	missing("group", w.Group == "")
	missing("end", w.End.IsZero())
	missing("step_seconds", w.StepSeconds == 0)
	missing("series", w.Series == nil)
	return w
}

// time reads an instant as RFC 3339 spells it.
func (s *scanner) time() time.Time {
	s.next()
	start := s.pos
	text := s.string()
	// time.Parse takes what RFC 3339 does not, such as a comma before the
	// fraction; the type's own method is strict.
	var t time.Time
	if err := t.UnmarshalText([]byte(text)); err != nil || t.IsZero() {
		s.failAt(start, "%q is not a time such as 2006-01-02T15:04:05Z", clip(text))
	}
	return t.UTC()
}

// seriesByName reads {name: [number or null …]}.
func (s *scanner) seriesByName() map[string]api.Series {
	out := map[string]api.Series{}
	s.object(func(name string) {
		s.field(name, func() {
			s.checkName(s.pos, name)
			if _, twice := out[name]; twice {
				s.fail("the field is there twice")
			}
			out[name] = s.series()
		})
	})
	return out
}

// lags reads {name: {offset in steps: [number or null …]}}.
func (s *scanner) lags() map[string]map[int]api.Series {
	out := map[string]map[int]api.Series{}
	s.object(func(name string) {
		s.field(name, func() {
			s.checkName(s.pos, name)
			if _, twice := out[name]; twice {
				s.fail("the field is there twice")
			}
			out[name] = s.lag()
		})
	})
	return out
}

func (s *scanner) lag() map[int]api.Series {
	byOffset := map[int]api.Series{}
	s.object(func(text string) {
		s.field(text, func() {
			offset, err := strconv.Atoi(text)
			if err != nil || offset <= 0 || strconv.Itoa(offset) != text {
				s.fail("%q is not an offset in steps, a positive integer", clip(text))
			}
			if _, twice := byOffset[offset]; twice {
				s.fail("the field is there twice")
			}
			byOffset[offset] = s.series()
		})
	})
	return byOffset
}

// series reads numbers, with null for a missing value, which becomes NaN.
func (s *scanner) series() api.Series {
	out := api.Series{}
	s.array(func(i int) {
		s.element(i, func() {
			if s.null() {
				out = append(out, math.NaN())
			} else {
				out = append(out, s.number())
			}
		})
	})
	return out
}

// instances reads arrays nested to any depth up to tensor.MaxRank, all of the
// same length at the same depth, with numbers in the innermost.
func (s *scanner) instances() *Instances {
	in := &Instances{}
	s.next()
	start := s.pos
	s.nested(in, 0)
	if len(in.Shape) == 0 || len(in.Values) == 0 {
		s.failAt(start, "must hold at least one number")
	}
	return in
}

// nested reads one array at the given depth. The first array at a depth, which
// is read before any other there, settles the length of that axis.
func (s *scanner) nested(in *Instances, depth int) {
	s.next()
	start := s.pos
	if depth >= tensor.MaxRank && s.next() == '[' {
		s.fail("is nested deeper than %d arrays", tensor.MaxRank)
	}
	first := len(in.Shape) == depth
	if first {
		in.Shape = append(in.Shape, -1)
	}
	n := s.array(func(i int) {
		s.element(i, func() {
			deeper := s.next() == '['
			leaf := len(in.Values) > 0 && depth == len(in.Shape)-1
			switch {
			case deeper && leaf:
				s.fail("must be a number, as elsewhere at this depth, not an array")
			case deeper:
				s.nested(in, depth+1)
			case depth < len(in.Shape)-1:
				s.fail("must be an array, as elsewhere at this depth, not %s", s.describe())
			default:
				in.Values = append(in.Values, s.number())
			}
		})
	})
	if first {
		in.Shape[depth] = int64(n)
	} else if in.Shape[depth] >= 0 && in.Shape[depth] != int64(n) {
		s.failAt(start, "has %d values where others at this depth have %d", n, in.Shape[depth])
	}
}
