package request

import (
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/server/tensor"
)

// MaxWindows bounds the windows of one request.
const MaxWindows = 100_000

// Request is a decoded body. Exactly one of Windows and Instances is set.
//
// A Request that is parsed again reuses its memory, so that reading one request after
// the other allocates nothing; whatever was read before is not valid any more then.
type Request struct {
	Model     string
	Windows   []api.Window
	Instances *Instances

	scan      scanner
	instances Instances
	windows   []api.Window
	rooms     []room                // of windows, by index
	offsets   []map[int]api.Series  // lags by offset, of all windows
	used      int                   // of offsets
	numbers   []float64             // of all series and instances
	seen      []string              // fields of the objects that are being read
	shape     [tensor.MaxRank]int64 // of instances
}

// room holds the maps of a window from one request to the next.
type room struct {
	series, future map[string]api.Series
	lags           map[string]map[int]api.Series
}

// Instances is a nested array of numbers, whose first axis is the batch.
type Instances struct {
	Shape  []int64
	Values []float64 // in row-major order
}

// Parse decodes a body. The error is an *Error.
func Parse(body []byte) (*Request, error) {
	r := &Request{}
	return r, r.Parse(body)
}

// Parse decodes a body into r. The error is an *Error; r holds nothing then.
func (r *Request) Parse(body []byte) (err error) {
	r.Model, r.Windows, r.Instances = "", nil, nil
	r.numbers, r.used, r.seen = r.numbers[:0], 0, r.seen[:0]
	r.scan.body, r.scan.pos, r.scan.path = body, 0, r.scan.path[:0]
	defer func() {
		r.scan.body = nil // it is the caller's
		if p := recover(); p != nil {
			fault, ok := p.(*Error)
			if !ok {
				panic(p)
			}
			r.Model, r.Windows, r.Instances = "", nil, nil
			err = fault
		}
	}()
	s := &r.scan
	r.request()
	if s.next() != 0 || s.pos < len(s.body) {
		s.path = nil
		s.fail("nothing may follow the request, but there is %s", s.describe())
	}
	return nil
}

// Size returns about how many bytes r holds for the next request.
func (r *Request) Size() int {
	const window = 1 << 10 // with its maps
	return 8*cap(r.numbers) + window*cap(r.windows) + cap(r.scan.text)
}

// fields reads an object with a fixed set of fields, none twice. read returns
// false for a name that is not among them.
func (r *Request) fields(read func(name string) bool) {
	s, outer := &r.scan, len(r.seen)
	s.object(func(name string) {
		if slices.Contains(r.seen[outer:], name) {
			s.fail("the field is there twice")
		}
		if r.seen = append(r.seen, name); len(r.seen) > outer+maxFields {
			s.fail("more than %d fields", maxFields)
		}
		if !read(name) {
			s.fail("unknown field")
		}
	})
	r.seen = r.seen[:outer]
}

// maxFields bounds the fields of one of the request's own objects; they have fewer.
const maxFields = 16

func (r *Request) request() {
	windows := false
	r.fields(func(name string) bool {
		switch name {
		case "model":
			r.Model = r.scan.name()
		case "windows":
			windows = true
			r.readWindows()
		case "instances":
			r.readInstances()
		default:
			return false
		}
		return true
	})
	switch {
	case windows && r.Instances != nil:
		r.scan.failAt(0, "a request has either windows or instances, not both")
	case !windows && r.Instances == nil:
		r.scan.failAt(0, "a request has either windows or instances, and there is neither")
	}
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

func (r *Request) readWindows() {
	s := &r.scan
	s.next()
	start := s.pos
	if !s.open() {
		s.failAt(start, "must hold at least one window")
	}
	for i, more := 0, true; more; i, more = i+1, s.more() {
		s.enterAt(i)
		if i >= MaxWindows {
			s.fail("more than %d windows", MaxWindows)
		}
		if i == len(r.windows) {
			r.windows, r.rooms = append(r.windows, api.Window{}), append(r.rooms, room{})
		}
		r.windows[i] = api.Window{}
		r.readWindow(&r.windows[i], &r.rooms[i])
		r.Windows = r.windows[:i+1]
		s.leave()
	}
}

func (r *Request) readWindow(w *api.Window, in *room) {
	s := &r.scan
	start := s.pos
	r.fields(func(name string) bool {
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
			in.series = r.readSeries(in.series)
			w.Series = in.series
		case "lags":
			in.lags = r.readLags(in.lags)
			w.Lags = in.lags
		case "future":
			in.future = r.readSeries(in.future)
			w.Future = in.future
		default:
			return false
		}
		return true
	})
	for _, field := range []struct {
		name   string
		absent bool
	}{{"group", w.Group == ""}, {"end", w.End.IsZero()}, {"step_seconds", w.StepSeconds == 0}, {"series", w.Series == nil}} {
		if field.absent {
			s.enter(field.name)
			s.failAt(start, "is missing")
		}
	}
}

// time reads an instant as RFC 3339 spells it.
func (s *scanner) time() time.Time {
	s.next()
	start := s.pos
	text := s.bytes()
	// time.Parse takes what RFC 3339 does not, such as a comma before the
	// fraction; the type's own method is strict.
	var t time.Time
	if err := t.UnmarshalText(text); err != nil || t.IsZero() {
		s.failAt(start, "%q is not a time such as 2006-01-02T15:04:05Z", clip(string(text)))
	}
	return t.UTC()
}

// readSeries reads {name: [number or null …]} into a map that it empties before; nil
// makes a new one.
func (r *Request) readSeries(into map[string]api.Series) map[string]api.Series {
	if into == nil {
		into = map[string]api.Series{}
	}
	clear(into)
	s := &r.scan
	s.object(func(name string) {
		s.checkName(s.pos, name)
		if _, twice := into[name]; twice {
			s.fail("the field is there twice")
		}
		into[name] = r.series()
	})
	return into
}

// readLags reads {name: {offset in steps: [number or null …]}}, as readSeries does.
func (r *Request) readLags(into map[string]map[int]api.Series) map[string]map[int]api.Series {
	if into == nil {
		into = map[string]map[int]api.Series{}
	}
	clear(into)
	s := &r.scan
	s.object(func(name string) {
		s.checkName(s.pos, name)
		if _, twice := into[name]; twice {
			s.fail("the field is there twice")
		}
		into[name] = r.readLag()
	})
	return into
}

func (r *Request) readLag() map[int]api.Series {
	if r.used == len(r.offsets) {
		r.offsets = append(r.offsets, map[int]api.Series{})
	}
	byOffset := r.offsets[r.used]
	r.used++
	clear(byOffset)
	s := &r.scan
	s.object(func(text string) {
		offset, err := strconv.Atoi(text)
		if err != nil || offset <= 0 || text[0] == '0' || text[0] == '+' {
			s.fail("%q is not an offset in steps, a positive integer", clip(text))
		}
		if _, twice := byOffset[offset]; twice {
			s.fail("the field is there twice")
		}
		byOffset[offset] = r.series()
	})
	return byOffset
}

// series reads numbers, with null for a missing value, which becomes NaN.
func (r *Request) series() api.Series {
	s, first := &r.scan, len(r.numbers)
	for i, more := 0, s.open(); more; i, more = i+1, s.more() {
		s.enterAt(i)
		if s.null() {
			r.numbers = append(r.numbers, math.NaN())
		} else {
			r.numbers = append(r.numbers, s.number())
		}
		s.leave()
	}
	return r.numbers[first:len(r.numbers):len(r.numbers)]
}

// readInstances reads arrays nested to any depth up to tensor.MaxRank, all of the
// same length at the same depth, with numbers in the innermost.
func (r *Request) readInstances() {
	s := &r.scan
	r.instances = Instances{Shape: r.shape[:0]}
	s.next()
	start, first := s.pos, len(r.numbers)
	r.nested(first, 0)
	r.instances.Values = r.numbers[first:len(r.numbers):len(r.numbers)]
	if len(r.instances.Shape) == 0 || len(r.instances.Values) == 0 {
		s.failAt(start, "must hold at least one number")
	}
	r.Instances = &r.instances
}

// nested reads one array at the given depth; the numbers of all begin with first. The
// first array at a depth, which is read before any other there, settles the length of
// that axis.
func (r *Request) nested(first, depth int) {
	s, in := &r.scan, &r.instances
	s.next()
	start := s.pos
	if depth >= tensor.MaxRank && s.next() == '[' {
		s.fail("is nested deeper than %d arrays", tensor.MaxRank)
	}
	settles := len(in.Shape) == depth
	if settles {
		in.Shape = append(in.Shape, -1)
	}
	n := 0
	for more := s.open(); more; n, more = n+1, s.more() {
		s.enterAt(n)
		deeper := s.next() == '['
		leaf := len(r.numbers) > first && depth == len(in.Shape)-1
		switch {
		case deeper && leaf:
			s.fail("must be a number, as elsewhere at this depth, not an array")
		case deeper:
			r.nested(first, depth+1)
		case depth < len(in.Shape)-1:
			s.fail("must be an array, as elsewhere at this depth, not %s", s.describe())
		default:
			r.numbers = append(r.numbers, s.number())
		}
		s.leave()
	}
	if settles {
		in.Shape[depth] = int64(n)
	} else if in.Shape[depth] >= 0 && in.Shape[depth] != int64(n) {
		s.failAt(start, "has %d values where others at this depth have %d", n, in.Shape[depth])
	}
}
