package calendar

import (
	"bytes"
	"container/heap"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/window"
)

// Calendar is a set of events and of flags that hold always. It does not change,
// and it is safe for concurrent use. A nil Calendar has no flags.
type Calendar struct {
	always map[string]float64
	events []api.Event // by start, then end, then name
	flags  map[string]timeline
	hash   string
}

var _ window.Flags = (*Calendar)(nil)

// maxFileSize bounds a calendar file, in bytes.
const maxFileSize = 4 << 20

// Load reads the calendar in the file at path. The error names the file and what
// Parse finds; whoever holds an earlier version keeps using it.
func Load(path string) (*Calendar, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("calendar: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("calendar %s: %w", path, err)
	}
	if len(raw) > maxFileSize {
		return nil, fmt.Errorf("calendar %s: larger than %d bytes", path, maxFileSize)
	}
	c, err := Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("calendar %s: %w", path, err)
	}
	return c, nil
}

// New returns a calendar of the given events and of flags that hold always. The
// error names the first event or flag that makes no sense.
func New(events []api.Event, always map[string]float64) (*Calendar, error) {
	for _, name := range slices.Sorted(maps.Keys(always)) {
		if err := checkFlag(name, always[name]); err != nil {
			return nil, err
		}
	}
	c := &Calendar{always: maps.Clone(always), events: make([]api.Event, len(events))}
	for i, e := range events {
		if err := checkEvent(e); err != nil {
			return nil, fmt.Errorf("events[%d]: %w", i, err)
		}
		e.Start, e.End, e.Flags = e.Start.UTC(), e.End.UTC(), maps.Clone(e.Flags)
		c.events[i] = e
	}
	slices.SortStableFunc(c.events, func(a, b api.Event) int {
		return firstNonZero(a.Start.Compare(b.Start), a.End.Compare(b.End), strings.Compare(a.Name, b.Name))
	})
	c.flags = timelines(c.events)
	for name := range c.always {
		if _, planned := c.flags[name]; !planned {
			c.flags[name] = timeline{} // known, and without events
		}
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	c.hash = hex.EncodeToString(sum[:])
	return c, nil
}

func firstNonZero(values ...int) int {
	for _, v := range values {
		if v != 0 {
			return v
		}
	}
	return 0
}

func checkEvent(e api.Event) error {
	switch {
	case e.Name == "":
		return errors.New("name: an event needs a name")
	case len(e.Name) > api.MaxNameLen:
		return fmt.Errorf("name: %.40q… is longer than %d bytes", e.Name, api.MaxNameLen)
	case e.Start.IsZero():
		return errors.New("start: an event needs a start")
	case e.End.IsZero():
		return errors.New("end: an event needs an end")
	case !e.End.After(e.Start):
		return fmt.Errorf("end: %s is not after the start %s", stamp(e.End), stamp(e.Start))
	case len(e.Flags) == 0:
		return errors.New("flags: an event needs at least one flag")
	}
	for _, name := range slices.Sorted(maps.Keys(e.Flags)) {
		if err := checkFlag(name, e.Flags[name]); err != nil {
			return fmt.Errorf("flags: %w", err)
		}
	}
	return nil
}

func checkFlag(name string, value float64) error {
	switch {
	case !strings.HasPrefix(name, window.FlagPrefix) || len(name) == len(window.FlagPrefix):
		return fmt.Errorf("unknown key %.40q; names of flags begin with %s", name, window.FlagPrefix)
	case len(name) > api.MaxNameLen:
		return fmt.Errorf("the name %.40q… is longer than %d bytes", name, api.MaxNameLen)
	case math.IsNaN(value) || math.IsInf(value, 0):
		return fmt.Errorf("%s: %v is not finite", name, value)
	}
	return nil
}

// Flag returns the value of the named flag at t: the greatest of those that hold,
// 0 when none does.
func (c *Calendar) Flag(name string, t time.Time) float64 {
	if c == nil {
		return 0
	}
	value, holds := c.flags[name].at(t)
	if always, ok := c.always[name]; ok && (!holds || always > value) {
		return always
	}
	return value
}

// Flags returns the names of all flags that the calendar ever sets, sorted.
func (c *Calendar) Flags() []string {
	if c == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(c.flags))
}

// Always returns the flags that hold always, with their values.
func (c *Calendar) Always() map[string]float64 {
	if c == nil {
		return nil
	}
	return maps.Clone(c.always)
}

// Events returns the events that take place, in part at least, in [from, to), by
// start. Flags that hold always are no events.
func (c *Calendar) Events(from, to time.Time) []api.Event {
	if c == nil {
		return nil
	}
	var events []api.Event
	for _, e := range c.events {
		if e.Start.Before(to) && e.End.After(from) {
			e.Flags = maps.Clone(e.Flags)
			events = append(events, e)
		}
	}
	return events
}

// Hash returns a digest of the content, in lower-case hex: equal for two files
// that say the same, whatever their layout. It is empty for a nil Calendar.
func (c *Calendar) Hash() string {
	if c == nil {
		return ""
	}
	return c.hash
}

// MarshalJSON writes the calendar as Parse reads it, in one fixed form.
func (c *Calendar) MarshalJSON() ([]byte, error) {
	content := make(map[string]any, len(c.always)+1)
	for name, value := range c.always {
		content[name] = value
	}
	if len(c.events) > 0 {
		content["events"] = c.events
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(content)
	return b.Bytes(), err
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// timeline is a flag over time, as a step function: values[i] holds from times[i]
// to times[i+1], NaN where no event does.
type timeline struct {
	times  []time.Time
	values []float64
}

// at returns the value at t and whether any event holds then.
func (l timeline) at(t time.Time) (value float64, holds bool) {
	i := sort.Search(len(l.times), func(i int) bool { return l.times[i].After(t) }) - 1
	if i < 0 || math.IsNaN(l.values[i]) {
		return 0, false
	}
	return l.values[i], true
}

// timelines returns the step function of each flag. A sweep over the boundaries
// with a heap of what holds takes n log n for n events, so that Flag, which is
// called for every slot of every window, is a binary search.
func timelines(events []api.Event) map[string]timeline {
	spans := make(map[string][]span)
	for _, e := range events { // by start
		for name, value := range e.Flags {
			spans[name] = append(spans[name], span{e.Start, e.End, value})
		}
	}
	lines := make(map[string]timeline, len(spans))
	for name, list := range spans {
		lines[name] = sweep(list)
	}
	return lines
}

type span struct {
	start, end time.Time
	value      float64
}

func sweep(list []span) timeline {
	bounds := make([]time.Time, 0, 2*len(list))
	for _, s := range list {
		bounds = append(bounds, s.start, s.end)
	}
	slices.SortFunc(bounds, time.Time.Compare)
	var line timeline
	var holding spanHeap
	last := math.NaN()
	for _, t := range bounds {
		for len(list) > 0 && !list[0].start.After(t) {
			heap.Push(&holding, list[0])
			list = list[1:]
		}
		for len(holding) > 0 && !holding[0].end.After(t) {
			heap.Pop(&holding)
		}
		value := math.NaN()
		if len(holding) > 0 {
			value = holding[0].value
		}
		if value == last || math.IsNaN(value) && math.IsNaN(last) {
			continue
		}
		line.times, line.values = append(line.times, t), append(line.values, value)
		last = value
	}
	return line
}

// spanHeap has the greatest value at its root.
type spanHeap []span

func (h spanHeap) Len() int           { return len(h) }
func (h spanHeap) Less(i, j int) bool { return h[i].value > h[j].value }
func (h spanHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *spanHeap) Push(x any)        { *h = append(*h, x.(span)) }
func (h *spanHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
