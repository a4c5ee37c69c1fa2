package calendar

import (
	"bytes"
	"container/heap"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/window"
)

// Calendar is a set of events and of flags that hold always. What it says does not
// change, and it is safe for concurrent use. A nil Calendar has no flags.
type Calendar struct {
	always   map[string]float64
	events   []Event // that take place once, by start, then end, then name
	repeats  []*recurring
	holidays []*Holidays

	names map[string]bool     // of all flags
	flags map[string]timeline // of events
	hash  string
	years sync.Map // int → func() map[string]timeline: what repeats and holidays set in a year
}

var _ window.Flags = (*Calendar)(nil)

// New returns a calendar of the given events and of flags that hold always. The
// error names the first event or flag that makes no sense.
func New(events []api.Event, always map[string]float64) (*Calendar, error) {
	for _, name := range slices.Sorted(maps.Keys(always)) {
		if err := checkFlag(name, always[name]); err != nil {
			return nil, err
		}
	}
	content := content{always: always}
	for i, e := range events {
		once := Event{Event: e}
		if faults := once.check(); len(faults) > 0 {
			return nil, fmt.Errorf("events[%d]: %w", i, faults[0])
		}
		content.events = append(content.events, once)
	}
	return build(content)
}

// content is what a calendar is made of. All of it has been checked.
type content struct {
	always   map[string]float64
	events   []Event
	repeats  []*recurring
	holidays []*Holidays
}

// add joins another calendar's content. Of two values of a flag that holds always
// the greater wins, as everywhere.
func (c *content) add(o content) {
	if c.always == nil {
		c.always = map[string]float64{}
	}
	for name, value := range o.always {
		if known, twice := c.always[name]; !twice || value > known {
			c.always[name] = value
		}
	}
	c.events = append(c.events, o.events...)
	c.repeats = append(c.repeats, o.repeats...)
	c.holidays = append(c.holidays, o.holidays...)
}

func build(from content) (*Calendar, error) {
	yearly := 0
	for _, r := range from.repeats {
		if yearly += r.yearly(); yearly > maxYearly {
			return nil, fmt.Errorf("events recur more than %d times a year in all", maxYearly)
		}
	}
	c := &Calendar{always: maps.Clone(from.always), events: make([]Event, len(from.events)),
		repeats: from.repeats, holidays: from.holidays, names: map[string]bool{}}
	for i, e := range from.events {
		e.Start, e.End, e.Flags = e.Start.UTC(), e.End.UTC(), maps.Clone(e.Flags)
		c.events[i] = e
		addNames(c.names, e.Flags, e.Lead, e.Tail)
	}
	slices.SortStableFunc(c.events, compareEvents)
	slices.SortStableFunc(c.repeats, compareRepeats)
	for name := range c.always {
		c.names[name] = true
	}
	for _, r := range c.repeats {
		addNames(c.names, r.flags, r.lead, r.tail)
	}
	for _, h := range c.holidays {
		addNames(c.names, h.Flags, h.Lead, h.Tail)
	}
	c.flags = timelines(c.events)
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	c.hash = hex.EncodeToString(sum[:])
	return c, nil
}

// Flag returns the value of the named flag at t: the greatest of those that hold,
// 0 when none does.
func (c *Calendar) Flag(name string, t time.Time) float64 {
	if c == nil {
		return 0
	}
	value, holds := c.flags[name].at(t)
	if always, ok := c.always[name]; ok && (!holds || always > value) {
		value, holds = always, true
	}
	if again, ok := c.year(t)[name].at(t); ok && (!holds || again > value) {
		value = again
	}
	return value
}

// year returns the flags that recurring events and holidays set in the year of t.
// It is worked out when it is first asked for: a rule may have no end.
func (c *Calendar) year(t time.Time) map[string]timeline {
	year := t.UTC().Year()
	if len(c.repeats)+len(c.holidays) == 0 || year < firstYear || year > lastYear {
		return nil
	}
	lines, ok := c.years.Load(year)
	if !ok {
		lines, _ = c.years.LoadOrStore(year, sync.OnceValue(func() map[string]timeline {
			from := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
			return timelines(c.again(from, from.AddDate(1, 0, 0)))
		}))
	}
	return lines.(func() map[string]timeline)()
}

// again returns the occurrences of recurring events and the holidays that set a
// flag in [from, to), by start.
func (c *Calendar) again(from, to time.Time) []Event {
	var events []Event
	for _, r := range c.repeats {
		events = append(events, r.between(from, to)...)
	}
	for _, h := range c.holidays {
		events = append(events, h.between(from, to)...)
	}
	slices.SortStableFunc(events, compareEvents)
	return events
}

// Flags returns the names of all flags that the calendar ever sets, sorted.
func (c *Calendar) Flags() []string {
	if c == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(c.names))
}

// Always returns the flags that hold always, with their values.
func (c *Calendar) Always() map[string]float64 {
	if c == nil {
		return nil
	}
	return maps.Clone(c.always)
}

// Occurrences returns the events, each occurrence of those that recur, and the
// holidays that set a flag in [from, to), their leads and tails included, by
// start. Flags that hold always are no events. Nothing recurs before 1970 and
// after 2200.
func (c *Calendar) Occurrences(from, to time.Time) []Event {
	if c == nil {
		return nil
	}
	var events []Event
	for _, e := range c.events {
		if begins, ends := e.felt(); begins.Before(to) && ends.After(from) {
			events = append(events, e)
		}
	}
	events = append(events, c.again(later(from, firstYear), earlier(to, lastYear+1))...)
	for i := range events {
		events[i].Flags = maps.Clone(events[i].Flags)
	}
	slices.SortStableFunc(events, compareEvents)
	return events
}

// later and earlier keep a time within the years in which something recurs.
func later(t time.Time, year int) time.Time {
	if first := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC); t.Before(first) {
		return first
	}
	return t
}

func earlier(t time.Time, year int) time.Time {
	if end := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC); t.After(end) {
		return end
	}
	return t
}

// Events returns those of Occurrences that take place, in part at least, in
// [from, to): their leads and tails do not count.
func (c *Calendar) Events(from, to time.Time) []api.Event {
	var events []api.Event
	for _, e := range c.Occurrences(from, to) {
		if e.Start.Before(to) && e.End.After(from) {
			events = append(events, e.Event)
		}
	}
	return events
}

// Hash returns a digest of the definition, in lower-case hex: of the JSON that
// MarshalJSON writes, in which all files are one. So it is equal for calendars that
// say the same in another layout or in other files, and it changes with any event,
// past ones too. The days of holidays are not in it, only which ones are asked
// for. It is empty for a nil Calendar.
func (c *Calendar) Hash() string {
	if c == nil {
		return ""
	}
	return c.hash
}

// MarshalJSON writes the calendar as Parse reads it, in one fixed form. Only the
// zone of an event whose ICS file defines a zone of its own does not read back.
func (c *Calendar) MarshalJSON() ([]byte, error) {
	content := make(map[string]any, len(c.always)+2)
	for name, value := range c.always {
		content[name] = value
	}
	var events []eventJSON
	for _, e := range c.events {
		events = append(events, eventJSON{Name: e.Name, Start: stamp(e.Start), End: stamp(e.End), Flags: e.Flags,
			Lead: lengthText(e.Lead), Tail: lengthText(e.Tail)})
	}
	for _, r := range c.repeats {
		events = append(events, r.json())
	}
	if len(events) > 0 {
		content["events"] = events
	}
	var holidays []holidaysJSON
	for _, h := range c.holidays {
		holidays = append(holidays, holidaysJSON{Country: h.Country, Region: h.Region, Zone: h.Zone, Flags: h.Flags,
			Lead: lengthText(h.Lead), Tail: lengthText(h.Tail)})
	}
	slices.SortStableFunc(holidays, func(a, b holidaysJSON) int { return compareJSON(a, b) })
	if len(holidays) > 0 {
		content["holidays"] = holidays
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
func timelines(events []Event) map[string]timeline {
	spans := make(map[string][]span)
	for _, e := range events {
		e.spans(spans)
	}
	lines := make(map[string]timeline, len(spans))
	for name, list := range spans { // leads and tails are not in order
		slices.SortFunc(list, func(a, b span) int { return a.start.Compare(b.start) })
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
