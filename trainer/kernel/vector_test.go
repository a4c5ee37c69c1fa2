package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// lengths are vector lengths around every width that a kernel may work in.
var lengths = []int{0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 127, 128, 129, 300}

func uintptrOf(v []float32) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(v))) }

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
	everySet(t, func(t *testing.T) {
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
	})
}

func TestVectorFunctionsEqualTheirDefinitions(t *testing.T) {
	everySet(t, func(t *testing.T) {
		for _, n := range lengths {
			rng := rand.New(rand.NewPCG(2, uint64(n)))
			a, b, d := normal(rng, n), normal(rng, n), normal(rng, n)
			for i := 0; i < n; i += 5 {
				a[i] = 0 // which is not positive
			}
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
			} {
				got, want := narrow(d), make([]float64, n)
				for i := range want {
					want[i] = c.want(d[i], a[i], b[i])
				}
				c.run(got, narrow(a), narrow(b))
				within(t, c.name, got, want, 1e-6)
			}
		}
	})
}

func TestAddRowsSumsTheColumns(t *testing.T) {
	everySet(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(3, 4))
		m, sum := normal(rng, 5*33), normal(rng, 33)
		got := narrow(sum)
		AddRows(got, narrow(m))
		for i, v := range m {
			sum[i%33] += v
		}
		within(t, "sum", got, sum, 1e-6)
	})
}

func TestAdamEqualsItsEquations(t *testing.T) {
	everySet(t, func(t *testing.T) {
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
	})
}

func TestSumSquaresAddsInFixedLanes(t *testing.T) {
	everySet(t, func(t *testing.T) {
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
			for shift := range 16 {
				if got := SumSquares(shifted(x, shift)); got != lane[0] {
					t.Fatalf("%d elements shifted by %d: %v, want %v", n, shift, got, lane[0])
				}
			}
		}
	})
}

// activations returns what CellForward makes of x in a gate: sigmoid and tanh.
func activations(x []float32) (sigmoids, tanhs []float32) {
	n := len(x)
	z, rest := make([]float32, 4*n), make([]float32, 3*n)
	for gate := range 4 {
		copy(z[gate*n:], x)
	}
	CellForward(z, nil, rest[:n], rest[n:2*n], rest[2*n:])
	return z[:n], z[3*n:]
}

func TestActivationsOverAllOfFloat32(t *testing.T) {
	var x []float32
	for bits := uint32(0); bits < 0x7F800000; bits += 9973 {
		x = append(x, math.Float32frombits(bits), -math.Float32frombits(bits))
	}
	everySet(t, func(t *testing.T) {
		sigmoids, tanhs := activations(x)
		for i, v := range x {
			s, want := 1/(1+math.Exp(-float64(v))), math.Tanh(float64(v))
			if e := math.Abs(float64(sigmoids[i]) - s); !(e <= 1.5e-7*s+2e-38) {
				t.Fatalf("sigmoid(%g) is %g, want %g", v, sigmoids[i], s)
			}
			if e := math.Abs(float64(tanhs[i]) - want); !(e <= 1.8e-7*math.Abs(want)+1e-44) {
				t.Fatalf("tanh(%g) is %g, want %g", v, tanhs[i], want)
			}
			if sigmoids[i] < 0 || sigmoids[i] > 1 || tanhs[i] < -1 || tanhs[i] > 1 || math.Signbit(float64(tanhs[i])) != math.Signbit(float64(v)) {
				t.Fatalf("sigmoid(%g) is %g and tanh %g: out of range", v, sigmoids[i], tanhs[i])
			}
		}
	})
}

func TestActivationsOfInfinityAndNaN(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	everySet(t, func(t *testing.T) {
		s, th := activations([]float32{inf, -inf, nan, 0, nan, inf, 1, nan, -inf})
		if s[0] != 1 || s[1] < 0 || s[1] > 2e-38 || th[0] != 1 || th[1] != -1 || s[3] != 0.5 || th[3] != 0 {
			t.Errorf("sigmoid %v, tanh %v", s, th)
		}
		for i, v := range []bool{false, false, true, false, true, false, false, true, false} {
			if (s[i] != s[i]) != v || (th[i] != th[i]) != v {
				t.Errorf("element %d: sigmoid %v, tanh %v; is NaN: want %v", i, s[i], th[i], v)
			}
		}
	})
}

func TestNaNIsNeverLost(t *testing.T) {
	const H = 21 // a whole group and a part of one
	nan := float32(math.NaN())
	everySet(t, func(t *testing.T) {
		for j := range H {
			for source := range 5 { // the four gates, and the state before
				z, before, rest := make([]float32, 4*H), make([]float32, H), make([]float32, 3*H)
				if source < 4 {
					z[source*H+j] = nan
				} else {
					before[j] = nan
				}
				CellForward(z, before, rest[:H], rest[H:2*H], rest[2*H:])
				for i, h := range rest[2*H:] {
					if (h != h) != (i == j) {
						t.Fatalf("NaN from source %d of unit %d: h of unit %d is %v", source, j, i, h)
					}
				}
			}
			v, dst := make([]float32, H), make([]float32, H)
			v[j] = nan
			if ReLU(dst, v); dst[j] == dst[j] {
				t.Fatal("ReLU lost a NaN")
			}
			if x := SumSquares(v); x == x {
				t.Fatal("SumSquares lost a NaN")
			}
			x := make([]float32, H)
			if Adam(x, make([]float32, H), make([]float32, H), v, 1, 1, 1, 0); x[j] == x[j] {
				t.Fatal("Adam lost a NaN")
			}
		}
	})
}

// run calls every vector kernel on n elements that begin by shift elements past a
// cache line, and returns all that they wrote.
func run(n, shift int) []float32 {
	rng := rand.New(rand.NewPCG(9, uint64(n)))
	v := func() []float32 { return shifted(narrow(normal(rng, n)), shift) }
	z, before, c, tanhC, h, dh := shifted(narrow(normal(rng, 4*n)), shift), v(), v(), v(), v(), v()
	CellForward(z, before, c, tanhC, h)
	out := slices.Concat(z, c, tanhC, h)
	CellBackward(z, before, tanhC, dh, c)
	out = slices.Concat(out, z, c)
	ReLU(dh, z[:n])
	out = append(out, dh...)
	ReLUBackward(h, z[:n])
	AddTo(h, before)
	Axpy(h, 0.3, c)
	AddRows(h, z)
	out = append(out, h...)
	ReLU(tanhC, tanhC) // a second moment is not negative
	Adam(h, c, tanhC, before, 0.5, 0.01, 1.5, 0.001)
	return slices.Concat(out, h, c, tanhC)
}

func TestVectorKernelsDoNotDependOnAlignment(t *testing.T) {
	everySet(t, func(t *testing.T) {
		for _, n := range lengths {
			want := run(n, 0)
			for shift := range 16 {
				if !sameBits(run(n, shift), want) {
					t.Fatalf("%d elements give other bits when shifted by %d", n, shift)
				}
			}
		}
	})
}

func TestAssemblySetsGiveTheSameBytes(t *testing.T) {
	sets := supported()[1:] // of those the machine has
	rng := rand.New(rand.NewPCG(11, 12))
	a, b := narrow(normal(rng, 37*600)), narrow(normal(rng, 600*45))
	var want []float32
	for i, s := range sets {
		use(t, s)
		got := make([]float32, 37*45)
		Gemm(37, 45, 600, Of(a, 600), Of(b, 45), got, 45, false)
		for _, n := range lengths {
			got = append(got, run(n, 0)...)
		}
		if i == 0 {
			want = got
		}
		if !sameBits(got, want) {
			t.Errorf("%s and %s differ", s, sets[0])
		}
	}
}

func TestEveryUnitIsComputedAlike(t *testing.T) {
	const H = 45
	rng := rand.New(rand.NewPCG(13, 14))
	z, before := narrow(normal(rng, 4*H)), narrow(normal(rng, H))
	everySet(t, func(t *testing.T) {
		whole, c, tanhC, h := slices.Clone(z), make([]float32, H), make([]float32, H), make([]float32, H)
		CellForward(whole, before, c, tanhC, h)
		for j := range H {
			one := []float32{z[j], z[H+j], z[2*H+j], z[3*H+j]}
			out := make([]float32, 3)
			CellForward(one, before[j:j+1], out[:1], out[1:2], out[2:])
			if !sameBits(one, []float32{whole[j], whole[H+j], whole[2*H+j], whole[3*H+j]}) || !sameBits(out, []float32{c[j], tanhC[j], h[j]}) {
				t.Fatalf("unit %d alone differs from the same unit among %d", j, H)
			}
		}
	})
}

func TestVectorFunctionsPanicWhenASliceIsTooShort(t *testing.T) {
	full := make([]float32, 9)
	short := make([]float32, 8, 100) // has the room, but not the elements
	z := make([]float32, 36)
	everySet(t, func(t *testing.T) {
		for name, call := range map[string]func(){
			"CellForward z":       func() { CellForward(z[:35], nil, full, full, full) },
			"CellForward before":  func() { CellForward(z, short, full, full, full) },
			"CellForward c":       func() { CellForward(z, nil, short, full, full) },
			"CellForward tanhC":   func() { CellForward(z, nil, full, short, full) },
			"CellBackward z":      func() { CellBackward(z[:35], nil, full, full, full) },
			"CellBackward before": func() { CellBackward(z, short, full, full, full) },
			"CellBackward tanhC":  func() { CellBackward(z, nil, short, full, full) },
			"CellBackward dc":     func() { CellBackward(z, nil, full, full, short) },
			"ReLU":                func() { ReLU(short, full) },
			"ReLUBackward":        func() { ReLUBackward(short, full) },
			"AddTo":               func() { AddTo(short, full) },
			"Axpy":                func() { Axpy(short, 1, full) },
			"AddRows":             func() { AddRows(short, full) },
			"AddRows of nothing":  func() { AddRows(nil, full) },
			"Adam x":              func() { Adam(short, full, full, full, 1, 1, 1, 0) },
			"Adam m":              func() { Adam(full, short, full, full, 1, 1, 1, 0) },
			"Adam v":              func() { Adam(full, full, short, full, 1, 1, 1, 0) },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("no panic: %s", name)
					}
				}()
				call()
			}()
		}
	})
}
