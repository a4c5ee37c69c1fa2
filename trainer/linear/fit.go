package linear

import (
	"errors"
	"math"
	"slices"

	"github.com/forescale/forescale/trainer/kernel"
	"gonum.org/v1/gonum/mat"
)

// Problem is a regression. Row i of X, of numbers of order one, explains Y[i];
// an error of it counts Slope[i], which is not negative, in the units that
// matter.
type Problem struct {
	Rows, Cols int
	X          []float32 // [Rows, Cols]
	Y          []float32 // [Rows]
	Slope      []float32 // [Rows]
}

// Model is y = x·Coef + Intercept.
type Model struct {
	Coef      []float64
	Intercept float64
}

// ErrSingular says that a problem has no solution, for want of rows or because
// of values that are not finite.
var ErrSingular = errors.New("the linear model has no solution")

// blockRows is the number of rows whose products are summed in float32 before
// the sum goes on in float64.
const blockRows = 256

// Fit returns, for each strength of regularisation λ, the minimum of
//
//	Σ Slope_i |Y_i - X_i·β - b|  +  λ β²,   in the weights of the last round
//
// by iteratively reweighted least squares: each round solves
//
//	Σ w_i (Y_i - X_i·β - b)² + λ β²,   w_i = Slope_i² / max(|Slope_i r_i|, δ)
//
// with r the residuals of the round before, w scaled to mean 1 and δ the
// median error times squareShare, below which an error counts squared. All rounds but the last
// use the middle λ; the last solves for each. λ is in units of rows: a feature of
// variance 1 in n rows weighs n.
// Source: Holland and Welsch 1977; Hoerl and Kennard 1970 for the ridge.
func Fit(p Problem, lambdas []float64, rounds int) ([]Model, error) {
	f := fit{Problem: p, weight: make([]float32, p.Rows), gram: mat.NewSymDense(p.Cols+2, nil)}
	f.Slope = ofMeanOne(p.Slope)
	for i, s := range f.Slope {
		f.weight[i] = s * s
		if s > 0 {
			f.known++
		}
	}
	middle := lambdas[len(lambdas)/2]
	for range rounds - 1 {
		f.accumulate()
		m, err := f.solve(middle)
		if err != nil {
			return nil, err
		}
		f.reweigh(m)
	}
	f.accumulate()
	models := make([]Model, len(lambdas))
	for i, lambda := range lambdas {
		var err error
		if models[i], err = f.solve(lambda); err != nil {
			return nil, err
		}
	}
	return models, nil
}

// ofMeanOne returns the slopes in units of their mean, so that no square of one
// leaves float32.
func ofMeanOne(slopes []float32) []float32 {
	sum := 0.0
	for _, s := range slopes {
		sum += float64(s)
	}
	out := make([]float32, len(slopes))
	for i, s := range slopes {
		out[i] = float32(float64(s) * float64(len(slopes)) / max(sum, math.SmallestNonzeroFloat64))
	}
	return out
}

// fit is a problem with the state of its rounds.
type fit struct {
	Problem
	weight []float32
	known  int       // rows that count at all
	sorted []float32 // their errors, in reweigh
	// gram is ZᵀWZ for Z = [X 1 Y].
	gram          *mat.SymDense
	block, square []float32
}

// accumulate computes gram for the present weights.
func (f *fit) accumulate() {
	n := f.Cols + 2
	if f.block == nil {
		f.block, f.square = make([]float32, blockRows*n), make([]float32, n*n)
	}
	sum := f.gram.RawSymmetric().Data
	clear(sum)
	total := 0.0
	for _, w := range f.weight {
		total += float64(w)
	}
	scale := float32(float64(f.known) / max(total, math.SmallestNonzeroFloat64))
	for from := 0; from < f.Rows; from += blockRows {
		to := min(from+blockRows, f.Rows)
		for i := from; i < to; i++ {
			root := float32(math.Sqrt(float64(f.weight[i] * scale)))
			row := f.block[(i-from)*n:][:n]
			for j, v := range f.X[i*f.Cols:][:f.Cols] {
				row[j] = v * root
			}
			row[f.Cols], row[f.Cols+1] = root, f.Y[i]*root
		}
		kernel.Gemm(n, n, to-from, kernel.TransposeOf(f.block, n), kernel.Of(f.block, n), f.square, n, false)
		for i, v := range f.square {
			sum[i] += float64(v)
		}
	}
}

// solve returns the minimum for the present weights.
func (f *fit) solve(lambda float64) (Model, error) {
	n := f.Cols + 1
	a := mat.NewSymDense(n, nil)
	b := mat.NewVecDense(n, nil)
	for i := range n {
		for j := i; j < n; j++ {
			a.SetSym(i, j, f.gram.At(i, j))
		}
		b.SetVec(i, f.gram.At(i, n))
	}
	for i := range f.Cols {
		a.SetSym(i, i, a.At(i, i)+lambda)
	}
	var c mat.Cholesky
	if !c.Factorize(a) {
		return Model{}, ErrSingular
	}
	var x mat.VecDense
	if err := c.SolveVecTo(&x, b); err != nil && math.IsInf(c.Cond(), 1) {
		return Model{}, ErrSingular
	}
	m := Model{Coef: append([]float64(nil), x.RawVector().Data[:f.Cols]...), Intercept: x.AtVec(f.Cols)}
	return m, nil
}

// squareShare is the error below which an error counts squared, in units of the
// median error. Of normal errors it is 0.8 standard deviations: the fit then loses
// little of what small errors tell, and large ones still count no more than their
// size. The median, since a mean would follow the outliers that it is to tame.
const squareShare = 1.2

// reweigh sets the weights from the errors of m.
func (f *fit) reweigh(m Model) {
	f.sorted = f.sorted[:0]
	for i, s := range f.Slope {
		e := s * float32(math.Abs(float64(f.Y[i])-m.Predict(f.X[i*f.Cols:][:f.Cols])))
		f.weight[i] = e
		if s > 0 {
			f.sorted = append(f.sorted, e)
		}
	}
	slices.Sort(f.sorted)
	delta := float32(0)
	if n := len(f.sorted); n > 0 {
		delta = squareShare * f.sorted[n/2]
	}
	if !(delta > 1e-30) { // a perfect fit: nothing to weigh by
		delta = 1
	}
	for i, e := range f.weight {
		f.weight[i] = f.Slope[i] * f.Slope[i] / max(e, delta)
	}
}

// Predict returns the model's value for a row of X.
func (m Model) Predict(x []float32) float64 {
	sum := m.Intercept
	for j, v := range x {
		sum += float64(v) * m.Coef[j]
	}
	return sum
}
