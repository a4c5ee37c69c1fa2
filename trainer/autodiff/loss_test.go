package autodiff

import (
	"math"
	"testing"
)

func TestLossesOfOneElement(t *testing.T) {
	type tape = Tape[float64]
	type node = Node[float64]
	pinball := func(t *tape, y *node, target, weight []float64) *node { return Pinball(t, y, target, weight, 0.9) }
	huber := func(t *tape, y *node, target, weight []float64) *node { return Huber(t, y, target, weight, 2) }
	for _, c := range []struct {
		name       string
		loss       func(t *tape, y *node, target, weight []float64) *node
		y, target  float64
		want, grad float64 // at weight 3
	}{
		{"squared: the error's square", Squared[float64], 5, 3, 12, 12},
		{"absolute: the error's size", Absolute[float64], 3, 5, 6, -3},
		{"absolute: no slope where there is no error", Absolute[float64], 5, 5, 0, 0},
		{"pinball at 0.9: too low by 2 costs 1.8", pinball, 3, 5, 5.4, -2.7},
		{"pinball at 0.9: too high by 2 costs 0.2", pinball, 5, 3, 0.6, 0.3},
		{"pinball: no slope where there is no error", pinball, 5, 5, 0, 0},
		{"huber: half the square of a small error", huber, 4, 3, 1.5, 3},
		{"huber: both forms meet at delta", huber, 5, 3, 6, 6},
		{"huber: a large error counts in proportion", huber, 13, 3, 54, 6},
		{"huber: and so does a large one downwards", huber, -7, 3, 54, -6},
	} {
		t.Run(c.name, func(t *testing.T) {
			grad := []float64{0}
			var tape tape
			y := tape.Param(1, 1, []float64{c.y}, grad)
			l := c.loss(&tape, y, []float64{c.target}, []float64{3})
			tape.Backward(l)
			if math.Abs(l.Value[0]-c.want) > 1e-12 || math.Abs(grad[0]-c.grad) > 1e-12 {
				t.Errorf("loss %v with gradient %v, want %v and %v", l.Value[0], grad[0], c.want, c.grad)
			}
		})
	}
}

func TestEveryLossOfANaNForecastIsNaN(t *testing.T) {
	nan, one := []float32{float32(math.NaN())}, []float32{1}
	var tape Tape[float32]
	y := tape.Param(1, 1, nan, nil)
	for name, l := range map[string]*Node[float32]{
		"squared": Squared(&tape, y, one, one), "absolute": Absolute(&tape, y, one, one),
		"huber": Huber(&tape, y, one, one, 1), "pinball": Pinball(&tape, y, one, one, 0.5),
	} {
		if v := l.Value[0]; v == v {
			t.Errorf("%s: %v, want NaN: a broken network must be noticed", name, v)
		}
	}
}

func TestThePinballLossIsLeastAtTheQuantile(t *testing.T) {
	const n, level = 1000, 0.9
	target, weight, y := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range target {
		target[i], weight[i] = float64(i), 1
	}
	var tape Tape[float64]
	best, at := math.Inf(1), 0.0
	for v := 0.5; v < n; v += 10 {
		for i := range y {
			y[i] = v
		}
		tape.Reset(0, false)
		if l := Pinball(&tape, tape.Param(1, n, y, nil), target, weight, level).Value[0]; l < best {
			best, at = l, v
		}
	}
	if math.Abs(at-level*n) > 5 {
		t.Errorf("least at %v, want %v", at, level*n)
	}
}

func TestAttention(t *testing.T) {
	// Two steps, two batch elements, one unit; weights worked out by hand.
	var tape Tape[float64]
	h := tape.Param(4, 1, []float64{1, 0.5, -1, 0.5}, nil)
	y := Attention(&tape, h, tape.Param(1, 1, []float64{2}, nil), 2)
	a := 1 / (1 + math.Exp(-4)) // of 1 against -1, scores 2 and -2
	if want := a - (1 - a); math.Abs(y.Value[0]-want) > 1e-15 || y.Value[1] != 0.5 {
		t.Errorf("pooled to %v, want [%v 0.5]", y.Value, want)
	}
	// A score that no exponential function can hold.
	y = Attention(&tape, h, tape.Param(1, 1, []float64{1e6}, nil), 2)
	if y.Value[0] != 1 || y.Value[1] != 0.5 {
		t.Errorf("pooled to %v, want [1 0.5]", y.Value)
	}
}
