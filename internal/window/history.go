package window

import (
	"math"
	"time"

	"github.com/forescale/forescale/api"
)

// History keeps the grids of many groups from slot to slot, so that the weeks that
// a model looks back need not be laid out again for every new slot. Given every
// sample that it is to know, Grid returns what FromSamples and AddDemand make of
// those samples, save for columns and groups that hold no value at all.
//
// It is not safe for concurrent use.
type History struct {
	step  time.Duration
	slots int
	keep  func(series string) bool // nil: every series
	end   time.Time                // of the newest slot
	known map[string]*kept
}

// kept is the grid of one group. All columns have History.slots values.
type kept struct {
	grid   Grid
	lo, hi int // where demand is still to be derived, if it is not measured
}

// NewHistory returns an empty history of so many slots that end at end. Series
// for which keep is false are passed over; nil keeps all.
func NewHistory(step time.Duration, slots int, end time.Time, keep func(series string) bool) *History {
	if step <= 0 || slots <= 0 {
		panic("window: a history needs a step and slots")
	}
	return &History{step: step, slots: slots, keep: keep, end: end.UTC(), known: map[string]*kept{}}
}

// Slots returns how many slots the history has.
func (h *History) Slots() int { return h.slots }

// Start returns the start of the oldest slot.
func (h *History) Start() time.Time { return h.end.Add(-time.Duration(h.slots) * h.step) }

// Advance makes the history end at end, which must not be earlier than before and
// lie on the grid. The oldest slots go, the new ones are missing.
func (h *History) Advance(end time.Time) {
	n := int(end.Sub(h.end) / h.step)
	if n <= 0 {
		return
	}
	h.end = end.UTC()
	for name, k := range h.known {
		if n >= h.slots {
			delete(h.known, name)
			continue
		}
		k.grid.Start = h.Start()
		for series, column := range k.grid.Columns {
			k.grid.Columns[series] = append(column[n:], missing(n)...)
		}
		if k.grid.Censored != nil {
			k.grid.Censored = append(k.grid.Censored[n:], make([]bool, n)...)
		}
		k.lo, k.hi = max(0, k.lo-n), max(0, k.hi-n)
	}
}

// Put makes samples all that is known of the group in [from, to). They are sorted
// as FromSamples wants them; those of other times and groups must not be among
// them. from and to lie on the grid, or are cut to the slots that they touch:
// then samples must hold all that is known of these.
func (h *History) Put(group string, from, to time.Time, samples []api.Sample) {
	first := max(0, int(floor(from.Sub(h.Start()), h.step)))
	last := min(h.slots, -int(floor(h.Start().Sub(to), h.step))) // rounded up
	if first >= last {
		return
	}
	at := h.Start().Add(time.Duration(first) * h.step)
	part := FromSamples(samples, h.step, at, at.Add(time.Duration(last-first)*h.step))[group]
	k := h.known[group]
	if k == nil {
		if part == nil {
			return
		}
		k = &kept{grid: Grid{Group: group, Start: h.Start(), Step: h.step, Columns: map[string]api.Series{}}}
		h.known[group] = k
	}
	if part == nil {
		part = &Grid{}
	}
	k.put(part, first, last, h.slots, h.keep)
}

// put lays part over the slots [first, last).
func (k *kept) put(part *Grid, first, last, slots int, keep func(string) bool) {
	if part.Columns[api.SeriesDemand] != nil && k.grid.Derived {
		k.underive() // it is measured from here on
	}
	for series := range part.Columns {
		if k.grid.Columns[series] == nil && (keep == nil || keep(series)) {
			k.grid.Columns[series] = missing(slots)
		}
	}
	for series, column := range k.grid.Columns {
		if series == api.SeriesDemand && k.grid.Derived {
			continue
		}
		if values := part.Columns[series]; values != nil {
			copy(column[first:last], values)
			continue
		}
		for i := first; i < last; i++ {
			column[i] = math.NaN()
		}
	}
	if k.lo >= k.hi {
		k.lo, k.hi = first, last
	} else {
		k.lo, k.hi = min(k.lo, first), max(k.hi, last)
	}
}

func (k *kept) underive() {
	delete(k.grid.Columns, api.SeriesDemand)
	k.grid.Censored, k.grid.Derived = nil, false
}

// Grid returns the grid of a group, nil when nothing is known of it. It is the
// history's own: it holds until the next call of Advance or Put, and is not to be
// changed.
func (h *History) Grid(group string) *Grid {
	k := h.known[group]
	if k == nil {
		return nil
	}
	columns := k.grid.Columns
	for series, column := range columns {
		if !(k.grid.Derived && series == api.SeriesDemand) && allMissing(column) {
			delete(columns, series) // as if there had never been one
		}
	}
	if len(columns) == 0 || len(columns) == 1 && k.grid.Derived {
		delete(h.known, group)
		return nil
	}
	k.derive(h.slots)
	return &k.grid
}

// floor returns d / step, rounded down.
func floor(d, step time.Duration) time.Duration {
	n := d / step
	if d%step < 0 {
		n--
	}
	return n
}

// allMissing looks from the newest slot on, where a value nearly always is.
func allMissing(column api.Series) bool {
	for i := len(column) - 1; i >= 0; i-- {
		if !math.IsNaN(column[i]) {
			return false
		}
	}
	return true
}

// derive brings the column of demand up to date.
func (k *kept) derive(slots int) {
	columns := k.grid.Columns
	if columns[api.SeriesDemand] != nil && !k.grid.Derived {
		k.lo, k.hi = 0, 0
		return // measured
	}
	if columns[api.MetricCPU] == nil || columns[api.MetricInService] == nil {
		if k.grid.Derived {
			k.underive()
		}
		k.lo, k.hi = 0, 0
		return
	}
	if !k.grid.Derived {
		k.grid.Derived, k.lo, k.hi = true, 0, slots
		columns[api.SeriesDemand], k.grid.Censored = missing(slots), make([]bool, slots)
	}
	deriveDemand(columns[api.SeriesDemand], k.grid.Censored, columns[api.MetricCPU], columns[api.MetricInService], k.lo, k.hi)
	k.lo, k.hi = 0, 0
}
