package onnxtest

import "google.golang.org/protobuf/encoding/protowire"

// ElementType is an element type of TensorProto.DataType.
type ElementType int64

// The element types, by their numbers in onnx.proto.
const (
	TypeFloat    ElementType = 1
	TypeUint8    ElementType = 2
	TypeInt8     ElementType = 3
	TypeUint16   ElementType = 4
	TypeInt16    ElementType = 5
	TypeInt32    ElementType = 6
	TypeInt64    ElementType = 7
	TypeString   ElementType = 8
	TypeBool     ElementType = 9
	TypeFloat16  ElementType = 10
	TypeDouble   ElementType = 11
	TypeUint32   ElementType = 12
	TypeUint64   ElementType = 13
	TypeBfloat16 ElementType = 16
)

// InputOf returns a GraphProto field with an input. An axis is an int, its length,
// or a string, the name of an axis of any length. No axes: a scalar.
func InputOf(t ElementType, name string, axes ...any) Message {
	return typed(11, t, name, shapeOf(axes))
}

// OutputOf is like InputOf.
func OutputOf(t ElementType, name string, axes ...any) Message {
	return typed(12, t, name, shapeOf(axes))
}

// UnrankedInput returns a GraphProto field with an input of any shape.
func UnrankedInput(t ElementType, name string) Message { return typed(11, t, name, nil) }

func shapeOf(axes []any) Message {
	shape := Message{} // not nil: a scalar has a shape
	for _, axis := range axes {
		var dim Message
		switch axis := axis.(type) {
		case int:
			dim = dim.Int(1, int64(axis))
		case string:
			dim = dim.Text(2, axis)
		default:
			panic("onnxtest: an axis is an int or a string")
		}
		shape = shape.Bytes(1, dim)
	}
	return shape
}

func typed(field protowire.Number, t ElementType, name string, shape Message) Message {
	tensorType := Message(nil).Int(1, int64(t))
	if shape != nil {
		tensorType = tensorType.Bytes(2, shape)
	}
	return Message(nil).Bytes(field, Message(nil).Text(1, name).Bytes(2, Message(nil).Bytes(1, tensorType)))
}

// Identity returns a model whose output y is its input x, [n], of any element type.
func Identity(t ElementType) []byte {
	return Model(Graph(Node("Identity", "", []string{"x"}, []string{"y"}), InputOf(t, "x", "n"), OutputOf(t, "y", "n")), nil)
}

// SumAndDifference returns a model with two inputs and two outputs, all [batch, 2]:
// sum = a + b and difference = a - b.
func SumAndDifference() []byte {
	return Model(Graph(
		Node("Add", "", []string{"a", "b"}, []string{"sum"}),
		Node("Sub", "", []string{"a", "b"}, []string{"difference"}),
		InputOf(TypeFloat, "a", "batch", 2), InputOf(TypeFloat, "b", "batch", 2),
		OutputOf(TypeFloat, "sum", "batch", 2), OutputOf(TypeFloat, "difference", "batch", 2)), nil)
}
