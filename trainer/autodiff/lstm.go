package autodiff

import (
	"math"

	"github.com/forescale/forescale/trainer/kernel"
)

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
	hidden := r.Rows
	if x.Rows%steps != 0 || w.Rows != x.Cols || w.Cols != 4*hidden || r.Cols != 4*hidden || b.Cols != 4*hidden {
		panic("autodiff: LSTM: shapes do not fit")
	}
	l := &lstm[T]{steps: steps, batch: x.Rows / steps, hidden: hidden, x: x, w: w, r: r, b: b}
	l.h = t.result(x.Rows, hidden, x, w, r, b)
	l.z = t.arena.alloc(x.Rows * 4 * hidden)
	l.c = t.arena.alloc(x.Rows * hidden)
	l.tanhC = t.arena.alloc(x.Rows * hidden)
	l.forward()
	if l.h.Grad != nil {
		l.dc = t.arena.alloc(l.batch * hidden)
	}
	t.record(l.h, l.backward)
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
}

func (l *lstm[T]) forward() {
	B, H, G := l.batch, l.hidden, 4*l.hidden
	for row := 0; row < l.x.Rows; row++ {
		copy(l.z[row*G:(row+1)*G], l.b.Value)
	}
	kernel.Gemm(l.x.Rows, G, l.x.Cols, kernel.Of(l.x.Value, l.x.Cols), kernel.Of(l.w.Value, G), l.z, G, true)
	for s := range l.steps {
		at := s * B
		if s > 0 {
			kernel.Gemm(B, G, H, kernel.Of(l.h.Value[(at-B)*H:], H), kernel.Of(l.r.Value, G), l.z[at*G:], G, true)
		}
		for row := at; row < at+B; row++ {
			l.cellForward(row, s > 0)
		}
	}
}

// cellForward turns row's pre-activations into gates and states, in place.
func (l *lstm[T]) cellForward(row int, carried bool) {
	B, H := l.batch, l.hidden
	i, o, f, g := l.gates(row)
	c, tanhC, h := l.c[row*H:][:H], l.tanhC[row*H:][:H], l.h.Value[row*H:][:H]
	var before []T
	if carried {
		before = l.c[(row-B)*H:][:H]
	}
	for j := range h {
		i[j], o[j], f[j], g[j] = sigmoid(i[j]), sigmoid(o[j]), sigmoid(f[j]), tanh(g[j])
		c[j] = i[j] * g[j]
		if carried {
			c[j] += f[j] * before[j]
		}
		tanhC[j] = tanh(c[j])
		h[j] = o[j] * tanhC[j]
	}
}

func (l *lstm[T]) backward() {
	B, H, G, C := l.batch, l.hidden, 4*l.hidden, l.x.Cols
	dz := l.z
	clear(l.dc)
	for s := l.steps - 1; s >= 0; s-- {
		at := s * B
		if s < l.steps-1 {
			kernel.Gemm(B, H, G, kernel.Of(dz[(at+B)*G:], G), kernel.TransposeOf(l.r.Value, G), l.h.Grad[at*H:], H, true)
		}
		for row := at; row < at+B; row++ {
			l.cellBackward(row, row-at, s > 0)
		}
	}
	rows := l.x.Rows
	if l.x.Grad != nil {
		kernel.Gemm(rows, C, G, kernel.Of(dz, G), kernel.TransposeOf(l.w.Value, G), l.x.Grad, C, true)
	}
	if l.w.Grad != nil {
		kernel.Gemm(C, G, rows, kernel.TransposeOf(l.x.Value, C), kernel.Of(dz, G), l.w.Grad, G, true)
	}
	if l.r.Grad != nil && l.steps > 1 {
		kernel.Gemm(H, G, rows-B, kernel.TransposeOf(l.h.Value, H), kernel.Of(dz[B*G:], G), l.r.Grad, G, true)
	}
	if l.b.Grad != nil {
		addRows(l.b.Grad, dz)
	}
}

// cellBackward turns row's gates into dz, in place, and moves dc to the step
// before. n is the row's number within its step.
func (l *lstm[T]) cellBackward(row, n int, carried bool) {
	B, H := l.batch, l.hidden
	i, o, f, g := l.gates(row)
	dh, dc, tanhC := l.h.Grad[row*H:][:H], l.dc[n*H:][:H], l.tanhC[row*H:][:H]
	var before []T
	if carried {
		before = l.c[(row-B)*H:][:H]
	}
	for j := range dh {
		dcj := dh[j]*o[j]*(1-tanhC[j]*tanhC[j]) + dc[j]
		dc[j] = dcj * f[j]
		o[j] = dh[j] * tanhC[j] * o[j] * (1 - o[j])
		gj, ij := g[j], i[j]
		i[j] = dcj * gj * ij * (1 - ij)
		g[j] = dcj * ij * (1 - gj*gj)
		if carried {
			f[j] = dcj * before[j] * f[j] * (1 - f[j])
		} else {
			f[j] = 0 // c before the first step is zero
		}
	}
}

// gates returns the four gates of a row as views of z.
func (l *lstm[T]) gates(row int) (i, o, f, g []T) {
	H := l.hidden
	z := l.z[row*4*H:][:4*H]
	return z[:H], z[H : 2*H], z[2*H : 3*H], z[3*H:]
}

// addRows adds the column sums of m to sum.
func addRows[T Float](sum, m []T) {
	for ; len(m) > 0; m = m[len(sum):] {
		for j := range sum {
			sum[j] += m[j]
		}
	}
}

// sigmoid is 1/(1+e^-x), computed in float64: it costs little beside the
// products, and float32 then carries the rounding of its own type only.
func sigmoid[T Float](x T) T { return T(1 / (1 + math.Exp(-float64(x)))) }

// tanh is 1 - 2/(e^2x + 1), computed in float64. The subtraction loses digits
// near zero, but no more than 1e-16 absolutely.
func tanh[T Float](x T) T { return T(1 - 2/(math.Exp(2*float64(x))+1)) }
