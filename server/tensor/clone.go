package tensor

import "slices"

// Clone returns a copy of a tensor that shares nothing with it.
func (t Tensor) Clone() Tensor {
	c := Tensor{Shape: slices.Clone(t.Shape)}
	switch data := t.Data.(type) {
	case []float32:
		c.Data = slices.Clone(data)
	case []float64:
		c.Data = slices.Clone(data)
	case []Half:
		c.Data = slices.Clone(data)
	case []Brain:
		c.Data = slices.Clone(data)
	case []int8:
		c.Data = slices.Clone(data)
	case []int16:
		c.Data = slices.Clone(data)
	case []int32:
		c.Data = slices.Clone(data)
	case []int64:
		c.Data = slices.Clone(data)
	case []uint8:
		c.Data = slices.Clone(data)
	case []uint16:
		c.Data = slices.Clone(data)
	case []uint32:
		c.Data = slices.Clone(data)
	case []uint64:
		c.Data = slices.Clone(data)
	case []bool:
		c.Data = slices.Clone(data)
	case []string:
		c.Data = slices.Clone(data)
	}
	return c
}

// Float64s returns the elements of a tensor of floats or integers as float64, nil
// for any other.
func (t Tensor) Float64s() []float64 {
	switch data := t.Data.(type) {
	case []float32:
		return widen(data)
	case []float64:
		return slices.Clone(data)
	case []Half:
		return widenHalves(data)
	case []Brain:
		return widenHalves(data)
	case []int8:
		return widen(data)
	case []int16:
		return widen(data)
	case []int32:
		return widen(data)
	case []int64:
		return widen(data)
	case []uint8:
		return widen(data)
	case []uint16:
		return widen(data)
	case []uint32:
		return widen(data)
	case []uint64:
		return widen(data)
	}
	return nil
}

type number interface {
	~float32 | ~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

func widen[T number](data []T) []float64 {
	wide := make([]float64, len(data))
	for i, v := range data {
		wide[i] = float64(v)
	}
	return wide
}

func widenHalves[T interface{ Float32() float32 }](data []T) []float64 {
	wide := make([]float64, len(data))
	for i, v := range data {
		wide[i] = float64(v.Float32())
	}
	return wide
}
