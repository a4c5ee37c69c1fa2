package kernel

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// The largest block that the portable product hands to the BLAS, in elements.
// From four blocks of 64x64 of C on, gonum starts goroutines for a single
// product, which the small and many products of a recurrent network cannot pay
// for; below that it works on the caller's goroutine and without allocating.
const (
	tileRows  = 64
	tileCols  = 192
	tileDepth = 256
)

// gemmPortable is [Gemm] for every type and machine.
func gemmPortable[T Float](m, n, k int, a, b Operand[T], c []T, ldc int, accumulate bool) {
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

func cellForwardPortable[T Float](z, before, c, tanhC, h []T) {
	H := len(h)
	i, o, f, g := z[:H], z[H:2*H], z[2*H:3*H], z[3*H:4*H]
	for j := range h {
		i[j], o[j], f[j], g[j] = sigmoid(i[j]), sigmoid(o[j]), sigmoid(f[j]), tanh(g[j])
		c[j] = i[j] * g[j]
		if before != nil {
			c[j] += f[j] * before[j]
		}
		tanhC[j] = tanh(c[j])
		h[j] = o[j] * tanhC[j]
	}
}

func cellBackwardPortable[T Float](z, before, tanhC, dh, dc []T) {
	H := len(dh)
	i, o, f, g := z[:H], z[H:2*H], z[2*H:3*H], z[3*H:4*H]
	for j := range dh {
		dcj := dh[j]*o[j]*(1-tanhC[j]*tanhC[j]) + dc[j]
		dc[j] = dcj * f[j]
		o[j] = dh[j] * tanhC[j] * o[j] * (1 - o[j])
		gj, ij := g[j], i[j]
		i[j] = dcj * gj * ij * (1 - ij)
		g[j] = dcj * ij * (1 - gj*gj)
		if before != nil {
			f[j] = dcj * before[j] * f[j] * (1 - f[j])
		} else {
			f[j] = 0 // c before the first step is zero
		}
	}
}

// sigmoid is 1/(1+e^-x), computed in float64: float32 then carries the rounding
// of its own type only.
func sigmoid[T Float](x T) T { return T(1 / (1 + math.Exp(-float64(x)))) }

// tanh is computed in float64, as sigmoid is.
func tanh[T Float](x T) T { return T(math.Tanh(float64(x))) }

func reluPortable[T Float](dst, src []T) {
	for i, v := range src {
		dst[i] = max(v, 0)
	}
}

func reluBackwardPortable[T Float](dst, src []T) {
	for i, v := range src {
		if !(v > 0) {
			dst[i] = 0
		}
	}
}

func addPortable[T Float](dst, src []T) {
	for i, v := range src {
		dst[i] += v
	}
}

func axpyPortable[T Float](dst []T, alpha T, src []T) {
	for i, v := range src {
		dst[i] += alpha * v
	}
}

func adamPortable(x, m, v, g []float32, clip, scale, root, shrink float32) {
	for i, gi := range g {
		gi *= clip
		m[i] = Beta1*m[i] + (1-Beta1)*gi
		v[i] = Beta2*v[i] + (1-Beta2)*gi*gi
		x[i] -= scale*m[i]/(float32(math.Sqrt(float64(v[i])))*root+Epsilon) + shrink*x[i]
	}
}

// addSquaresPortable adds the squares of x to the lanes, element i to lane i mod
// sumLanes.
func addSquaresPortable(lane *[sumLanes]float64, x []float32) {
	for ; len(x) >= sumLanes; x = x[sumLanes:] {
		for i, v := range x[:sumLanes] {
			lane[i] += float64(v) * float64(v)
		}
	}
	for i, v := range x {
		lane[i] += float64(v) * float64(v)
	}
}
