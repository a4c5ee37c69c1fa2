package feature

import (
	"math"
)

// Workspace is the memory that a goroutine computes features in.
type Workspace struct {
	// row is the window and behind it the level; after relative, the target's
	// values are changes.
	row []float32
	sum []float32
}

// NewWorkspace returns memory for Compute.
func (s *Set) NewWorkspace() *Workspace { return &Workspace{row: make([]float32, s.row.len()+1)} }

func (w *Workspace) load(series, context []float32) {
	for i, v := range series {
		w.row[i] = min(max(v, -ClipRaw), ClipRaw)
	}
	for i, v := range context {
		w.row[len(series)+i] = min(max(v, -ClipRaw), ClipRaw)
	}
}

// mean returns the mean of the values at the indices, summed as meanOf does.
func (w *Workspace) mean(indices []int) float32 {
	w.sum = w.sum[:0]
	for _, i := range indices {
		w.sum = append(w.sum, w.row[i])
	}
	return meanOf(w.sum)
}

// size returns the mean of the values' sizes at the indices.
func (w *Workspace) size(indices []int) float32 {
	w.sum = w.sum[:0]
	for _, i := range indices {
		w.sum = append(w.sum, float32(math.Abs(float64(w.row[i]))))
	}
	return meanOf(w.sum)
}

// deviation returns the mean distance of the values at the indices from their mean.
func (w *Workspace) deviation(indices []int, mean float32) float32 {
	w.sum = w.sum[:0]
	for _, i := range indices {
		w.sum = append(w.sum, float32(math.Abs(float64(w.row[i]-mean))))
	}
	return meanOf(w.sum)
}

// meanOf returns the mean of v, which it overwrites. The order of the additions
// is fixed, and the same in the exported graph: a sum that differed in its last
// bit would fall on the other side of a tree's threshold now and then.
func meanOf(v []float32) float32 {
	inverse := float32(1 / float64(len(v)))
	for n := len(v); n > 1; n = (n + 1) / 2 {
		h := n / 2
		for i := range h {
			v[i] += v[i+h]
		}
		if n%2 == 1 {
			v[h] = v[n-1]
		}
	}
	return float32(v[0] * inverse) // the conversion keeps it from being fused with what follows
}

// relative loads a window and turns the target's values into changes.
func (s *Set) relative(w *Workspace, series, context []float32) Frame {
	w.load(series, context)
	f := Frame{Mode: s.mode, Last: w.row[s.last], Mean: 1}
	switch s.mode {
	case Log:
		f.Mean = s.unit
	case Ratio:
		f.Mean = max(w.mean(s.mean), s.floor)
	}
	level := &w.row[s.row.len()]
	*level = f.Last
	if s.free {
		mean := w.mean(s.mean)
		f.Mean = max(w.deviation(s.mean, mean), s.floor)
		*level = f.Last - mean
	}
	for _, indices := range s.others {
		mean := max(w.size(indices), s.floor)
		for _, i := range indices {
			w.row[i] = min(max(w.row[i]/mean, -otherLimit), otherLimit)
		}
	}
	switch s.mode {
	case Log:
		last := log1p(f.Last, f.Mean)
		*level = last
		for _, i := range s.target {
			w.row[i] = s.bounded(log1p(w.row[i], f.Mean) - last)
		}
	case Ratio:
		*level = min(max(*level/f.Mean, -ClipRaw), ClipRaw) // infinity times an inverse of 0 is NaN
		for _, i := range s.target {
			w.row[i] = s.bounded((w.row[i] - f.Last) / f.Mean)
		}
	default:
		for _, i := range s.target {
			w.row[i] = s.bounded(w.row[i] - f.Last)
		}
	}
	return f
}

// otherLimit bounds a value of another series, as a multiple of its mean.
const otherLimit = 64

func (s *Set) bounded(v float32) float32 { return min(max(v, -s.limit), s.limit) }

// value returns a feature before it is scaled.
func (w *Workspace) value(f tapped) float32 {
	switch f.kind {
	case average:
		return w.mean(f.from)
	case roughness:
		w.sum = w.sum[:0]
		for n, i := range f.from {
			w.sum = append(w.sum, float32(math.Abs(float64(w.row[i]-w.row[f.less[n]]))))
		}
		return meanOf(w.sum)
	case other:
		return w.row[f.from[0]] - w.row[f.less[0]]
	case clock:
		return float32(f.coef[0]*w.row[f.from[0]]) + float32(f.coef[1]*w.row[f.from[1]])
	}
	return w.row[f.from[0]]
}

// Compute writes the features [Len] of one window and, unless sequence is nil,
// its sequence [Window, Channels], and returns what changes are relative to.
func (s *Set) Compute(w *Workspace, series, context, features, sequence []float32) Frame {
	frame := s.relative(w, series, context)
	for j, f := range s.features {
		features[j] = s.scaling[j].apply(w.value(f))
	}
	if sequence != nil {
		for j, f := range s.steps {
			sequence[j] = s.steady[j%s.channels].apply(w.value(f))
		}
	}
	return frame
}

// bent returns v within ±bendAt, 0 from goneAt on, and a straight line between.
// Every operation rounds by itself, as in the graph.
func bent(v float32) float32 {
	v = min(max(v, -goneAt), goneAt)
	inner := min(max(v, -bendAt), bendAt)
	beyond := float32(v - inner)
	return inner - float32(beyond*bendSlope)
}

func (s scaling) apply(v float32) float32 {
	return bent(float32((v - s.center) * s.inverse))
}
