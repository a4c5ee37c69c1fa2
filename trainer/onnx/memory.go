package onnx

import (
	"fmt"
	"math"
)

// tensor is a row-major array: of floats, or of ints for an operator's indices.
type tensor struct {
	dims []int
	data []float32
	ints []int64
}

// scalar returns the one element of a float tensor.
func (t tensor) scalar() (float32, error) {
	if len(t.data) != 1 {
		return float32(math.NaN()), fmt.Errorf("expected one number, got dimensions %v", t.dims)
	}
	return t.data[0], nil
}

// index returns the one element of an integer tensor.
func (t tensor) index() (int64, error) {
	if len(t.ints) != 1 {
		return 0, fmt.Errorf("expected one integer, got dimensions %v", t.dims)
	}
	return t.ints[0], nil
}

// memory hands out the tensors of one run and takes them back, so that a large
// graph needs what lives at once and not the sum of all its values. A run with the
// same batch begins with the memory of one before.
type memory struct {
	live     int // elements handed out and not taken back
	computed int // elements ever handed out: a bound on the work
	batch    int // for which the sizes in free are those that come again
	free     map[int][][]float32
}

// tensor returns a float tensor with any contents, or an error when it would be
// absurd.
func (m *memory) tensor(dims ...int) (tensor, error) {
	n := 1
	for _, d := range dims {
		if d < 0 || d > 0 && n > maxElements/d {
			return tensor{}, fmt.Errorf("a result of dimensions %v is too large", dims)
		}
		n *= d
	}
	if m.live+n > maxElements || m.computed+n > maxComputed {
		return tensor{}, fmt.Errorf("too much memory or work for one run; run smaller batches")
	}
	m.live, m.computed = m.live+n, m.computed+n
	if of := m.free[n]; len(of) > 0 {
		m.free[n] = of[:len(of)-1]
		return tensor{dims: dims, data: of[len(of)-1]}, nil
	}
	return tensor{dims: dims, data: make([]float32, n)}, nil
}

// release takes back the memory of a tensor that nobody reads any more.
func (m *memory) release(data []float32) {
	m.live -= len(data)
	m.free[len(data)] = append(m.free[len(data)], data)
}
