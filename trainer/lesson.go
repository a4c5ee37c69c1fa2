package trainer

import (
	"math"

	"github.com/forescale/forescale/trainer/feature"
)

// lesson is what a network learns from: its inputs and the answers wanted, one
// row a window.
type lesson struct {
	steps, channels, extra, horizon int

	x      []float32 // [N, steps, channels], to be scaled by xs
	f      []float32 // [N, extra], to be scaled by fs
	xs, fs columns   // scale a row as it is read; the zero value leaves it as it is
	want   []float32 // [N, horizon], of order one; anything where weight is 0
	weight []float32 // [N, horizon], what an error counts; 0 where the target is missing
}

func (l *lesson) len() int { return len(l.weight) / l.horizon }

// slice returns windows [from, to) of the lesson as a view.
func (l *lesson) slice(from, to int) *lesson {
	cut := func(v []float32, wide int) []float32 { return v[from*wide : to*wide] }
	return &lesson{steps: l.steps, channels: l.channels, extra: l.extra, horizon: l.horizon,
		x: cut(l.x, l.steps*l.channels), f: cut(l.f, l.extra), xs: l.xs, fs: l.fs, want: cut(l.want, l.horizon), weight: cut(l.weight, l.horizon)}
}

// reader says what a network reads of a window and what its answers mean.
type reader interface {
	// inputs returns the inputs of the windows; want and weight stay nil.
	inputs(w *windows) *lesson
	// wants fills in want and weight.
	wants(w *windows, l *lesson)
	// forecasts returns the physical forecasts [N, horizon] that answers mean.
	forecasts(w *windows, answers []float32) []float32
	// late returns the reader that takes this one's place once the base's late
	// member has taken the early one's.
	late(base candidate) reader
	// exportInputs adds the inputs to a graph: x [batch, steps, channels] and f
	// [batch, extra], "" where extra is 0.
	exportInputs(e *exporter) (x, f string)
	// exportForecasts adds what answers [batch, horizon] mean.
	exportForecasts(e *exporter, name, answers string) string
}

// correction reads the features of a set and corrects the forecast of a base
// member. With b the base's forecast and u what is usual as its change, both of
// step k ahead, the answer a means b changed by u·a in the set's mode.
type correction struct {
	set  *feature.Set
	base member
	unit []float32 // [horizon], 0 where nothing ever changed: then b is all that is known
	// importance is what a physical error counts, by step ahead: one over what
	// persistence makes there, so that the far and noisy steps do not drown the
	// near ones.
	importance []float32
}

// newCorrection fits the units on the windows [first, last).
func newCorrection(w *windows, set *feature.Set, base member, first, last int) *correction {
	H := w.spec.Horizon
	c := &correction{set: set, base: base, unit: make([]float32, H), importance: make([]float32, H)}
	v, b := w.view(set), w.of(base)
	for k := range H {
		var change, persistence, n float64
		for i := first; i < last; i++ {
			y := w.target[i*H+k]
			if !isKnown(y) {
				continue
			}
			f := at(v.frames[i], b[i*H+k])
			change += math.Abs(float64(f.Change(y)))
			persistence += math.Abs(float64(y - w.last(i)))
			n++
		}
		if change > 0 {
			c.unit[k] = positive(change / n)
		}
		c.importance[k] = 1 / positive(persistence/n)
	}
	return c
}

// positive returns v as a float32 that can be divided by: 1 for what is not.
func positive(v float64) float32 {
	if f := float32(v); f > 1e-30 && !math.IsInf(1/float64(f), 0) && !math.IsInf(v, 0) {
		return f
	}
	return 1
}

// at returns the frame that changes of the base forecast y are relative to.
func at(f feature.Frame, y float32) feature.Frame {
	f.Last = y
	return f
}

func (c *correction) late(base candidate) reader {
	late := *c
	if c.base == base.early {
		late.base = base.late
	}
	return &late
}

func (c *correction) inputs(w *windows) *lesson {
	v := w.view(c.set)
	return &lesson{steps: c.set.Window(), channels: c.set.Channels(), extra: c.set.Len(), horizon: w.spec.Horizon,
		x: v.sequences, f: v.features}
}

func (c *correction) wants(w *windows, l *lesson) {
	H, v, b := w.spec.Horizon, w.view(c.set), w.of(c.base)
	l.want, l.weight = make([]float32, len(w.target)), make([]float32, len(w.target))
	for i := range w.len() {
		for k := range H {
			if y := w.target[i*H+k]; isKnown(y) {
				f := at(v.frames[i], b[i*H+k])
				l.weight[i*H+k] = f.Slope(f.Last) * c.importance[k]
				if c.unit[k] > 0 {
					l.want[i*H+k] = f.Change(y) / c.unit[k]
					l.weight[i*H+k] *= c.unit[k]
				}
			}
		}
	}
}

func (c *correction) forecasts(w *windows, answers []float32) []float32 {
	H, v, b := w.spec.Horizon, w.view(c.set), w.of(c.base)
	out := make([]float32, len(answers))
	for i, a := range answers {
		out[i] = at(v.frames[i/H], b[i]).Forecast(a * c.unit[i%H])
	}
	return out
}

func (c *correction) exportInputs(e *exporter) (x, f string) {
	in := e.set(c.set)
	return in.Sequence, in.Features
}

func (c *correction) exportForecasts(e *exporter, name, answers string) string {
	change := e.graph.Mul(name+".change", answers, e.graph.Constant(name+".unit", c.unit, len(c.unit)))
	return e.forecast(name, c.set, e.of(c.base), change)
}
