package kernel

import "math"

// Packed is a right-hand operand [k, n] that many products share.
type Packed[T Float] struct {
	k, n int
	data []T
}

// Pack takes in B [k, n]. It allocates only when B is larger than any before.
func (p *Packed[T]) Pack(k, n int, b Operand[T]) {
	if cap(p.data) < k*n {
		p.data = make([]T, k*n)
	}
	p.k, p.n, p.data = k, n, p.data[:k*n]
	for r := range k {
		for c := range n {
			if b.Trans {
				p.data[r*n+c] = b.Data[c*b.Stride+r]
			} else {
				p.data[r*n+c] = b.Data[r*b.Stride+c]
			}
		}
	}
}

// GemmPacked computes C = A·B, or C += A·B with accumulate, for A [m, k].
func GemmPacked[T Float](m int, a Operand[T], b *Packed[T], c []T, ldc int, accumulate bool) {
	Gemm(m, b.n, b.k, a, Of(b.data, b.n), c, ldc, accumulate)
}

// CellForward computes one row of a step of an LSTM: z [4H] holds the
// pre-activations i, o, f, g and becomes the gates; before is c of the step
// before, nil for zero.
func CellForward[T Float](z, before, c, tanhC, h []T) {
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

// CellBackward turns the gates z of one row into dz and moves dc to the step
// before.
func CellBackward[T Float](z, before, tanhC, dh, dc []T) {
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
			f[j] = 0
		}
	}
}

func sigmoid[T Float](x T) T { return T(1 / (1 + math.Exp(-float64(x)))) }

func tanh[T Float](x T) T { return T(1 - 2/(math.Exp(2*float64(x))+1)) }
