package autodiff

import "github.com/forescale/forescale/trainer/kernel"

// Dense returns y = x w + b for x [N, C], w [C, D] and b [1, D]; a nil b is zero.
//
//	dx = dy wᵀ,  dw = xᵀ dy,  db = sum of dy over the rows
func Dense[T Float](t *Tape[T], x, w, b *Node[T]) *Node[T] {
	return newDense(t, x, w, b, false)
}

// DenseReLU returns y = max(x w + b, 0), as Dense followed by ReLU does.
//
//	dz = dy where y > 0,  dx = dz wᵀ,  dw = xᵀ dz,  db = sum of dz over the rows
func DenseReLU[T Float](t *Tape[T], x, w, b *Node[T]) *Node[T] {
	return newDense(t, x, w, b, true)
}

type dense[T Float] struct {
	x, w, b, y *Node[T]
	relu       bool
}

func newDense[T Float](t *Tape[T], x, w, b *Node[T], relu bool) *Node[T] {
	n, c, d := x.Rows, x.Cols, w.Cols
	if w.Rows != c || b != nil && b.Cols != d {
		panic("autodiff: Dense: shapes do not fit")
	}
	o := operationOf[dense[T]](t)
	*o = dense[T]{x: x, w: w, b: b, y: t.result(n, d, x, w, b), relu: relu}
	if b != nil {
		fillRows(o.y.Value, b.Value)
	}
	kernel.Gemm(n, d, c, kernel.Of(x.Value, c), kernel.Of(w.Value, d), o.y.Value, d, b != nil)
	if relu {
		kernel.ReLU(o.y.Value, o.y.Value)
	}
	t.record(o.y, o)
	return o.y
}

func (o *dense[T]) backward() {
	n, c, d := o.x.Rows, o.x.Cols, o.w.Cols
	dz := o.y.Grad
	if o.relu {
		kernel.ReLUBackward(dz, o.y.Value)
	}
	if o.x.Grad != nil {
		kernel.Gemm(n, c, d, kernel.Of(dz, d), kernel.TransposeOf(o.w.Value, d), o.x.Grad, c, o.x.begin())
	}
	if o.w.Grad != nil {
		kernel.Gemm(c, d, n, kernel.TransposeOf(o.x.Value, c), kernel.Of(dz, d), o.w.Grad, d, o.w.begin())
	}
	if o.b != nil && o.b.Grad != nil {
		kernel.AddRows(o.b.gradient(), dz)
	}
}

// ReLU returns y = max(x, 0), element by element. Its derivative at 0 is 0.
//
//	dx = dy where x > 0
func ReLU[T Float](t *Tape[T], x *Node[T]) *Node[T] {
	o := operationOf[relu[T]](t)
	*o = relu[T]{x: x, y: t.result(x.Rows, x.Cols, x)}
	kernel.ReLU(o.y.Value, x.Value)
	t.record(o.y, o)
	return o.y
}

type relu[T Float] struct{ x, y *Node[T] }

func (o *relu[T]) backward() {
	dx := o.x.gradient()
	for i, v := range o.x.Value {
		if v > 0 {
			dx[i] += o.y.Grad[i]
		}
	}
}

// Add returns y = a + b for matrices of the same shape.
//
//	da = dy,  db = dy
func Add[T Float](t *Tape[T], a, b *Node[T]) *Node[T] {
	if a.Rows != b.Rows || a.Cols != b.Cols {
		panic("autodiff: Add: shapes do not fit")
	}
	o := operationOf[sum[T]](t)
	*o = sum[T]{a: a, b: b, y: t.result(a.Rows, a.Cols, a, b)}
	for i := range o.y.Value {
		o.y.Value[i] = a.Value[i] + b.Value[i]
	}
	t.record(o.y, o)
	return o.y
}

type sum[T Float] struct{ a, b, y *Node[T] }

func (o *sum[T]) backward() {
	for _, operand := range [...]*Node[T]{o.a, o.b} {
		if operand.Grad != nil {
			kernel.AddTo(operand.gradient(), o.y.Grad)
		}
	}
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
	o := operationOf[concat[T]](t)
	o.xs, o.y = append(o.xs[:0], xs...), t.result(rows, cols, xs...)
	from := 0
	for _, x := range xs {
		for row := range rows {
			copy(o.y.Row(row)[from:], x.Row(row))
		}
		from += x.Cols
	}
	t.record(o.y, o)
	return o.y
}

type concat[T Float] struct {
	xs []*Node[T]
	y  *Node[T]
}

func (o *concat[T]) backward() {
	from := 0
	for _, x := range o.xs {
		if x.Grad != nil {
			dx := x.gradient()
			for row := range x.Rows {
				kernel.AddTo(dx[row*x.Cols:], o.y.Grad[row*o.y.Cols+from:][:x.Cols])
			}
		}
		from += x.Cols
	}
}

// Rows returns rows [from, to) of x as a view: values and gradients are x's own.
func Rows[T Float](t *Tape[T], x *Node[T], from, to int) *Node[T] {
	y := t.node(to-from, x.Cols, x.Value[from*x.Cols:to*x.Cols], nil)
	if x.Grad != nil {
		y.Grad = x.Grad[from*x.Cols : to*x.Cols]
	}
	y.whole = x
	return y
}

// fillRows copies row to every row of m.
func fillRows[T Float](m, row []T) {
	for ; len(m) > 0; m = m[len(row):] {
		copy(m, row)
	}
}
