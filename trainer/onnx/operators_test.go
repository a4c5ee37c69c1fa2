package onnx

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// everything is a graph with every operator, for batches of series [batch, 2, 3]
// and context [batch, 4], with 2 steps of 2 quantiles.
func everything() *Graph {
	g := NewGraph("everything")
	x, c := g.Input(SeriesInput, DynamicBatch, 2, 3), g.Input(ContextInput, DynamicBatch, 4)
	row := g.Constant("row", []float32{0.5, -1, 2}, 3)
	level := g.Max("level", g.Abs("size", g.ReduceMean("mean", x, 1)), g.Constant("least", []float32{1e-3}))
	scaled := g.Div("scaled", g.Sub("centred", x, row), g.Unsqueeze("levels", level, 1))
	logs := g.Log("logs", g.Add("above", g.Exp("exp", g.Min("capped", scaled, row)), g.Softplus("soft", x)))
	h := g.Squeeze("h", g.LSTM("lstm", g.Transpose("steps_first", logs, 1, 0, 2),
		g.Constant("w", ramp(24, 0.1), 1, 8, 3), g.Constant("r", ramp(16, -0.1), 1, 8, 2), g.Constant("b", ramp(16, 0.05), 1, 16), 2), 1)
	states := g.Transpose("states", h, 1, 0, 2) // [batch, 2, 2]
	score := g.Reshape("score", g.MatMul("scores", states, g.Constant("v", []float32{1, -2}, 2, 1)), -1, 2)
	share := g.Unsqueeze("share", g.Softmax("shares", g.Tanh("bent", score), -1), 2)
	pooled := g.ReduceSum("pooled", g.Mul("weighted", states, share), 1) // [batch, 2]
	features := g.Concat("features", 1, g.Sqrt("root", g.Abs("positive", c)), g.Neg("minus", g.Sigmoid("gate", pooled)))
	trees := g.TreeEnsembleRegressor("trees", features, twoTrees())
	picked := g.Clip("picked", g.Relu("relu", g.Gather("gather", features, 1, -1, 0)), 0, 3)
	g.Add(ForecastOutput, trees, g.Slice("two", g.Concat("four", 1, picked, pooled), 1, 1, 3))
	g.Output(ForecastOutput, DynamicBatch, 2)
	g.Add(QuantilesOutput, g.Unsqueeze("column", ForecastOutput, 2), g.Constant("spread", []float32{-1, 1}, 2))
	g.Output(QuantilesOutput, DynamicBatch, 2, 2)
	return g
}

func ramp(n int, step float32) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = step * float32(i-n/2)
	}
	return v
}

// twoTrees has two targets, with a tree of five nodes and one of a leaf alone.
func twoTrees() Trees {
	return Trees{Base: []float32{10, 20}, Trees: []Tree{
		{Target: 0, Nodes: []TreeNode{{Feature: 1, Value: 1, Left: 1, Right: 2}, {Value: -1}, {Feature: 4, Value: -0.5, Left: 4, Right: 3}, {Value: 2}, {Value: 3}}},
		{Target: 1, Nodes: []TreeNode{{Value: 0.5}}},
	}}
}

func TestEveryOperatorIsInTheGraphOfEverything(t *testing.T) {
	used := map[string]bool{}
	for _, n := range everything().nodes {
		used[n.op] = true
	}
	for op := range operators {
		if !used[op] {
			t.Errorf("%s is not", op)
		}
	}
}

func TestNewOperatorsComputeWhatTheSpecificationSays(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	flat := func(g *Graph, x string) string { return g.Squeeze("flat", x, 2) }
	half := func(g *Graph) string { return g.Constant("half", []float32{0.5, 2}, 2) }
	for name, c := range map[string]struct {
		build    func(g *Graph, x string) string
		in, want []float32 // two rows of two
	}{
		"Div": {func(g *Graph, x string) string { return g.Div("y", flat(g, x), g.Constant("c", []float32{0, 2}, 2)) },
			[]float32{1, -2, 0, 4}, []float32{inf, -1, nan, 2}},
		"Max":     {func(g *Graph, x string) string { return g.Max("y", flat(g, x), half(g)) }, []float32{1, -2, nan, 4}, []float32{1, 2, nan, 4}},
		"Min":     {func(g *Graph, x string) string { return g.Min("y", half(g), flat(g, x)) }, []float32{1, -2, nan, 4}, []float32{0.5, -2, nan, 2}},
		"Neg":     {func(g *Graph, x string) string { return g.Neg("y", flat(g, x)) }, []float32{1, -2, inf, 0}, []float32{-1, 2, -inf, 0}},
		"Abs":     {func(g *Graph, x string) string { return g.Abs("y", flat(g, x)) }, []float32{1, -2, -inf, 0}, []float32{1, 2, inf, 0}},
		"Log":     {func(g *Graph, x string) string { return g.Log("y", flat(g, x)) }, []float32{1, -2, 0, inf}, []float32{0, nan, -inf, inf}},
		"Exp":     {func(g *Graph, x string) string { return g.Exp("y", flat(g, x)) }, []float32{0, 1, -inf, 100}, []float32{1, math.E, 0, inf}},
		"Sqrt":    {func(g *Graph, x string) string { return g.Sqrt("y", flat(g, x)) }, []float32{4, -1, 0, inf}, []float32{2, nan, 0, inf}},
		"Sigmoid": {func(g *Graph, x string) string { return g.Sigmoid("y", flat(g, x)) }, []float32{0, -inf, inf, nan}, []float32{0.5, 0, 1, nan}},
		"Tanh":    {func(g *Graph, x string) string { return g.Tanh("y", flat(g, x)) }, []float32{0, -inf, inf, nan}, []float32{0, -1, 1, nan}},
		"Softplus": {func(g *Graph, x string) string { return g.Softplus("y", flat(g, x)) },
			[]float32{0, -200, 200, inf}, []float32{math.Ln2, 0, 200, inf}},
		"Softmax of rows":    {func(g *Graph, x string) string { return g.Softmax("y", flat(g, x), 1) }, []float32{0, 0, 1000, 0}, []float32{0.5, 0.5, 1, 0}},
		"Softmax of columns": {func(g *Graph, x string) string { return g.Softmax("y", flat(g, x), 0) }, []float32{0, 0, 1000, 0}, []float32{0, 0.5, 1, 0.5}},
		"ReduceSum of rows": {func(g *Graph, x string) string {
			return g.Gather("y", g.Unsqueeze("u", g.ReduceSum("s", flat(g, x), 1), 1), 1, 0, 0)
		}, []float32{1, 2, 3, 4}, []float32{3, 3, 7, 7}},
		"ReduceMean of columns": {func(g *Graph, x string) string {
			return g.Gather("y", g.Unsqueeze("u", g.ReduceMean("s", flat(g, x), 0), 0), 0, 0, -1)
		}, []float32{1, 2, 3, 4}, []float32{2, 3, 2, 3}},
		"Gather backwards, from the end": {func(g *Graph, x string) string { return g.Gather("y", flat(g, x), -1, -1, -2) },
			[]float32{1, 2, 3, 4}, []float32{2, 1, 4, 3}},
		"Reshape with the batch copied": {func(g *Graph, x string) string { return g.Reshape("y", x, 0, -1) }, []float32{1, 2, 3, 4}, []float32{1, 2, 3, 4}},
		"MatMul of a stack": {func(g *Graph, x string) string {
			return flat(g, g.MatMul("y", x, g.Constant("c", []float32{3}, 1, 1)))
		}, []float32{1, 2, 3, 4}, []float32{3, 6, 9, 12}},
		"trees": {func(g *Graph, x string) string {
			return g.TreeEnsembleRegressor("y", flat(g, x), Trees{Base: []float32{100, 200}, Trees: []Tree{
				{Nodes: []TreeNode{{Feature: 1, Value: 2, Left: 1, Right: 2}, {Value: 1}, {Value: 5}}},
				{Nodes: []TreeNode{{Feature: 0, Value: 0, Left: 2, Right: 1}, {Value: 10}, {Value: 20}}},
			}})
		}, []float32{0, 2, nan, nan}, []float32{121, 200, 115, 200}},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, c.build, c.in)
			if !slices.EqualFunc(got, c.want, func(a, b float32) bool {
				return a == b || a != a && b != b || math.Abs(float64(a-b)) < 1e-6
			}) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestAnswerReturnsTheQuantilesToo(t *testing.T) {
	p, err := Load(everything().Marshal())
	if err != nil {
		t.Fatal(err)
	}
	if p.Quantiles() != 2 || p.Horizon() != 2 {
		t.Errorf("%d quantiles of %d steps", p.Quantiles(), p.Horizon())
	}
	series, context := ramp(5*6, 0.3), ramp(5*4, 0.7)
	a, err := p.Answer(series, context, 5)
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Forecast) != 10 || len(a.Quantiles) != 20 {
		t.Fatalf("%d values and %d quantiles for 5 forecasts of 2", len(a.Forecast), len(a.Quantiles))
	}
	for i, y := range a.Forecast {
		if a.Quantiles[2*i] != y-1 || a.Quantiles[2*i+1] != y+1 {
			t.Errorf("quantiles %v around %v", a.Quantiles[2*i:2*i+2], y)
		}
	}
	alone, err := p.Run(series, context, 5)
	if err != nil || !slices.Equal(alone, a.Forecast) {
		t.Errorf("Run answers %v, %v", alone, err)
	}
	for row := range 5 { // the batch is no part of the answer
		one, err := p.Answer(series[row*6:row*6+6], context[row*4:row*4+4], 1)
		if err != nil || !slices.Equal(one.Forecast, a.Forecast[row*2:row*2+2]) {
			t.Errorf("row %d alone: %v, %v", row, one.Forecast, err)
		}
	}
}

func TestOutputsThatAreNotOursAreRefused(t *testing.T) {
	for name, change := range map[string]func(g *Graph){
		"no output":                   func(g *Graph) { g.outputs = nil },
		"quantiles alone":             func(g *Graph) { g.outputs = g.outputs[1:] },
		"quantiles first":             func(g *Graph) { slices.Reverse(g.outputs) },
		"quantiles without levels":    func(g *Graph) { g.outputs[1].dims = []int{DynamicBatch, 2} },
		"quantiles of other steps":    func(g *Graph) { g.outputs[1].dims = []int{DynamicBatch, 3, 2} },
		"quantiles that are not made": func(g *Graph) { g.nodes[len(g.nodes)-1].outputs[0] = "other" },
		"a third output":              func(g *Graph) { g.outputs = append(g.outputs, value{"more", []int{DynamicBatch}}) },
	} {
		g := everything()
		change(g)
		if _, err := Load(g.Marshal()); err == nil || !strings.Contains(err.Error(), "output") {
			t.Errorf("%s: %v", name, err)
		}
	}
	g := everything()
	g.outputs[1].dims[2] = 3 // declared, not kept
	p, err := Load(g.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Answer(make([]float32, 6), make([]float32, 4), 1); err == nil || !strings.Contains(err.Error(), "[1 2 3]") {
		t.Errorf("two quantiles where three are declared: %v", err)
	}
}

func TestTreesThatAreNotOursAreRefused(t *testing.T) {
	for name, change := range map[string]func(a []attr){
		"a base too few":             func(a []attr) { a[0].floats = a[0].floats[:1] },
		"no targets":                 func(a []attr) { a[0].floats, a[1].int = nil, 0 },
		"a list too short":           func(a []attr) { a[3].ints = a[3].ints[:5] },
		"a threshold too few":        func(a []attr) { a[8].floats = a[8].floats[:5] },
		"another mode":               func(a []attr) { a[4].texts[0] = "BRANCH_LT" },
		"a child before its parent":  func(a []attr) { a[7].ints[2] = 0 },
		"a child that is its parent": func(a []attr) { a[7].ints[2] = 2 },
		"a child in another tree":    func(a []attr) { a[2].ints[2] = 5 },
		"a child of a huge number":   func(a []attr) { a[2].ints[2] = math.MaxInt64 },
		"a negative feature":         func(a []attr) { a[3].ints[0] = -1 },
		"a feature of a huge number": func(a []attr) { a[3].ints[0] = math.MaxInt64 },
		"a NaN threshold":            func(a []attr) { a[8].floats[0] = float32(math.NaN()) },
		"nodes out of order":         func(a []attr) { a[5].ints[1] = 2 },
		"trees out of order":         func(a []attr) { a[6].ints[5] = 2 },
		"a leaf without a value": func(a []attr) {
			a[9].ints, a[10].ints, a[11].ints, a[12].floats = a[9].ints[:3], a[10].ints[:3], a[11].ints[:3], a[12].floats[:3]
		},
		"a value for no leaf":          func(a []attr) { a[4].texts[5] = modeBranch },
		"values out of order":          func(a []attr) { a[10].ints[0], a[10].ints[1] = a[10].ints[1], a[10].ints[0] },
		"leaves of different targets":  func(a []attr) { a[9].ints[1] = 1 },
		"a target that is not":         func(a []attr) { a[9].ints[3] = 2 },
		"lists of leaves that differ":  func(a []attr) { a[12].floats = a[12].floats[:3] },
		"attributes in another order":  func(a []attr) { a[0], a[1] = a[1], a[0] },
		"an attribute of another kind": func(a []attr) { a[0].kind = attrInts },
	} {
		g := everything()
		i := slices.IndexFunc(g.nodes, func(n node) bool { return n.op == "TreeEnsembleRegressor" })
		change(g.nodes[i].attrs)
		if _, err := Load(g.Marshal()); err == nil || !strings.Contains(err.Error(), "TreeEnsembleRegressor") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTreesThatAreNoneAreAProgrammersMistake(t *testing.T) {
	nan := float32(math.NaN())
	leaf := TreeNode{Value: 1}
	for name, e := range map[string]Trees{
		"no target":               {},
		"an unknown target":       {Base: []float32{0}, Trees: []Tree{{Target: 1, Nodes: []TreeNode{leaf}}}},
		"a tree without nodes":    {Base: []float32{0}, Trees: []Tree{{}}},
		"a child that is not":     {Base: []float32{0}, Trees: []Tree{{Nodes: []TreeNode{{Left: 1, Right: 2}, leaf}}}},
		"a child before":          {Base: []float32{0}, Trees: []Tree{{Nodes: []TreeNode{{Left: 1, Right: 0}, leaf}}}},
		"a threshold that is NaN": {Base: []float32{0}, Trees: []Tree{{Nodes: []TreeNode{{Value: nan, Left: 1, Right: 2}, leaf, leaf}}}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			NewGraph("g").TreeEnsembleRegressor("y", "x", e)
		}()
	}
}

func TestAnOperatorOfAnotherDomainIsRefused(t *testing.T) {
	g := everything()
	good := g.Marshal()
	// The declaration of the second operator set is the model's last field.
	var declared message
	declared.text(opsetDomain, domainML)
	declared.int(opsetNumber, opsetVersionML)
	var field message
	field.bytes(modelOpset, declared)
	if !strings.HasSuffix(string(good), string(field)) {
		t.Fatal("the test is out of date")
	}
	for name, c := range map[string]struct {
		model []byte
		want  string
	}{
		"not declared":            {good[:len(good)-len(field)], "not declared"},
		"declared as another one": {[]byte(strings.Replace(string(good), string(field), strings.Replace(string(field), "ai.onnx.ml", "ai.onnx.my", 1), 1)), "ai.onnx.my"},
		"in a node":               {[]byte(strings.Replace(string(good), domainML, "ai.onnx.my", 1)), "TreeEnsembleRegressor"},
	} {
		if _, err := Load(c.model); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestShapesThatDoNotFitAreErrors(t *testing.T) {
	flat := func(g *Graph, x string) string { return g.Squeeze("flat", x, 2) }
	for name, build := range map[string]func(g *Graph, x string) string{
		"Gather beyond the end":           func(g *Graph, x string) string { return g.Gather("y", flat(g, x), 1, 2) },
		"Gather before the start":         func(g *Graph, x string) string { return g.Gather("y", flat(g, x), 1, -3) },
		"Gather along no axis":            func(g *Graph, x string) string { return g.Gather("y", flat(g, x), 2, 0) },
		"Reshape to another size":         func(g *Graph, x string) string { return g.Reshape("y", x, 0, 3) },
		"Reshape with two unknowns":       func(g *Graph, x string) string { return g.Reshape("y", x, -1, -1) },
		"Reshape that copies what is not": func(g *Graph, x string) string { return g.Reshape("y", x, 2, 2, 1, 0) },
		"Reshape to a negative size":      func(g *Graph, x string) string { return g.Reshape("y", x, -2, -2) },
		"Reshape to sizes that overflow":  func(g *Graph, x string) string { return g.Reshape("y", x, 1<<26, 1<<26, 1<<26) },
		"Unsqueeze beyond the axes":       func(g *Graph, x string) string { return g.Unsqueeze("y", x, 5) },
		"ReduceSum of no axis":            func(g *Graph, x string) string { return g.ReduceSum("y", x, 3) },
		"ReduceMean of no axis":           func(g *Graph, x string) string { return g.ReduceMean("y", x, -4) },
		"ReduceMean of nothing":           func(g *Graph, x string) string { return g.ReduceMean("y", g.Slice("s", x, 1, 0, 0), 1) },
		"Softmax of no axis":              func(g *Graph, x string) string { return g.Softmax("y", x, 3) },
		"Squeeze of an axis of two":       func(g *Graph, x string) string { return g.Squeeze("y", x, 1) },
		"MatMul of a vector":              func(g *Graph, x string) string { return g.MatMul("y", x, g.Constant("v", []float32{1}, 1)) },
		"trees of a feature that is not":  func(g *Graph, x string) string { return g.TreeEnsembleRegressor("y", flat(g, x), twoTrees()) },
		"trees of a stack":                func(g *Graph, x string) string { return g.TreeEnsembleRegressor("y", x, twoTrees()) },
		"Add of shapes that do not fit":   func(g *Graph, x string) string { return g.Add("y", x, g.Constant("c", make([]float32, 3), 3, 1)) },
		"a sum kept as a dimension": func(g *Graph, x string) string {
			y := g.ReduceSum("y", x, 2)
			g.nodes[len(g.nodes)-1].attrs[0].int = 1
			return y
		},
		"more than one axis": func(g *Graph, x string) string {
			y := g.ReduceMean("y", x, 2)
			g.nodes[len(g.nodes)-1].attrs[0].ints = []int64{1, 2}
			return y
		},
		"arithmetic with indices": func(g *Graph, x string) string { return g.Add("y", x, g.intConstant("i", 1, 2)) },
		"indices that are numbers": func(g *Graph, x string) string {
			y := g.Gather("y", x, 1, 0)
			g.nodes[len(g.nodes)-1].inputs[1] = SeriesInput
			return y
		},
		"a tower of axes": func(g *Graph, x string) string {
			for i := range maxRank {
				x = g.Unsqueeze(fmt.Sprint("u", i), x, 0)
			}
			return x
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Load(marshal(build))
			if err != nil {
				t.Fatal(err)
			}
			if y, err := p.Run(make([]float32, 4), nil, 2); err == nil {
				t.Errorf("got %v", y)
			}
		})
	}
}

// TestMemoryGivenBackIsNeverMissed runs random graphs, with views of views among
// them, once as they are and once with all memory kept.
func TestMemoryGivenBackIsNeverMissed(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		g := NewGraph("random")
		values := []string{g.Squeeze("flat", g.Input(SeriesInput, DynamicBatch, 4, 1), 2), g.Constant("c", ramp(4, 1), 1, 4)}
		pick := func() string { return values[rng.IntN(len(values))] }
		for i := range 30 {
			name := fmt.Sprint("v", i)
			values = append(values, []func() string{
				func() string { return g.Add(name, pick(), pick()) },
				func() string { return g.Sub(name, pick(), pick()) },
				func() string { return g.Tanh(name, pick()) },
				func() string { return g.Squeeze(name, g.Unsqueeze(name+".u", pick(), 1), 1) },
				func() string { return g.Reshape(name, g.Reshape(name+".r", pick(), 2, -1), -1, 4) },
				func() string { return g.Gather(name, pick(), 1, 3, 1, 0, 2) },
			}[rng.IntN(6)]())
		}
		g.Add(ForecastOutput, pick(), "flat")
		g.Output(ForecastOutput, DynamicBatch, 4)
		g.Unsqueeze(QuantilesOutput, g.Add("all", pick(), "flat"), 2)
		g.Output(QuantilesOutput, DynamicBatch, 4, 1)
		p, err := Load(g.Marshal())
		if err != nil {
			t.Fatal(err)
		}
		series := ramp(12, 0.25)
		a, err := p.Answer(series, nil, 3)
		if err != nil {
			t.Fatal(err)
		}
		freed := 0
		for i := range p.steps {
			freed += len(p.steps[i].free)
			p.steps[i].free = nil
		}
		b, err := p.Answer(series, nil, 3)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(a.Forecast, b.Forecast) || !slices.Equal(a.Quantiles, b.Quantiles) || freed < 10 {
			t.Fatalf("seed %d, %d values given back: %v, with all kept %v", seed, freed, a, b)
		}
		if !slices.Equal(series, ramp(12, 0.25)) {
			t.Fatalf("seed %d: the input was written to", seed)
		}
	}
}

// TestRunsLeaveNothingToEachOther: memory goes from run to run, numbers do not,
// whatever ran before, beside it, or failed.
func TestRunsLeaveNothingToEachOther(t *testing.T) {
	model := everything().Marshal()
	p, err := Load(model)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(worker), 2))
			for range 50 {
				batch := 1 + rng.IntN(3)
				series, context := make([]float32, batch*6), make([]float32, batch*4)
				for _, v := range [][]float32{series, context} {
					for i := range v {
						v[i] = float32(rng.NormFloat64())
					}
				}
				if _, err := p.Answer(series, nil, batch); err == nil {
					t.Error("no context is no error")
				}
				got, err := p.Answer(series, context, batch)
				if err != nil {
					t.Error(err)
					return
				}
				fresh, err := Load(model)
				if err != nil {
					t.Error(err)
					return
				}
				if want, err := fresh.Answer(series, context, batch); err != nil || !slices.Equal(got.Forecast, want.Forecast) || !slices.Equal(got.Quantiles, want.Quantiles) {
					t.Errorf("%v, a fresh program says %v, %v", got, want, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestALargeGraphNeedsWhatLivesAndNotTheSum(t *testing.T) {
	const batch, rounds = 1 << 21, 20 // each value 1/16 of what may live
	p, err := Load(marshal(func(g *Graph, x string) string {
		x = g.Squeeze("flat", x, 2)
		for i := range rounds {
			x = g.Neg(fmt.Sprint("n", i), x)
		}
		return x
	}))
	if err != nil {
		t.Fatal(err)
	}
	series := ramp(2*batch, 1)
	y, err := p.Run(series, nil, batch)
	if err != nil || !slices.Equal(y, series) {
		t.Errorf("%d values, %v", len(y), err)
	}
	if _, err := p.Run(make([]float32, 32*batch), nil, 16*batch); err == nil || !strings.Contains(err.Error(), "smaller batches") {
		t.Errorf("a batch with a value as large as all that may live: %v", err)
	}
}
