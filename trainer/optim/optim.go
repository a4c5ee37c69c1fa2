// Package optim turns gradients into steps: Adam with decoupled weight decay,
// clipping by the gradient's norm, and a watch over the validation loss that
// halves the learning rate on a plateau and says when to stop.
//
// It sees flat vectors only and knows nothing of networks or data.
package optim

import (
	"errors"
	"fmt"
	"math"

	"github.com/forescale/forescale/trainer/kernel"
)

// ErrNotFinite says that a gradient held NaN or infinity. The parameters were
// left as they were; the caller should lower the learning rate.
var ErrNotFinite = errors.New("the gradient is not finite")

// Adam is the state of the optimiser. With g the gradient and t counting steps
// from 1:
//
//	m = β1 m + (1-β1) g
//	v = β2 v + (1-β2) g²
//	m̂ = m / (1-β1^t),  v̂ = v / (1-β2^t)
//	x = x - rate (m̂ / (√v̂ + ε) + decay x)
//
// Source: Kingma and Ba 2015; the decay is decoupled as in Loshchilov and Hutter
// 2019 and is 0 for plain Adam.
type Adam struct {
	Decay    float64 // of the parameters, relative to the rate
	ClipNorm float64 // gradients longer than this are shortened to it; 0: never
	m, v     []float32
	steps    int
}

// NewAdam returns an optimiser for n parameters.
func NewAdam(n int, decay, clipNorm float64) *Adam {
	return &Adam{Decay: decay, ClipNorm: clipNorm, m: make([]float32, n), v: make([]float32, n)}
}

// Step moves x against the gradient. It returns the gradient's norm before
// clipping, or ErrNotFinite, having changed nothing.
func (a *Adam) Step(x, gradient []float32, rate float64) (norm float64, err error) {
	u, err := a.Begin(kernel.SumSquares(gradient), rate)
	if err == nil {
		u.Apply(x, gradient, 0, len(x))
	}
	return u.Norm, err
}

// State is what an optimiser knows between two steps, for a checkpoint.
type State struct {
	M, V  []float32
	Steps int
}

// State returns the optimiser's state; the slices are its own.
func (a *Adam) State() State { return State{a.m, a.v, a.steps} }

// Restore takes over the state of an optimiser for as many parameters.
func (a *Adam) Restore(s State) error {
	if len(s.M) != len(a.m) || len(s.V) != len(a.v) || s.Steps < 0 {
		return fmt.Errorf("the state is for %d parameters, the optimiser has %d", len(s.M), len(a.m))
	}
	copy(a.m, s.M)
	copy(a.v, s.V)
	a.steps = s.Steps
	return nil
}

// Update is a step that has begun: all that depends on the whole gradient is
// known, and each part of the parameters may now be moved on its own.
type Update struct {
	Norm                      float64 // of the gradient before clipping
	adam                      *Adam
	clip, scale, root, shrink float32
}

// Begin counts a step with a gradient of which the sum of the squares is given.
// With ErrNotFinite nothing has changed; otherwise the caller applies the update
// to all parameters, in parts that do not overlap, before the next step begins.
func (a *Adam) Begin(squares, rate float64) (Update, error) {
	u := Update{Norm: math.Sqrt(squares), adam: a, clip: 1}
	if math.IsNaN(u.Norm) || math.IsInf(u.Norm, 0) {
		return u, ErrNotFinite
	}
	if a.ClipNorm > 0 && u.Norm > a.ClipNorm {
		u.clip = float32(a.ClipNorm / u.Norm)
	}
	a.steps++
	u.scale = float32(rate / (1 - math.Pow(kernel.Beta1, float64(a.steps))))
	u.root = float32(1 / math.Sqrt(1-math.Pow(kernel.Beta2, float64(a.steps))))
	u.shrink = float32(rate * a.Decay)
	return u, nil
}

// Apply moves the parameters [from, to) of x. Parts that do not overlap may be
// applied at the same time.
func (u Update) Apply(x, gradient []float32, from, to int) {
	kernel.Adam(x[from:to], u.adam.m[from:to], u.adam.v[from:to], gradient[from:to], u.clip, u.scale, u.root, u.shrink)
}

// Watch follows the validation loss over the epochs: it keeps the best, halves
// the rate after Plateau epochs without an improvement, and gives up after
// Patience such epochs.
type Watch struct {
	Rate     float64 // present learning rate
	Plateau  int     // epochs without improvement before the rate is halved; 0: never
	Patience int     // epochs without improvement before training stops; 0: never

	Best  float64 // best loss so far; meaningful once Epoch is positive
	Epoch int     // epoch of Best, counted from 1
	Seen  int     // epochs observed
	Stale int     // since the best or the last halving
}

// Observe takes the loss of the next epoch. It reports whether it is the best so
// far, so that the caller keeps the parameters, and whether to stop. A loss that
// is not finite is never the best.
func (w *Watch) Observe(loss float64) (best, stop bool) {
	w.Seen++
	if math.Abs(loss) <= math.MaxFloat64 && (w.Epoch == 0 || loss < w.Best) {
		w.Best, w.Epoch, w.Stale = loss, w.Seen, 0
		return true, false
	}
	w.Stale++
	if w.Plateau > 0 && w.Stale >= w.Plateau {
		w.Rate, w.Stale = w.Rate/2, 0
	}
	return false, w.Patience > 0 && w.Seen-w.Epoch >= w.Patience
}

// OneCycle returns the factor on the learning rate at a fraction of training in
// [0, 1]: it rises in a line over the first tenth and then falls to zero along a
// cosine.
// Source: the one-cycle policy of Smith and Topin 2018, without its momentum part.
func OneCycle(done float64) float64 {
	const rise = 0.1
	if done < rise {
		return 0.05 + 0.95*done/rise
	}
	return 0.5 + 0.5*math.Cos(math.Pi*min(1, (done-rise)/(1-rise)))
}
