package ort

import (
	"encoding/binary"
	"fmt"
	"strings"

	onnxruntime "github.com/yalue/onnxruntime_go"

	"github.com/forescale/forescale/server/tensor"
)

// elementTypes are the types that the binding carries in both directions.
var elementTypes = map[onnxruntime.TensorElementDataType]tensor.Type{
	onnxruntime.TensorElementDataTypeFloat16:  tensor.Float16,
	onnxruntime.TensorElementDataTypeBFloat16: tensor.BFloat16,
	onnxruntime.TensorElementDataTypeFloat:    tensor.Float32,
	onnxruntime.TensorElementDataTypeDouble:   tensor.Float64,
	onnxruntime.TensorElementDataTypeInt8:     tensor.Int8,
	onnxruntime.TensorElementDataTypeInt16:    tensor.Int16,
	onnxruntime.TensorElementDataTypeInt32:    tensor.Int32,
	onnxruntime.TensorElementDataTypeInt64:    tensor.Int64,
	onnxruntime.TensorElementDataTypeUint8:    tensor.Uint8,
	onnxruntime.TensorElementDataTypeUint16:   tensor.Uint16,
	onnxruntime.TensorElementDataTypeUint32:   tensor.Uint32,
	onnxruntime.TensorElementDataTypeUint64:   tensor.Uint64,
	onnxruntime.TensorElementDataTypeBool:     tensor.Bool,
	onnxruntime.TensorElementDataTypeString:   tensor.String,
}

// toValue makes a view of a tensor's data, which stays where it is. Strings and
// 16-bit floats are copied.
func toValue(t tensor.Tensor) (onnxruntime.Value, error) {
	switch data := t.Data.(type) {
	case []float32:
		return view(t.Shape, data)
	case []float64:
		return view(t.Shape, data)
	case []int8:
		return view(t.Shape, data)
	case []int16:
		return view(t.Shape, data)
	case []int32:
		return view(t.Shape, data)
	case []int64:
		return view(t.Shape, data)
	case []uint8:
		return view(t.Shape, data)
	case []uint16:
		return view(t.Shape, data)
	case []uint32:
		return view(t.Shape, data)
	case []uint64:
		return view(t.Shape, data)
	case []bool:
		return view(t.Shape, data)
	case []tensor.Half:
		return halves(t.Shape, data, onnxruntime.TensorElementDataTypeFloat16)
	case []tensor.Brain:
		return halves(t.Shape, data, onnxruntime.TensorElementDataTypeBFloat16)
	case []string:
		return texts(t.Shape, data)
	}
	return nil, fmt.Errorf("elements of type %T cannot be fed", t.Data)
}

// view makes a value over data. The binding has a type of its own for scalars.
func view[T onnxruntime.TensorData](shape []int64, data []T) (onnxruntime.Value, error) {
	if len(shape) > 0 {
		return onnxruntime.NewTensor(onnxruntime.Shape(shape), data)
	}
	return onnxruntime.NewScalar(data[0])
}

// halves makes a value of 16-bit floats, which the binding knows only as bytes.
func halves[T tensor.Half | tensor.Brain](shape []int64, data []T, t onnxruntime.TensorElementDataType) (onnxruntime.Value, error) {
	raw := make([]byte, 0, 2*len(data))
	for _, v := range data {
		raw = binary.NativeEndian.AppendUint16(raw, uint16(v))
	}
	return blank(shape, raw, t)
}

func blank(shape []int64, raw []byte, t onnxruntime.TensorElementDataType) (onnxruntime.Value, error) {
	if len(shape) == 0 || len(raw) == 0 {
		return nil, fmt.Errorf("a tensor of %s with the shape %s cannot be made", t, tensor.ShapeString(shape))
	}
	return onnxruntime.NewCustomDataTensor(onnxruntime.Shape(shape), raw, t)
}

func texts(shape []int64, data []string) (onnxruntime.Value, error) {
	if len(shape) == 0 {
		return nil, fmt.Errorf("a single string without an axis cannot be fed")
	}
	for i, text := range data {
		if strings.IndexByte(text, 0) >= 0 { // C would end the string there
			return nil, fmt.Errorf("string %d holds a byte 0", i)
		}
	}
	v, err := onnxruntime.NewStringTensor(onnxruntime.Shape(shape))
	if err != nil {
		return nil, err
	}
	if err := v.SetContents(data); err != nil {
		_ = v.Destroy() // it was just made
		return nil, err
	}
	return v, nil
}

func fromValue(v onnxruntime.Value, want tensor.Type) (tensor.Tensor, error) {
	shape := []int64(v.GetShape())
	switch v := v.(type) {
	case *onnxruntime.Tensor[float32]:
		return tensor.Tensor{Shape: shape, Data: v.GetData()}, nil
	case *onnxruntime.Tensor[float64]:
		return tensor.Tensor{Shape: shape, Data: v.GetData()}, nil
	case *onnxruntime.Tensor[int8]:
		return tensor.Tensor{Shape: shape, Data: v.GetData()}, nil
	case *onnxruntime.Tensor[int16]:
		return tensor.Tensor{Shape: shape, Data: v.GetData()}, nil
	case *onnxruntime.Tensor[int32]:
		return tensor.Tensor{Shape: shape, Data: v.GetData()}, nil
	case *onnxruntime.Tensor[int64]:
		return tensor.Tensor{Shape: shape, Data: v.GetData()}, nil
	case *onnxruntime.Tensor[uint8]:
		return tensor.Tensor{Shape: shape, Data: v.GetData()}, nil
	case *onnxruntime.Tensor[uint16]:
		return tensor.Tensor{Shape: shape, Data: v.GetData()}, nil
	case *onnxruntime.Tensor[uint32]:
		return tensor.Tensor{Shape: shape, Data: v.GetData()}, nil
	case *onnxruntime.Tensor[uint64]:
		return tensor.Tensor{Shape: shape, Data: v.GetData()}, nil
	case *onnxruntime.Tensor[bool]:
		return tensor.Tensor{Shape: shape, Data: v.GetData()}, nil
	case *onnxruntime.StringTensor:
		data, err := v.GetContents()
		return tensor.Tensor{Shape: shape, Data: data}, err
	case *onnxruntime.CustomDataTensor:
		switch want {
		case tensor.Float16:
			return tensor.Tensor{Shape: shape, Data: fromHalves[tensor.Half](v.GetData())}, nil
		case tensor.BFloat16:
			return tensor.Tensor{Shape: shape, Data: fromHalves[tensor.Brain](v.GetData())}, nil
		}
	}
	if t, ok := fromScalar(v); ok {
		return t, nil
	}
	return tensor.Tensor{}, fmt.Errorf("values of type %T cannot be read", v)
}

func fromHalves[T tensor.Half | tensor.Brain](raw []byte) []T {
	data := make([]T, len(raw)/2)
	for i := range data {
		data[i] = T(binary.NativeEndian.Uint16(raw[2*i:]))
	}
	return data
}

func destroy(values []onnxruntime.Value) {
	for _, v := range values {
		if v != nil {
			_ = v.Destroy() // fails only for a value destroyed before
		}
	}
}
