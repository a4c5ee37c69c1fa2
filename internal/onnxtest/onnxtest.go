// Package onnxtest writes small ONNX models for tests, straight in the protobuf
// wire format, so that the tests of the server depend on no exporter.
package onnxtest

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// The operator sets that the models are written for: the standard one, and that of
// DomainML.
const (
	Opset   = 17
	OpsetML = 3
)

// DomainML is the domain of the operators for trees and other classical models.
const DomainML = "ai.onnx.ml"

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
		version := map[string]int64{"": Opset, DomainML: OpsetML}[domain]
		m = m.Bytes(8, Message(nil).Text(1, domain).Int(2, max(1, version)))
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

// IntsAttribute, FloatsAttribute and TextsAttribute return an AttributeProto with a
// list.
func IntsAttribute(name string, values ...int64) Message {
	m := Message(nil).Text(1, name).Int(20, 7)
	for _, v := range values {
		m = m.Int(8, v)
	}
	return m
}

// FloatsAttribute is like IntsAttribute.
func FloatsAttribute(name string, values ...float32) Message {
	m := Message(nil).Text(1, name).Int(20, 6)
	for _, v := range values {
		m = protowire.AppendFixed32(protowire.AppendTag(m, 7, protowire.Fixed32Type), math.Float32bits(v))
	}
	return m
}

// TextsAttribute is like IntsAttribute.
func TextsAttribute(name string, values ...string) Message {
	m := Message(nil).Text(1, name).Int(20, 8)
	for _, v := range values {
		m = m.Text(9, v)
	}
	return m
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
