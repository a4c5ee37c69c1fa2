package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
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

// operand returns a random rows x cols matrix with NaN between its rows and none
// behind the last.
func operand(rng *rand.Rand, rows, cols int, trans bool) Operand[float64] {
	if trans {
		rows, cols = cols, rows
	}
	stride := cols + rng.IntN(5)
	data := make([]float64, max(0, (rows-1)*stride+cols))
	for i := range data {
		data[i] = math.NaN()
		if i%stride < cols {
			data[i] = rng.NormFloat64()
		}
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

func (o Operand[T]) narrow() Operand[float32] {
	v := make([]float32, len(o.Data))
	for i, x := range o.Data {
		v[i] = float32(x)
	}
	return Operand[float32]{v, o.Stride, o.Trans}
}

// checkGemm multiplies in every way there is and compares with the definition.
func checkGemm(t *testing.T, rng *rand.Rand, m, n, k int, ta, tb, accumulate bool) {
	t.Helper()
	name := fmt.Sprintf("%s: %dx%dx%d trans %v %v accumulate %v", active, m, n, k, ta, tb, accumulate)
	a, b, c := operand(rng, m, k, ta), operand(rng, k, n, tb), operand(rng, m, n, false)
	want, got := slices.Clone(c.Data), slices.Clone(c.Data)
	plain, packed := narrow(c.Data), narrow(c.Data)
	reference(m, n, k, a, b, want, c.Stride, accumulate)
	Gemm(m, n, k, a, b, got, c.Stride, accumulate)
	a32, b32 := a.narrow(), b.narrow()
	Gemm(m, n, k, a32, b32, plain, c.Stride, accumulate)
	var p Packed[float32]
	p.Pack(k, n, b32)
	GemmPacked(m, a32, &p, packed, c.Stride, accumulate)
	for i, w := range want { // the margins included: they must stay NaN
		tolerance := 1e-6 * (math.Sqrt(float64(k)) + 1) * 4
		if !near(got[i], w, 1e-12*float64(k+1)) || !near(float64(plain[i]), w, tolerance) || !near(float64(packed[i]), w, tolerance) {
			t.Fatalf("%s: element %d is %v in float64, %v in float32, %v packed; want %v", name, i, got[i], plain[i], packed[i], w)
		}
	}
	if active != portable && !sameBits(plain, packed) {
		t.Fatalf("%s: packing changes the result", name)
	}
	bias, biased, added := narrow(normal(rng, n)), narrow(c.Data), narrow(c.Data)
	for i := range m {
		copy(added[i*c.Stride:], bias)
	}
	GemmBias(m, a32, &p, bias, biased, c.Stride)
	GemmPacked(m, a32, &p, added, c.Stride, true)
	if !sameBits(biased, added) {
		t.Fatalf("%s: a bias is not what adding to its copies gives", name)
	}
}

// near reports whether got is want within the tolerance, or both are NaN.
func near(got, want, tolerance float64) bool {
	return math.Abs(got-want) <= tolerance || math.IsNaN(want) && math.IsNaN(got)
}

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

func TestGemmEqualsItsDefinition(t *testing.T) {
	everySet(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		// Around the tiles, the panels, the depth of a block and the rows from
		// which B is copied.
		sizes := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 95, 97, 127, 129, 130, 193, 257}
		for range 300 {
			m, n, k := sizes[rng.IntN(len(sizes))], sizes[rng.IntN(len(sizes))], sizes[rng.IntN(len(sizes))]
			checkGemm(t, rng, m, n, k, rng.IntN(2) == 1, rng.IntN(2) == 1, rng.IntN(2) == 1)
		}
		checkGemm(t, rng, 1100, 19, 2, false, false, true) // more rows than one call takes
		for _, trans := range []bool{false, true} {
			checkGemm(t, rng, 13, 37, 1000, trans, !trans, true)
			checkGemm(t, rng, 140, 37, 520, trans, trans, false)
		}
		for m := range 20 {
			for n := range 40 {
				checkGemm(t, rng, m+1, n+1, 5, m%2 == 0, n%2 == 0, m%3 == 0)
			}
		}
	})
}

func TestGemmOfNothingClearsOrKeepsC(t *testing.T) {
	everySet(t, func(t *testing.T) {
		c := []float32{1, 2, 3, 4, 5, 6}
		var p Packed[float32]
		p.Pack(0, 2, Of([]float32(nil), 2))
		Gemm(2, 2, 0, Of([]float32(nil), 0), Of([]float32(nil), 2), c, 3, true)
		GemmPacked(2, Of([]float32(nil), 0), &p, c, 3, true)
		if !slices.Equal(c, []float32{1, 2, 3, 4, 5, 6}) {
			t.Errorf("adding an empty product changed C to %v", c)
		}
		GemmBias(2, Of([]float32(nil), 0), &p, []float32{7, 8}, c, 3)
		if !slices.Equal(c, []float32{7, 8, 3, 7, 8, 6}) {
			t.Errorf("an empty product with a bias is %v, want the bias", c)
		}
		GemmPacked(2, Of([]float32(nil), 0), &p, c, 3, false)
		if !slices.Equal(c, []float32{0, 0, 3, 0, 0, 6}) {
			t.Errorf("an empty product is %v, want zeros in two columns", c)
		}
		Gemm(0, 2, 3, Of([]float32(nil), 3), Of(make([]float32, 6), 2), nil, 2, false)
		Gemm(2, 0, 3, Of(make([]float32, 6), 3), Of([]float32(nil), 0), nil, 0, false)
	})
}

func TestGemmPanicsWhenASliceIsTooShort(t *testing.T) {
	v := func(n int) []float32 { return make([]float32, n) }
	everySet(t, func(t *testing.T) {
		var p Packed[float32]
		p.Pack(4, 5, Of(v(20), 5))
		for name, call := range map[string]func(){
			"A":               func() { Gemm(3, 5, 4, Of(v(11), 4), Of(v(20), 5), v(15), 5, true) },
			"A transposed":    func() { Gemm(3, 5, 4, TransposeOf(v(11), 3), Of(v(20), 5), v(15), 5, true) },
			"B":               func() { Gemm(3, 5, 4, Of(v(12), 4), Of(v(19), 5), v(15), 5, true) },
			"B transposed":    func() { Gemm(3, 5, 4, Of(v(12), 4), TransposeOf(v(19), 4), v(15), 5, true) },
			"C":               func() { Gemm(3, 5, 4, Of(v(12), 4), Of(v(20), 5), v(14), 5, true) },
			"C's stride":      func() { Gemm(3, 5, 4, Of(v(12), 4), Of(v(20), 5), v(15), 4, true) },
			"A for a packed":  func() { GemmPacked(3, Of(v(11), 4), &p, v(15), 5, true) },
			"C for a packed":  func() { GemmPacked(3, Of(v(12), 4), &p, v(14), 5, true) },
			"the bias":        func() { GemmBias(3, Of(v(12), 4), &p, v(4), v(15), 5) },
			"C with a bias":   func() { GemmBias(3, Of(v(12), 4), &p, v(5), v(14), 5) },
			"B to be packed":  func() { new(Packed[float32]).Pack(4, 5, Of(v(19), 5)) },
			"negative rows":   func() { Gemm(-1, 5, 4, Of(v(12), 4), Of(v(20), 5), v(15), 5, true) },
			"negative stride": func() { Gemm(3, 5, 4, Of(v(12), -4), Of(v(20), 5), v(15), 5, true) },
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

// shifted returns a copy of v that begins by elements past a cache line.
func shifted(v []float32, by int) []float32 {
	room := make([]float32, len(v)+2*16)
	at := 0
	for ; uintptrOf(room[at:])/4%16 != 0; at++ {
	}
	return room[at+by:][:copy(room[at+by:], v)]
}

func TestGemmElementsDependOnTheirRowAndColumnOnly(t *testing.T) {
	const m, n, k = 150, 70, 300
	rng := rand.New(rand.NewPCG(3, 4))
	a, b, c := narrow(normal(rng, m*k)), narrow(normal(rng, k*n)), narrow(normal(rng, m*n))
	everySet(t, func(t *testing.T) {
		want := slices.Clone(c)
		Gemm(m, n, k, Of(a, k), Of(b, n), want, n, true)
		var p Packed[float32]
		p.Pack(k, n, Of(b, n))
		for trial := range 60 {
			from := rng.IntN(m)
			rows := 1 + rng.IntN(m-from)
			shift := trial % 16
			got, packed := shifted(c, shift), shifted(c, shift)
			Gemm(rows, n, k, Of(shifted(a[from*k:], shift), k), Of(shifted(b, 15-shift), n), got[from*n:], n, true)
			GemmPacked(rows, Of(shifted(a[from*k:], shift), k), &p, packed[from*n:], n, true)
			in := func(v []float32) []float32 { return v[from*n : (from+rows)*n] }
			if !sameBits(in(got), in(want)) || !sameBits(in(packed), in(want)) {
				t.Fatalf("rows %d to %d, shifted by %d, differ from those of the whole product", from, from+rows, shift)
			}
			if active == portable {
				continue // gonum sums a transposed operand in another order
			}
			at, bt := transposed(a, m, k), transposed(b, k, n)
			col := rng.IntN(n)
			got = slices.Clone(c)
			Gemm(m, n-col, k, TransposeOf(at, m), TransposeOf(bt[col*k:], k), got[col:], n, true)
			for i := range m {
				if !sameBits(got[i*n+col:(i+1)*n], want[i*n+col:(i+1)*n]) {
					t.Fatalf("row %d from column %d on, by transposed operands, differs from the whole product", i, col)
				}
			}
		}
	})
}

func transposed(v []float32, rows, cols int) []float32 {
	out := make([]float32, len(v))
	for i := range rows {
		for j := range cols {
			out[j*rows+i] = v[i*cols+j]
		}
	}
	return out
}

func TestGoroutinesShareAPackedOperand(t *testing.T) {
	const m, n, k = 96, 200, 64
	rng := rand.New(rand.NewPCG(5, 6))
	a, b := narrow(normal(rng, m*k)), narrow(normal(rng, k*n))
	everySet(t, func(t *testing.T) {
		var p Packed[float32]
		p.Pack(k, n, Of(b, n))
		want, got := make([]float32, m*n), make([]float32, m*n)
		GemmPacked(m, Of(a, k), &p, want, n, false)
		var wg sync.WaitGroup
		for from := 0; from < m; from += 12 {
			wg.Go(func() { GemmPacked(12, Of(a[from*k:], k), &p, got[from*n:], n, false) })
		}
		wg.Wait()
		if !sameBits(got, want) {
			t.Error("shards differ from the whole product")
		}
	})
}

func TestNothingAllocates(t *testing.T) {
	v := func(n int) []float32 { return make([]float32, n) }
	a, w, c, wide := v(140*128), v(128*520), v(140*520), make([]float64, 64*64)
	z, s := v(4*100), [4][]float32{v(100), v(100), v(100), v(100)}
	everySet(t, func(t *testing.T) {
		var p Packed[float32]
		p.Pack(128, 520, Of(w, 520))
		sum := 0.0
		if n := testing.AllocsPerRun(5, func() {
			Gemm(140, 520, 128, Of(a, 128), Of(w, 520), c, 520, true)
			Gemm(64, 510, 128, Of(a, 128), Of(w, 520), c, 520, true)
			Gemm(64, 128, 520, Of(c, 520), TransposeOf(w, 520), a, 128, false)
			Gemm(64, 64, 64, Of(wide, 64), Of(wide, 64), wide, 64, true)
			p.Pack(128, 500, Of(w, 520))
			p.Pack(128, 500, TransposeOf(w, 128))
			GemmPacked(64, Of(a, 128), &p, c, 520, true)
			GemmBias(64, Of(a, 128), &p, w[:500], c, 520)
			CellForward(z, nil, s[0], s[1], s[2])
			CellBackward(z, s[0], s[1], s[2], s[3])
			ReLU(s[0], s[1])
			ReLUBackward(s[0], s[1])
			AddTo(s[0], s[1])
			Axpy(s[0], 2, s[1])
			AddRows(s[0], z)
			Adam(s[0], s[1], s[2], s[3], 1, 1, 1, 0)
			sum += SumSquares(z)
		}); n != 0 {
			t.Errorf("%v allocations a round, want 0", n)
		}
	})
}

func FuzzGemm(f *testing.F) {
	f.Add(uint16(8), uint16(32), uint16(3), uint8(0), uint64(1))
	f.Add(uint16(129), uint16(33), uint16(257), uint8(7), uint64(2))
	f.Add(uint16(7), uint16(17), uint16(300), uint8(2), uint64(3))
	f.Fuzz(func(t *testing.T, m, n, k uint16, flags uint8, seed uint64) {
		for _, s := range supported() {
			func() {
				defer func(before set) { active = before }(active)
				active = s
				rng := rand.New(rand.NewPCG(seed, 0))
				checkGemm(t, rng, int(m%300)+1, int(n%150)+1, int(k%600)+1, flags&1 > 0, flags&2 > 0, flags&4 > 0)
			}()
		}
	})
}
