package onnx

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkAnswer runs batches of what a backtest does.
func BenchmarkAnswer(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	noise := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(rng.NormFloat64())
		}
		return v
	}
	const batch, width = 256, 120
	repeat := func(g *Graph, x string, op func(name, x string) string) string {
		for i := range 20 {
			x = op(fmt.Sprint("y", i), x)
		}
		return x
	}
	for name, build := range map[string]func(g *Graph, x string) string{
		"20 of Add of a row": func(g *Graph, x string) string {
			c := g.Constant("c", noise(width), width)
			return repeat(g, x, func(name, x string) string { return g.Add(name, x, c) })
		},
		"20 of Mul by another": func(g *Graph, x string) string {
			return repeat(g, x, func(name, y string) string { return g.Mul(name, y, x) })
		},
		"20 of Div by a column": func(g *Graph, x string) string {
			c := g.Slice("c", x, 1, 0, 1)
			return repeat(g, x, func(name, x string) string { return g.Div(name, x, c) })
		},
		"20 of Sub of a number": func(g *Graph, x string) string {
			c := g.Constant("c", noise(1))
			return repeat(g, x, func(name, x string) string { return g.Sub(name, x, c) })
		},
		"Gather of columns": func(g *Graph, x string) string { return g.Gather("y", x, 1, indices(rng, width)...) },
		"MatMul": func(g *Graph, x string) string {
			return g.MatMul("y", x, g.Constant("c", noise(width*width), width, width))
		},
		"Softmax": func(g *Graph, x string) string { return g.Softmax("y", x, 1) },
		"1200 trees of 31 leaves": func(g *Graph, x string) string {
			e := Trees{Base: noise(width)}
			for t := range 1200 {
				e.Trees = append(e.Trees, grown(rng, t%12, 31, width))
			}
			return g.TreeEnsembleRegressor("y", x, e)
		},
	} {
		b.Run(name, func(b *testing.B) {
			g := NewGraph("bench")
			y := build(g, g.Squeeze("flat", g.Input(SeriesInput, DynamicBatch, width, 1), 2))
			g.Reshape(ForecastOutput, y, -1, width)
			g.Output(ForecastOutput, DynamicBatch, width)
			p, err := Load(g.Marshal())
			if err != nil {
				b.Fatal(err)
			}
			series := noise(batch * width)
			for b.Loop() {
				if _, err := p.Run(series, nil, batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch*width), "ns/element")
		})
	}
}

func indices(rng *rand.Rand, n int) []int64 {
	v := make([]int64, n)
	for i, x := range rng.Perm(n) {
		v[i] = int64(x)
	}
	return v
}

// grown is a tree with so many leaves, of which a random one is split each time.
func grown(rng *rand.Rand, target, leaves, features int) Tree {
	tree, open := Tree{Target: target, Nodes: []TreeNode{{}}}, []int{0}
	for len(open) < leaves {
		i := rng.IntN(len(open))
		at, n := open[i], len(tree.Nodes)
		tree.Nodes[at] = TreeNode{Feature: rng.IntN(features), Value: float32(rng.NormFloat64()), Left: n, Right: n + 1}
		tree.Nodes = append(tree.Nodes, TreeNode{Value: 1}, TreeNode{Value: 2})
		open[i] = n
		open = append(open, n+1)
	}
	return tree
}
