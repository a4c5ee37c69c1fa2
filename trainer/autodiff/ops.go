package autodiff

import "github.com/forescale/forescale/trainer/kernel"

// Dense returns y = x w + b for x [N, C], w [C, D] and b [1, D]; a nil b is zero.
//
//	dx = dy wᵀ,  dw = xᵀ dy,  db = sum of dy over the rows
func Dense[T Float](t *Tape[T], x, w, b *Node[T]) *Node[T] {
	n, c, d := x.Rows, x.Cols, w.Cols
	if w.Rows != c || b != nil && b.Cols != d {
		panic("autodiff: Dense: shapes do not fit")
	}
	y := t.result(n, d, x, w, b)
	if b != nil {
		for row := range n {
			copy(y.Row(row), b.Value)
		}
	}
	kernel.Gemm(n, d, c, kernel.Of(x.Value, c), kernel.Of(w.Value, d), y.Value, d, true)
	t.record(y, func() {
		dy := y.Grad
		if x.Grad != nil {
			kernel.Gemm(n, c, d, kernel.Of(dy, d), kernel.TransposeOf(w.Value, d), x.Grad, c, true)
		}
		if w.Grad != nil {
			kernel.Gemm(c, d, n, kernel.TransposeOf(x.Value, c), kernel.Of(dy, d), w.Grad, d, true)
		}
		if b != nil && b.Grad != nil {
			addRows(b.Grad, dy)
		}
	})
	return y
}

// ReLU returns y = max(x, 0), element by element. Its derivative at 0 is 0.
//
//	dx = dy where x > 0
func ReLU[T Float](t *Tape[T], x *Node[T]) *Node[T] {
	y := t.result(x.Rows, x.Cols, x)
	for i, v := range x.Value {
		y.Value[i] = max(v, 0)
	}
	t.record(y, func() {
		for i, v := range x.Value {
			if v > 0 {
				x.Grad[i] += y.Grad[i]
			}
		}
	})
	return y
}

// Add returns y = a + b for matrices of the same shape.
//
//	da = dy,  db = dy
func Add[T Float](t *Tape[T], a, b *Node[T]) *Node[T] {
	if a.Rows != b.Rows || a.Cols != b.Cols {
		panic("autodiff: Add: shapes do not fit")
	}
	y := t.result(a.Rows, a.Cols, a, b)
	for i := range y.Value {
		y.Value[i] = a.Value[i] + b.Value[i]
	}
	t.record(y, func() {
		for _, operand := range []*Node[T]{a, b} {
			if operand.Grad == nil {
				continue
			}
			for i, dy := range y.Grad {
				operand.Grad[i] += dy
			}
		}
	})
	return y
}

// Concat returns the matrices side by side: y = [x_0 x_1 …], all with N rows.
//
//	dx_i = the columns of dy that x_i went to
func Concat[T Float](t *Tape[T], xs ...*Node[T]) *Node[T] {
	rows, cols := xs[0].Rows, 0
	for _, x := range xs {
		if x.Rows != rows {
			panic("autodiff: Concat: shapes do not fit")
		}
		cols += x.Cols
	}
	y := t.result(rows, cols, xs...)
	from := 0
	for _, x := range xs {
		for row := range rows {
			copy(y.Row(row)[from:], x.Row(row))
		}
		from += x.Cols
	}
	t.record(y, func() {
		from := 0
		for _, x := range xs {
			if x.Grad != nil {
				for row := range rows {
					dy := y.Grad[row*cols+from:][:x.Cols]
					for j, d := range dy {
						x.Grad[row*x.Cols+j] += d
					}
				}
			}
			from += x.Cols
		}
	})
	return y
}

// Rows returns rows [from, to) of x as a view: values and gradients are x's own.
func Rows[T Float](x *Node[T], from, to int) *Node[T] {
	y := &Node[T]{Rows: to - from, Cols: x.Cols, Value: x.Value[from*x.Cols : to*x.Cols]}
	if x.Grad != nil {
		y.Grad = x.Grad[from*x.Cols : to*x.Cols]
	}
	return y
}

// Dropout returns y = x m / (1-p) where each m is 0 with probability p and 1
// otherwise, in training; outside of it, y = x.
//
//	dx = dy m / (1-p)
//
// Random numbers are a function of the tape's key, of how many dropouts it has
// recorded before and of the element's number, so that they depend neither on
// which goroutine computes nor on when.
// Source: Srivastava et al. 2014, in the inverted form.
func Dropout[T Float](t *Tape[T], x *Node[T], p float64) *Node[T] {
	if !t.training || p == 0 {
		return x
	}
	y := t.result(x.Rows, x.Cols, x)
	t.drops++
	stream := Mix(t.key ^ Mix(t.drops))
	threshold := uint64(p * (1 << 32))
	m := t.arena.alloc(len(x.Value)) // m / (1-p)
	keep := T(1 / (1 - p))
	for i := range m {
		if Mix(stream+uint64(i))>>32 >= threshold {
			m[i] = keep
		}
	}
	for i, v := range x.Value {
		y.Value[i] = v * m[i]
	}
	t.record(y, func() {
		for i, dy := range y.Grad {
			x.Grad[i] += dy * m[i]
		}
	})
	return y
}

// Mix scatters n over 64 bits: a counter-based random number generator.
// Source: SplitMix64, Steele, Lea and Flood 2014.
func Mix(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}
