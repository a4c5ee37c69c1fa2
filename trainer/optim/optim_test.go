package optim

import (
	"errors"
	"math"
	"testing"
)

func TestAdamEqualsItsEquations(t *testing.T) {
	a := NewAdam(1, 0.1, 0)
	x := []float32{2}
	want, m, v := 2.0, 0.0, 0.0
	for step, g := range []float64{0.5, -1, 3} {
		if _, err := a.Step(x, []float32{float32(g)}, 0.01); err != nil {
			t.Fatal(err)
		}
		m, v = 0.9*m+0.1*g, 0.999*v+0.001*g*g
		mHat, vHat := m/(1-math.Pow(0.9, float64(step+1))), v/(1-math.Pow(0.999, float64(step+1)))
		want -= 0.01 * (mHat/(math.Sqrt(vHat)+1e-8) + 0.1*want)
		if math.Abs(float64(x[0])-want) > 1e-6 {
			t.Errorf("step %d: %v, want %v", step, x[0], want)
		}
	}
}

func TestAdamFindsTheMinimumOfAParabola(t *testing.T) {
	a, x := NewAdam(2, 0, 1), []float32{5, -3}
	for range 3000 {
		if _, err := a.Step(x, []float32{2 * (x[0] - 1), 20 * (x[1] - 2)}, 0.01); err != nil {
			t.Fatal(err)
		}
	}
	if math.Abs(float64(x[0])-1) > 1e-2 || math.Abs(float64(x[1])-2) > 1e-2 {
		t.Errorf("found %v, want [1 2]", x)
	}
}

func TestClippingShortensTheGradient(t *testing.T) {
	// The first step of Adam has the size of the rate whatever the gradient's
	// length, so the second shows the clipping.
	clipped, scaled := NewAdam(2, 0, 1), NewAdam(2, 0, 0)
	x, y := []float32{0, 0}, []float32{0, 0}
	for _, g := range [][]float32{{0.3, 0.4}, {30, 40}} {
		norm, err := clipped.Step(x, g, 0.1)
		if err != nil {
			t.Fatal(err)
		}
		f := float32(1 / max(1, norm))
		if _, err := scaled.Step(y, []float32{g[0] * f, g[1] * f}, 0.1); err != nil {
			t.Fatal(err)
		}
	}
	if math.Abs(float64(x[0]-y[0])) > 1e-6 || math.Abs(float64(x[1]-y[1])) > 1e-6 {
		t.Errorf("clipping gives %v, scaling by hand %v", x, y)
	}
}

func TestAGradientThatIsNotFiniteChangesNothing(t *testing.T) {
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
		a, x := NewAdam(2, 0, 1), []float32{1, 2}
		if _, err := a.Step(x, []float32{0, bad}, 0.1); !errors.Is(err, ErrNotFinite) {
			t.Errorf("error %v, want ErrNotFinite", err)
		}
		if x[0] != 1 || x[1] != 2 || a.steps != 0 || a.m[0] != 0 {
			t.Errorf("the step was taken: %v %+v", x, a)
		}
	}
}

func TestWatch(t *testing.T) {
	w := Watch{Rate: 1, Plateau: 2, Patience: 5}
	for i, c := range []struct {
		loss       float64
		best, stop bool
		rate       float64
	}{
		{math.Inf(1), false, false, 1},
		{3, true, false, 1},
		{2, true, false, 1},
		{2, false, false, 1}, // equal is no improvement
		{2.5, false, false, 0.5},
		{1, true, false, 0.5},
		{2, false, false, 0.5},
		{2, false, false, 0.25},
		{math.NaN(), false, false, 0.25},
		{2, false, false, 0.125},
		{2, false, true, 0.125},
	} {
		best, stop := w.Observe(c.loss)
		if best != c.best || stop != c.stop || w.Rate != c.rate {
			t.Errorf("epoch %d, loss %v: best %v, stop %v, rate %v; want %+v", i+1, c.loss, best, stop, w.Rate, c)
		}
	}
	if w.Best != 1 || w.Epoch != 6 {
		t.Errorf("best %v at epoch %d, want 1 at 6", w.Best, w.Epoch)
	}
}
