package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// lengths are vector lengths around every width that a kernel may work in.
var lengths = []int{0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 127, 128, 129, 300}

func normal(rng *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = rng.NormFloat64()
	}
	return v
}

func within(t *testing.T, what string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	for i, w := range want {
		if !(math.Abs(float64(got[i])-w) <= tolerance*max(1, math.Abs(w))) {
			t.Fatalf("%s: element %d of %d is %v, want %v", what, i, len(want), got[i], w)
		}
	}
}

func TestCellEqualsItsEquations(t *testing.T) {
	sig := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	for _, H := range lengths {
		for _, carried := range []bool{false, true} {
			rng := rand.New(rand.NewPCG(1, uint64(H)))
			z, before, dh, dc := normal(rng, 4*H), normal(rng, H), normal(rng, H), normal(rng, H)
			gates, c, tanhC, h, dz, dcBefore := make([]float64, 4*H), make([]float64, H), make([]float64, H), make([]float64, H), make([]float64, 4*H), make([]float64, H)
			for j := range H {
				b := 0.0
				if carried {
					b = before[j]
				}
				i, o, f, g := sig(z[j]), sig(z[H+j]), sig(z[2*H+j]), math.Tanh(z[3*H+j])
				gates[j], gates[H+j], gates[2*H+j], gates[3*H+j] = i, o, f, g
				c[j] = f*b + i*g
				tanhC[j] = math.Tanh(c[j])
				h[j] = o * tanhC[j]
				d := dh[j]*o*(1-tanhC[j]*tanhC[j]) + dc[j]
				dz[j], dz[H+j], dz[2*H+j], dz[3*H+j] = d*g*i*(1-i), dh[j]*tanhC[j]*o*(1-o), d*b*f*(1-f), d*i*(1-g*g)
				dcBefore[j] = d * f
			}
			z32, c32, tanhC32, h32, dc32 := narrow(z), make([]float32, H), make([]float32, H), make([]float32, H), narrow(dc)
			var before32 []float32
			if carried {
				before32 = narrow(before)
			}
			CellForward(z32, before32, c32, tanhC32, h32)
			within(t, "gates", z32, gates, 1e-6)
			within(t, "c", c32, c, 1e-6)
			within(t, "tanh c", tanhC32, tanhC, 1e-6)
			within(t, "h", h32, h, 1e-6)
			CellBackward(z32, before32, tanhC32, narrow(dh), dc32)
			within(t, "dz", z32, dz, 2e-6)
			within(t, "dc", dc32, dcBefore, 2e-6)
		}
	}
}

func TestVectorFunctionsEqualTheirDefinitions(t *testing.T) {
	for _, n := range lengths {
		rng := rand.New(rand.NewPCG(2, uint64(n)))
		a, b, d := normal(rng, n), normal(rng, n), normal(rng, n)
		for _, c := range []struct {
			name string
			run  func(dst, a, b []float32)
			want func(dst, a, b float64) float64
		}{
			{"ReLU", func(dst, a, _ []float32) { ReLU(dst, a) }, func(_, a, _ float64) float64 { return max(a, 0) }},
			{"ReLUBackward", func(dst, a, _ []float32) { ReLUBackward(dst, a) }, func(d, a, _ float64) float64 {
				if a > 0 {
					return d
				}
				return 0
			}},
			{"AddTo", func(dst, a, _ []float32) { AddTo(dst, a) }, func(d, a, _ float64) float64 { return d + a }},
			{"Axpy", func(dst, a, _ []float32) { Axpy(dst, -0.75, a) }, func(d, a, _ float64) float64 { return d - 0.75*a }},
			{"MulTo", func(dst, a, _ []float32) { MulTo(dst, a) }, func(d, a, _ float64) float64 { return d * a }},
			{"MulAdd", func(dst, a, b []float32) { MulAdd(dst, a, b) }, func(d, a, b float64) float64 { return d + a*b }},
		} {
			got, want := narrow(d), make([]float64, n)
			for i := range want {
				want[i] = c.want(d[i], a[i], b[i])
			}
			c.run(got, narrow(a), narrow(b))
			within(t, c.name, got, want, 1e-6)
		}
	}
}

func TestAddRowsSumsTheColumns(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	m, sum := normal(rng, 5*33), normal(rng, 33)
	got := narrow(sum)
	AddRows(got, narrow(m))
	for i, v := range m {
		sum[i%33] += v
	}
	within(t, "sum", got, sum, 1e-6)
}

func TestAdamEqualsItsEquations(t *testing.T) {
	const clip, scale, root, shrink = 0.5, 0.01, 1.25, 1e-3
	for _, n := range lengths {
		rng := rand.New(rand.NewPCG(5, uint64(n)))
		x, m, v, g := normal(rng, n), normal(rng, n), normal(rng, n), normal(rng, n)
		for i := range v {
			v[i] *= v[i]
		}
		x32, m32, v32 := narrow(x), narrow(m), narrow(v)
		Adam(x32, m32, v32, narrow(g), clip, scale, root, shrink)
		for i, gi := range g {
			gi *= clip
			m[i] = 0.9*m[i] + (1-0.9)*gi
			v[i] = 0.999*v[i] + (1-0.999)*gi*gi
			x[i] -= scale*m[i]/(root*math.Sqrt(v[i])+1e-8) + shrink*x[i]
		}
		within(t, "m", m32, m, 1e-6)
		within(t, "v", v32, v, 1e-6)
		within(t, "x", x32, x, 1e-6)
	}
}

func TestSumSquaresAddsInFixedLanes(t *testing.T) {
	for _, n := range lengths {
		x := narrow(normal(rand.New(rand.NewPCG(6, uint64(n))), n))
		var lane [16]float64
		for i, v := range x {
			lane[i%16] += float64(v) * float64(v)
		}
		for half := 8; half > 0; half /= 2 {
			for i := range half {
				lane[i] += lane[i+half]
			}
		}
		if got := SumSquares(x); got != lane[0] {
			t.Errorf("%d elements: %v, want %v", n, got, lane[0])
		}
	}
}
