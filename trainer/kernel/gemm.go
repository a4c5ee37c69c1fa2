package kernel

// Float is the element type of a matrix.
type Float interface{ float32 | float64 }

// Operand is a row-major matrix as it lies in memory, or its transpose.
type Operand[T Float] struct {
	Data   []T
	Stride int  // distance between rows in Data, in elements
	Trans  bool // use the transpose of what is stored
}

// Of returns the stored matrix itself as an operand.
func Of[T Float](data []T, stride int) Operand[T] { return Operand[T]{Data: data, Stride: stride} }

// TransposeOf returns the transpose of the stored matrix as an operand.
func TransposeOf[T Float](data []T, stride int) Operand[T] {
	return Operand[T]{Data: data, Stride: stride, Trans: true}
}

// from returns the operand without its first rows and cols.
func (o Operand[T]) from(row, col int) Operand[T] {
	if o.Trans {
		row, col = col, row
	}
	o.Data = o.Data[row*o.Stride+col:]
	return o
}

// check panics unless the operand holds a matrix of rows x cols.
func (o Operand[T]) check(rows, cols int) {
	if o.Trans {
		rows, cols = cols, rows
	}
	checkMatrix(len(o.Data), rows, cols, o.Stride)
}

// checkMatrix panics unless n elements hold rows of cols elements, stride apart.
func checkMatrix(n, rows, cols, stride int) {
	if rows < 0 || cols < 0 {
		panic("kernel: negative dimension")
	}
	if rows == 0 || cols == 0 {
		return
	}
	if stride < cols {
		panic("kernel: the stride is shorter than a row")
	}
	if n < cols || (n-cols)/stride < rows-1 {
		panic("kernel: the slice is shorter than its matrix")
	}
}

// Gemm computes C = A·B, or C += A·B with accumulate, for A [m, k], B [k, n] and
// C [m, n] with row stride ldc. C must not overlap A or B. It panics when a
// slice is too short, which is a programmer's mistake.
func Gemm[T Float](m, n, k int, a, b Operand[T], c []T, ldc int, accumulate bool) {
	a.check(m, k)
	b.check(k, n)
	checkMatrix(len(c), m, n, ldc)
	if m == 0 || n == 0 || k == 0 {
		if !accumulate {
			clearMatrix(m, n, c, ldc)
		}
		return
	}
	if a32, ok := any(a.Data).([]float32); ok && active != portable {
		gemm32(m, n, k, Operand[float32]{a32, a.Stride, a.Trans},
			Operand[float32]{any(b.Data).([]float32), b.Stride, b.Trans}, any(c).([]float32), ldc, accumulate)
		return
	}
	gemmPortable(m, n, k, a, b, c, ldc, accumulate)
}

func clearMatrix[T Float](m, n int, c []T, ldc int) {
	if n == 0 {
		return
	}
	for r := range m {
		clear(c[r*ldc : r*ldc+n])
	}
}

// Packed is a matrix B laid out for many products A·B: pack the weights once a
// training step, multiply by them at every time step. It may be read from many
// goroutines at once, but not while it is packed. The zero value is ready to use.
type Packed[T Float] struct {
	k, n  int
	panel int // columns of a panel; 0: the rows of B lie one after the other
	data  []T // panel after panel, each k rows, the last one filled up with zeros
}

// Pack takes b [k, n] in, copying it. It allocates only when p has never held
// as many elements.
func (p *Packed[T]) Pack(k, n int, b Operand[T]) {
	b.check(k, n)
	p.k, p.n, p.panel = k, n, 0
	b32, single := any(b.Data).([]float32)
	if single {
		p.panel = active.panel()
	}
	size := k * n
	if p.panel > 0 {
		size = k * ((n + p.panel - 1) / p.panel * p.panel)
	}
	if cap(p.data) < size {
		p.data = make([]T, size)
	}
	p.data = p.data[:size]
	if size == 0 {
		return
	}
	if p.panel > 0 {
		packPanels(any(p.data).([]float32), p.panel, k, n, Operand[float32]{b32, b.Stride, b.Trans})
	} else {
		packRows(p.data, n, k, n, b)
	}
}

// packRows copies b [k, n] to dst, whose rows are width elements apart.
func packRows[T Float](dst []T, width, k, n int, b Operand[T]) {
	if !b.Trans {
		for l := range k {
			copy(dst[l*width:l*width+n], b.Data[l*b.Stride:])
		}
		return
	}
	j := 0
	for ; j+4 <= n; j += 4 { // four at a time: a store for each load, side by side
		b0, b1, b2, b3 := b.Data[j*b.Stride:][:k], b.Data[(j+1)*b.Stride:][:k], b.Data[(j+2)*b.Stride:][:k], b.Data[(j+3)*b.Stride:][:k]
		to := dst[j:]
		for l, v := range b0 {
			q := to[l*width:][:4]
			q[0], q[1], q[2], q[3] = v, b1[l], b2[l], b3[l]
		}
	}
	for ; j < n; j++ {
		for l, v := range b.Data[j*b.Stride:][:k] {
			dst[l*width+j] = v
		}
	}
}

// GemmPacked computes C = A·B, or C += A·B with accumulate, for A [m, k], B [k, n]
// as packed and C [m, n] with row stride ldc; k and n are those that b was packed
// with. C must not overlap A.
func GemmPacked[T Float](m int, a Operand[T], b *Packed[T], c []T, ldc int, accumulate bool) {
	gemmPacked(m, a, b, nil, c, ldc, accumulate)
}

// GemmBias computes C = A·B + bias, with bias [n] added to every row: a layer's
// pre-activations in one pass over C. The rest is as in [GemmPacked].
func GemmBias[T Float](m int, a Operand[T], b *Packed[T], bias, c []T, ldc int) {
	checkMatrix(len(bias), 1, b.n, b.n)
	if b.panel == 0 || b.k == 0 {
		checkMatrix(len(c), m, b.n, ldc)
		for r := range m {
			copy(c[r*ldc:], bias[:b.n])
		}
		gemmPacked(m, a, b, nil, c, ldc, true)
		return
	}
	gemmPacked(m, a, b, bias[:b.n], c, ldc, false)
}

// gemmPacked computes C = A·B, + bias or + C unless bias is nil or accumulate
// false. Only b in panels may have a bias.
func gemmPacked[T Float](m int, a Operand[T], b *Packed[T], bias, c []T, ldc int, accumulate bool) {
	a.check(m, b.k)
	checkMatrix(len(c), m, b.n, ldc)
	if m == 0 || b.n == 0 || b.k == 0 {
		if !accumulate {
			clearMatrix(m, b.n, c, ldc)
		}
		return
	}
	if b.panel > 0 {
		gemmPacked32(m, Operand[float32]{any(a.Data).([]float32), a.Stride, a.Trans}, any(b).(*Packed[float32]),
			any(bias).([]float32), any(c).([]float32), ldc, accumulate)
		return
	}
	gemmPortable(m, b.n, b.k, a, Of(b.data, b.n), c, ldc, accumulate)
}
