package kernel

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"
)

func TestDropoutIsTheSameInEverySet(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const margin = 40
	for _, s := range supported() {
		t.Run(s.String(), func(t *testing.T) {
			use(t, s)
			for _, n := range []int{0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 1000} {
				for _, threshold := range []uint32{0, 1, 13107, 1<<16 - 1} {
					for _, accumulate := range []bool{false, true} {
						for offset := range 3 { // from a cache line's beginning
							name := fmt.Sprintf("%d elements, threshold %d, accumulate %v", n, threshold, accumulate)
							key := rng.Uint64()
							src, dst := narrow(normal(rng, n)), narrow(normal(rng, n+2*margin+offset))
							want := append([]float32(nil), dst...)
							factor := float32(1 / (1 - float64(threshold)/(1<<16)))
							dropPortable(want[margin+offset:][:n], src, uint32(key), uint32(key>>32), threshold, factor, accumulate)
							Dropout(dst[margin+offset:], src, key, threshold, accumulate)
							for i := range want { // margins included
								// A fused multiply-add rounds once where the portable code rounds twice.
								if math.Abs(float64(dst[i]-want[i])) > 1e-6*float64(factor)*4 {
									t.Fatalf("%s: element %d is %v, want %v", name, i-margin-offset, dst[i], want[i])
								}
							}
						}
					}
				}
			}
		})
	}
}

func TestDropoutInAssemblyGivesTheSameBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	src, start := narrow(normal(rng, 320)), narrow(normal(rng, 320))
	var want []float32
	for _, s := range supported() {
		if s == portable {
			continue
		}
		use(t, s)
		got := append([]float32(nil), start...)
		Dropout(got, src, 9, 1<<15, true)
		Dropout(got[160:], src[160:], 9, 1<<14, false)
		if want == nil {
			want = got
		}
		for i := range want {
			if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
				t.Fatalf("%v: element %d is %v, want %v", s, i, got[i], want[i])
			}
		}
	}
}

// dropped returns which of n elements are dropped, as bits.
func dropped(n int, key uint64, threshold uint32) []bool {
	v := make([]float64, n)
	for i := range v {
		v[i] = 1
	}
	Dropout(v, v, key, threshold, false)
	out := make([]bool, n)
	for i := range v {
		out[i] = v[i] == 0
	}
	return out
}

func TestDropoutKeepsTheMeanAndDropsAtTheRate(t *testing.T) {
	for _, p := range []float64{0.01, 0.2, 0.5, 0.9} {
		const n = 1 << 18
		threshold := uint32(p * (1 << 16))
		v := make([]float64, n)
		for i := range v {
			v[i] = 1
		}
		Dropout(v, v, 7, threshold, false)
		zeros, sum := 0.0, 0.0
		for _, x := range v {
			if x == 0 {
				zeros++
			}
			sum += x
		}
		sigma := math.Sqrt(p * (1 - p) / n)
		if math.Abs(zeros/n-p) > 4*sigma || math.Abs(sum/n-1) > 4*sigma/(1-p) {
			t.Errorf("p = %v: dropped %v, mean %v", p, zeros/n, sum/n)
		}
	}
}

func TestDropoutsOfDifferentKeysAndElementsAreUnrelated(t *testing.T) {
	const n, half = 1 << 16, 1 << 15
	agree := func(a, b []bool) float64 { // in standard deviations from a half
		same := 0
		for i := range a {
			if a[i] == b[i] {
				same++
			}
		}
		return math.Abs(float64(same)-float64(len(a))/2) / (math.Sqrt(float64(len(a))) / 2)
	}
	base := dropped(n, 12345, half)
	for bit := range 64 {
		if d := agree(base, dropped(n, 12345^1<<bit, half)); d > 4.5 {
			t.Errorf("keys that differ in bit %d agree by %v standard deviations too often or too seldom", bit, d)
		}
	}
	for _, lag := range []int{1, 2, 15, 16, 17, 31, 32, 64, 128, 1024} {
		if d := agree(base[lag:], base[:n-lag]); d > 4.5 {
			t.Errorf("elements %d apart agree by %v standard deviations too often or too seldom", lag, d)
		}
	}
	counts := map[int]int{} // of the dropped in groups of 32: as many as tosses of a coin
	for i := 0; i < n; i += 32 {
		word := uint32(0)
		for j, d := range base[i : i+32] {
			if d {
				word |= 1 << j
			}
		}
		counts[bits.OnesCount32(word)]++
	}
	variance := 0.0
	for k, c := range counts {
		variance += float64(c) * float64(k-16) * float64(k-16) / (n / 32)
	}
	if math.Abs(variance-8) > 0.8 {
		t.Errorf("the number of dropped of 32 has variance %v, want 8", variance)
	}
}

func TestADroppedElementMayBeNaN(t *testing.T) {
	for _, s := range supported() {
		use(t, s)
		src, dst := make([]float32, 64), make([]float32, 64)
		for i := range src {
			src[i] = float32(math.NaN())
		}
		Dropout(dst, src, 1, 1<<15, false)
		for i, d := range dropped(64, 1, 1<<15) {
			if (dst[i] == 0) != d {
				t.Errorf("%v: element %d is %v; dropped: %v", s, i, dst[i], d)
			}
		}
	}
}

func TestDotEqualsItsDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, s := range supported() {
		use(t, s)
		for n := range 200 {
			x, y := normal(rng, n+1), normal(rng, n+1)
			want, size := 0.0, 0.0
			for i := range n {
				want += x[i] * y[i]
				size += math.Abs(x[i] * y[i])
			}
			x32, y32 := narrow(x), narrow(y)
			y32[n] = float32(math.NaN()) // must not be read
			if got := float64(Dot(x32[:n:n], y32[:n])); !(math.Abs(got-want) <= 1e-6*(size+1)) {
				t.Errorf("%v: %d elements: %v, want %v", s, n, got, want)
			}
			if got := Dot(x[:n], y); math.Abs(got-want) > 1e-14*(size+1) {
				t.Errorf("float64, %d elements: %v, want %v", n, got, want)
			}
		}
	}
}

func BenchmarkDropout(b *testing.B) {
	v, d := make([]float32, 1<<16), make([]float32, 1<<16)
	for b.Loop() {
		Dropout(d, v, 1, 13107, false)
	}
	b.SetBytes(4 << 16)
}
