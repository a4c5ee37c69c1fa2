package onnx

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// run loads a graph that computes forecast [batch, 2] from series [batch, 2, 1].
func run(t *testing.T, build func(g *Graph, x string) string, series []float32) []float32 {
	t.Helper()
	p, err := Load(marshal(build))
	if err != nil {
		t.Fatal(err)
	}
	y, err := p.Run(series, nil, len(series)/2)
	if err != nil {
		t.Fatal(err)
	}
	return y
}

func marshal(build func(g *Graph, x string) string) []byte {
	g := NewGraph("test")
	y := build(g, g.Input(SeriesInput, DynamicBatch, 2, 1))
	g.Add(ForecastOutput, y, g.Constant("nothing", []float32{0}))
	g.Output(ForecastOutput, DynamicBatch, 2)
	return g.Marshal()
}

func TestOperatorsComputeWhatTheSpecificationSays(t *testing.T) {
	in := []float32{1, -2, 3, 4} // two rows of two
	flat := func(g *Graph, x string) string { return g.Squeeze("flat", x, 2) }
	for name, c := range map[string]struct {
		build func(g *Graph, x string) string
		want  []float32
	}{
		"Squeeze": {flat, []float32{1, -2, 3, 4}},
		"Add of a row": {func(g *Graph, x string) string {
			return g.Add("y", flat(g, x), g.Constant("c", []float32{10, 20}, 2))
		}, []float32{11, 18, 13, 24}},
		"Sub of a column from a constant": {func(g *Graph, x string) string {
			return g.Sub("y", g.Constant("c", []float32{10, 20}, 1, 2), g.Slice("s", flat(g, x), 1, 0, 1))
		}, []float32{9, 19, 7, 17}},
		"Mul": {func(g *Graph, x string) string { f := flat(g, x); return g.Mul("y", f, f) }, []float32{1, 4, 9, 16}},
		"MatMul": {func(g *Graph, x string) string {
			return g.MatMul("y", flat(g, x), g.Constant("c", []float32{1, 2, 3, 4}, 2, 2))
		}, []float32{-5, -6, 15, 22}},
		"Relu": {func(g *Graph, x string) string { return g.Relu("y", flat(g, x)) }, []float32{1, 0, 3, 4}},
		"Clip": {func(g *Graph, x string) string { return g.Clip("y", flat(g, x), -1, 3) }, []float32{1, -1, 3, 3}},
		"Transpose there and back": {func(g *Graph, x string) string {
			return flat(g, g.Transpose("y", g.Transpose("yt", x, 2, 0, 1), 1, 2, 0))
		}, []float32{1, -2, 3, 4}},
		"Transpose": {func(g *Graph, x string) string {
			// [2, 2, 1] with its first two axes exchanged is the matrix transposed.
			return flat(g, g.Transpose("y", x, 1, 0, 2))
		}, []float32{1, 3, -2, 4}},
		"Slice and Concat exchange the columns": {func(g *Graph, x string) string {
			f := flat(g, x)
			return g.Concat("y", 1, g.Slice("b", f, 1, 1, 2), g.Slice("a", f, 1, 0, 1))
		}, []float32{-2, 1, 4, 3}},
		"Concat of rows, cut again": {func(g *Graph, x string) string {
			f := flat(g, x)
			return g.Slice("y", g.Concat("c", 0, f, f), 0, 1, 3)
		}, []float32{3, 4, 1, -2}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := run(t, c.build, in); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestLSTMComputesWhatTheSpecificationSays(t *testing.T) {
	// One unit, two steps, by the equations of the specification, in float64.
	w, r, b := []float32{.5, -.25, .75, 1}, []float32{.1, .2, .3, .4}, []float32{.01, .02, .03, .04, .1, .2, .3, .4}
	sig := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	want := func(xs []float32) (hs []float32) {
		h, c := 0.0, 0.0
		for _, x := range xs {
			z := func(gate int) float64 {
				return float64(x)*float64(w[gate]) + h*float64(r[gate]) + float64(b[gate]) + float64(b[4+gate])
			}
			i, o, f, g := sig(z(0)), sig(z(1)), sig(z(2)), math.Tanh(z(3))
			c = f*c + i*g
			h = o * math.Tanh(c)
			hs = append(hs, float32(h))
		}
		return hs
	}
	in := []float32{1, -2, 0.5, 3}
	got := run(t, func(g *Graph, x string) string {
		y := g.LSTM("l", g.Transpose("t", x, 1, 0, 2), g.Constant("w", w, 1, 4, 1), g.Constant("r", r, 1, 4, 1), g.Constant("b", b, 1, 8), 1)
		return g.Squeeze("flat", g.Transpose("back", g.Squeeze("directions", y, 1), 1, 0, 2), 2)
	}, in)
	for i, v := range append(want(in[:2]), want(in[2:])...) {
		if math.Abs(float64(got[i]-v)) > 1e-6 {
			t.Errorf("state %d is %v, want %v", i, got[i], v)
		}
	}
}

func TestMarshalIsReproducibleAndKeepsMetadata(t *testing.T) {
	build := func() []byte {
		g := NewGraph("test")
		g.Metadata("key", "value with \x00 and ü")
		g.Add(ForecastOutput, g.Squeeze("flat", g.Input(SeriesInput, DynamicBatch, 2, 1), 2), g.Constant("c", []float32{1}))
		g.Output(ForecastOutput, DynamicBatch, 2)
		return g.Marshal()
	}
	a := build()
	if !slices.Equal(a, build()) {
		t.Error("the same graph gives different bytes")
	}
	p, err := Load(a)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Metadata("key"); got != "value with \x00 and ü" {
		t.Errorf("metadata is %q", got)
	}
	if p.Metadata("other") != "" || p.Horizon() != 2 {
		t.Errorf("got %q, horizon %d", p.Metadata("other"), p.Horizon())
	}
	if again := p.graph.Marshal(); !slices.Equal(a, again) {
		t.Error("what was read is not written as it was")
	}
}

func TestLoadRefusesWhatWeDoNotWrite(t *testing.T) {
	flat := func(g *Graph, x string) string { return g.Squeeze("flat", x, 2) }
	good := marshal(flat)
	foreign := func(change func(g *Graph)) []byte {
		g, err := unmarshal(good)
		if err != nil {
			t.Fatal(err)
		}
		change(g)
		return g.Marshal()
	}
	for name, c := range map[string]struct {
		model []byte
		want  string
	}{
		"an empty file":             {nil, "cut short"},
		"text":                      {[]byte("hello, world"), "onnx model"},
		"a file cut short":          {good[:len(good)/2], "cut short"},
		"an operator of no ours":    {foreign(func(g *Graph) { g.nodes[0].op = "Loop" }), "Loop"},
		"a value made nowhere":      {foreign(func(g *Graph) { g.nodes[0].inputs[0] = "ghost" }), "ghost"},
		"a value made twice":        {foreign(func(g *Graph) { g.nodes[1].outputs[0] = "flat" }), "one new name"},
		"too few inputs":            {foreign(func(g *Graph) { g.nodes[0].inputs = g.nodes[0].inputs[:1] }), "must be 2"},
		"an attribute of no ours":   {foreign(func(g *Graph) { g.nodes[0].attrs = []attr{{name: "x", kind: attrInt}} }), "attributes"},
		"another input":             {foreign(func(g *Graph) { g.inputs[0].name = "input" }), "input"},
		"an input of another shape": {foreign(func(g *Graph) { g.inputs[0].dims = []int{1, 2, 1} }), "dimensions"},
		"another output":            {foreign(func(g *Graph) { g.outputs[0].name = "flat" }), ForecastOutput},
		"two outputs":               {foreign(func(g *Graph) { g.outputs = append(g.outputs, g.outputs[0]) }), ForecastOutput},
		"a constant too short":      {foreign(func(g *Graph) { g.constants[0].ints = nil }), "bytes"},
		"a dimension too large":     {foreign(func(g *Graph) { g.constants[0].dims = []int{1 << 40} }), "too large"},
		"a negative dimension":      {foreign(func(g *Graph) { g.constants[0].dims = []int{-1} }), "negative"},
		"a field that we never use": {append(slices.Clone(good), 0x32, 1, 'x'), "field 6"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(c.model)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v does not say %q", err, c.want)
			}
		})
	}
}

func TestRunRefusesInputsOfTheWrongSize(t *testing.T) {
	p, err := Load(marshal(func(g *Graph, x string) string { return g.Squeeze("flat", x, 2) }))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		series, context []float32
		batch           int
	}{
		"no batch":                  {nil, nil, 0},
		"a negative batch":          {nil, nil, -1},
		"an absurd batch":           {nil, nil, math.MaxInt},
		"a series too short":        {make([]float32, 3), nil, 2},
		"a context that is unknown": {make([]float32, 4), make([]float32, 2), 2},
	} {
		if _, err := p.Run(c.series, c.context, c.batch); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
}

// FuzzLoad: no bytes make Load or Run panic, and a model that both accept
// answers one forecast per step of its horizon.
func FuzzLoad(f *testing.F) {
	f.Add(marshal(func(g *Graph, x string) string { return g.Squeeze("flat", x, 2) }))
	f.Add(marshal(func(g *Graph, x string) string {
		c := g.Constant("w", make([]float32, 8), 1, 8, 1)
		h := g.LSTM("l", g.Transpose("t", x, 1, 0, 2), c, g.Constant("r", make([]float32, 16), 1, 8, 2), g.Constant("b", make([]float32, 16), 1, 16), 2)
		last := g.Squeeze("last", g.Slice("s", g.Squeeze("d", h, 1), 0, 1, 2), 0)
		m := g.MatMul("m", last, g.Constant("m.w", make([]float32, 4), 2, 2))
		return g.Clip("clip", g.Mul("mul", g.Relu("relu", m), g.Sub("sub", m, g.Concat("cat", 1, g.Slice("s1", m, 1, 0, 1), g.Slice("s2", m, 1, 0, 1)))), -1, 1)
	}))
	f.Add(everything().Marshal())
	f.Fuzz(func(t *testing.T, model []byte) {
		p, err := Load(model)
		if err != nil {
			return
		}
		const batch = 3
		if p.lookback*p.channels > 1<<16 || p.context > 1<<16 {
			return // the caller must bring so many values; not the model's doing
		}
		a, err := p.Answer(make([]float32, batch*p.lookback*p.channels), make([]float32, batch*p.context), batch)
		if err == nil && (len(a.Forecast) != batch*p.Horizon() || len(a.Quantiles) != batch*p.Horizon()*p.Quantiles()) {
			t.Fatalf("%d values and %d quantiles for %d forecasts of %d", len(a.Forecast), len(a.Quantiles), batch, p.Horizon())
		}
	})
}
