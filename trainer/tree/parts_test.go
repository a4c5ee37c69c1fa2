package tree

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestTheMedianIsThatOfTheDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for trial := range 3000 {
		v := make([]weighted, 1+rng.IntN(12))
		for i := range v {
			v[i] = weighted{float32(rng.IntN(6)), float32(1 + rng.IntN(3))}
		}
		before := slices.Clone(v)
		got := median(v)
		// By sorting: the numbers up to which, and from which on, half of the weight lies.
		sorted := slices.SortedFunc(slices.Values(before), func(a, b weighted) int { return int(a.value - b.value) })
		total, sum := float32(0), float32(0)
		for _, x := range sorted {
			total += x.weight
		}
		var want float32
		for i, x := range sorted {
			if sum += x.weight; 2*sum == total {
				want = (x.value + sorted[i+1].value) / 2
				break
			} else if 2*sum > total {
				want = x.value
				break
			}
		}
		if got != want {
			t.Fatalf("trial %d: got %v, want %v for %v", trial, got, want, before)
		}
	}
}

func TestTheMedianOfManyEndsAndMinimisesTheLoss(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	for name, value := range map[string]func(i int) float32{
		"random":     func(int) float32 { return float32(rng.NormFloat64()) },
		"ascending":  func(i int) float32 { return float32(i) },
		"descending": func(i int) float32 { return float32(-i) },
		"equal":      func(int) float32 { return 3 },
		"two values": func(i int) float32 { return float32(i % 2) },
	} {
		v := make([]weighted, 20_001)
		for i := range v {
			v[i] = weighted{value(i), float32(math.Exp(3 * rng.NormFloat64()))}
		}
		m := median(slices.Clone(v))
		loss := func(m float64) (sum float64) {
			for _, x := range v {
				sum += float64(x.weight) * math.Abs(float64(x.value)-m)
			}
			return sum
		}
		for _, step := range []float64{-1, -1e-3, 1e-3, 1} {
			if loss(float64(m)) > loss(float64(m)+step)*(1+1e-9) {
				t.Errorf("%s: the loss at the median %v is above that %v beside it", name, m, step)
			}
		}
	}
}

func TestBinsAgreeWithThresholds(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	inf := float32(math.Inf(1))
	special := []float32{float32(math.NaN()), inf, -inf, 0, float32(math.Copysign(0, -1)), math.MaxFloat32, -math.MaxFloat32,
		math.SmallestNonzeroFloat32, 1, math.Nextafter32(1, 2), math.Nextafter32(1, 0)}
	for trial := range 300 {
		values := make([]float32, 1+rng.IntN(500))
		for i := range values {
			switch trial % 4 {
			case 0:
				values[i] = float32(rng.NormFloat64())
			case 1:
				values[i] = special[rng.IntN(len(special))]
			case 2:
				values[i] = float32(rng.IntN(5))
			default:
				values[i] = float32(math.Exp(80*rng.Float64() - 40))
			}
		}
		bins := 2 + rng.IntN(MaxBins-1)
		b := Bin(column(values...), bins, 1)
		edges := b.edges[0]
		if len(edges) > bins-1 {
			t.Fatalf("%d edges make more than %d bins", len(edges), bins)
		}
		for i := 1; i < len(edges); i++ {
			if !(edges[i-1] < edges[i]) {
				t.Fatalf("edges %v do not ascend", edges)
			}
		}
		distinct := map[float32]bool{}
		for i, v := range values {
			if v == v {
				distinct[v] = true
			}
			for k, edge := range edges {
				if (v <= edge) != (b.bins[i] <= uint8(k)) {
					t.Fatalf("%v is in bin %d, but edge %d is %v", v, b.bins[i], k, edge)
				}
			}
		}
		if len(distinct) <= bins-1 && len(edges) < len(distinct)-1 {
			t.Fatalf("%d edges part %d distinct numbers, with %d bins to have", len(edges), len(distinct), bins)
		}
	}
}

func TestBinsHoldAboutEquallyMany(t *testing.T) {
	values := make([]float32, 10_000)
	rng := rand.New(rand.NewPCG(4, 1))
	for i := range values {
		values[i] = float32(math.Exp(4 * rng.NormFloat64()))
		if i%4 == 0 {
			values[i] = 0 // a quarter is one number
		}
	}
	b := Bin(column(values...), 101, 1)
	count := make([]int, len(b.edges[0])+1)
	for _, bin := range b.bins {
		count[bin]++
	}
	if len(count) != 101 || count[0] != 2500 {
		t.Fatalf("%d bins, the first of %d rows; want 101 and 2500", len(count), count[0])
	}
	for bin, n := range count[1:] {
		if n < 70 || n > 80 {
			t.Errorf("bin %d holds %d rows, want 75 or so", bin+1, n)
		}
	}
}

// TestTheBestSplitIsThatOfAllSplits compares with a search through every split by
// the definition of the gain, in rows and not in bins.
func TestTheBestSplitIsThatOfAllSplits(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	for trial := range 300 {
		rows := 2 + rng.IntN(40)
		m, target := Matrix{rows, 3, noise(rng, rows*3)}, noise(rng, rows)
		weight := make([]float32, rows)
		mean := 0.0
		for i := range weight {
			weight[i] = 0.1 + float32(rng.Float64())
			mean += float64(weight[i]) / float64(rows)
		}
		c := plain(1, 2)
		c.Loss, c.Lambda, c.MinLeaf = Loss(rng.IntN(2)), 3*rng.Float64(), 1+rng.IntN(4)
		b, err := newBoost(c, Bin(m, MaxBins, 1), target, weight)
		if err != nil {
			t.Fatal(err)
		}
		grown := b.round(0)
		gain := func(in func(i int) bool) (gain, w float64) {
			g := 0.0
			for i := range rows {
				if in(i) {
					g, w = g+b.gradient[i]/mean, w+float64(weight[i])/mean
				}
			}
			return g * g / (w + c.Lambda), w
		}
		whole, _ := gain(func(int) bool { return true })
		best := 0.0
		for j := range m.Cols {
			for _, edge := range b.data.edges[j] {
				left, wl := gain(func(i int) bool { return m.Row(i)[j] <= edge })
				right, wr := gain(func(i int) bool { return m.Row(i)[j] > edge })
				if wl >= float64(c.MinLeaf) && wr >= float64(c.MinLeaf) {
					best = max(best, left+right-whole)
				}
			}
		}
		if !grown {
			if best > 1e-6 {
				t.Fatalf("trial %d: no split was made, one gains %v", trial, best)
			}
			continue
		}
		root := b.ensemble.trees[0].Nodes[0]
		left, _ := gain(func(i int) bool { return m.Row(i)[root.Feature] <= root.Value })
		right, _ := gain(func(i int) bool { return m.Row(i)[root.Feature] > root.Value })
		if got := left + right - whole; math.Abs(got-best) > 1e-5*max(1, best) {
			t.Fatalf("trial %d: the split gains %v, the best %v", trial, got, best)
		}
	}
}

func noise(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return v
}

// TestHistogramsOfLeavesAreThoseOfTheirRows: what subtraction leaves to the larger
// child is what its rows sum up to.
func TestHistogramsOfLeavesAreThoseOfTheirRows(t *testing.T) {
	m, y := wavy(rand.New(rand.NewPCG(6, 1)), 3000, 7)
	c := plain(1, 12)
	c.Subsample, c.ColSample = 0.6, 0.7
	b, err := newBoost(c, Bin(m, 50, 1), y, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.round(0)
	seen := 0
	for _, l := range b.leaves {
		seen += l.to - l.from
		if l.hist == nil {
			continue // of the last split
		}
		for k, j := range b.columns {
			var want histogram
			want.add(b.data.column(j), b.rows[l.from:l.to], b.values[l.from:l.to])
			bins := len(b.data.edges[j]) + 1
			if !slices.Equal(l.hist[k][:bins], want[:bins]) {
				t.Fatalf("the histogram of column %d is not that of its %d rows", j, l.to-l.from)
			}
		}
	}
	if seen != len(b.rows) || seen > 2000 || seen < 1600 {
		t.Errorf("the leaves hold %d of %d rows drawn from 3000 at 0.6", seen, len(b.rows))
	}
}
