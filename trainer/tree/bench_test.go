package tree

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// wavy is a data set of smooth and broken pieces with noise of size 0.1. Of more
// than seven columns the others do not matter.
func wavy(rng *rand.Rand, rows, cols int) (Matrix, []float32) {
	m := Matrix{rows, cols, make([]float32, rows*cols)}
	y := make([]float32, rows)
	for i := range m.Data {
		m.Data[i] = float32(rng.NormFloat64())
	}
	for i := range y {
		x := func(j int) float32 { return m.Data[i*cols+j%cols] }
		y[i] = float32(math.Sin(2*float64(x(0)))) + x(1)*x(2) + x(3)*x(4) + 0.1*float32(rng.NormFloat64())
		if x(5) > 0.3 {
			y[i] += 1 + x(6)
		}
	}
	return m, y
}

func BenchmarkFit(b *testing.B) {
	m, y := wavy(rand.New(rand.NewPCG(1, 1)), 10_000, 120)
	for _, c := range []struct {
		name            string
		bins            int
		rows, cols      float64
		workers, leaves int
	}{
		{"16 leaves, all rows and columns, 63 bins", 63, 1, 1, 1, 16},
		{"16 leaves, all rows and columns, 255 bins", 255, 1, 1, 1, 16},
		{"defaults", DefaultBins, Defaults().Subsample, Defaults().ColSample, 1, Defaults().Leaves},
		{"defaults, two workers", DefaultBins, Defaults().Subsample, Defaults().ColSample, 2, Defaults().Leaves},
	} {
		b.Run(c.name, func(b *testing.B) {
			config := Defaults()
			config.Subsample, config.ColSample, config.Workers, config.Patience, config.Leaves = c.rows, c.cols, c.workers, 0, c.leaves
			binned := Bin(m, c.bins, c.workers)
			for b.Loop() {
				if _, err := Fit(context.Background(), config, binned, y, nil, Matrix{}, nil, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkBin(b *testing.B) {
	m, _ := wavy(rand.New(rand.NewPCG(1, 1)), 10_000, 120)
	for b.Loop() {
		Bin(m, DefaultBins, 1)
	}
}

func BenchmarkPredict(b *testing.B) {
	m, y := wavy(rand.New(rand.NewPCG(1, 1)), 10_000, 120)
	config := Defaults()
	config.Patience = 0
	e, err := Fit(context.Background(), config, Bin(m, DefaultBins, 1), y, nil, Matrix{}, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, rows := range []int{1, 256, 10_000} {
		b.Run(fmt.Sprint(rows, " rows"), func(b *testing.B) {
			out := make([]float32, rows)
			part := Matrix{rows, m.Cols, m.Data[:rows*m.Cols]}
			for b.Loop() {
				e.Predict(part, out)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows*e.Len()), "ns/tree")
		})
	}
}
