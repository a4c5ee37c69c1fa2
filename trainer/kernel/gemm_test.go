package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// reference computes C by the definition, in float64.
func reference(m, n, k int, a, b Operand[float64], c []float64, ldc int, accumulate bool) {
	at := func(o Operand[float64], r, s int) float64 {
		if o.Trans {
			r, s = s, r
		}
		return o.Data[r*o.Stride+s]
	}
	for i := range m {
		for j := range n {
			sum := 0.0
			for l := range k {
				sum += at(a, i, l) * at(b, l, j)
			}
			if accumulate {
				sum += c[i*ldc+j]
			}
			c[i*ldc+j] = sum
		}
	}
}

// operand returns a random rows x cols matrix with padding between its rows.
func operand(rng *rand.Rand, rows, cols int, trans bool) Operand[float64] {
	if trans {
		rows, cols = cols, rows
	}
	stride := cols + rng.IntN(5)
	data := make([]float64, rows*stride)
	for i := range data {
		data[i] = rng.NormFloat64()
	}
	return Operand[float64]{data, stride, trans}
}

func narrow(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

func TestGemmEqualsItsDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	sizes := []int{1, 2, 3, 7, 63, 64, 65, 130, 193}
	var p Packed[float32] // packed again and again
	for trial := range 300 {
		m, n, k := sizes[rng.IntN(len(sizes))], sizes[rng.IntN(len(sizes))], sizes[rng.IntN(len(sizes))]
		ta, tb, acc := rng.IntN(2) == 1, rng.IntN(2) == 1, rng.IntN(2) == 1
		name := fmt.Sprintf("trial %d: %dx%dx%d trans %v %v accumulate %v", trial, m, n, k, ta, tb, acc)
		a, b, c := operand(rng, m, k, ta), operand(rng, k, n, tb), operand(rng, m, n, false)
		want, got, got32 := slices.Clone(c.Data), slices.Clone(c.Data), narrow(c.Data)
		reference(m, n, k, a, b, want, c.Stride, acc)
		Gemm(m, n, k, a, b, got, c.Stride, acc)
		a32, b32 := Operand[float32]{narrow(a.Data), a.Stride, ta}, Operand[float32]{narrow(b.Data), b.Stride, tb}
		packed32 := narrow(c.Data)
		Gemm(m, n, k, a32, b32, got32, c.Stride, acc)
		p.Pack(k, n, b32)
		GemmPacked(m, a32, &p, packed32, c.Stride, acc)
		for i := range want { // padding included: it must stay as it was
			if math.Abs(got[i]-want[i]) > 1e-12*float64(k+1) {
				t.Fatalf("%s: float64 element %d is %v, want %v", name, i, got[i], want[i])
			}
			if math.Abs(float64(got32[i])-want[i]) > 1e-5*float64(k+1) || math.Abs(float64(packed32[i])-want[i]) > 1e-5*float64(k+1) {
				t.Fatalf("%s: float32 element %d is %v, and %v packed, want %v", name, i, got32[i], packed32[i], want[i])
			}
		}
	}
}

func TestGemmDoesNotAllocate(t *testing.T) {
	a, c := make([]float32, 128*512), make([]float32, 128*512)
	if n := testing.AllocsPerRun(5, func() {
		Gemm(64, 512, 128, Of(a, 128), Of(a, 512), c, 512, true)
	}); n != 0 {
		t.Errorf("%v allocations a call, want 0", n)
	}
}
