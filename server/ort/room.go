package ort

import (
	"fmt"

	onnxruntime "github.com/yalue/onnxruntime_go"

	"github.com/forescale/forescale/server/batch"
	"github.com/forescale/forescale/server/tensor"
)

// room makes the values for the outputs that the binding cannot make by itself:
// scalars, and 16-bit floats, of which it would copy only half. The others stay
// nil. The error says which output cannot be read; nothing has run then.
func (s *Session) room(b batch.Batch) ([]onnxruntime.Value, error) {
	values := make([]onnxruntime.Value, len(s.outputs))
	for i, info := range s.outputs {
		v, err := s.roomFor(info, b)
		if err != nil {
			destroy(values)
			return nil, fmt.Errorf("output %s: %w", info.Name, err)
		}
		values[i] = v
	}
	return values, nil
}

func (s *Session) roomFor(info tensor.Info, b batch.Batch) (onnxruntime.Value, error) {
	half := info.Type == tensor.Float16 || info.Type == tensor.BFloat16
	switch {
	case !readable[info.Type]:
		return nil, fmt.Errorf("elements of type %s cannot be read", info.Type)
	case half:
		shape, err := s.expected(info, b)
		if err != nil {
			return nil, err
		}
		t := onnxruntime.TensorElementDataType(onnxruntime.TensorElementDataTypeFloat16)
		if info.Type == tensor.BFloat16 {
			t = onnxruntime.TensorElementDataTypeBFloat16
		}
		return blank(shape, make([]byte, 2*tensor.Elements(shape)), t)
	case len(info.Shape) == 0 && !info.Unranked:
		return emptyScalar(info.Type)
	}
	return nil, nil
}

// maxHalves bounds what is set aside for one output of 16-bit floats.
const maxHalves = 1 << 28

// expected returns the shape that an output will have, from the lengths of the
// inputs' axes of the same name.
func (s *Session) expected(info tensor.Info, b batch.Batch) ([]int64, error) {
	shape := append([]int64(nil), info.Shape...)
	for n := range shape {
		if shape[n] >= 0 {
			continue
		}
		for i, in := range s.inputs {
			for axis := range in.Axes {
				if name := in.Axis(axis); name != "" && name == info.Axis(n) && axis < len(b.Inputs[i].Shape) {
					shape[n] = b.Inputs[i].Shape[axis]
				}
			}
		}
	}
	if n := tensor.Elements(shape); len(shape) == 0 || n <= 0 || n > maxHalves {
		return nil, fmt.Errorf("%s of the shape %s can only be read if each of its open axes is one of an input", info.Type, tensor.ShapeString(info.Shape))
	}
	return shape, nil
}

// readable holds the values of elementTypes.
var readable = func() map[tensor.Type]bool {
	all := map[tensor.Type]bool{}
	for _, t := range elementTypes {
		all[t] = true
	}
	return all
}()

func emptyScalar(t tensor.Type) (onnxruntime.Value, error) {
	switch t {
	case tensor.Float32:
		return onnxruntime.NewEmptyScalar[float32]()
	case tensor.Float64:
		return onnxruntime.NewEmptyScalar[float64]()
	case tensor.Int32:
		return onnxruntime.NewEmptyScalar[int32]()
	case tensor.Int64:
		return onnxruntime.NewEmptyScalar[int64]()
	case tensor.Bool:
		return onnxruntime.NewEmptyScalar[bool]()
	}
	return nil, fmt.Errorf("a scalar of %s cannot be read", t)
}

// fromScalar reads what emptyScalar made.
func fromScalar(v onnxruntime.Value) (tensor.Tensor, bool) {
	switch v := v.(type) {
	case *onnxruntime.Scalar[float32]:
		return tensor.Tensor{Data: []float32{v.GetData()}}, true
	case *onnxruntime.Scalar[float64]:
		return tensor.Tensor{Data: []float64{v.GetData()}}, true
	case *onnxruntime.Scalar[int32]:
		return tensor.Tensor{Data: []int32{v.GetData()}}, true
	case *onnxruntime.Scalar[int64]:
		return tensor.Tensor{Data: []int64{v.GetData()}}, true
	case *onnxruntime.Scalar[bool]:
		return tensor.Tensor{Data: []bool{v.GetData()}}, true
	}
	return tensor.Tensor{}, false
}
