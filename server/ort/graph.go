package ort

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/forescale/forescale/server/tensor"
)

// This file reads what a model file says of its graph. The model has passed Check, so
// its fields can be read; a damaged one ends the reading where it is damaged. The field
// numbers are those of onnx.proto (IR version 10).

// declared is what a model file says of an input or output.
type declared struct {
	name    string
	element uint64 // TensorProto.DataType; 0: none, or it is not a tensor
	ranked  bool
	axes    []axis
}

// axis is one dimension: a length, or a name, or neither.
type axis struct {
	length int64 // -1: any
	name   string
}

// described is a graph's inputs and outputs as the file declares them.
type described struct {
	inputs, outputs []declared
	constants       map[string]bool // the names of the initializers, which old files list as inputs, too
	nodes           int             // of the main graph
	convolves       bool            // some of them convolve or pool
}

func readGraph(model []byte) described {
	d := described{constants: map[string]bool{}}
	inGraph(model, func(num protowire.Number, content []byte) {
		switch num {
		case 1: // node
			d.nodes++
			op := textOf(content, 4)
			d.convolves = d.convolves || strings.Contains(op, "Conv") || strings.Contains(op, "Pool")
		case 5: // initializer
			d.constants[textOf(content, 8)] = true
		case 11: // input
			d.inputs = append(d.inputs, valueInfo(content))
		case 12: // output
			d.outputs = append(d.outputs, valueInfo(content))
		case 15: // sparse_initializer; its name is that of its values
			fields(content, func(num protowire.Number, values []byte, _ uint64) {
				if num == 1 {
					d.constants[textOf(values, 8)] = true
				}
			})
		}
	})
	return d
}

// inGraph calls each for every message in the main graph.
func inGraph(model []byte, each func(num protowire.Number, content []byte)) {
	fields(model, func(num protowire.Number, graph []byte, _ uint64) {
		if num == 7 { // ModelProto.graph
			fields(graph, func(num protowire.Number, content []byte, _ uint64) { each(num, content) })
		}
	})
}

// onnxTypes are the element types by their number in TensorProto.DataType.
var onnxTypes = map[uint64]tensor.Type{
	1: tensor.Float32, 2: tensor.Uint8, 3: tensor.Int8, 4: tensor.Uint16, 5: tensor.Int16, 6: tensor.Int32, 7: tensor.Int64,
	8: tensor.String, 9: tensor.Bool, 10: tensor.Float16, 11: tensor.Float64, 12: tensor.Uint32, 13: tensor.Uint64, 16: tensor.BFloat16,
}

// infos returns the inputs and outputs if nothing is left for ONNX Runtime to find out:
// it works out lengths of outputs' axes that a file leaves open, but not that of the
// first one, if that is open in the input, too.
func (d described) infos() (inputs, outputs []tensor.Info, ok bool) {
	for _, in := range d.inputs {
		if d.constants[in.name] {
			continue
		}
		info, ok := in.info()
		if !ok {
			return nil, nil, false
		}
		inputs = append(inputs, info)
	}
	for _, out := range d.outputs {
		info, ok := out.info()
		if !ok {
			return nil, nil, false
		}
		for _, length := range info.Shape[min(1, len(info.Shape)):] {
			if length < 0 {
				return nil, nil, false
			}
		}
		outputs = append(outputs, info)
	}
	return inputs, outputs, len(inputs) > 0 && len(outputs) > 0
}

// info returns what is declared if that is a tensor of a known type and rank.
func (d declared) info() (tensor.Info, bool) {
	info := tensor.Info{Name: d.name, Type: onnxTypes[d.element]}
	for _, a := range d.axes {
		info.Shape, info.Axes = append(info.Shape, a.length), append(info.Axes, a.name)
	}
	return info, info.Name != "" && info.Type != "" && d.ranked
}

// addAxes completes what the library told of inputs and outputs: it tells the lengths
// of the axes and neither their names nor whether there is a shape at all. Where the
// file says nothing, nothing is added.
func (d described) addAxes(infos []tensor.Info) {
	all := map[string]declared{}
	for _, v := range d.inputs {
		all[v.name] = v
	}
	for _, v := range d.outputs {
		all[v.name] = v
	}
	for i := range infos {
		v := all[infos[i].Name]
		if len(infos[i].Shape) == 0 {
			infos[i].Unranked = !v.ranked
		}
		if len(v.axes) != len(infos[i].Shape) { // the library has worked out more than the file says
			continue
		}
		var names []string
		for n, length := range infos[i].Shape {
			if length >= 0 {
				v.axes[n].name = ""
			}
			names = append(names, v.axes[n].name)
		}
		infos[i].Axes = names
	}
}

// valueInfo reads a ValueInfoProto: 1 is its name, 2.1.1 the element type and 2.1.2 the
// shape of a tensor.
func valueInfo(b []byte) (d declared) {
	fields(b, func(num protowire.Number, content []byte, _ uint64) {
		switch num {
		case 1:
			d.name = string(content)
		case 2: // TypeProto
			fields(content, func(num protowire.Number, content []byte, _ uint64) {
				if num != 1 { // TypeProto.tensor_type
					return
				}
				fields(content, func(num protowire.Number, content []byte, n uint64) {
					switch num {
					case 1:
						d.element = n
					case 2: // TensorShapeProto
						d.ranked = true
						d.axes = axes(content)
					}
				})
			})
		}
	})
	return d
}

// axes reads a TensorShapeProto: its dimensions are field 1, and the length of one is
// their field 1, the name their field 2.
func axes(b []byte) []axis {
	var all []axis
	fields(b, func(num protowire.Number, dim []byte, _ uint64) {
		if num != 1 {
			return
		}
		a := axis{length: -1}
		fields(dim, func(num protowire.Number, content []byte, n uint64) {
			switch num {
			case 1:
				a = axis{length: max(-1, int64(n))}
			case 2:
				a = axis{length: -1, name: string(content)}
			}
		})
		all = append(all, a)
	})
	return all
}

// structure returns a hash of what a model's speed depends on: its operators with the
// sizes of their attributes, and the types and shapes of its weights, without the
// weights themselves. Models of one architecture that were trained on different data
// have the same.
func structure(model []byte) (sum [sha256.Size]byte) {
	h := sha256.New()
	inGraph(model, func(num protowire.Number, content []byte) {
		switch num {
		case 1: // node
			note(h, num, nil)
			fields(content, func(num protowire.Number, content []byte, _ uint64) {
				switch num {
				case 4, 7: // op_type, domain
					note(h, num, content)
				case 1, 2: // an input, an output: their names are arbitrary
					note(h, num, nil)
				case 5: // attribute: its name, and how much there is of it
					note(h, num, []byte(textOf(content, 1)))
					noteSize(h, len(content))
				}
			})
		case 5: // initializer: data_type and dims
			note(h, num, nil)
			fields(content, func(num protowire.Number, dims []byte, n uint64) {
				if num == 1 || num == 2 {
					note(h, num, dims)
					noteSize(h, int(n))
				}
			})
		case 11, 12: // input, output
			note(h, num, content)
		}
	})
	h.Sum(sum[:0])
	return sum
}

func note(h hash.Hash, num protowire.Number, content []byte) {
	noteSize(h, int(num))
	noteSize(h, len(content))
	h.Write(content)
}

func noteSize(h hash.Hash, n int) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	h.Write(b[:])
}

// textOf returns a field that holds text.
func textOf(b []byte, field protowire.Number) (text string) {
	fields(b, func(num protowire.Number, content []byte, _ uint64) {
		if num == field {
			text = string(content)
		}
	})
	return text
}

// fields calls each for every field of a message that is a number or has a length, and
// ends where the message is damaged.
func fields(b []byte, each func(num protowire.Number, content []byte, n uint64)) {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return
		}
		size := protowire.ConsumeFieldValue(num, typ, b[n:])
		if size < 0 {
			return
		}
		switch typ {
		case protowire.BytesType:
			content, _ := protowire.ConsumeBytes(b[n : n+size])
			each(num, content, 0)
		case protowire.VarintType:
			v, _ := protowire.ConsumeVarint(b[n : n+size])
			each(num, nil, v)
		}
		b = b[n+size:]
	}
}
