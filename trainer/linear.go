package trainer

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/forescale/forescale/trainer/feature"
	"github.com/forescale/forescale/trainer/linear"
)

// lambdas are the strengths of regularisation tried, in rows; see linear.Fit.
var lambdas = []float64{1, 10, 100, 1000}

// linearRounds is the number of reweighted fits.
const linearRounds = 8

// linearMember forecasts with a linear model of the features in one mode, one
// model for each step ahead.
type linearMember struct {
	set    *feature.Set
	models []linear.Model // by step ahead, over set.Columns
}

func (m *linearMember) name() string { return "linear_" + m.set.Mode().String() }

func (m *linearMember) predict(w *windows) []float32 {
	v, H := w.view(m.set), w.spec.Horizon
	out := make([]float32, w.len()*H)
	parallel(w.workers, H, func(k int) {
		columns := m.set.Columns(k + 1)
		x := make([]float32, len(columns))
		for i := range w.len() {
			gather(x, v.features[i*m.set.Len():], columns)
			out[i*H+k] = v.frames[i].Forecast(float32(m.models[k].Predict(x)))
		}
	})
	return out
}

func gather(dst, src []float32, columns []int) {
	for j, c := range columns {
		dst[j] = src[c]
	}
}

func (m *linearMember) export(e *exporter) string {
	H, F := e.spec.Horizon, m.set.Len()
	weights, bias := make([]float32, F*H), make([]float32, H)
	for k, model := range m.models {
		for j, c := range m.set.Columns(k + 1) {
			weights[c*H+k] = float32(model.Coef[j])
		}
		bias[k] = float32(model.Intercept)
	}
	in := e.set(m.set)
	change := e.graph.Add(m.name()+".change",
		e.graph.MatMul(m.name()+".product", in.Features, e.graph.Constant(m.name()+".weights", weights, F, H)),
		e.graph.Constant(m.name()+".bias", bias, H))
	return e.forecast(m.name(), m.set, in.Last, change)
}

// span is a run of slots, half-open: the windows of a span are those whose
// targets all lie in it.
type span struct{ from, to int }

// rows returns the windows [first, last) whose targets up to k steps ahead lie in
// the span.
func (w *windows) rows(s span, k int) (first, last int) {
	first, _ = slices.BinarySearch(w.origins, s.from-1)
	last, _ = slices.BinarySearch(w.origins, s.to-k)
	return first, max(first, last)
}

// problem returns the regression of step k ahead (from 1) over a span's windows
// whose target is known.
func (w *windows) problem(v *view, s span, k int) linear.Problem {
	H, F, columns := w.spec.Horizon, v.set.Len(), v.set.Columns(k)
	first, last := w.rows(s, k)
	p := linear.Problem{Cols: len(columns), X: make([]float32, 0, (last-first)*len(columns))}
	for i := first; i < last; i++ {
		y := w.target[i*H+k-1]
		if !isKnown(y) {
			continue
		}
		for _, c := range columns {
			p.X = append(p.X, v.features[i*F+c])
		}
		p.Y = append(p.Y, v.frames[i].Change(y))
		// The slope where the forecast starts, not at the truth: a weight that
		// depended on the truth would pull the median to where it is large.
		p.Slope = append(p.Slope, v.frames[i].Slope(v.frames[i].Last))
		p.Rows++
	}
	return p
}

// linearFits are linear members with what they said of slots they had not seen.
type linearFits struct {
	late   *linearMember // fitted on the whole
	early  *linearMember // fitted on what the last fold came after
	lambda []float64     // by step ahead, chosen on the folds
	// unseen holds forecasts [N, Horizon] by models fitted on earlier slots only;
	// NaN where there is none.
	unseen []float32
}

// fitLinear fits a linear member in the mode of set: on each fold what comes
// before it, for each λ; then, with the λ that was best over all folds, on whole.
func fitLinear(ctx context.Context, w *windows, set *feature.Set, folds []fold, whole span) (*linearFits, error) {
	H, v := w.spec.Horizon, w.view(set)
	f := &linearFits{
		late:   &linearMember{set: set, models: make([]linear.Model, H)},
		early:  &linearMember{set: set, models: make([]linear.Model, H)},
		lambda: make([]float64, H), unseen: filled(w.len()*H, nan32),
	}
	errs := make([]error, H)
	parallel(w.workers, H, func(k int) { errs[k] = f.fitStep(ctx, w, v, folds, whole, k+1) })
	for k, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("%s, %d steps ahead: %w", f.late.name(), k+1, err)
		}
	}
	return f, nil
}

// fitStep fits the model of step k ahead.
func (f *linearFits) fitStep(ctx context.Context, w *windows, v *view, folds []fold, whole span, k int) error {
	H := w.spec.Horizon
	columns := v.set.Columns(k)
	x := make([]float32, len(columns))
	loss, forecasts := make([]float64, len(lambdas)), make([][]float32, len(lambdas))
	for i := range forecasts {
		forecasts[i] = filled(w.len(), nan32)
	}
	var models []linear.Model
	for _, fold := range folds {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		if models, err = linear.Fit(w.problem(v, fold.fit, k), lambdas, linearRounds); err != nil {
			return err
		}
		first, last := w.rows(fold.judge, k)
		for i := first; i < last; i++ {
			gather(x, v.features[i*v.set.Len():], columns)
			for l, m := range models {
				y := v.frames[i].Forecast(float32(m.Predict(x)))
				forecasts[l][i] = y
				if t := w.target[i*H+k-1]; isKnown(t) {
					loss[l] += math.Abs(float64(t - y))
				}
			}
		}
	}
	best := 0
	for l := range lambdas {
		if loss[l] < loss[best] {
			best = l
		}
	}
	for i, y := range forecasts[best] {
		f.unseen[i*H+k-1] = y
	}
	f.lambda[k-1], f.early.models[k-1] = lambdas[best], models[best]
	models, err := linear.Fit(w.problem(v, whole, k), lambdas[best:best+1], linearRounds)
	if err != nil {
		return err
	}
	f.late.models[k-1] = models[0]
	return nil
}

var nan32 = float32(math.NaN())

func filled(n int, v float32) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = v
	}
	return s
}

// fold is a part of the history that judges a fit of what came before it.
type fold struct{ fit, judge span }
