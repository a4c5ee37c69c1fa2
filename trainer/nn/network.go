package nn

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/forescale/forescale/trainer/autodiff"
)

// Network is a stack of LSTM layers with a head of two dense layers on the last
// hidden state and the features:
//
//	h_1 = LSTM(x), h_l = LSTM(dropout(h_(l-1)))
//	v = [last step of h_L, features]  (with Attention: the steps of h_L, pooled)
//	y = dropout(relu(v W1 + b1)) W2 + b2  (+ v W3 with Linear)
type Network struct {
	Lookback int // steps of x
	Channels int // columns of x
	Features int // columns of the features; 0: none
	Horizon  int // columns of y

	Layers  int // LSTM layers
	Hidden  int // units of each LSTM layer
	Head    int // units of the first dense layer
	Dropout float64
	// Attention pools all hidden states of the last layer, as autodiff.Attention
	// does, in place of taking the last one.
	Attention bool
	// Linear adds a linear path past the first dense layer.
	Linear bool
	// ZeroOutput starts W2, b2 and W3 at zero, so that y starts at zero: a network
	// that models a change then starts from "no change".
	ZeroOutput bool
}

// Validate returns every fault of the network's sizes at once.
func (n Network) Validate() error {
	var faults []error
	positive := func(name string, v int) {
		if v < 1 {
			faults = append(faults, fmt.Errorf("network: %s is %d, must be positive", name, v))
		}
	}
	positive("lookback", n.Lookback)
	positive("channels", n.Channels)
	positive("horizon", n.Horizon)
	positive("layers", n.Layers)
	positive("hidden", n.Hidden)
	positive("head", n.Head)
	if n.Features < 0 {
		faults = append(faults, fmt.Errorf("network: features is %d, must not be negative", n.Features))
	}
	if !(n.Dropout >= 0 && n.Dropout < 1) {
		faults = append(faults, fmt.Errorf("network: dropout is %v, must be in [0, 1)", n.Dropout))
	}
	return errors.Join(faults...)
}

// Param is a matrix inside the flat parameter vector.
type Param struct {
	Name       string // unique within the network
	Rows, Cols int
	Offset     int // of its first element in the flat vector
	bound      float64
	forget     int // units of the LSTM whose bias this is; 0: something else
}

// Len returns the number of elements.
func (p Param) Len() int { return p.Rows * p.Cols }

// Params returns the layout of the flat parameter vector, in the order of the
// forward pass: for each LSTM layer w [C, 4H], r [H, 4H] and b [1, 4H]; with
// Attention v [H, 1]; for the head W1 [H+F, D], b1, W2 [D, horizon], b2 and with Linear W3 [H+F, horizon].
func (n Network) Params() []Param {
	var params []Param
	offset := 0
	add := func(name string, rows, cols int, bound float64) *Param {
		params = append(params, Param{Name: name, Rows: rows, Cols: cols, Offset: offset, bound: bound})
		offset += rows * cols
		return &params[len(params)-1]
	}
	in := n.Channels
	for l := range n.Layers {
		bound := 1 / math.Sqrt(float64(n.Hidden))
		add(fmt.Sprintf("lstm%d.w", l), in, 4*n.Hidden, bound)
		add(fmt.Sprintf("lstm%d.r", l), n.Hidden, 4*n.Hidden, bound)
		add(fmt.Sprintf("lstm%d.b", l), 1, 4*n.Hidden, bound).forget = n.Hidden
		in = n.Hidden
	}
	if n.Attention {
		add("attention.v", n.Hidden, 1, 1/math.Sqrt(float64(n.Hidden)))
	}
	in += n.Features
	bound1, bound2 := 1/math.Sqrt(float64(in)), 1/math.Sqrt(float64(n.Head))
	if n.ZeroOutput {
		bound2 = 0
	}
	add("head.w1", in, n.Head, bound1)
	add("head.b1", 1, n.Head, bound1)
	add("head.w2", n.Head, n.Horizon, bound2)
	add("head.b2", 1, n.Horizon, bound2)
	if n.Linear {
		add("head.w3", in, n.Horizon, 0)
	}
	return params
}

// Size returns the length of the flat parameter vector.
func (n Network) Size() int {
	params := n.Params()
	last := params[len(params)-1]
	return last.Offset + last.Len()
}

// Init returns the starting parameters for a seed: uniform in ±1/√units, as
// PyTorch starts its layers, but with the bias of every forget gate at 1, so
// that a layer remembers before it has learned what to forget.
// Source: Jozefowicz, Zaremba and Sutskever 2015 for the forget gate.
func (n Network) Init(seed uint64) []float32 {
	rng := rand.New(rand.NewPCG(seed, 0x6f7265736361_6c65))
	flat := make([]float32, n.Size())
	for _, p := range n.Params() {
		values := flat[p.Offset : p.Offset+p.Len()]
		for i := range values {
			values[i] = float32((2*rng.Float64() - 1) * p.bound)
		}
		if h := p.forget; h > 0 { // gates are i, o, f, g
			for i := 2 * h; i < 3*h; i++ {
				values[i] = 1
			}
		}
	}
	return flat
}

// Forward returns y [B, Horizon] for x [Lookback*B, Channels], time-major, and
// features [B, Features] (nil when the network has none). Gradients go to the
// vector grad, laid out as flat is; nil asks for none.
func Forward[T autodiff.Float](t *autodiff.Tape[T], n *Network, flat, grad []T, x, features *autodiff.Node[T]) *autodiff.Node[T] {
	p := cursor[T]{t, flat, grad}
	h, in := x, n.Channels
	for l := range n.Layers {
		if l > 0 {
			h = autodiff.Dropout(t, h, n.Dropout)
		}
		w, r, b := p.next(in, 4*n.Hidden), p.next(n.Hidden, 4*n.Hidden), p.next(1, 4*n.Hidden)
		h, in = autodiff.LSTM(t, h, w, r, b, n.Lookback), n.Hidden
	}
	batch := x.Rows / n.Lookback
	var v *autodiff.Node[T]
	if n.Attention {
		v = autodiff.Attention(t, h, p.next(in, 1), n.Lookback)
	} else {
		v = autodiff.Rows(t, h, h.Rows-batch, h.Rows)
	}
	if n.Features > 0 {
		v = autodiff.Concat(t, v, features)
	}
	w1, b1, w2, b2 := p.next(v.Cols, n.Head), p.next(1, n.Head), p.next(n.Head, n.Horizon), p.next(1, n.Horizon)
	a := autodiff.Dropout(t, autodiff.DenseReLU(t, v, w1, b1), n.Dropout)
	y := autodiff.Dense(t, a, w2, b2)
	if n.Linear {
		y = autodiff.Add(t, y, autodiff.Dense(t, v, p.next(v.Cols, n.Horizon), nil))
	}
	return y
}

// cursor cuts parameters off flat vectors in the order of Params. It asks Forward
// for their sizes, so that a forward pass builds no list of names.
type cursor[T autodiff.Float] struct {
	tape       *autodiff.Tape[T]
	flat, grad []T // what is left of them; grad may be nil
}

func (c *cursor[T]) next(rows, cols int) *autodiff.Node[T] {
	n := rows * cols
	var grad []T
	if c.grad != nil {
		grad, c.grad = c.grad[:n], c.grad[n:]
	}
	p := c.tape.Param(rows, cols, c.flat, grad)
	c.flat = c.flat[n:]
	return p
}
