package onnx

import (
	"fmt"
	"math"
	"slices"
)

// along describes a walk over one axis of a row-major array: outer blocks, in
// each size elements of the axis, each a stretch of inner numbers.
type along struct{ outer, size, inner int }

// axisOf returns the walk over an axis of x, which counts from the end when
// negative, and the axis counted from the start.
func axisOf(x tensor, axis int64) (along, int, error) {
	rank := int64(len(x.dims))
	if axis < -rank || axis >= rank {
		return along{}, 0, fmt.Errorf("there is no axis %d in %v", axis, x.dims)
	}
	a := int(axis)
	if a < 0 {
		a += len(x.dims)
	}
	return along{product(x.dims[:a]), x.dims[a], product(x.dims[a+1:])}, a, nil
}

// softmax computes, along the axis, y = exp(x - max x) / Σ exp(x - max x).
func softmax(m *memory, s *step, in []tensor) (tensor, error) {
	x := in[0]
	if x.ints != nil {
		return tensor{}, errNotFloat
	}
	w, _, err := axisOf(x, s.attrs[0].int)
	if err != nil {
		return tensor{}, err
	}
	out, err := m.tensor(x.dims...)
	if err != nil || len(out.data) == 0 {
		return out, err
	}
	for o := range w.outer {
		for i := range w.inner {
			from, to := x.data[o*w.size*w.inner+i:], out.data[o*w.size*w.inner+i:]
			top := float32(math.Inf(-1))
			for k := range w.size {
				top = max(top, from[k*w.inner])
			}
			sum := float32(0)
			for k := range w.size {
				e := exp(from[k*w.inner] - top)
				to[k*w.inner] = e
				sum += e
			}
			for k := range w.size {
				to[k*w.inner] /= sum
			}
		}
	}
	return out, nil
}

// reduceSum has its axis as an input.
func reduceSum(m *memory, s *step, in []tensor) (tensor, error) {
	axis, err := in[1].index()
	if err != nil {
		return tensor{}, err
	}
	out, _, err := sum(m, in[0], axis, s.attrs[0].int)
	return out, err
}

// reduceMean has its axis as an attribute until opset 18.
func reduceMean(m *memory, s *step, in []tensor) (tensor, error) {
	if len(s.attrs[0].ints) != 1 {
		return tensor{}, fmt.Errorf("axes %v, must be one", s.attrs[0].ints)
	}
	out, n, err := sum(m, in[0], s.attrs[0].ints[0], s.attrs[1].int)
	if err == nil && n == 0 {
		err = fmt.Errorf("the mean of nothing, in %v", in[0].dims)
	}
	for i := range out.data {
		out.data[i] /= float32(n)
	}
	return out, err
}

// sum adds x up over an axis of n elements, which is dropped.
func sum(m *memory, x tensor, axis, keepdims int64) (out tensor, n int, err error) {
	if x.ints != nil {
		return tensor{}, 0, errNotFloat
	}
	if keepdims != 0 {
		return tensor{}, 0, fmt.Errorf("keepdims %d, only 0 is run", keepdims)
	}
	w, a, err := axisOf(x, axis)
	if err != nil {
		return tensor{}, 0, err
	}
	if out, err = m.tensor(slices.Delete(slices.Clone(x.dims), a, a+1)...); err != nil {
		return tensor{}, 0, err
	}
	for o := range w.outer {
		block := x.data[o*w.size*w.inner:][:w.size*w.inner]
		if w.inner == 1 {
			total := float32(0)
			for _, v := range block {
				total += v
			}
			out.data[o] = total
			continue
		}
		to := out.data[o*w.inner:][:w.inner]
		clear(to)
		for k := range w.size {
			for i, v := range block[k*w.inner:][:w.inner] {
				to[i] += v
			}
		}
	}
	return out, w.size, nil
}
