package window

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/forescale/forescale/api"
)

// Grid is the history of one group on a regular grid: every column has one value
// per slot, NaN where the slot has none.
type Grid struct {
	Group   string
	Start   time.Time     // start of slot 0, UTC
	Step    time.Duration // length of a slot
	Columns map[string]api.Series
	// Derived says that the column of demand was derived by AddDemand, from what the
	// instances did, and not measured as what was asked for.
	Derived bool
	// Censored marks the slots whose demand is known only from below, because the
	// instances were saturated. Nil: none.
	Censored []bool
}

// Len returns the number of slots.
func (g *Grid) Len() int {
	n := 0
	for _, column := range g.Columns {
		n = max(n, len(column))
	}
	return n
}

// Time returns the start of slot i; i may lie outside the grid.
func (g *Grid) Time(i int) time.Time { return g.Start.Add(time.Duration(i) * g.Step) }

// End returns the end of the last slot.
func (g *Grid) End() time.Time { return g.Time(g.Len()) }

// FromFirst returns the part of the grid from the first slot on in which the named
// column is known, sharing its memory. The slots before it are no history: they
// belong to no part of a chronological split. Without any known value nothing is
// left.
func (g *Grid) FromFirst(name string) *Grid {
	n := g.Len()
	first := 0
	for first < n && math.IsNaN(g.value(name, first)) {
		first++
	}
	part := &Grid{Group: g.Group, Start: g.Time(first), Step: g.Step, Columns: make(map[string]api.Series, len(g.Columns))}
	for column, values := range g.Columns {
		part.Columns[column] = values[min(first, len(values)):]
	}
	part.Derived, part.Censored = g.Derived, g.Censored[min(first, len(g.Censored)):]
	return part
}

// value returns slot i of the named column, NaN outside of it.
func (g *Grid) value(name string, i int) float64 {
	if column := g.Columns[name]; i >= 0 && i < len(column) {
		return column[i]
	}
	return math.NaN()
}

// FromSamples returns, by group, the samples of [from, to) on the grid whose
// slot i covers [from+i·step, from+(i+1)·step); a last slot that to cuts short
// is left out. The columns are named by api.SeriesName. A group without a sample
// in the range has no entry. step must be positive.
//
// A sample between two slot starts belongs to the slot that it lies in. Several
// samples of one series in a slot become one value by the meaning of their
// statistic: the mean for avg, the sum for sum and count, the least for min, the
// greatest for max and p95. Of samples at the very same instant the last in the
// slice counts, the others are revisions of it. Values that are not finite are
// missing. Where two pairs of metric and statistic share a series name, the one
// with the lesser metric name wins slot by slot.
func FromSamples(samples []api.Sample, step time.Duration, from, to time.Time) map[string]*Grid {
	if step <= 0 {
		panic("window: step must be positive")
	}
	slots := int(to.Sub(from) / step)
	if slots <= 0 {
		return nil
	}
	if !slices.IsSortedFunc(samples, compareSamples) {
		samples = slices.Clone(samples)
		slices.SortStableFunc(samples, compareSamples)
	}
	grids := make(map[string]*Grid)
	for len(samples) > 0 {
		n := 1
		for n < len(samples) && sameSeries(samples[0], samples[n]) {
			n++
		}
		run := samples[:n]
		samples = samples[n:]
		column := gather(run, step, from, slots)
		if column == nil {
			continue
		}
		g := grids[run[0].Group]
		if g == nil {
			g = &Grid{Group: run[0].Group, Start: from.UTC(), Step: step, Columns: make(map[string]api.Series)}
			grids[run[0].Group] = g
		}
		g.merge(api.SeriesName(run[0].Metric, run[0].Stat), column)
	}
	return grids
}

func compareSamples(a, b api.Sample) int {
	return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Metric, b.Metric),
		cmp.Compare(a.Stat, b.Stat), a.Time.Compare(b.Time))
}

func sameSeries(a, b api.Sample) bool {
	return a.Group == b.Group && a.Metric == b.Metric && a.Stat == b.Stat
}

// gather places the samples of one series, sorted by time, onto the grid. It
// returns nil when none of them lies on it.
func gather(run []api.Sample, step time.Duration, from time.Time, slots int) api.Series {
	var column api.Series
	for len(run) > 0 {
		d := run[0].Time.Sub(from)
		slot := int(d / step)
		if d < 0 {
			run = run[1:]
			continue
		}
		if slot >= slots {
			break
		}
		n := 1
		for n < len(run) && int(run[n].Time.Sub(from)/step) == slot {
			n++
		}
		if v := reduce(run[:n]); !math.IsNaN(v) {
			if column == nil {
				column = missing(slots)
			}
			column[slot] = v
		}
		run = run[n:]
	}
	return column
}

// reduce returns the one value of a slot's samples, NaN when none is finite.
func reduce(run []api.Sample) float64 {
	total, least, greatest, n := 0.0, math.Inf(1), math.Inf(-1), 0
	for i, s := range run {
		if i+1 < len(run) && run[i+1].Time.Equal(s.Time) {
			continue // revised by the next
		}
		if math.IsNaN(s.Value) || math.IsInf(s.Value, 0) {
			continue
		}
		total += s.Value
		least = min(least, s.Value)
		greatest = max(greatest, s.Value)
		n++
	}
	if n == 0 {
		return math.NaN()
	}
	switch run[0].Stat {
	case api.StatSum, api.StatCount:
		return total
	case api.StatMin:
		return least
	case api.StatMax, api.StatP95:
		return greatest
	}
	return total / float64(n)
}

// merge adds a column, or fills the missing slots of the one that is there.
func (g *Grid) merge(name string, column api.Series) {
	have, ok := g.Columns[name]
	if !ok {
		g.Columns[name] = column
		return
	}
	for i, v := range have {
		if math.IsNaN(v) {
			have[i] = column[i]
		}
	}
}

func missing(n int) api.Series {
	s := make(api.Series, n)
	for i := range s {
		s[i] = math.NaN()
	}
	return s
}

// SaturatedCPU is the utilisation, in percent, from which on demand is known
// only from below: the instances could not have shown more.
const SaturatedCPU = 99.5

// AddDemand derives the column api.SeriesDemand:
//
//	demand = cpu_utilization/100 · instances_in_service
//
// in the slots where both are known and at least one instance was in service,
// and marks as Censored those with a CPU of SaturatedCPU or more. A grid that
// already has demand, as a recorded trace may, keeps it. The result is false,
// and nothing changes, when a column is absent.
func (g *Grid) AddDemand() bool {
	if _, ok := g.Columns[api.SeriesDemand]; ok {
		return true
	}
	cpu, inService := g.Columns[api.MetricCPU], g.Columns[api.MetricInService]
	if cpu == nil || inService == nil {
		return false
	}
	demand := missing(g.Len())
	censored := make([]bool, len(demand))
	deriveDemand(demand, censored, cpu, inService, 0, min(len(cpu), len(inService)))
	g.Columns[api.SeriesDemand], g.Censored, g.Derived = demand, censored, true
	return true
}

// deriveDemand fills the slots [first, last) of demand and censored.
func deriveDemand(demand api.Series, censored []bool, cpu, inService api.Series, first, last int) {
	for i := first; i < last; i++ {
		demand[i], censored[i] = math.NaN(), false
		if !(inService[i] > 0) {
			continue // nobody served, so nothing was measured
		}
		demand[i] = cpu[i] / 100 * inService[i]
		censored[i] = cpu[i] >= SaturatedCPU
	}
}
