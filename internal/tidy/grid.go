package tidy

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/window"
)

// maxGridCells bounds a grid, in slots times columns, to 128 MB: 160 years of one
// column at five minutes. Two stray rows, centuries apart, must not ask for more.
const maxGridCells = 1 << 24

// ErrNoStep means that the table has too few rows to tell the step.
var ErrNoStep = errors.New("fewer than two rows, so the step cannot be told")

// Step returns the length of a slot, inferred from the rows: the most common
// difference between neighbours, if all others are whole multiples of it (gaps).
// Otherwise stamps waver, and it is the most common difference if half of them
// have it, else the median, taken to a usual step if one is within a twentieth
// and else to whole seconds: a step that is off by a second would drift by a slot
// a day.
func (t *Table) Step() (time.Duration, error) {
	if len(t.Times) < 2 {
		return 0, ErrNoStep
	}
	diffs := make([]time.Duration, len(t.Times)-1)
	count := make(map[time.Duration]int)
	for i := range diffs {
		diffs[i] = t.Times[i+1].Sub(t.Times[i])
		count[diffs[i]]++
	}
	slices.Sort(diffs)
	mode := diffs[0]
	for d, n := range count {
		if n > count[mode] || n == count[mode] && d < mode {
			mode = d
		}
	}
	if mode <= 0 {
		return 0, fmt.Errorf("two rows have the time %s", stamp(t.Times[0]))
	}
	multiples := true
	for d := range count {
		multiples = multiples && d%mode == 0
	}
	if multiples {
		return mode, nil
	}
	typical := diffs[len(diffs)/2]
	if 2*count[mode] >= len(diffs) {
		typical = mode
	}
	for _, usual := range usualSteps {
		if (typical - usual).Abs() <= usual/20 {
			return usual, nil
		}
	}
	return max(typical.Round(time.Second), time.Second), nil
}

var usualSteps = []time.Duration{
	time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 20 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 4 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// Grid returns the metrics and flags on the regular grid that the package
// documentation describes, from the slot of the first row to that of the last.
// Labels are left out. The error says why the table has no grid.
func (t *Table) Grid(group string) (*window.Grid, error) {
	step, err := t.Step()
	if err != nil {
		return nil, err
	}
	return t.GridOf(group, step)
}

// GridOf is Grid with a given step. Rows nearer to each other than that are
// reduced to one value per slot, for example minutes to five minutes.
func (t *Table) GridOf(group string, step time.Duration) (*window.Grid, error) {
	if len(t.Times) == 0 {
		return nil, errors.New("the table has no rows")
	}
	if step <= 0 {
		return nil, fmt.Errorf("step %s must be positive", step)
	}
	names := append(t.Inputs(), t.Flags()...)
	p := t.place(step)
	slots := int64(t.Times[len(t.Times)-1].Sub(p.from)/step) + 1
	if slots > maxGridCells/int64(max(1, len(names))) {
		return nil, fmt.Errorf("%d slots of %s from %s to %s with %d columns are too many; is a timestamp wrong?",
			slots, step, stamp(t.Times[0]), stamp(t.Times[len(t.Times)-1]), len(names))
	}
	g := &window.Grid{Group: group, Start: p.from.Add(p.shift), Step: step, Columns: make(map[string]api.Series, len(names))}
	to := p.from.Add(time.Duration(slots) * step)
	for _, name := range names {
		// One way of reducing rows to slots: that of samples.
		samples := make([]api.Sample, 0, len(t.Times))
		for i, v := range t.Columns[name] {
			if !math.IsNaN(v) {
				samples = append(samples, api.Sample{Group: group, Metric: name, Stat: t.stat(name), Time: t.Times[i], Value: v})
			}
		}
		if of := window.FromSamples(samples, step, p.from, to)[group]; of != nil {
			g.Columns[name] = of.Columns[api.SeriesName(name, t.stat(name))]
			continue
		}
		g.Columns[name] = slices.Repeat(api.Series{math.NaN()}, int(slots)) // a column without any value
	}
	return g, nil
}

// placement says how rows fall into slots: slot i takes the rows of
// [from+i·step, from+(i+1)·step) and is called from+shift+i·step.
type placement struct {
	from   time.Time
	shift  time.Duration
	shared int    // rows that share a slot with the one before
	note   string // empty for the plain case
}

// place returns the first placement that gives each row a slot of its own, or
// the one with the fewest shared slots. Rows that keep the step exactly keep their
// stamps as well, so that a forecast of a slot bears the stamp of its row.
func (t *Table) place(step time.Duration) placement {
	first := t.Times[0]
	if t.regular(step) {
		p := placement{from: first}
		if !first.Equal(first.Truncate(step)) {
			p.note = fmt.Sprintf("slots of %s begin at the rows' own timestamps, not at whole steps of the clock", step)
		}
		return p
	}
	candidates := []placement{
		{from: first.Truncate(step)},
		{from: first.Add(step / 2).Truncate(step).Add(-step / 2), shift: step / 2,
			note: fmt.Sprintf("timestamps waver around whole steps of %s; each row went to the nearest", step)},
		{from: first, note: fmt.Sprintf("timestamps do not fit whole steps of %s; slots are counted from the first row", step)},
	}
	best := placement{shared: math.MaxInt}
	for _, c := range candidates {
		for i := 1; i < len(t.Times); i++ {
			if t.Times[i].Sub(c.from)/step == t.Times[i-1].Sub(c.from)/step {
				c.shared++
			}
		}
		if c.shared < best.shared {
			best = c
		}
	}
	return best
}

// regular reports whether every row lies a whole number of steps after the first.
func (t *Table) regular(step time.Duration) bool {
	for _, at := range t.Times {
		if at.Sub(t.Times[0])%step != 0 {
			return false
		}
	}
	return len(t.Times) > 1
}

// describe returns the notes on the table's regularity.
func (t *Table) describe() []string {
	step, err := t.Step()
	if err != nil {
		return []string{err.Error()}
	}
	var notes []string
	p := t.place(step)
	if p.note != "" {
		notes = append(notes, p.note)
	}
	if p.shared > 0 {
		notes = append(notes, fmt.Sprintf("%d rows share a slot of %s with the row before; a slot's rows are reduced to one value", p.shared, step))
	}
	offGrid, gaps, longest, at := 0, 0, time.Duration(0), time.Time{}
	for i, now := range t.Times {
		if now.Sub(p.from)%step != 0 && now.Sub(p.from.Add(p.shift))%step != 0 {
			offGrid++
		}
		if i == 0 {
			continue
		}
		if d := now.Sub(t.Times[i-1]); d >= 2*step {
			gaps++
			if d > longest {
				longest, at = d, t.Times[i-1]
			}
		}
	}
	if offGrid > 0 {
		notes = append(notes, fmt.Sprintf("%d of %d timestamps lie inside a slot of %s, not at its start, and were moved to it", offGrid, len(t.Times), step))
	}
	if gaps > 0 {
		notes = append(notes, fmt.Sprintf("%d gaps without rows, the longest of %s after %s; they stay missing", gaps, longest, stamp(at)))
	}
	return notes
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
