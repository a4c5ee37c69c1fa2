package onnx

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// DynamicBatch stands, in the dimensions of an input or output, for the batch
// axis: its size is chosen by whoever runs the model.
const DynamicBatch = -1

// Graph is a model in the making, or one that was read. Values are known by
// name; every method that adds a node returns the name of its result. Graph does
// not check shapes: the exporter's tests run what they export.
type Graph struct {
	name      string
	inputs    []value
	outputs   []value
	constants []constant
	nodes     []node
	metadata  [][2]string // key, value
}

// value is an input or an output.
type value struct {
	name string
	dims []int // DynamicBatch or a size
}

// constant is an initializer: either floats or ints.
type constant struct {
	name   string
	dims   []int
	floats []float32
	ints   []int64
}

// node is one operation.
type node struct {
	op      string
	inputs  []string // "" for one left out
	outputs []string // "" for one not wanted
	attrs   []attr
}

// attr is an attribute; which field holds its value follows from kind.
type attr struct {
	name string
	kind int64

	int    int64
	text   string
	ints   []int64
	floats []float32
	texts  []string
}

// NewGraph returns an empty graph.
func NewGraph(name string) *Graph { return &Graph{name: name} }

// Input declares a float32 input and returns its name.
func (g *Graph) Input(name string, dims ...int) string {
	g.inputs = append(g.inputs, value{name, dims})
	return name
}

// Output declares the named value, a float32 tensor, as an output.
func (g *Graph) Output(name string, dims ...int) {
	g.outputs = append(g.outputs, value{name, dims})
}

// Metadata adds a property to the file.
func (g *Graph) Metadata(key, value string) {
	g.metadata = append(g.metadata, [2]string{key, value})
}

// Constant adds a float32 tensor, row-major, and returns its name.
func (g *Graph) Constant(name string, data []float32, dims ...int) string {
	n := 1
	for _, d := range dims {
		n *= d
	}
	if n != len(data) {
		panic(fmt.Sprintf("onnx: constant %s: %d values for dimensions %v", name, len(data), dims))
	}
	g.constants = append(g.constants, constant{name: name, dims: dims, floats: slices.Clone(data)})
	return name
}

// add appends a node with one result named name and returns it.
func (g *Graph) add(op, name string, inputs []string, attrs ...attr) string {
	g.nodes = append(g.nodes, node{op, inputs, []string{name}, attrs})
	return name
}

// intConstant adds the int64 vector that an operator takes as an input.
func (g *Graph) intConstant(name string, v ...int64) string {
	g.constants = append(g.constants, constant{name: name, dims: []int{len(v)}, ints: v})
	return name
}

// Marshal returns the bytes of the model file. Equal graphs give equal bytes.
func (g *Graph) Marshal() []byte {
	var model message
	model.int(modelIR, irVersion)
	model.text(modelProducer, producer)
	model.bytes(modelGraph, g.marshalGraph())
	opset := func(domain string, version int64) {
		var m message
		m.text(opsetDomain, domain)
		m.int(opsetNumber, version)
		model.bytes(modelOpset, m)
	}
	opset("", opsetVersion)
	if slices.ContainsFunc(g.nodes, func(n node) bool { return operators[n.op].domain == domainML }) {
		opset(domainML, opsetVersionML)
	}
	for _, entry := range g.metadata {
		var m message
		m.text(entryKey, entry[0])
		m.text(entryValue, entry[1])
		model.bytes(modelMetadata, m)
	}
	return model
}

func (g *Graph) marshalGraph() message {
	var m message
	for _, n := range g.nodes {
		m.bytes(graphNode, n.marshal())
	}
	m.text(graphName, g.name)
	for _, c := range g.constants {
		m.bytes(graphInitializer, c.marshal())
	}
	for _, v := range g.inputs {
		m.bytes(graphInput, v.marshal())
	}
	for _, v := range g.outputs {
		m.bytes(graphOutput, v.marshal())
	}
	for _, n := range g.nodes {
		if n.op == "TreeEnsembleRegressor" {
			// onnx's shape inference does not know what comes out of it.
			m.bytes(graphValueInfo, value{n.outputs[0], []int{DynamicBatch, int(n.attrs[1].int)}}.marshal())
		}
	}
	return m
}

func (n node) marshal() message {
	var m message
	for _, in := range n.inputs {
		m.text(nodeInput, in)
	}
	for _, out := range n.outputs {
		m.text(nodeOutput, out)
	}
	m.text(nodeName, n.outputs[0])
	m.text(nodeOp, n.op)
	for _, a := range n.attrs {
		var am message
		am.text(attrNameField, a.name)
		switch a.kind {
		case attrInt:
			am.int(attrI, a.int)
		case attrString:
			am.text(attrS, a.text)
		case attrInts:
			am.bytes(attrIntsField, packInts(a.ints))
		case attrFloats:
			am.bytes(attrFloatsField, packFloats(a.floats))
		case attrStrings:
			for _, text := range a.texts {
				am.text(attrStringsField, text)
			}
		}
		am.int(attrType, a.kind)
		m.bytes(nodeAttr, am)
	}
	if domain := operators[n.op].domain; domain != "" {
		m.text(nodeDomain, domain)
	}
	return m
}

func (c constant) marshal() message {
	var m message
	dims := make([]int64, len(c.dims))
	for i, d := range c.dims {
		dims[i] = int64(d)
	}
	m.bytes(tensorDims, packInts(dims))
	if c.floats != nil {
		m.int(tensorType, typeFloat)
	} else {
		m.int(tensorType, typeInt64)
	}
	m.text(tensorName, c.name)
	raw := packFloats(c.floats)
	for _, v := range c.ints {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	m.bytes(tensorRaw, raw)
	return m
}

func (v value) marshal() message {
	var shape, tensor, typ, m message
	for _, d := range v.dims {
		var dim message
		if d == DynamicBatch {
			dim.text(dimParam, "batch")
		} else {
			dim.int(dimValue, int64(d))
		}
		shape.bytes(shapeDim, dim)
	}
	tensor.int(tensorElem, typeFloat)
	tensor.bytes(tensorShape, shape)
	typ.bytes(typeTensor, tensor)
	m.text(valueName, v.name)
	m.bytes(valueType, typ)
	return m
}
