// Package onnxtest writes small ONNX models for tests, straight in the protobuf
// wire format, so that the tests of the server depend on no exporter.
package onnxtest

import (
	"encoding/json"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
)

// Opset is the operator set that the models are written for.
const Opset = 17

// The element types of TensorProto.DataType that are needed here.
const (
	float32Type = 1
	int64Type   = 7
)

// Message is a protobuf message under construction.
type Message []byte

// Bytes appends a length-delimited field: a string, bytes or a message.
func (m Message) Bytes(field protowire.Number, value []byte) Message {
	return protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), value)
}

// Text appends a string field.
func (m Message) Text(field protowire.Number, value string) Message {
	return m.Bytes(field, []byte(value))
}

// Int appends an integer field.
func (m Message) Int(field protowire.Number, value int64) Message {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), uint64(value))
}

// Model returns a ModelProto around a graph, for the standard operators and any
// further domains.
func Model(graph Message, metadata map[string]string, domains ...string) []byte {
	m := Message(nil).Int(1, 8).Text(2, "onnxtest").Bytes(7, graph)
	for _, domain := range append([]string{""}, domains...) {
		m = m.Bytes(8, Message(nil).Text(1, domain).Int(2, map[bool]int64{true: Opset, false: 1}[domain == ""]))
	}
	for key, value := range metadata {
		m = m.Bytes(14, Message(nil).Text(1, key).Text(2, value))
	}
	return m
}

// Node returns a GraphProto field with one node.
func Node(op, domain string, inputs, outputs []string, attributes ...Message) Message {
	var n Message
	for _, in := range inputs {
		n = n.Text(1, in)
	}
	for _, out := range outputs {
		n = n.Text(2, out)
	}
	n = n.Text(4, op)
	for _, a := range attributes {
		n = n.Bytes(5, a)
	}
	if domain != "" {
		n = n.Text(7, domain)
	}
	return Message(nil).Bytes(1, n)
}

// IntAttribute returns an AttributeProto.
func IntAttribute(name string, value int64) Message {
	return Message(nil).Text(1, name).Int(3, value).Int(20, 2)
}

// Floats returns a GraphProto field with a float32 initializer.
func Floats(name string, shape []int64, values ...float32) Message {
	var raw []byte
	for _, v := range values {
		raw = protowire.AppendFixed32(raw, math.Float32bits(v))
	}
	return Message(nil).Bytes(5, tensor(name, float32Type, shape).Bytes(9, raw))
}

// Ints returns a GraphProto field with an int64 initializer.
func Ints(name string, shape []int64, values ...int64) Message {
	var raw []byte
	for _, v := range values {
		raw = protowire.AppendFixed64(raw, uint64(v))
	}
	return Message(nil).Bytes(5, tensor(name, int64Type, shape).Bytes(9, raw))
}

// External returns a GraphProto field with a float32 initializer whose values are
// said to lie in the file at location.
func External(name string, shape []int64, location string) Message {
	t := tensor(name, float32Type, shape).Bytes(13, Message(nil).Text(1, "location").Text(2, location)).Int(14, 1)
	return Message(nil).Bytes(5, t)
}

func tensor(name string, elem int64, shape []int64) Message {
	var t Message
	for _, n := range shape {
		t = t.Int(1, n)
	}
	return t.Int(2, elem).Text(8, name)
}

// Input and Output return a GraphProto field with a float32 value. An axis of -1
// has any length and is called batch.
func Input(name string, shape ...int64) Message { return value(11, name, shape) }

// Output is like Input.
func Output(name string, shape ...int64) Message { return value(12, name, shape) }

func value(field protowire.Number, name string, shape []int64) Message {
	var dims Message
	for _, n := range shape {
		dim := Message(nil).Int(1, n)
		if n < 0 {
			dim = Message(nil).Text(2, "batch")
		}
		dims = dims.Bytes(1, dim)
	}
	typ := Message(nil).Bytes(1, Message(nil).Int(1, float32Type).Bytes(2, dims))
	return Message(nil).Bytes(field, Message(nil).Text(1, name).Bytes(2, typ))
}

// Graph joins fields to a GraphProto.
func Graph(fields ...Message) Message {
	g := Message(nil).Text(2, "graph")
	for _, f := range fields {
		g = append(g, f...)
	}
	return g
}

// Foreign returns a model that is not one of ours: output [batch, 2] is
// max(0, input x W + b) of input [batch, 3], with
//
//	W = [[1, -1], [2, 0], [0.5, 4]], b = [0.25, -1].
func Foreign() []byte {
	return Model(Graph(
		Node("Gemm", "", []string{"input", "w", "b"}, []string{"sum"}),
		Node("Relu", "", []string{"sum"}, []string{"output"}),
		Floats("w", []int64{3, 2}, 1, -1, 2, 0, .5, 4),
		Floats("b", []int64{2}, .25, -1),
		Input("input", -1, 3), Output("output", -1, 2),
	), nil)
}

// Spec returns the contract of a small model: lookback slots of demand, horizon
// steps, a mask, and the quantiles given.
func Spec(lookback, horizon int, quantiles ...float64) models.Spec {
	return models.Spec{Target: "demand", StepSeconds: 300, Lookback: lookback, Horizon: horizon,
		Series: []string{"demand"}, Masks: true, Quantiles: quantiles, MaxGap: 2}
}

// Persistence returns one of our own models for a spec without context: every
// step forecasts factor times the newest value of the target, and quantile j lies
// j-1 above it, the peak of step k another k-1 above that. Factor tells versions
// apart; NaN makes every answer NaN.
func Persistence(spec models.Spec, factor float32) (models.Manifest, []byte) {
	a := Answer{Forecast: make([]float32, spec.Horizon)}
	for k := range spec.Horizon {
		for j := range spec.Quantiles {
			a.Quantiles = append(a.Quantiles, float32(j-1))
			if spec.Peaks {
				a.Peaks = append(a.Peaks, float32(j-1+k))
			}
		}
	}
	return Affine(spec, factor, a)
}

// Answer holds one value for each value that a model answers for a row: Forecast
// is [Horizon], Quantiles and Peaks are [Horizon*len(Quantiles)] or nil.
type Answer struct{ Forecast, Quantiles, Peaks []float32 }

// Affine returns one of our own models for a spec without context that answers
//
//	factor·newest + offsets
//
// with newest the newest value of the target: any answer that a test needs, also
// quantiles that cross and values that are not finite.
func Affine(spec models.Spec, factor float32, offsets Answer) (models.Manifest, []byte) {
	if window.ContextLen(spec) > 0 {
		panic("onnxtest: Affine reads no context")
	}
	text, err := json.Marshal(spec)
	if err != nil {
		panic(err) // a Spec always marshals
	}
	h, q := int64(spec.Horizon), int64(len(spec.Quantiles))
	fields := []Message{
		Node("Gather", "", []string{"series", "last"}, []string{"latest"}, IntAttribute("axis", 1)),   // [batch, channels]
		Node("Gather", "", []string{"latest", "target"}, []string{"newest"}, IntAttribute("axis", 1)), // [batch, 1]
		Node("Mul", "", []string{"newest", "factor"}, []string{"scaled"}),                             // [batch, 1]
		Node("Unsqueeze", "", []string{"scaled", "axis"}, []string{"column"}),                         // [batch, 1, 1]
		Node("Add", "", []string{"scaled", "steps"}, []string{"forecast"}),                            // [batch, horizon]
		Ints("last", nil, -1), Ints("target", []int64{1}, 0), Ints("axis", []int64{1}, 2), // channel 0 is the target
		Floats("factor", nil, factor), Floats("steps", []int64{1, h}, offsets.Forecast...),
		Input("series", -1, int64(spec.Lookback), int64(spec.Channels())), Output("forecast", -1, h),
	}
	for _, out := range []struct {
		name   string
		values []float32
	}{{"quantiles", offsets.Quantiles}, {"peaks", offsets.Peaks}} {
		if out.values != nil {
			fields = append(fields, Node("Add", "", []string{"column", out.name + " above"}, []string{out.name}),
				Floats(out.name+" above", []int64{1, h, q}, out.values...), Output(out.name, -1, h, q))
		}
	}
	m := models.Manifest{Groups: []string{models.AnyGroup}, Spec: spec, Golden: golden(spec, factor, offsets)}
	return m, Model(Graph(fields...), map[string]string{models.MetadataKey: string(text)})
}

// golden returns the answer of Affine to a ramp, worked out here; nil when JSON
// cannot hold it.
func golden(spec models.Spec, factor float32, offsets Answer) *models.Golden {
	g := &models.Golden{Series: make([]float32, spec.Lookback*spec.Channels())}
	for i := range spec.Lookback {
		g.Series[i*spec.Channels()] = float32(i + 1)
	}
	finite := true
	above := func(offsets []float32) []float32 {
		var values []float32
		for _, o := range offsets {
			v := factor*float32(spec.Lookback) + o
			finite = finite && v-v == 0
			values = append(values, v)
		}
		return values
	}
	g.Forecast, g.Quantiles, g.Peaks = above(offsets.Forecast), above(offsets.Quantiles), above(offsets.Peaks)
	if !finite {
		return nil
	}
	return g
}
