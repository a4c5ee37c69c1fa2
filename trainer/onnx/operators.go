package onnx

import (
	"errors"
	"fmt"
	"slices"

	"github.com/forescale/forescale/trainer/kernel"
)

// operator says how a node of this type must look and what it computes.
type operator struct {
	domain   string
	inputs   int
	variadic bool // inputs is the least number
	view     bool // the result is the first input's memory
	attrs    []attr
	load     func(s *step) error // reads the attributes once, where that takes work
	run      compute
}

// compute returns the result of a step. Memory that it takes from m has any
// contents.
type compute func(m *memory, s *step, in []tensor) (tensor, error)

// operators is all that our models use; Graph has a method for each.
var operators = map[string]operator{
	"Add": {inputs: 2, run: pairwise(add)},
	"Sub": {inputs: 2, run: pairwise(sub)},
	"Mul": {inputs: 2, run: pairwise(mul)},
	"Div": {inputs: 2, run: pairwise(div)},
	"Max": {inputs: 2, run: pairwise(larger)},
	"Min": {inputs: 2, run: pairwise(smaller)},

	"Relu":     {inputs: 1, run: single(relu)},
	"Neg":      {inputs: 1, run: single(neg)},
	"Abs":      {inputs: 1, run: single(abs)},
	"Log":      {inputs: 1, run: single(log)},
	"Exp":      {inputs: 1, run: single(exp)},
	"Sqrt":     {inputs: 1, run: single(sqrt)},
	"Sigmoid":  {inputs: 1, run: single(sigmoid)},
	"Tanh":     {inputs: 1, run: single(tanh)},
	"Softplus": {inputs: 1, run: single(softplus)},
	"Clip":     {inputs: 3, run: clip},

	"Softmax":    {inputs: 1, attrs: []attr{{name: "axis", kind: attrInt}}, run: softmax},
	"ReduceSum":  {inputs: 2, attrs: []attr{{name: "keepdims", kind: attrInt}}, run: reduceSum},
	"ReduceMean": {inputs: 1, attrs: []attr{{name: "axes", kind: attrInts}, {name: "keepdims", kind: attrInt}}, run: reduceMean},

	"Transpose": {inputs: 1, attrs: []attr{{name: "perm", kind: attrInts}}, run: transpose},
	"Squeeze":   {inputs: 2, view: true, run: squeeze},
	"Unsqueeze": {inputs: 2, view: true, run: unsqueeze},
	"Reshape":   {inputs: 2, view: true, run: reshape},
	"Slice":     {inputs: 4, run: slice},
	"Gather":    {inputs: 2, attrs: []attr{{name: "axis", kind: attrInt}}, run: gather},
	"Concat":    {inputs: 1, variadic: true, attrs: []attr{{name: "axis", kind: attrInt}}, run: concat},

	"MatMul":                {inputs: 2, run: matMul},
	"LSTM":                  {inputs: 4, attrs: []attr{{name: "direction", kind: attrString}, {name: "hidden_size", kind: attrInt}}, run: lstm},
	"TreeEnsembleRegressor": {domain: domainML, inputs: 1, attrs: treeAttributes, load: loadTrees, run: runTrees},
}

var errNotFloat = errors.New("an input is not a float32 tensor")

func matMul(m *memory, _ *step, in []tensor) (tensor, error) {
	a, b := in[0], in[1]
	if a.ints != nil || b.ints != nil {
		return tensor{}, errNotFloat
	}
	last := len(a.dims) - 1
	if last < 1 || len(b.dims) != 2 || a.dims[last] != b.dims[0] || len(a.data) == 0 || len(b.data) == 0 {
		return tensor{}, fmt.Errorf("dimensions %v and %v do not fit together", a.dims, b.dims)
	}
	k, n := b.dims[0], b.dims[1]
	rows := len(a.data) / k
	out, err := m.tensor(append(slices.Clone(a.dims[:last]), n)...)
	if err != nil {
		return tensor{}, err
	}
	kernel.Gemm(rows, n, k, kernel.Of(a.data, k), kernel.Of(b.data, n), out.data, n, false)
	return out, nil
}
