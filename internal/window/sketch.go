package window

import (
	"math"
	"time"

	"github.com/forescale/forescale/api"
)

// Sketch is a grid of which only some stretches are known: those that a window is
// cut from. It serves one group after another in the same memory.
//
// It is not safe for concurrent use.
type Sketch struct {
	grid   Grid
	slots  int
	spare  []api.Series // columns without any value
	filled []stretch    // of the present group
}

// stretch is a run of slots: [first, last).
type stretch struct {
	column      api.Series
	first, last int
}

// NewSketch returns an empty sketch of so many slots that end at end.
func NewSketch(step time.Duration, slots int, end time.Time) *Sketch {
	if step <= 0 || slots <= 0 {
		panic("window: a sketch needs a step and slots")
	}
	return &Sketch{slots: slots, grid: Grid{Start: end.UTC().Add(-time.Duration(slots) * step), Step: step, Columns: map[string]api.Series{}}}
}

// Begin forgets what is known and makes the sketch that of another group.
func (s *Sketch) Begin(group string) {
	for _, f := range s.filled {
		for i := f.first; i < f.last; i++ {
			f.column[i] = math.NaN()
		}
	}
	for name, column := range s.grid.Columns {
		s.spare = append(s.spare, column)
		delete(s.grid.Columns, name)
	}
	clear(s.grid.Censored)
	s.grid.Group, s.grid.Derived, s.filled = group, false, s.filled[:0]
}

// Put enters the values of a series from a slot on; those outside of the sketch are
// left out. A slot that has a value already keeps it: of metrics that share a
// series name, enter the one with the lesser name first (see FromSamples).
func (s *Sketch) Put(metric string, stat api.Stat, from time.Time, values []float64) {
	at := int(floor(from.Sub(s.grid.Start), s.grid.Step))
	first, last := max(0, at), min(s.slots, at+len(values))
	if first >= last {
		return
	}
	name := api.SeriesName(metric, stat)
	column := s.grid.Columns[name]
	for i := first; i < last; i++ {
		v := values[i-at]
		if math.IsNaN(v) {
			continue
		}
		if column == nil { // a series without a value has no column
			column = s.column(name)
		}
		if math.IsNaN(column[i]) {
			column[i] = v
		}
	}
	if column != nil {
		s.filled = append(s.filled, stretch{column, first, last})
	}
}

func (s *Sketch) column(name string) api.Series {
	n := len(s.spare) - 1
	if n < 0 {
		s.spare, n = append(s.spare, missing(s.slots)), 0
	}
	column := s.spare[n]
	s.spare = s.spare[:n]
	s.grid.Columns[name] = column
	return column
}

// Grid returns the grid of the group, with its demand (AddDemand), nil when nothing
// is known of it. It holds until the next call of Begin, and is not to be changed.
func (s *Sketch) Grid() *Grid {
	columns := s.grid.Columns
	if len(columns) == 0 {
		return nil
	}
	cpu, inService := columns[api.MetricCPU], columns[api.MetricInService]
	if columns[api.SeriesDemand] != nil || cpu == nil || inService == nil {
		return &s.grid
	}
	demand := s.column(api.SeriesDemand)
	if s.grid.Censored == nil {
		s.grid.Censored = make([]bool, s.slots)
	}
	for _, f := range s.filled {
		if &f.column[0] == &cpu[0] {
			deriveDemand(demand, s.grid.Censored, cpu, inService, f.first, f.last)
			s.filled = append(s.filled, stretch{demand, f.first, f.last})
		}
	}
	s.grid.Derived = true
	return &s.grid
}
