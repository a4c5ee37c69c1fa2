package feature

import (
	"cmp"
	"math"
	"slices"

	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
)

const (
	// Up to bendAt standard deviations a feature is what it is; from there it falls
	// back and is 0 from goneAt on.
	// Source: Hampel et al. 1986, the redescending function of three parts.
	bendAt, goneAt = 5, 10
	bendSlope      = float32(bendAt) / (goneAt - bendAt)
	// levelStrictness makes the level bend and go so many times earlier: 2.5 and 5
	// deviations out. What a model believes of the level itself it believes until it
	// is trained again, so it should soon stop believing.
	levelStrictness = 2
	// ClipRaw bounds the physical values, so that no difference of two of them
	// overflows float32.
	ClipRaw = 1e30
)

// Set is the features of a spec in one mode. It is made by New and ready after
// Fit; from then on it is immutable and safe for concurrent use.
type Set struct {
	spec models.Spec
	mode Mode
	row  row

	features []tapped
	window   int      // slots of the sequence
	steps    []tapped // of the sequence, step by step, channel by channel
	channels int      // of the sequence

	target  []int     // row indices of the target's values
	mean    []int     // of them, those whose mean is the scale of Ratio
	others  [][]int   // of a scale-free set: row indices of each other series, oldest first
	free    bool      // see NewScaleFree
	last    int       // row index of the target's newest value
	floor   float32   // the least mean that Ratio divides by
	unit    float32   // what Log divides by
	limit   float32   // the greatest change of the target that is looked at
	scaling []scaling // of each feature
	steady  []scaling // of each channel of the sequence
}

// tapped is a feature whose values have been found: indices into the row.
type tapped struct {
	name  string
	group string
	ahead int
	kind  kind
	from  []int     // one a value; of roughness and other, the minuends
	less  []int     // of roughness and other, the subtrahends
	coef  []float32 // of a clock's step in a sequence: the weights of from
}

type scaling struct{ center, inverse float32 }

// New returns the set of all features that the spec has the values for, with a
// sequence of the newest steps slots, or of the lookback when that is shorter.
func New(spec models.Spec, mode Mode, steps int) *Set {
	s := &Set{spec: spec, mode: mode, row: newRow(spec), window: min(steps, spec.Lookback)}
	s.last, _ = s.row.find(spec.Target, 0)
	for t := range spec.Lookback {
		s.target = append(s.target, t*spec.Channels())
	}
	at := s.row.series
	for _, lag := range spec.Lags {
		for range len(lag.Offsets) * (1 + spec.Horizon) {
			if lag.Series == spec.Target {
				s.target = append(s.target, at)
			}
			at++
		}
	}
	for _, d := range define(spec) {
		if f, ok := s.resolve(d); ok {
			s.features = append(s.features, f)
		}
	}
	slices.SortStableFunc(s.features, func(a, b tapped) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(len(a.from), len(b.from)))
	})
	s.resolveSequences()
	s.mean = s.scaleOf()
	return s
}

// NewScaleFree returns the set of Ratio for a model that many groups share,
// whatever their size: its features stay and its forecasts grow c times when the
// target's values do.
//
//   - A change is divided not by the mean but by the mean deviation from it, of the
//     last day and the lookback: what the hour of the day does to a load of 100 is
//     another thing where it varies by 50 than where it varies by 1. So features do
//     not follow the level either, which itself is taken from the mean.
//   - The least that it divides by is far below any load, not a thousandth of the
//     usual, which another group may never reach. In a window that never varied the
//     forecast is the newest value, whatever the members say; nobody should learn
//     from one.
//   - Every other series but flags is divided by its own mean size in the lookback.
func NewScaleFree(spec models.Spec, steps int) *Set {
	s := New(spec, Ratio, steps)
	s.free = true
	for _, i := range s.target[:spec.Lookback] {
		if !slices.Contains(s.mean, i) {
			s.mean = append(slices.Clip(s.mean), i)
		}
	}
	for c, name := range spec.Series[1:] {
		if window.IsFlag(spec, name) {
			continue
		}
		var values []int
		for t := range spec.Lookback {
			values = append(values, t*spec.Channels()+1+c)
		}
		s.others = append(s.others, values)
	}
	return s
}

// Scale returns what a scale-free set divides the changes of one window by.
func (s *Set) Scale(w *Workspace, series, context []float32) float32 {
	w.load(series, context)
	return max(w.deviation(s.mean, w.mean(s.mean)), s.floor)
}

// freeFloor is the least mean that a scale-free set divides by. It is a power of
// two, so that a multiple of it is exact.
const freeFloor = 0x1p-100

// resolve finds the values of a feature; not ok when one is not in the row.
func (s *Set) resolve(d definition) (f tapped, ok bool) {
	f = tapped{name: d.name, group: groupOf(s.spec, d), ahead: d.ahead, kind: d.kind}
	switch {
	case d.column == levelColumn:
		f.from = []int{s.row.len()}
		return f, true
	case d.column >= 0:
		f.from = []int{s.row.series + d.column}
		return f, true
	}
	for _, age := range d.ages {
		i, found := s.row.find(d.series, age)
		if !found {
			return f, false
		}
		f.from = append(f.from, i)
		before := age + 1
		if d.kind == other {
			before = 0
		}
		if d.kind == roughness || d.kind == other {
			j, found := s.row.find(d.series, before)
			if !found {
				return f, false
			}
			f.less = append(f.less, j)
		}
	}
	return f, true
}

// scaleOf returns the indices whose mean is the scale of a window: those of the
// last day where the row has them, otherwise the lookback.
func (s *Set) scaleOf() []int {
	var indices []int
	for _, age := range dayAges(periodsOf(s.spec.Step()), s.spec.Lookback) {
		i, ok := s.row.find(s.spec.Target, age)
		if !ok {
			indices = nil
			break
		}
		indices = append(indices, i)
	}
	if indices == nil {
		indices = s.target[:s.spec.Lookback]
	}
	return indices
}

// Mode returns the scale on which the set takes changes.
func (s *Set) Mode() Mode { return s.mode }

// Len returns the number of features.
func (s *Set) Len() int { return len(s.features) }

// Names returns the names of the features, in order.
func (s *Set) Names() []string {
	var names []string
	for _, f := range s.features {
		names = append(names, f.name)
	}
	return names
}

// Columns returns, ascending, the features of the slot k ahead: those of all
// slots and its own.
func (s *Set) Columns(k int) []int {
	var columns []int
	for i, f := range s.features {
		if f.ahead == 0 || f.ahead == k {
			columns = append(columns, i)
		}
	}
	return columns
}

// Fit fits the centres and scales on n windows: series is [n, Lookback*Channels]
// and context [n, ContextLen], as window.Encode writes them.
func (s *Set) Fit(series, context []float32, n int) {
	s.scaling, s.steady = make([]scaling, len(s.features)), make([]scaling, s.channels)
	for i := range s.scaling {
		s.scaling[i].inverse = 1
	}
	for i := range s.steady {
		s.steady[i].inverse = 1
	}
	s.fitSize(series, context, n)
	s.fitLimit(series, context, n)
	moments, steady := make([]moment, len(s.features)), make([]moment, s.channels)
	w := s.NewWorkspace()
	for i := range n {
		s.relative(w, s.rowOf(series, i, n), s.rowOf(context, i, n))
		for j, f := range s.features {
			moments[j].add(float64(w.value(f)))
		}
		for j, f := range s.steps {
			steady[j%s.channels].add(float64(w.value(f)))
		}
	}
	for j := range moments {
		s.scaling[j] = moments[j].scaling()
		if s.isLevel(s.features[j]) {
			s.scaling[j].inverse *= levelStrictness
		}
	}
	for j := range steady {
		s.steady[j] = steady[j].scaling()
		s.steady[j].center = 0 // zero is "no change" and "no flag"
	}
}

func (s *Set) rowOf(input []float32, i, n int) []float32 {
	width := len(input) / max(1, n)
	return input[i*width:][:width]
}

// leastUnit is the least that Log divides by: the quotient of a value of ClipRaw
// is finite.
const leastUnit = 1e-7

// fitSize sets the least mean that Ratio divides by, a thousandth of the usual,
// and what Log divides by.
func (s *Set) fitSize(series, context []float32, n int) {
	if s.free {
		s.floor, s.unit = freeFloor, 1
		return
	}
	sum := 0.0
	w := s.NewWorkspace()
	for i := range n {
		w.load(s.rowOf(series, i, n), s.rowOf(context, i, n))
		sum += math.Abs(float64(w.mean(s.mean)))
	}
	usual := sum / float64(max(1, n))
	s.floor = max(float32(usual/1000), math.SmallestNonzeroFloat32*1e10)
	s.unit = min(max(float32(usual), leastUnit), 1)
}

// changeLimit is how many times the usual change a change may be. Beyond it, sums
// of changes would depend on their order, and with it what a model answers on the
// program that runs it.
const changeLimit = 64

// isLevel reports whether a feature is the target's newest value itself.
func (s *Set) isLevel(f tapped) bool { return f.kind == plain && f.from[0] == s.row.len() }

// fitLimit sets the greatest change.
func (s *Set) fitLimit(series, context []float32, n int) {
	s.limit = math.MaxFloat32
	var m moment
	w := s.NewWorkspace()
	for i := range n {
		s.relative(w, s.rowOf(series, i, n), s.rowOf(context, i, n))
		for _, t := range s.target {
			m.add(math.Abs(float64(w.row[t])))
		}
	}
	s.limit = max(float32(changeLimit*m.mean), math.SmallestNonzeroFloat32*1e10)
}

// moment gathers mean and variance.
// Source: Welford 1962.
type moment struct{ n, mean, m2 float64 }

func (m *moment) add(v float64) {
	m.n++
	d := v - m.mean
	m.mean += d / m.n
	m.m2 += d * (v - m.mean)
}

// scaling returns the scaling to mean 0 and variance 1. What never varied gets
// the inverse 0: nobody can know what it means, so it is not seen to vary later.
func (m *moment) scaling() scaling {
	deviation := math.Sqrt(m.m2 / max(1, m.n))
	if deviation <= 1e-6*math.Abs(m.mean) || m.n == 0 {
		return scaling{center: float32(m.mean)}
	}
	if inverse := float32(1 / deviation); !math.IsInf(float64(inverse), 0) {
		return scaling{float32(m.mean), inverse}
	}
	return scaling{center: float32(m.mean)}
}
