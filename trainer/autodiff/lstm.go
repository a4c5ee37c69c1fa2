package autodiff

import "github.com/forescale/forescale/trainer/kernel"

// LSTM returns the hidden states h [T*B, H] of a long short-term memory layer
// over all steps of x [T*B, C], time-major, started from zero states.
// With w [C, 4H], r [H, 4H] and b [1, 4H], whose columns hold the gates in the
// order i, o, f, g (that of the ONNX operator, which calls the last one c):
//
//	z_t = x_t w + h_(t-1) r + b
//	i, o, f = sigmoid(z_i, z_o, z_f),  g = tanh(z_g)
//	c_t = f c_(t-1) + i g
//	h_t = o tanh(c_t)
//
// and backwards, from the last step to the first:
//
//	dh_t += dz_(t+1) rᵀ
//	dc_t = dh_t o (1 - tanh²(c_t)) + dc_(t+1) f_(t+1)
//	dz_o = dh_t tanh(c_t) o (1-o)
//	dz_i = dc_t g i (1-i),  dz_f = dc_t c_(t-1) f (1-f),  dz_g = dc_t i (1-g²)
//
// then over all steps at once:
//
//	dx = dz wᵀ,  dw = xᵀ dz,  dr = (h one step earlier)ᵀ dz,  db = sum of dz
//
// Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al.
// 2000; the equations are those of the ONNX operator LSTM without peepholes.
func LSTM[T Float](t *Tape[T], x, w, r, b *Node[T], steps int) *Node[T] {
	H := r.Rows
	if x.Rows%steps != 0 || w.Rows != x.Cols || w.Cols != 4*H || r.Cols != 4*H || b.Cols != 4*H {
		panic("autodiff: LSTM: shapes do not fit")
	}
	l := operationOf[lstm[T]](t)
	l.steps, l.batch, l.hidden = steps, x.Rows/steps, H
	l.tape, l.x, l.w, l.r, l.b = t, x, w, r, b
	l.h = t.result(x.Rows, H, x, w, r, b)
	l.z = t.arena.alloc(x.Rows * 4 * H)
	l.c = t.arena.alloc(x.Rows * H)
	l.tanhC = t.arena.alloc(x.Rows * H)
	l.forward()
	if l.h.Grad != nil {
		l.dc = t.arena.alloc(l.batch * H)
	}
	t.record(l.h, l)
	return l.h
}

// lstm is what an LSTM layer remembers between its forward and its backward
// half. z holds the gates after the forward half and dz after the backward one.
type lstm[T Float] struct {
	steps, batch, hidden int
	x, w, r, b, h        *Node[T]
	z                    []T // [T*B, 4H]
	c, tanhC             []T // [T*B, H]
	dc                   []T // [B, H]

	tape             *Tape[T]
	packedW, packedR kernel.Packed[T] // for weights that are not shared
}

// forward works through the steps one by one, the input's product included, so
// that a step's part of z is still in the cache when it is next needed.
func (l *lstm[T]) forward() {
	B, H, G, C := l.batch, l.hidden, 4*l.hidden, l.x.Cols
	w := l.tape.packed(&l.packedW, l.w, C, G, kernel.Of(l.w.Value, G))
	r := l.tape.packed(&l.packedR, l.r, H, G, kernel.Of(l.r.Value, G))
	for s := range l.steps {
		at := s * B
		z := l.z[at*G : (at+B)*G]
		kernel.GemmBias(B, kernel.Of(l.x.Value[at*C:], C), w, l.b.Value, z, G)
		if s > 0 {
			kernel.GemmPacked(B, kernel.Of(l.h.Value[(at-B)*H:], H), r, z, G, true)
		}
		for row := at; row < at+B; row++ {
			kernel.CellForward(l.z[row*G:][:G], l.before(row), l.c[row*H:][:H], l.tanhC[row*H:][:H], l.h.Value[row*H:][:H])
		}
	}
}

func (l *lstm[T]) backward() {
	B, H, G, C := l.batch, l.hidden, 4*l.hidden, l.x.Cols
	r := l.tape.packed(&l.packedR, l.r, G, H, kernel.TransposeOf(l.r.Value, G))
	var w *kernel.Packed[T]
	accumulate := false
	if l.x.Grad != nil {
		w = l.tape.packed(&l.packedW, l.w, G, C, kernel.TransposeOf(l.w.Value, G))
		accumulate = l.x.begin()
	}
	clear(l.dc)
	dh := l.h.Grad
	last := l.steps // the end of the steps whose dz is not yet in dw, dr and db
	for s := l.steps - 1; s >= 0; s-- {
		at := s * B
		for row := at; row < at+B; row++ {
			kernel.CellBackward(l.z[row*G:][:G], l.before(row), l.tanhC[row*H:][:H], dh[row*H:][:H], l.dc[(row-at)*H:][:H])
		}
		dz := kernel.Of(l.z[at*G:], G)
		if l.x.Grad != nil {
			kernel.GemmPacked(B, dz, w, l.x.Grad[at*C:], C, accumulate)
		}
		if s > 0 {
			kernel.GemmPacked(B, dz, r, dh[(at-B)*H:], H, true)
		}
		if s <= 1 || (last-s)*B >= blockRows { // the first step has no part in dr
			l.weightGradients(s, last)
			last = s
		}
	}
}

// blockRows is how many rows of dz are gathered before they go to the gradients
// of the weights: few enough to be in the cache still, and many enough to be
// worth reading and writing these gradients once more.
const blockRows = 256

// weightGradients adds the part of steps [from, to) to dw, dr and db. Before the
// first step the states are zero, so that it adds nothing to dr: it comes alone.
func (l *lstm[T]) weightGradients(from, to int) {
	B, H, G, C := l.batch, l.hidden, 4*l.hidden, l.x.Cols
	at, rows := from*B, (to-from)*B
	dz := l.z[at*G : (at+rows)*G]
	if l.w.Grad != nil {
		productOfTransposed(l.w.Grad, l.x.Value[at*C:], C, dz, G, rows, l.w.begin())
	}
	if l.r.Grad != nil && from > 0 {
		productOfTransposed(l.r.Grad, l.h.Value[(at-B)*H:], H, dz, G, rows, l.r.begin())
	}
	if l.b.Grad != nil {
		kernel.AddRows(l.b.gradient(), dz)
	}
}

// productOfTransposed computes c = aᵀ b, or c += aᵀ b with accumulate, for a [k, m]
// and b [k, n]. It takes so few columns of a at a time that kernel.Gemm reads b
// where it lies: copying it into panels first costs more than they win, even for
// all columns at once.
func productOfTransposed[T Float](c, a []T, m int, b []T, n, k int, accumulate bool) {
	const few = 64
	for i := 0; i < m; i += few {
		kernel.Gemm(min(few, m-i), n, k, kernel.TransposeOf(a[i:], m), kernel.Of(b, n), c[i*n:], n, accumulate)
	}
}

// before returns c of the step before that of a row, nil for the first.
func (l *lstm[T]) before(row int) []T {
	if row < l.batch {
		return nil
	}
	return l.c[(row-l.batch)*l.hidden:][:l.hidden]
}
