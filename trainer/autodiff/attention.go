package autodiff

import (
	"math"

	"github.com/forescale/forescale/trainer/kernel"
)

// Attention returns y [B, H], the states h [T*B, H] of T steps pooled by how well
// each fits v [H, 1]. For each batch element, with h_t the row of step t:
//
//	s_t = h_t · v
//	a_t = e^s_t / sum over the steps u of e^s_u
//	y = sum of a_t h_t
//
// A bias on the scores would change nothing, as the weights a only depend on
// their differences; so there is none. And backwards:
//
//	da_t = dy · h_t
//	ds_t = a_t (da_t - sum over the steps u of a_u da_u)
//	dh_t = a_t dy + ds_t v
//	dv = sum of ds_t h_t
//
// Source: Bahdanau, Cho and Bengio 2015, reduced to one query for all windows.
func Attention[T Float](t *Tape[T], h, v *Node[T], steps int) *Node[T] {
	if h.Rows%steps != 0 || v.Rows != h.Cols || v.Cols != 1 {
		panic("autodiff: Attention: shapes do not fit")
	}
	o := operationOf[attention[T]](t)
	*o = attention[T]{h: h, v: v, batch: h.Rows / steps}
	o.y = t.result(o.batch, h.Cols, h, v)
	o.a = t.arena.alloc(h.Rows)
	o.da = t.arena.alloc(h.Rows)
	o.forward()
	t.record(o.y, o)
	return o.y
}

type attention[T Float] struct {
	h, v, y *Node[T]
	batch   int
	a, da   []T // [T*B]; da becomes ds
}

func (o *attention[T]) forward() {
	s, a := o.a, o.a
	for row := range s {
		s[row] = kernel.Dot(o.h.Row(row), o.v.Value)
	}
	clear(o.y.Value)
	for b := range o.batch {
		largest := s[b]
		for row := b; row < len(s); row += o.batch {
			largest = max(largest, s[row])
		}
		sum := 0.0
		for row := b; row < len(s); row += o.batch {
			e := math.Exp(float64(s[row] - largest)) // at most 1: never infinite
			a[row] = T(e)
			sum += e
		}
		for row := b; row < len(s); row += o.batch {
			a[row] /= T(sum)
		}
	}
	for row, w := range a {
		kernel.Axpy(o.y.Row(row%o.batch), w, o.h.Row(row))
	}
}

func (o *attention[T]) backward() {
	H := o.h.Cols
	a, da, ds := o.a, o.da, o.da
	for row := range da {
		da[row] = kernel.Dot(o.y.Grad[row%o.batch*H:][:H], o.h.Row(row))
	}
	for b := range o.batch {
		mean := T(0)
		for row := b; row < len(a); row += o.batch {
			mean += a[row] * da[row]
		}
		for row := b; row < len(a); row += o.batch {
			ds[row] = a[row] * (da[row] - mean)
		}
	}
	if o.h.Grad != nil {
		dh := o.h.gradient()
		for row := range a {
			kernel.Axpy(dh[row*H:][:H], a[row], o.y.Grad[row%o.batch*H:][:H])
			kernel.Axpy(dh[row*H:][:H], ds[row], o.v.Value)
		}
	}
	if o.v.Grad != nil {
		kernel.Gemm(1, H, len(ds), kernel.Of(ds, len(ds)), kernel.Of(o.h.Value, H), o.v.Grad, H, o.v.begin())
	}
}
