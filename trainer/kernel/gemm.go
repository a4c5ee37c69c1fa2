package kernel

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

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

// The largest block that Gemm hands to the BLAS, in elements. From four blocks of
// 64x64 of C on, gonum starts goroutines for a single product, which the small
// and many products of a recurrent network cannot pay for; below that it works
// on the caller's goroutine and without allocating.
const (
	tileRows  = 64
	tileCols  = 192
	tileDepth = 256
)

// Gemm computes C = A·B, or C += A·B with accumulate, for A [m, k], B [k, n] and
// C [m, n] with row stride ldc. C must not overlap A or B. It panics when a
// slice is too short, which is a programmer's mistake.
func Gemm[T Float](m, n, k int, a, b Operand[T], c []T, ldc int, accumulate bool) {
	for i := 0; i < m; i += tileRows {
		mi := min(tileRows, m-i)
		for j := 0; j < n; j += tileCols {
			nj := min(tileCols, n-j)
			ci := c[i*ldc+j:]
			if !accumulate {
				for r := range mi {
					clear(ci[r*ldc : r*ldc+nj])
				}
			}
			for l := 0; l < k; l += tileDepth {
				kl := min(tileDepth, k-l)
				multiplyAdd(mi, nj, kl, a.from(i, l), b.from(l, j), ci, ldc)
			}
		}
	}
}

// from returns the operand without its first rows and cols.
func (o Operand[T]) from(row, col int) Operand[T] {
	if o.Trans {
		row, col = col, row
	}
	o.Data = o.Data[row*o.Stride+col:]
	return o
}

// multiplyAdd computes C += A·B for one tile.
func multiplyAdd[T Float](m, n, k int, a, b Operand[T], c []T, ldc int) {
	switch ad := any(a.Data).(type) {
	case []float32:
		gonum.Implementation{}.Sgemm(order(a.Trans), order(b.Trans), m, n, k,
			1, ad, a.Stride, any(b.Data).([]float32), b.Stride, 1, any(c).([]float32), ldc)
	case []float64:
		gonum.Implementation{}.Dgemm(order(a.Trans), order(b.Trans), m, n, k,
			1, ad, a.Stride, any(b.Data).([]float64), b.Stride, 1, any(c).([]float64), ldc)
	}
}

func order(trans bool) blas.Transpose {
	if trans {
		return blas.Trans
	}
	return blas.NoTrans
}
