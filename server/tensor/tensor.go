// Package tensor is the vocabulary between the HTTP layer and a model's runtime:
// dense arrays in row-major order, and what a model says of its inputs and
// outputs. It computes nothing.
package tensor

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Type is the element type of a tensor.
type Type string

// The element types that a model may read or answer here. Other types load, but
// cannot be fed or read.
const (
	Float32 Type = "float32"
	Float64 Type = "float64"
	Int32   Type = "int32"
	Int64   Type = "int64"
)

// MaxRank bounds the number of axes of a tensor that comes from outside.
const MaxRank = 8

// Tensor is a dense array. Data is a []float32, []float64, []int32 or []int64 in
// row-major order whose length is the product of Shape.
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

// Convert returns a tensor of type t with the given values. An integer type
// refuses a fraction or a value out of its range, float32 one that would become
// infinite; the error gives the index of the value in row-major order.
func Convert(values []float64, t Type, shape []int64) (Tensor, error) {
	switch t {
	case Float32:
		return convert(values, shape, t, func(v float64) (float32, bool) {
			f := float32(v)
			return f, !math.IsInf(float64(f), 0)
		})
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

func convert[T any](values []float64, shape []int64, t Type, to func(float64) (T, bool)) (Tensor, error) {
	data := make([]T, len(values))
	for i, v := range values {
		x, ok := to(v)
		if !ok {
			return Tensor{}, &IndexError{Index: i, Detail: fmt.Sprintf("is %v, which does not fit into %s", v, t)}
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

// AppendJSON appends the tensor as nested arrays of numbers. Floats are written
// with the fewest digits that read back as the same value. The values must be
// finite (CheckFinite).
func (t Tensor) AppendJSON(b []byte) []byte {
	switch data := t.Data.(type) {
	case []float32:
		return nest(b, t.Shape, data, func(b []byte, v float32) []byte {
			return strconv.AppendFloat(b, float64(v), 'g', -1, 32)
		})
	case []float64:
		return nest(b, t.Shape, data, func(b []byte, v float64) []byte {
			return strconv.AppendFloat(b, v, 'g', -1, 64)
		})
	case []int32:
		return nest(b, t.Shape, data, func(b []byte, v int32) []byte { return strconv.AppendInt(b, int64(v), 10) })
	case []int64:
		return nest(b, t.Shape, data, func(b []byte, v int64) []byte { return strconv.AppendInt(b, v, 10) })
	}
	return append(b, "null"...)
}

// nest writes data, of the given shape, as nested arrays.
func nest[T any](b []byte, shape []int64, data []T, number func([]byte, T) []byte) []byte {
	if len(shape) == 0 {
		return number(b, data[0])
	}
	b = append(b, '[')
	rows := int(shape[0])
	for i := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		stride := len(data) / rows
		b = nest(b, shape[1:], data[i*stride:(i+1)*stride], number)
	}
	return append(b, ']')
}

// Info is what a model says of one of its inputs or outputs. An axis of -1 may
// have any length; the first axis is then the batch.
type Info struct {
	Name  string  `json:"name"`
	Type  Type    `json:"type"`
	Shape []int64 `json:"shape"`
}

// String returns, for example, series float32 [?, 24, 4].
func (i Info) String() string { return fmt.Sprintf("%s %s %s", i.Name, i.Type, ShapeString(i.Shape)) }

// ShapeString writes a shape with ? for an axis of any length.
func ShapeString(shape []int64) string {
	axes := make([]string, len(shape))
	for i, n := range shape {
		if axes[i] = strconv.FormatInt(n, 10); n < 0 {
			axes[i] = "?"
		}
	}
	return "[" + strings.Join(axes, ", ") + "]"
}

// Accepts reports whether a tensor of the given shape fits.
func (i Info) Accepts(shape []int64) bool {
	return slices.EqualFunc(i.Shape, shape, func(want, have int64) bool { return want < 0 || want == have })
}

// Place writes the place of value i, in row-major order, of a tensor of the given
// shape as indices: [2][0][3].
func Place(shape []int64, i int) string {
	at := make([]int64, len(shape))
	for axis := len(shape) - 1; axis >= 0; axis-- {
		at[axis] = int64(i) % shape[axis]
		i /= int(shape[axis])
	}
	var b strings.Builder
	for _, n := range at {
		fmt.Fprintf(&b, "[%d]", n)
	}
	return b.String()
}
