package onnx

import (
	"fmt"
	"slices"
	"sync"
)

// The names of a forecasting model's inputs and output, as models.Spec says.
const (
	SeriesInput    = "series"
	ContextInput   = "context"
	ForecastOutput = "forecast"

	QuantilesOutput = "quantiles" // optional
	PeaksOutput     = "peaks"     // optional, behind the quantiles
)

// Program is a model of ours, read and ready to run. It is safe for concurrent
// use.
type Program struct {
	graph    *Graph
	lookback int
	channels int
	context  int // 0: no such input
	horizon  int
	levels   int // quantiles per step; 0: no such output
	hasPeaks bool

	// Every value of a run has a slot: the inputs, the constants, the results.
	slots []tensor // as a run finds them: constants filled in
	steps []step

	series, contextSlot, forecast, quantiles, peaks int

	kept []int     // slots whose memory the outputs need
	idle sync.Pool // of *memory: what a run leaves for the next
}

// step is a node, bound to the slots of its values.
type step struct {
	node
	operator operator
	in       []int
	out      int
	free     []int   // slots whose memory nobody needs after this step
	forest   *forest // of a TreeEnsembleRegressor
}

// Answer is what a model says of a batch.
type Answer struct {
	Forecast  []float32 // [batch, horizon], in physical units
	Quantiles []float32 // [batch, horizon, levels], or nil for a model without
	Peaks     []float32 // the same shape, or nil for a model without
}

// Load reads a model file that Graph.Marshal wrote. The error says what is not
// as our models are; nothing in the bytes makes it panic.
func Load(model []byte) (*Program, error) {
	g, err := unmarshal(model)
	if err != nil {
		return nil, fmt.Errorf("onnx model: %w", err)
	}
	p := &Program{graph: g}
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

// Quantiles returns the number of quantiles per value of the forecast, or 0 for a
// model without.
func (p *Program) Quantiles() int { return p.levels }

// bind checks what can be checked before shapes are known: inputs, outputs,
// operators, their attributes, and that every value is made before it is used.
func (p *Program) bind() error {
	known := map[string]int{} // name to slot
	add := func(name string, t tensor) bool {
		if _, ok := known[name]; ok || name == "" {
			return false
		}
		known[name] = len(p.slots)
		p.slots = append(p.slots, t)
		return true
	}
	if err := p.bindInputs(add); err != nil {
		return err
	}
	for _, c := range p.graph.constants {
		if !add(c.name, tensor{dims: c.dims, data: c.floats, ints: c.ints}) {
			return fmt.Errorf("constant %.40q is declared twice or has no name", c.name)
		}
	}
	for i, n := range p.graph.nodes {
		s, err := n.bind(known)
		if err == nil && !add(n.outputs[0], tensor{}) {
			err = fmt.Errorf("results %.80q: must be one new name", n.outputs)
		}
		if err != nil {
			return fmt.Errorf("node %d (%.40s): %w", i, n.op, err)
		}
		s.out = len(p.slots) - 1
		p.steps = append(p.steps, s)
	}
	if err := p.bindOutputs(known); err != nil {
		return err
	}
	p.bindMemory()
	return nil
}

func (p *Program) bindInputs(add func(string, tensor) bool) error {
	for i, in := range p.graph.inputs {
		switch {
		case in.name == SeriesInput && len(in.dims) == 3 && in.dims[0] == DynamicBatch && in.dims[1] > 0 && in.dims[2] > 0:
			p.lookback, p.channels, p.series = in.dims[1], in.dims[2], i
		case in.name == ContextInput && len(in.dims) == 2 && in.dims[0] == DynamicBatch && in.dims[1] > 0:
			p.context, p.contextSlot = in.dims[1], i
		default:
			return fmt.Errorf("input %.40q with dimensions %v is not one that our models have", in.name, in.dims)
		}
		if !add(in.name, tensor{}) {
			return fmt.Errorf("input %q is declared twice", in.name)
		}
	}
	if p.lookback > maxElements/max(1, p.channels) {
		return fmt.Errorf("input %q is too large", SeriesInput)
	}
	if p.lookback == 0 {
		return fmt.Errorf("there is no input %q", SeriesInput)
	}
	return nil
}

func (p *Program) bindOutputs(known map[string]int) error {
	outputs, ok := p.graph.outputs, false
	names := []string{ForecastOutput, QuantilesOutput, PeaksOutput}
	if len(outputs) == 0 || len(outputs) > len(names) || !slices.EqualFunc(outputs, names[:len(outputs)], func(v value, name string) bool { return v.name == name }) {
		return fmt.Errorf("the outputs must be the first of %q, in this order", names)
	}
	if p.forecast, ok = known[ForecastOutput]; !ok {
		return fmt.Errorf("output %q is made nowhere", ForecastOutput)
	}
	dims := outputs[0].dims
	if len(dims) != 2 || dims[0] != DynamicBatch || dims[1] <= 0 {
		return fmt.Errorf("output %q has dimensions %v, must be [batch, horizon]", ForecastOutput, dims)
	}
	p.horizon = dims[1]
	if len(outputs) == 1 {
		return nil
	}
	if p.quantiles, ok = known[QuantilesOutput]; !ok {
		return fmt.Errorf("output %q is made nowhere", QuantilesOutput)
	}
	if dims = outputs[1].dims; len(dims) != 3 || dims[0] != DynamicBatch || dims[1] != p.horizon || dims[2] <= 0 {
		return fmt.Errorf("output %q has dimensions %v, must be [batch, %d, levels]", QuantilesOutput, dims, p.horizon)
	}
	p.levels = dims[2]
	if len(outputs) == 2 {
		return nil
	}
	if p.peaks, ok = known[PeaksOutput]; !ok {
		return fmt.Errorf("output %q is made nowhere", PeaksOutput)
	}
	if !slices.Equal(outputs[2].dims, dims) {
		return fmt.Errorf("output %q has dimensions %v, must be those of %q, %v", PeaksOutput, outputs[2].dims, QuantilesOutput, dims)
	}
	p.hasPeaks = true
	return nil
}

// bind holds a node against the operator that it names and finds its inputs.
func (n node) bind(known map[string]int) (step, error) {
	op, ok := operators[n.op]
	switch {
	case !ok:
		return step{}, fmt.Errorf("not an operator that our models use")
	case len(n.outputs) != 1:
		return step{}, fmt.Errorf("results %.80q: must be one new name", n.outputs)
	case len(n.inputs) < op.inputs || !op.variadic && len(n.inputs) > op.inputs:
		return step{}, fmt.Errorf("%d inputs, must be %d", len(n.inputs), op.inputs)
	case len(n.attrs) != len(op.attrs):
		return step{}, fmt.Errorf("%d attributes, must be %d", len(n.attrs), len(op.attrs))
	}
	for i, a := range n.attrs {
		if a.name != op.attrs[i].name || a.kind != op.attrs[i].kind {
			return step{}, fmt.Errorf("attribute %.40q is not what our models write", a.name)
		}
	}
	s := step{node: n, operator: op}
	for _, in := range n.inputs {
		slot, ok := known[in]
		if !ok {
			return step{}, fmt.Errorf("input %.40q is made nowhere before", in)
		}
		s.in = append(s.in, slot)
	}
	if op.load != nil {
		return s, op.load(&s)
	}
	return s, nil
}

// bindMemory finds, for each slot that a step makes, the last step that needs its
// memory. The result of a view is its input's memory under other dimensions. What
// an output needs is never given back.
func (p *Program) bindMemory() {
	owner := make([]int, len(p.slots)) // whose memory a slot is
	for i := range owner {
		owner[i] = i
	}
	last := map[int]int{} // owner to step, for memory that a step made
	for i, s := range p.steps {
		for _, in := range s.in {
			if _, made := last[owner[in]]; made {
				last[owner[in]] = i
			}
		}
		if s.operator.view {
			owner[s.out] = owner[s.in[0]]
		} else {
			last[s.out] = i
		}
	}
	outputs := []int{owner[p.forecast]}
	if p.levels > 0 {
		outputs = append(outputs, owner[p.quantiles])
	}
	if p.hasPeaks {
		outputs = append(outputs, owner[p.peaks])
	}
	for _, o := range outputs {
		if _, made := last[o]; made { // and not twice
			p.kept = append(p.kept, o)
			delete(last, o)
		}
	}
	for _, s := range p.steps {
		if i, ok := last[s.out]; ok {
			p.steps[i].free = append(p.steps[i].free, s.out)
		}
	}
}

// Run returns the forecasts [batch, horizon] alone of Answer.
func (p *Program) Run(series, context []float32, batch int) (forecast []float32, err error) {
	a, err := p.Answer(series, context, batch)
	return a.Forecast, err
}

// Answer runs the model for series [batch, lookback, channels] and context
// [batch, width], all row-major and in physical units. For a model without a
// context, context is empty.
func (p *Program) Answer(series, context []float32, batch int) (Answer, error) {
	if batch < 1 || batch > maxElements {
		return Answer{}, fmt.Errorf("run model: batch of %d", batch)
	}
	if want := batch * p.lookback * p.channels; len(series) != want {
		return Answer{}, fmt.Errorf("run model: series has %d values, a batch of %d needs %d", len(series), batch, want)
	}
	if want := batch * p.context; len(context) != want {
		return Answer{}, fmt.Errorf("run model: context has %d values, a batch of %d needs %d", len(context), batch, want)
	}
	slots := slices.Clone(p.slots)
	slots[p.series] = tensor{dims: []int{batch, p.lookback, p.channels}, data: series}
	if p.context > 0 {
		slots[p.contextSlot] = tensor{dims: []int{batch, p.context}, data: context}
	}
	m, _ := p.idle.Get().(*memory)
	if m == nil || m.batch != batch {
		m = &memory{batch: batch, free: map[int][][]float32{}}
	}
	var in []tensor
	for i := range p.steps {
		s := &p.steps[i]
		in = in[:0]
		for _, slot := range s.in {
			in = append(in, slots[slot])
		}
		out, err := s.operator.run(m, s, in)
		if err != nil {
			return Answer{}, fmt.Errorf("run model: node %d (%s): %w", i, s.op, err)
		}
		slots[s.out] = out
		for _, slot := range s.free {
			m.release(slots[slot].data)
			slots[slot] = tensor{}
		}
	}
	a, err := p.answer(slots, batch)
	if err != nil {
		return Answer{}, err
	}
	for _, slot := range p.kept {
		m.release(slots[slot].data)
	}
	m.live, m.computed = 0, 0
	p.idle.Put(m)
	return a, nil
}

// answer returns copies of the outputs: they may be the caller's own memory.
func (p *Program) answer(slots []tensor, batch int) (a Answer, err error) {
	of := func(slot int, dims ...int) []float32 {
		t := slots[slot]
		if !slices.Equal(t.dims, dims) || t.ints != nil {
			err = fmt.Errorf("run model: an output has dimensions %v, must be %v", t.dims, dims)
			return nil
		}
		return slices.Clone(t.data)
	}
	a.Forecast = of(p.forecast, batch, p.horizon)
	if p.levels > 0 {
		a.Quantiles = of(p.quantiles, batch, p.horizon, p.levels)
	}
	if p.hasPeaks {
		a.Peaks = of(p.peaks, batch, p.horizon, p.levels)
	}
	return a, err
}
