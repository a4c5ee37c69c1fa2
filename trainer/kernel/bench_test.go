package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkGemm measures the products of an LSTM layer: the recurrent one
// forward and back (B packed once), and over all steps at once the projection of
// the inputs (packed) and the gradient of the weights.
func BenchmarkGemm(b *testing.B) {
	const steps = 24
	type shape struct {
		name    string
		m, n, k int
		ta, tb  bool
		packed  bool
	}
	var shapes []shape
	for _, hidden := range []int{32, 64, 128} {
		for _, batch := range []int{16, 32, 64} {
			H, G, rows := hidden, 4*hidden, steps*batch
			at := fmt.Sprintf("H%d-batch%d/", hidden, batch)
			shapes = append(shapes,
				shape{at + "recurrent", batch, G, H, false, false, true},
				shape{at + "back-through-time", batch, H, G, false, true, true},
				shape{at + "inputs", rows, G, H, false, false, true},
				shape{at + "weight-gradient", H, G, rows, true, false, false})
		}
	}
	for _, s := range shapes {
		rng := rand.New(rand.NewPCG(1, 2))
		x, y := operand(rng, s.m, s.k, s.ta), operand(rng, s.k, s.n, s.tb)
		x32, y32 := Operand[float32]{narrow(x.Data), x.Stride, s.ta}, Operand[float32]{narrow(y.Data), y.Stride, s.tb}
		c := make([]float32, s.m*s.n)
		for _, set := range supported() {
			b.Run(s.name+"/"+set.String(), func(b *testing.B) {
				use(b, set)
				var p Packed[float32]
				p.Pack(s.k, s.n, y32)
				for b.Loop() {
					if s.packed {
						GemmPacked(s.m, x32, &p, c, s.n, true)
					} else {
						Gemm(s.m, s.n, s.k, x32, y32, c, s.n, true)
					}
				}
				b.ReportMetric(2*float64(s.m*s.n*s.k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}

// BenchmarkPack measures laying out recurrent weights, as they are and transposed.
func BenchmarkPack(b *testing.B) {
	const H, G = 128, 512
	w := make([]float32, H*G)
	for _, set := range supported() {
		b.Run("forward/"+set.String(), func(b *testing.B) {
			use(b, set)
			var p Packed[float32]
			for b.Loop() {
				p.Pack(H, G, Of(w, G))
			}
		})
		b.Run("transposed/"+set.String(), func(b *testing.B) {
			use(b, set)
			var p Packed[float32]
			for b.Loop() {
				p.Pack(G, H, TransposeOf(w, G))
			}
		})
	}
}

// BenchmarkVector measures each vector kernel beside its portable twin, on one
// row of 128 units or as many parameters as a layer of 128 units has.
func BenchmarkVector(b *testing.B) {
	const H, params = 128, 131_584
	rng := rand.New(rand.NewPCG(1, 2))
	v := func(n int) []float32 { return narrow(normal(rng, n)) }
	input, z, before, c, tanhC, h := v(4*H), v(4*H), v(H), v(H), v(H), v(H)
	x, m, second, g := v(params), v(params), make([]float32, params), v(params)
	dst, src := v(4*H), v(4*H)
	for _, k := range []struct {
		name string
		n    int
		run  func()
	}{
		{"CellForward", H, func() { copy(z, input); CellForward(z, before, c, tanhC, h) }},
		{"CellBackward", H, func() { copy(z, input); CellBackward(z, before, tanhC, h, c) }},
		{"ReLU", 4 * H, func() { ReLU(dst, src) }},
		{"ReLUBackward", 4 * H, func() { ReLUBackward(dst, src) }},
		{"AddTo", 4 * H, func() { AddTo(dst, src) }},
		{"Axpy", 4 * H, func() { Axpy(dst, 1e-9, src) }},
		{"Adam", params, func() { Adam(x, m, second, g, 1, 1e-3, 1, 0) }},
		{"SumSquares", params, func() { _ = SumSquares(g) }},
	} {
		for _, set := range supported() {
			b.Run(k.name+"/"+set.String(), func(b *testing.B) {
				use(b, set)
				for b.Loop() {
					k.run()
				}
				b.ReportMetric(float64(k.n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gelement/s")
			})
		}
	}
}
