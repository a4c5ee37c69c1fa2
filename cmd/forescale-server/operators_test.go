package main

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/forescale/forescale/server/batch"
	"github.com/forescale/forescale/server/ort"
	"github.com/forescale/forescale/server/tensor"
	"github.com/forescale/forescale/trainer/onnx"
)

// The inputs of the graphs below: x [batch, opSteps, opChannels], c [batch, opWidth].
const (
	opSteps    = 4
	opChannels = 6
	opWidth    = 5
)

// operatorGraph computes one value, whose first axis is the batch, from x and c.
type operatorGraph struct {
	build func(g *onnx.Graph, x, c string) string
	width int  // elements per batch element
	adds  bool // adds numbers up: where huge ones cancel, the order decides
}

func operatorGraphs(rng *rand.Rand) map[string]operatorGraph {
	values := func(n int) []float32 { return noise(rng, n, 3) }
	const all = opSteps * opChannels
	graphs := map[string]operatorGraph{
		"Softmax over the last axis":    {func(g *onnx.Graph, x, _ string) string { return g.Softmax("y", x, -1) }, all, true},
		"Softmax over the steps":        {func(g *onnx.Graph, x, _ string) string { return g.Softmax("y", x, 1) }, all, true},
		"ReduceSum over the last axis":  {func(g *onnx.Graph, x, _ string) string { return g.ReduceSum("y", x, 2) }, opSteps, true},
		"ReduceSum over the steps":      {func(g *onnx.Graph, x, _ string) string { return g.ReduceSum("y", x, 1) }, opChannels, true},
		"ReduceMean over the last axis": {func(g *onnx.Graph, x, _ string) string { return g.ReduceMean("y", x, -1) }, opSteps, true},
		"ReduceMean over the steps":     {func(g *onnx.Graph, x, _ string) string { return g.ReduceMean("y", x, 1) }, opChannels, true},
		"Clip":                          {func(g *onnx.Graph, x, _ string) string { return g.Clip("y", x, -1.5, 2) }, all, false},
		"Gather of channels": {func(g *onnx.Graph, x, _ string) string {
			return g.Gather("y", x, 2, 3, 0, 3, -1)
		}, 4 * opSteps, false},
		"Gather of steps": {func(g *onnx.Graph, x, _ string) string { return g.Gather("y", x, 1, 2, -4) }, 2 * opChannels, false},
		"Slice":           {func(g *onnx.Graph, x, _ string) string { return g.Slice("y", x, 1, 1, 3) }, 2 * opChannels, false},
		"Transpose":       {func(g *onnx.Graph, x, _ string) string { return g.Transpose("y", x, 0, 2, 1) }, all, false},
		"Unsqueeze":       {func(g *onnx.Graph, x, _ string) string { return g.Unsqueeze("y", x, 1) }, all, false},
		"Unsqueeze, Squeeze": {func(g *onnx.Graph, x, _ string) string {
			return g.Squeeze("y", g.Unsqueeze("u", x, -1), -1)
		}, all, false},
		"Reshape": {func(g *onnx.Graph, x, _ string) string {
			return g.Reshape("y", g.Reshape("r", x, -1, opChannels), -1, opSteps, 2, 3)
		}, all, false},
		"Concat": {func(g *onnx.Graph, x, c string) string {
			return g.Concat("y", -1, c, g.ReduceSum("s", g.Slice("one", x, 2, 0, 1), 2), c)
		}, 2*opWidth + opSteps, false},
		"MatMul": {func(g *onnx.Graph, _, c string) string {
			return g.MatMul("y", c, g.Constant("w", values(opWidth*3), opWidth, 3))
		}, 3, true},
		"MatMul of a stack": {func(g *onnx.Graph, x, _ string) string {
			return g.MatMul("y", x, g.Constant("w", values(opChannels*3), opChannels, 3))
		}, opSteps * 3, true},
	}
	maps.Copy(graphs, arithmetic(values))
	return graphs
}

// arithmetic has each operator that works on single elements, with each kind of
// broadcasting.
func arithmetic(values func(n int) []float32) map[string]operatorGraph {
	const all = opSteps * opChannels
	graphs := map[string]operatorGraph{}
	for name, method := range map[string]func(g *onnx.Graph, name, x string) string{
		"Relu": (*onnx.Graph).Relu, "Neg": (*onnx.Graph).Neg, "Abs": (*onnx.Graph).Abs, "Log": (*onnx.Graph).Log,
		"Exp": (*onnx.Graph).Exp, "Sqrt": (*onnx.Graph).Sqrt, "Sigmoid": (*onnx.Graph).Sigmoid,
		"Tanh": (*onnx.Graph).Tanh, "Softplus": (*onnx.Graph).Softplus,
	} {
		graphs[name] = operatorGraph{func(g *onnx.Graph, x, _ string) string { return method(g, "y", x) }, all, false}
	}
	for name, method := range map[string]func(g *onnx.Graph, name, a, b string) string{
		"Add": (*onnx.Graph).Add, "Sub": (*onnx.Graph).Sub, "Mul": (*onnx.Graph).Mul, "Div": (*onnx.Graph).Div,
		"Max": (*onnx.Graph).Max, "Min": (*onnx.Graph).Min,
	} {
		for with, operand := range map[string]func(g *onnx.Graph, x, c string) string{
			"itself backwards": func(g *onnx.Graph, x, _ string) string { return g.Gather("b", x, 1, 3, 2, 1, 0) },
			"a row":            func(g *onnx.Graph, _, _ string) string { return g.Constant("b", values(opChannels), opChannels) },
			"a column":         func(g *onnx.Graph, _, _ string) string { return g.Constant("b", values(opSteps), opSteps, 1) },
			"a number":         func(g *onnx.Graph, _, _ string) string { return g.Constant("b", values(1)) },
			"a number per row": func(g *onnx.Graph, _, c string) string {
				return g.Unsqueeze("b", g.Slice("c0", c, 1, 2, 3), 2)
			},
			"its first step": func(g *onnx.Graph, x, _ string) string { return g.Slice("b", x, 1, 0, 1) },
			"a whole matrix": func(g *onnx.Graph, _, _ string) string { return g.Constant("b", values(all), opSteps, opChannels) },
		} {
			graphs[name+" with "+with] = operatorGraph{func(g *onnx.Graph, x, c string) string {
				return method(g, "y", x, operand(g, x, c))
			}, all, false}
			graphs[name+" of "+with] = operatorGraph{func(g *onnx.Graph, x, c string) string {
				return method(g, "y", operand(g, x, c), x)
			}, all, false}
		}
		graphs[name+" of an outer product"] = operatorGraph{func(g *onnx.Graph, _, c string) string {
			return method(g, "y", g.Unsqueeze("a", c, 2), g.Unsqueeze("b", c, 1))
		}, opWidth * opWidth, false}
	}
	return graphs
}

// marshalled is the model file of an operator's graph.
func (o operatorGraph) marshalled() []byte {
	g := onnx.NewGraph("operator")
	x := g.Input(onnx.SeriesInput, onnx.DynamicBatch, opSteps, opChannels)
	y := o.build(g, x, g.Input(onnx.ContextInput, onnx.DynamicBatch, opWidth))
	g.Reshape(onnx.ForecastOutput, y, 0, int64(o.width))
	g.Output(onnx.ForecastOutput, onnx.DynamicBatch, o.width)
	g.Unsqueeze(onnx.QuantilesOutput, onnx.ForecastOutput, 2)
	g.Output(onnx.QuantilesOutput, onnx.DynamicBatch, o.width, 1)
	return g.Marshal()
}

// answers runs a model with both outputs on ONNX Runtime.
func answers(t *testing.T, s *ort.Session, r request) onnx.Answer {
	t.Helper()
	b := batch.Batch{Rows: r.rows}
	for _, info := range s.Inputs() {
		data := map[string][]float32{onnx.SeriesInput: r.series, onnx.ContextInput: r.context}[info.Name]
		shape := slices.Clone(info.Shape)
		shape[0] = int64(r.rows)
		b.Inputs = append(b.Inputs, tensor.New(data, shape...))
	}
	outputs, err := s.Run(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	return onnx.Answer{Forecast: outputs[0].Float32s(), Quantiles: outputs[1].Float32s()}
}

// same reports whether two implementations agree on a number, not-numbers and
// infinities included.
func same(a, b float32) bool {
	x, y := float64(a), float64(b)
	return x == y || math.IsNaN(x) && math.IsNaN(y) || math.Abs(x-y) <= tolerance(b, 1)
}

func TestOperatorsAnswerOnONNXRuntimeAsInTheEvaluator(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	ends := []float32{0, float32(math.Copysign(0, -1)), 1, -1, 17, -20, 88.5, -88.5, 89, -104, 1e-30, -1e-30,
		math.SmallestNonzeroFloat32, 1.2e-38, nan, inf, -inf}
	huge := append(slices.Clone(ends), math.MaxFloat32, -math.MaxFloat32, 1e30, -1e30)
	rng := rand.New(rand.NewPCG(8, 1))
	for name, o := range operatorGraphs(rng) {
		t.Run(name, func(t *testing.T) {
			model := o.marshalled()
			program, err := onnx.Load(model)
			if err != nil {
				t.Fatal(err)
			}
			served, extremes := session(t, model), huge
			if o.adds {
				extremes = ends
			}
			for kind, value := range map[string]func() float32{
				"noise":      func() float32 { return float32(3 * rng.NormFloat64()) },
				"an extreme": func() float32 { return extremes[rng.IntN(len(extremes))] },
				"one in eight": func() float32 {
					return []float32{float32(rng.NormFloat64()), extremes[rng.IntN(len(extremes))]}[rng.IntN(8)/7]
				},
			} {
				for _, rows := range []int{1, 3, 17} {
					r := request{rows: rows, series: make([]float32, rows*opSteps*opChannels), context: make([]float32, rows*opWidth)}
					for _, v := range [][]float32{r.series, r.context} {
						for i := range v {
							v[i] = value()
						}
					}
					got, err := program.Answer(r.series, r.context, rows)
					if err != nil {
						t.Fatal(err)
					}
					want := answers(t, served, r)
					if len(got.Forecast) != rows*o.width || !slices.EqualFunc(got.Forecast, got.Quantiles, same) {
						t.Fatalf("%d values and %d quantiles for %d rows of %d", len(got.Forecast), len(got.Quantiles), rows, o.width)
					}
					if !slices.EqualFunc(got.Forecast, want.Forecast, same) || !slices.EqualFunc(got.Quantiles, want.Quantiles, same) {
						t.Errorf("%s, %d rows: for\n%v %v the evaluator says\n%v and ONNX Runtime\n%v", kind, rows, r.series, r.context, got.Forecast, want.Forecast)
						return
					}
				}
			}
		})
	}
}

func TestTreesAnswerOnONNXRuntimeAsInTheEvaluator(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for _, c := range []struct{ targets, trees, depth int }{{1, 0, 0}, {5, 2, 1}, {1, 1, 0}, {1, 1, 3}, {1, 40, 5}, {3, 7, 4}, {12, 120, 6}} {
		t.Run(fmt.Sprintf("%d targets, %d trees of depth %d", c.targets, c.trees, c.depth), func(t *testing.T) {
			e := onnx.Trees{Base: noise(rng, c.targets, 5)}
			for range c.trees {
				e.Trees = append(e.Trees, randomTree(rng, rng.IntN(c.targets), c.depth))
			}
			g := onnx.NewGraph("trees")
			x := g.Input(onnx.SeriesInput, onnx.DynamicBatch, 1, opChannels)
			y := g.TreeEnsembleRegressor("trees", g.Reshape("flat", x, 0, opChannels), e)
			g.Reshape(onnx.ForecastOutput, y, -1, int64(c.targets))
			g.Output(onnx.ForecastOutput, onnx.DynamicBatch, c.targets)
			program, err := onnx.Load(g.Marshal())
			if err != nil {
				t.Fatal(err)
			}
			served := session(t, g.Marshal())
			special := []float32{0, 0.5, -0.5, float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)),
				math.Nextafter32(0.5, 1), math.Nextafter32(0.5, 0), float32(math.Copysign(0, -1)), math.SmallestNonzeroFloat32}
			for _, rows := range []int{1, 5, 200} {
				r := request{rows: rows, series: noise(rng, rows*opChannels, 1)}
				for i := range r.series {
					if rng.IntN(2) == 0 {
						r.series[i] = special[rng.IntN(len(special))]
					}
				}
				got, err := program.Run(r.series, nil, rows)
				if err != nil {
					t.Fatal(err)
				}
				if want := serve(t, served, r); !slices.EqualFunc(got, want, same) {
					t.Fatalf("%d rows: the evaluator says\n%v and ONNX Runtime\n%v", rows, got, want)
				}
			}
		})
	}
}

// randomTree has thresholds at and next to what the test feeds.
func randomTree(rng *rand.Rand, target, depth int) onnx.Tree {
	tree := onnx.Tree{Target: target}
	var grow func(depth int) int
	grow = func(depth int) int {
		at := len(tree.Nodes)
		tree.Nodes = append(tree.Nodes, onnx.TreeNode{Value: float32(rng.NormFloat64())})
		if depth == 0 || rng.IntN(8) == 0 {
			return at
		}
		n := onnx.TreeNode{Feature: rng.IntN(opChannels), Value: []float32{0, 0.5, -0.5, float32(rng.NormFloat64())}[rng.IntN(4)]}
		n.Left, n.Right = grow(depth-1), grow(depth-1)
		tree.Nodes[at] = n
		return at
	}
	grow(depth)
	return tree
}
