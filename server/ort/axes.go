package ort

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/forescale/forescale/server/tensor"
)

// declared is what a model file says of the shape of an input or output. The
// library tells the lengths of the axes and neither their names nor whether there
// is a shape at all.
type declared struct {
	ranked bool
	axes   []string
}

// addAxes completes what the library told of inputs and outputs. The model has
// passed Check, so its fields can be read; where the file says nothing, nothing is
// added. The field numbers are those of onnx.proto (IR version 10).
func addAxes(model []byte, infos []tensor.Info) {
	all := map[string]declared{}
	fields(model, func(num protowire.Number, graph []byte) {
		if num != 7 { // ModelProto.graph
			return
		}
		fields(graph, func(num protowire.Number, value []byte) {
			if num == 11 || num == 12 { // GraphProto.input, output
				name, d := valueInfo(value)
				all[name] = d
			}
		})
	})
	for i := range infos {
		d := all[infos[i].Name]
		if len(infos[i].Shape) == 0 {
			infos[i].Unranked = !d.ranked
		}
		if len(d.axes) != len(infos[i].Shape) { // the library has worked out more than the file says
			continue
		}
		for n, length := range infos[i].Shape {
			if length >= 0 {
				d.axes[n] = ""
			}
		}
		infos[i].Axes = d.axes
	}
}

// valueInfo reads a ValueInfoProto: 1 is its name, and 2.1.2 its shape.
func valueInfo(b []byte) (name string, d declared) {
	fields(b, func(num protowire.Number, content []byte) {
		switch num {
		case 1:
			name = string(content)
		case 2: // TypeProto
			fields(content, func(num protowire.Number, content []byte) {
				if num != 1 { // TypeProto.tensor_type
					return
				}
				fields(content, func(num protowire.Number, content []byte) {
					if num == 2 { // TensorShapeProto
						d.ranked = true
						d.axes = axes(content)
					}
				})
			})
		}
	})
	return name, d
}

// axes reads a TensorShapeProto: its dimensions are field 1, and the name of one is
// their field 2.
func axes(b []byte) []string {
	var names []string
	fields(b, func(num protowire.Number, dim []byte) {
		if num != 1 {
			return
		}
		name := ""
		fields(dim, func(num protowire.Number, content []byte) {
			if num == 2 {
				name = string(content)
			}
		})
		names = append(names, name)
	})
	return names
}

// fields calls each for every length-delimited field of a message, and ends where
// it is damaged.
func fields(b []byte, each func(num protowire.Number, content []byte)) {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return
		}
		size := protowire.ConsumeFieldValue(num, typ, b[n:])
		if size < 0 {
			return
		}
		if typ == protowire.BytesType {
			content, _ := protowire.ConsumeBytes(b[n : n+size])
			each(num, content)
		}
		b = b[n+size:]
	}
}
