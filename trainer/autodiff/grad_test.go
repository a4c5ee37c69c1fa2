package autodiff

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// program builds a scalar from parameters.
type program func(t *Tape[float64], p []*Node[float64]) *Node[float64]

// checkGradients compares the tape's gradient of every element of every
// parameter with central differences, in float64.
func checkGradients(t *testing.T, shapes [][2]int, f program) {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 11))
	values, grads := make([][]float64, len(shapes)), make([][]float64, len(shapes))
	for i, s := range shapes {
		values[i], grads[i] = make([]float64, s[0]*s[1]), make([]float64, s[0]*s[1])
		for j := range values[i] {
			values[i][j] = rng.NormFloat64()
		}
	}
	var tape Tape[float64]
	run := func(withGrad bool) *Node[float64] {
		tape.Reset(5, true)
		var params []*Node[float64]
		for i, s := range shapes {
			g := grads[i]
			if !withGrad {
				g = nil
			}
			params = append(params, tape.Param(s[0], s[1], values[i], g))
		}
		return f(&tape, params)
	}
	tape.Backward(run(true)) // gives the tape its memory, which is now poisoned:
	tape.Reset(0, false)     // what is read before it is written shows
	for i := range tape.arena.block {
		tape.arena.block[i] = math.NaN()
	}
	for _, g := range grads {
		clear(g)
	}
	tape.Backward(run(true))
	const step = 1e-5
	largest := 0.0
	for i := range values {
		for j, v := range values[i] {
			values[i][j] = v + step
			up := run(false).Value[0]
			values[i][j] = v - step
			down := run(false).Value[0]
			values[i][j] = v
			want, got := (up-down)/(2*step), grads[i][j]
			largest = max(largest, math.Abs(want))
			if math.Abs(got-want) > 1e-7*max(1, math.Abs(want)) {
				t.Errorf("parameter %d element %d: gradient %.10g, central difference %.10g", i, j, got, want)
			}
		}
	}
	if largest < 1e-3 {
		t.Errorf("the largest gradient is %g: this checks nothing", largest)
	}
}

// weighted reduces a node to a scalar in which every element counts differently.
func weighted(t *Tape[float64], y *Node[float64]) *Node[float64] {
	target, weight := make([]float64, len(y.Value)), make([]float64, len(y.Value))
	for i := range target {
		target[i], weight[i] = math.Sin(float64(i)), 0.5+math.Cos(float64(3*i))
	}
	return Squared(t, y, target, weight)
}

func TestGradientsEqualCentralDifferences(t *testing.T) {
	type nodes = []*Node[float64]
	type tape = *Tape[float64]
	const T, B, C, H = 4, 3, 2, 5
	cases := []struct {
		name   string
		shapes [][2]int
		f      program
	}{
		{"dense", [][2]int{{3, 4}, {4, 2}, {1, 2}}, func(t tape, p nodes) *Node[float64] { return weighted(t, Dense(t, p[0], p[1], p[2])) }},
		{"dense without a bias", [][2]int{{3, 4}, {4, 2}}, func(t tape, p nodes) *Node[float64] { return weighted(t, Dense(t, p[0], p[1], nil)) }},
		{"relu", [][2]int{{5, 7}}, func(t tape, p nodes) *Node[float64] { return weighted(t, ReLU(t, p[0])) }},
		{"add", [][2]int{{3, 4}, {3, 4}}, func(t tape, p nodes) *Node[float64] { return weighted(t, Add(t, p[0], p[1])) }},
		{"add of a node to itself", [][2]int{{3, 4}}, func(t tape, p nodes) *Node[float64] { return weighted(t, Add(t, p[0], p[0])) }},
		{"concat", [][2]int{{3, 4}, {3, 1}, {3, 2}}, func(t tape, p nodes) *Node[float64] { return weighted(t, Concat(t, p...)) }},
		{"rows", [][2]int{{6, 2}}, func(t tape, p nodes) *Node[float64] { return weighted(t, Rows(t, p[0], 2, 5)) }},
		{"dropout", [][2]int{{6, 5}}, func(t tape, p nodes) *Node[float64] { return weighted(t, Dropout(t, p[0], 0.4)) }},
		{"squared loss", [][2]int{{2, 3}}, func(t tape, p nodes) *Node[float64] {
			return Squared(t, p[0], []float64{1, 2, math.NaN(), 0, .5, -1}, []float64{1, 2, 0, .1, 3, 1})
		}},
		{"absolute loss", [][2]int{{2, 3}}, func(t tape, p nodes) *Node[float64] {
			return Absolute(t, p[0], []float64{1, 2, math.NaN(), 0, .5, -1}, []float64{1, 2, 0, .1, 3, 1})
		}},
		{"huber loss", [][2]int{{2, 3}}, func(t tape, p nodes) *Node[float64] {
			return Huber(t, p[0], []float64{1, 2, math.NaN(), 0, 9, -9}, []float64{1, 2, 0, .1, 3, 1}, .8)
		}},
		{"pinball loss", [][2]int{{2, 3}}, func(t tape, p nodes) *Node[float64] {
			return Pinball(t, p[0], []float64{1, 2, math.NaN(), 0, 9, -9}, []float64{1, 2, 0, .1, 3, 1}, .9)
		}},
		{"dense with relu", [][2]int{{3, 4}, {4, 2}, {1, 2}}, func(t tape, p nodes) *Node[float64] {
			return weighted(t, DenseReLU(t, p[0], p[1], p[2]))
		}},
		{"attention", [][2]int{{T * B, H}, {H, 1}}, func(t tape, p nodes) *Node[float64] {
			return weighted(t, Attention(t, p[0], p[1], T))
		}},
		{"attention over one step", [][2]int{{B, H}, {H, 1}}, func(t tape, p nodes) *Node[float64] {
			return Add(t, weighted(t, Attention(t, p[0], p[1], 1)), weighted(t, p[1]))
		}},
		{"a node that is used twice, as itself and by rows", [][2]int{{4, 3}, {3, 2}}, func(t tape, p nodes) *Node[float64] {
			h := Dense(t, p[0], p[1], nil)
			return Add(t, weighted(t, Add(t, Rows(t, h, 0, 2), Rows(t, h, 1, 3))), weighted(t, ReLU(t, h)))
		}},
		{"a result that leads nowhere", [][2]int{{4, 3}, {3, 2}}, func(t tape, p nodes) *Node[float64] {
			h := Dense(t, p[0], p[1], nil)
			ReLU(t, Dropout(t, h, 0.5))
			return weighted(t, h)
		}},
		{"lstm over more rows than are gathered for a weight's gradient", [][2]int{{9 * 40, 1}, {1, 4}, {1, 4}, {1, 4}}, func(t tape, p nodes) *Node[float64] {
			return weighted(t, LSTM(t, p[0], p[1], p[2], p[3], 9))
		}},
		{"lstm, its input included", [][2]int{{T * B, C}, {C, 4 * H}, {H, 4 * H}, {1, 4 * H}}, func(t tape, p nodes) *Node[float64] {
			return weighted(t, LSTM(t, p[0], p[1], p[2], p[3], T))
		}},
		{"lstm of one step", [][2]int{{B, C}, {C, 4 * H}, {H, 4 * H}, {1, 4 * H}}, func(t tape, p nodes) *Node[float64] {
			return weighted(t, LSTM(t, p[0], p[1], p[2], p[3], 1))
		}},
		{"two lstm layers of which only the last state counts", [][2]int{{T * B, C}, {C, 4 * H}, {H, 4 * H}, {1, 4 * H}, {H, 8}, {2, 8}, {1, 8}}, func(t tape, p nodes) *Node[float64] {
			h := LSTM(t, p[0], p[1], p[2], p[3], T)
			h = LSTM(t, Dropout(t, h, 0.2), p[4], p[5], p[6], T)
			return weighted(t, Rows(t, h, (T-1)*B, T*B))
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { checkGradients(t, c.shapes, c.f) })
	}
}

func TestLSTMEqualsItsEquations(t *testing.T) {
	// One unit, one input, two steps, worked out by hand from the equations.
	sig := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	w, r, b := []float64{.1, .2, .3, .4}, []float64{.5, -.6, .7, -.8}, []float64{.01, .02, .03, .04}
	x := []float64{1.5, -2}
	h, c := 0.0, 0.0
	var want []float64
	for _, v := range x {
		i, o, f := sig(w[0]*v+r[0]*h+b[0]), sig(w[1]*v+r[1]*h+b[1]), sig(w[2]*v+r[2]*h+b[2])
		g := math.Tanh(w[3]*v + r[3]*h + b[3])
		c = f*c + i*g
		h = o * math.Tanh(c)
		want = append(want, h)
	}
	var tape Tape[float64]
	p := func(rows, cols int, v []float64) *Node[float64] { return tape.Param(rows, cols, v, nil) }
	got := LSTM(&tape, p(2, 1, x), p(1, 4, w), p(1, 4, r), p(1, 4, b), 2)
	for i := range want {
		if math.Abs(got.Value[i]-want[i]) > 1e-15 {
			t.Errorf("state %d is %v, want %v", i, got.Value[i], want[i])
		}
	}
}

func TestLSTMStaysFiniteAtExtremeInputs(t *testing.T) {
	for _, v := range []float32{math.MaxFloat32, -math.MaxFloat32, 1e10, -1e10} {
		var tape Tape[float32]
		x := tape.Input(3, 1)
		for i := range x.Value {
			x.Value[i] = v
		}
		w := tape.Param(1, 4, []float32{.5, -.5, .25, 1}, nil)
		r := tape.Param(1, 4, []float32{1, 1, 1, 1}, nil)
		h := LSTM(&tape, x, w, r, tape.Input(1, 4), 3)
		for _, y := range h.Value {
			if !(y >= -1 && y <= 1) {
				t.Errorf("input %g gives state %g", v, y)
			}
		}
	}
}

func TestDropout(t *testing.T) {
	draw := func(key uint64, training bool) []float64 {
		var tape Tape[float64]
		tape.Reset(key, training)
		x := tape.Input(100, 100)
		for i := range x.Value {
			x.Value[i] = 1
		}
		first := Dropout(&tape, x, 0.2)
		if second := Dropout(&tape, x, 0.2); training && fmt.Sprint(first.Value) == fmt.Sprint(second.Value) {
			t.Error("two dropouts of one tape drop the same elements")
		}
		return first.Value
	}
	zeros, sum := 0, 0.0
	for _, v := range draw(1, true) {
		if v == 0 {
			zeros++
		}
		sum += v
	}
	if math.Abs(float64(zeros)-2000) > 200 || math.Abs(sum-10000) > 250 {
		t.Errorf("dropped %d of 10000 at p = 0.2, mean %g", zeros, sum/10000)
	}
	if again := fmt.Sprint(draw(1, true)); again != fmt.Sprint(draw(1, true)) {
		t.Error("the same key gives different numbers")
	}
	if fmt.Sprint(draw(1, true)) == fmt.Sprint(draw(2, true)) {
		t.Error("different keys give the same numbers")
	}
	for _, v := range draw(1, false) {
		if v != 1 {
			t.Fatal("dropout changes values outside of training")
		}
	}
}

func TestTapeReusesItsMemory(t *testing.T) {
	const T, B, C, H = 8, 16, 4, 32
	value, grad := make([]float32, C*4*H+H*4*H+4*H), make([]float32, C*4*H+H*4*H+4*H)
	zeros, ones := make([]float32, B*3), make([]float32, B*3)
	for i := range ones {
		ones[i] = 1
	}
	var tape Tape[float32]
	step := func() {
		tape.Reset(1, true)
		w := tape.Param(C, 4*H, value, grad)
		r := tape.Param(H, 4*H, value[C*4*H:], grad[C*4*H:])
		b := tape.Param(1, 4*H, value[C*4*H+H*4*H:], grad[C*4*H+H*4*H:])
		v, u := tape.Param(H, 1, value, grad), tape.Param(2*H, 3, value, grad)
		h := LSTM(&tape, tape.Input(T*B, C), w, r, b, T)
		h = Dropout(&tape, h, 0.2)
		y := DenseReLU(&tape, Concat(&tape, Attention(&tape, h, v, T), Rows(&tape, h, 0, B)), u, nil)
		tape.Backward(Pinball(&tape, Add(&tape, ReLU(&tape, y), y), zeros, ones, 0.9))
	}
	step()
	step()
	size := len(tape.arena.block)
	step()
	if len(tape.arena.block) != size || tape.arena.asked > size {
		t.Errorf("the arena grew from %d to %d", size, tape.arena.asked)
	}
	if n := testing.AllocsPerRun(10, step); n > 0 {
		t.Errorf("%v allocations a step, want none", n)
	}
}
