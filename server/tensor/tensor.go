// Package tensor is the vocabulary between the HTTP layer and a model's runtime:
// dense arrays in row-major order, and what a model says of its inputs and
// outputs. It computes nothing.
package tensor

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// Type is the element type of a tensor.
type Type string

// The element types that a model may read or answer here. Other types load, but
// cannot be fed or read.
const (
	Float16  Type = "float16"  // IEEE 754 binary16
	BFloat16 Type = "bfloat16" // the upper half of a float32
	Float32  Type = "float32"
	Float64  Type = "float64"
	Int8     Type = "int8"
	Int16    Type = "int16"
	Int32    Type = "int32"
	Int64    Type = "int64"
	Uint8    Type = "uint8"
	Uint16   Type = "uint16"
	Uint32   Type = "uint32"
	Uint64   Type = "uint64"
	Bool     Type = "bool"
	String   Type = "string" // any bytes, but for the byte 0
)

// MaxRank bounds the number of axes of a tensor that comes from outside.
const MaxRank = 8

// Tensor is a dense array. Data is a slice in row-major order whose length is the
// product of Shape: []Half for Float16, []Brain for BFloat16, otherwise of the Go
// type that has the name of the element type.
type Tensor struct {
	Shape []int64
	Data  any
}

// New returns a float32 tensor over data, which it does not copy.
func New(data []float32, shape ...int64) Tensor { return Tensor{Shape: shape, Data: data} }

// Float32s returns the elements of a float32 tensor, otherwise nil.
func (t Tensor) Float32s() []float32 {
	data, _ := t.Data.([]float32)
	return data
}

// Rows returns the length of the first axis, which is the batch. A scalar has
// one row.
func (t Tensor) Rows() int {
	if len(t.Shape) == 0 {
		return 1
	}
	return int(t.Shape[0])
}

// Len returns the number of elements.
func (t Tensor) Len() int { return Elements(t.Shape) }

// Convert returns a tensor of type t with the given values, whose shape and memory it
// may share, and that of room, if the type is float32. An integer type refuses a
// fraction or a value out of its range, float32 one that would become infinite; the
// error gives the index of the value in row-major order.
func Convert(values []float64, t Type, shape []int64, room []float32) (Tensor, error) {
	switch t {
	case Float32:
		data := room[:0]
		for i, v := range values {
			f := float32(v)
			if f-f != 0 {
				return Tensor{}, misfit(i, v, t)
			}
			data = append(data, f)
		}
		return Tensor{Shape: shape, Data: data}, nil
	case Float64:
		return Tensor{Shape: shape, Data: values}, nil
	case Int32:
		return convert(values, shape, t, func(v float64) (int32, bool) {
			return int32(v), v == math.Trunc(v) && v >= math.MinInt32 && v <= math.MaxInt32
		})
	case Int64:
		return convert(values, shape, t, func(v float64) (int64, bool) {
			// 2^63 itself is a float64 and out of range.
			return int64(v), v == math.Trunc(v) && v >= math.MinInt64 && v < math.MaxInt64
		})
	}
	return Tensor{}, fmt.Errorf("element type %s cannot be fed from JSON numbers", t)
}

// IndexError says which value of a tensor cannot be converted.
type IndexError struct {
	Index  int // in row-major order
	Detail string
}

// Error implements error.
func (e *IndexError) Error() string { return fmt.Sprintf("value %d %s", e.Index, e.Detail) }

func misfit(i int, v float64, t Type) error {
	return &IndexError{Index: i, Detail: fmt.Sprintf("is %v, which does not fit into %s", v, t)}
}

func convert[T any](values []float64, shape []int64, t Type, to func(float64) (T, bool)) (Tensor, error) {
	data := make([]T, len(values))
	for i, v := range values {
		x, ok := to(v)
		if !ok {
			return Tensor{}, misfit(i, v, t)
		}
		data[i] = x
	}
	return Tensor{Shape: shape, Data: data}, nil
}

// CheckFinite returns an error that names the first value that is NaN or
// infinite. Integers are always finite.
func (t Tensor) CheckFinite() error {
	switch data := t.Data.(type) {
	case []float32:
		return checkFinite(data)
	case []float64:
		return checkFinite(data)
	case []Half:
		return checkHalves(data)
	case []Brain:
		return checkHalves(data)
	}
	return nil
}

// CheckText returns an error that names the first string that is not valid UTF-8,
// which JSON cannot hold.
func (t Tensor) CheckText() error {
	data, _ := t.Data.([]string)
	for i, v := range data {
		if !utf8.ValidString(v) {
			return fmt.Errorf("value %d is not valid UTF-8", i)
		}
	}
	return nil
}

func checkHalves[T interface{ Float32() float32 }](data []T) error {
	for i, v := range data {
		if f := v.Float32(); f-f != 0 { // NaN and infinities
			return fmt.Errorf("value %d is %v", i, f)
		}
	}
	return nil
}

func checkFinite[T float32 | float64](data []T) error {
	for i, v := range data {
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("value %d is %v", i, f)
		}
	}
	return nil
}

// AppendJSON appends the tensor as nested arrays. Floats are written with the
// fewest digits that read back as the same value. They must be finite
// (CheckFinite), and strings valid UTF-8 (CheckText).
func (t Tensor) AppendJSON(b []byte) []byte {
	switch data := t.Data.(type) {
	case []float32:
		return nest(b, t.Shape, data, appendFloat32)
	case []float64:
		return nest(b, t.Shape, data, appendFloat64)
	case []Half:
		return nest(b, t.Shape, data, func(b []byte, v Half) []byte { return appendFloat32(b, v.Float32()) })
	case []Brain:
		return nest(b, t.Shape, data, func(b []byte, v Brain) []byte { return appendFloat32(b, v.Float32()) })
	case []int8:
		return nest(b, t.Shape, data, appendInt)
	case []int16:
		return nest(b, t.Shape, data, appendInt)
	case []int32:
		return nest(b, t.Shape, data, appendInt)
	case []int64:
		return nest(b, t.Shape, data, appendInt)
	case []uint8:
		return nest(b, t.Shape, data, appendUint)
	case []uint16:
		return nest(b, t.Shape, data, appendUint)
	case []uint32:
		return nest(b, t.Shape, data, appendUint)
	case []uint64:
		return nest(b, t.Shape, data, appendUint)
	case []bool:
		return nest(b, t.Shape, data, strconv.AppendBool)
	case []string:
		return nest(b, t.Shape, data, appendText)
	}
	return append(b, "null"...)
}

// AppendFlatJSON is like AppendJSON, as one array in row-major order.
func (t Tensor) AppendFlatJSON(b []byte) []byte {
	return Tensor{Shape: []int64{int64(t.Len())}, Data: t.Data}.AppendJSON(b)
}

func appendFloat32(b []byte, v float32) []byte {
	return strconv.AppendFloat(b, float64(v), 'g', -1, 32)
}
func appendFloat64(b []byte, v float64) []byte { return strconv.AppendFloat(b, v, 'g', -1, 64) }

func appendInt[T int8 | int16 | int32 | int64](b []byte, v T) []byte {
	return strconv.AppendInt(b, int64(v), 10)
}

func appendUint[T uint8 | uint16 | uint32 | uint64](b []byte, v T) []byte {
	return strconv.AppendUint(b, uint64(v), 10)
}

func appendText(b []byte, v string) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // a string always marshals
	}
	return append(b, text...)
}

// nest writes data, of the given shape, as nested arrays.
func nest[T any](b []byte, shape []int64, data []T, number func([]byte, T) []byte) []byte {
	if len(shape) == 0 {
		return number(b, data[0])
	}
	b = append(b, '[')
	rows := int(shape[0]) // 0: nothing but the brackets
	for i := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		stride := len(data) / rows
		b = nest(b, shape[1:], data[i*stride:(i+1)*stride], number)
	}
	return append(b, ']')
}
