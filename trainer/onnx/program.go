package onnx

import (
	"fmt"
	"math"
)

// The names of a forecasting model's inputs and output, as models.Spec says.
const (
	SeriesInput    = "series"
	ContextInput   = "context"
	ForecastOutput = "forecast"
)

// Program is a model of ours, read and ready to run. It is immutable and safe
// for concurrent use.
type Program struct {
	graph     *Graph
	constants map[string]tensor
	lookback  int
	channels  int
	context   int // 0: no such input
	horizon   int
}

// Load reads a model file that Graph.Marshal wrote. The error says what is not
// as our models are; nothing in the bytes makes it panic.
func Load(model []byte) (*Program, error) {
	g, err := unmarshal(model)
	if err != nil {
		return nil, fmt.Errorf("onnx model: %w", err)
	}
	p := &Program{graph: g, constants: map[string]tensor{}}
	if err := p.bind(); err != nil {
		return nil, fmt.Errorf("onnx model: %w", err)
	}
	return p, nil
}

// Metadata returns the property of the file with this key, or "".
func (p *Program) Metadata(key string) string {
	for _, entry := range p.graph.metadata {
		if entry[0] == key {
			return entry[1]
		}
	}
	return ""
}

// Horizon returns the number of values that Run answers per batch element.
func (p *Program) Horizon() int { return p.horizon }

// bind checks what can be checked before shapes are known: inputs, outputs,
// operators, their attributes, and that every value is made before it is used.
func (p *Program) bind() error {
	known := map[string]bool{"": true}
	for _, in := range p.graph.inputs {
		switch {
		case in.name == SeriesInput && len(in.dims) == 3 && in.dims[0] == DynamicBatch && in.dims[1] > 0 && in.dims[2] > 0:
			p.lookback, p.channels = in.dims[1], in.dims[2]
		case in.name == ContextInput && len(in.dims) == 2 && in.dims[0] == DynamicBatch && in.dims[1] > 0:
			p.context = in.dims[1]
		default:
			return fmt.Errorf("input %.40q with dimensions %v is not one that our models have", in.name, in.dims)
		}
		if known[in.name] {
			return fmt.Errorf("input %q is declared twice", in.name)
		}
		known[in.name] = true
	}
	if p.lookback > maxElements/max(1, p.channels) {
		return fmt.Errorf("input %q is too large", SeriesInput)
	}
	if p.lookback == 0 {
		return fmt.Errorf("there is no input %q", SeriesInput)
	}
	for _, c := range p.graph.constants {
		if known[c.name] {
			return fmt.Errorf("constant %.40q is declared twice or has no name", c.name)
		}
		known[c.name] = true
		p.constants[c.name] = tensor{dims: c.dims, data: c.floats, ints: c.ints}
	}
	for i, n := range p.graph.nodes {
		if err := n.check(known); err != nil {
			return fmt.Errorf("node %d (%.40s): %w", i, n.op, err)
		}
		known[n.outputs[0]] = true
	}
	if len(p.graph.outputs) != 1 || p.graph.outputs[0].name != ForecastOutput || !known[ForecastOutput] {
		return fmt.Errorf("the one output must be %q", ForecastOutput)
	}
	dims := p.graph.outputs[0].dims
	if len(dims) != 2 || dims[0] != DynamicBatch || dims[1] <= 0 {
		return fmt.Errorf("output %q has dimensions %v, must be [batch, horizon]", ForecastOutput, dims)
	}
	p.horizon = dims[1]
	return nil
}

// check holds a node against the operator that it names.
func (n node) check(known map[string]bool) error {
	op, ok := operators[n.op]
	switch {
	case !ok:
		return fmt.Errorf("not an operator that our models use")
	case len(n.outputs) != 1 || known[n.outputs[0]]:
		return fmt.Errorf("results %.80q: must be one new name", n.outputs)
	case len(n.inputs) < op.inputs || !op.variadic && len(n.inputs) > op.inputs:
		return fmt.Errorf("%d inputs, must be %d", len(n.inputs), op.inputs)
	case len(n.attrs) != len(op.attrs):
		return fmt.Errorf("%d attributes, must be %d", len(n.attrs), len(op.attrs))
	}
	for i, a := range n.attrs {
		if a.name != op.attrs[i].name || a.kind != op.attrs[i].kind {
			return fmt.Errorf("attribute %.40q is not what our models write", a.name)
		}
	}
	for _, in := range n.inputs {
		if in == "" || !known[in] {
			return fmt.Errorf("input %.40q is made nowhere before", in)
		}
	}
	return nil
}

// Run returns the forecasts [batch, horizon] for series [batch, lookback,
// channels] and context [batch, width], all row-major and in physical units.
// For a model without a context, context is empty.
func (p *Program) Run(series, context []float32, batch int) (forecast []float32, err error) {
	if batch < 1 || batch > maxElements {
		return nil, fmt.Errorf("run model: batch of %d", batch)
	}
	if want := batch * p.lookback * p.channels; len(series) != want {
		return nil, fmt.Errorf("run model: series has %d values, a batch of %d needs %d", len(series), batch, want)
	}
	if want := batch * p.context; len(context) != want {
		return nil, fmt.Errorf("run model: context has %d values, a batch of %d needs %d", len(context), batch, want)
	}
	values := map[string]tensor{SeriesInput: {dims: []int{batch, p.lookback, p.channels}, data: series}}
	if p.context > 0 {
		values[ContextInput] = tensor{dims: []int{batch, p.context}, data: context}
	}
	computed := 0
	for i, n := range p.graph.nodes {
		in := make([]tensor, len(n.inputs))
		for j, name := range n.inputs {
			if c, ok := p.constants[name]; ok {
				in[j] = c
			} else {
				in[j] = values[name]
			}
		}
		out, err := operators[n.op].run(n, in)
		if err != nil {
			return nil, fmt.Errorf("run model: node %d (%s): %w", i, n.op, err)
		}
		if computed += len(out.data); computed > maxElements {
			return nil, fmt.Errorf("run model: a batch of %d needs too much memory; run smaller ones", batch)
		}
		values[n.outputs[0]] = out
	}
	out := values[ForecastOutput]
	if len(out.dims) != 2 || out.dims[0] != batch || out.dims[1] != p.horizon || out.data == nil {
		return nil, fmt.Errorf("run model: the forecast has dimensions %v, must be [%d %d]", out.dims, batch, p.horizon)
	}
	return out.data, nil
}

// tensor is a row-major array: of floats, or of ints for an operator's indices.
type tensor struct {
	dims []int
	data []float32
	ints []int64
}

// newTensor returns a zero float tensor, or an error when it would be absurd.
func newTensor(dims ...int) (tensor, error) {
	n := 1
	for _, d := range dims {
		if d < 0 || d > 0 && n > maxElements/d {
			return tensor{}, fmt.Errorf("a result of dimensions %v is too large", dims)
		}
		n *= d
	}
	return tensor{dims: dims, data: make([]float32, n)}, nil
}

// scalar returns the one element of a float tensor.
func (t tensor) scalar() (float32, error) {
	if len(t.data) != 1 {
		return float32(math.NaN()), fmt.Errorf("expected one number, got dimensions %v", t.dims)
	}
	return t.data[0], nil
}

// index returns the one element of an integer tensor.
func (t tensor) index() (int64, error) {
	if len(t.ints) != 1 {
		return 0, fmt.Errorf("expected one integer, got dimensions %v", t.dims)
	}
	return t.ints[0], nil
}
