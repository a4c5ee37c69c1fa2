package onnx

import (
	"fmt"
	"slices"
)

func transpose(m *memory, s *step, in []tensor) (tensor, error) {
	x, perm := in[0], s.attrs[0].ints
	if x.ints != nil {
		return tensor{}, errNotFloat
	}
	if sorted := slices.Sorted(slices.Values(perm)); len(sorted) != len(x.dims) || !isIota(sorted) {
		return tensor{}, fmt.Errorf("perm %v does not order the axes of %v", perm, x.dims)
	}
	dims, strides := make([]int, len(perm)), make([]int, len(perm))
	for axis, from := range perm {
		dims[axis] = x.dims[from]
		strides[axis] = product(x.dims[from+1:])
	}
	out, err := m.tensor(dims...)
	if err != nil {
		return tensor{}, err
	}
	at, ix := make([]int, len(dims)), 0
	for i := range out.data {
		out.data[i] = x.data[ix]
		for axis := len(dims) - 1; axis >= 0; axis-- {
			at[axis]++
			ix += strides[axis]
			if at[axis] < dims[axis] {
				break
			}
			ix -= strides[axis] * dims[axis]
			at[axis] = 0
		}
	}
	return out, nil
}

func squeeze(_ *memory, _ *step, in []tensor) (tensor, error) {
	x := in[0]
	if x.ints != nil {
		return tensor{}, errNotFloat
	}
	axis, err := in[1].index()
	if err != nil {
		return tensor{}, err
	}
	w, a, err := axisOf(x, axis)
	if err != nil {
		return tensor{}, err
	}
	if w.size != 1 {
		return tensor{}, fmt.Errorf("axis %d of %v has not size 1", axis, x.dims)
	}
	return tensor{dims: slices.Delete(slices.Clone(x.dims), a, a+1), data: x.data}, nil
}

func slice(m *memory, _ *step, in []tensor) (tensor, error) {
	x := in[0]
	var args [3]int64 // from, to, axis
	for i := range args {
		var err error
		if args[i], err = in[1+i].index(); err != nil {
			return tensor{}, err
		}
	}
	from, to := args[0], args[1]
	if x.ints != nil {
		return tensor{}, errNotFloat
	}
	w, axis, err := axisOf(x, args[2])
	if err != nil {
		return tensor{}, err
	}
	if from < 0 || to < from || to > int64(w.size) {
		return tensor{}, fmt.Errorf("[%d, %d) of axis %d does not lie in %v", from, to, axis, x.dims)
	}
	dims := slices.Clone(x.dims)
	dims[axis] = int(to - from)
	out, err := m.tensor(dims...)
	if err != nil {
		return tensor{}, err
	}
	for o := range w.outer {
		row := x.data[o*w.size*w.inner:]
		copy(out.data[o*dims[axis]*w.inner:], row[int(from)*w.inner:int(to)*w.inner])
	}
	return out, nil
}

func concat(m *memory, s *step, in []tensor) (tensor, error) {
	_, axis, err := axisOf(in[0], s.attrs[0].int)
	if err != nil {
		return tensor{}, err
	}
	dims := slices.Clone(in[0].dims)
	dims[axis] = 0
	for _, x := range in {
		if x.ints != nil {
			return tensor{}, errNotFloat
		}
		if len(x.dims) != len(dims) || !slices.Equal(x.dims[:axis], dims[:axis]) || !slices.Equal(x.dims[axis+1:], dims[axis+1:]) {
			return tensor{}, fmt.Errorf("dimensions %v and %v do not fit together", in[0].dims, x.dims)
		}
		dims[axis] += x.dims[axis]
	}
	out, err := m.tensor(dims...)
	if err != nil {
		return tensor{}, err
	}
	rest := out.data
	for o := range product(dims[:axis]) {
		for _, x := range in {
			block := product(x.dims[axis:])
			rest = rest[copy(rest, x.data[o*block:(o+1)*block]):]
		}
	}
	return out, nil
}

// unsqueeze inserts an axis of size 1.
func unsqueeze(_ *memory, _ *step, in []tensor) (tensor, error) {
	x := in[0]
	if x.ints != nil {
		return tensor{}, errNotFloat
	}
	axis, err := in[1].index()
	if err != nil {
		return tensor{}, err
	}
	if len(x.dims) == maxRank {
		return tensor{}, fmt.Errorf("more than %d dimensions", maxRank)
	}
	dims := append(slices.Clone(x.dims), 1)
	_, a, err := axisOf(tensor{dims: dims}, axis)
	if err != nil {
		return tensor{}, err
	}
	return tensor{dims: slices.Insert(slices.Clone(x.dims), a, 1), data: x.data}, nil
}

// reshape gives the same numbers other dimensions: 0 copies, -1 follows.
func reshape(_ *memory, _ *step, in []tensor) (tensor, error) {
	x, want := in[0], in[1].ints
	if x.ints != nil || in[1].data != nil || len(want) > maxRank {
		return tensor{}, fmt.Errorf("%v cannot be given the dimensions %v", x.dims, want)
	}
	dims, known, open := make([]int, len(want)), 1, -1
	for i, d := range want {
		switch {
		case d == -1 && open < 0:
			open, dims[i] = i, 1
		case d == 0 && i < len(x.dims):
			dims[i] = x.dims[i]
		case d > 0 && d <= maxElements:
			dims[i] = int(d)
		default:
			return tensor{}, fmt.Errorf("%v cannot be given the dimensions %v", x.dims, want)
		}
		if known *= dims[i]; known > maxElements {
			return tensor{}, fmt.Errorf("%v cannot be given the dimensions %v", x.dims, want)
		}
	}
	if open >= 0 && known > 0 {
		dims[open] = len(x.data) / known
		known *= dims[open]
	}
	if known != len(x.data) || open >= 0 && known == 0 {
		return tensor{}, fmt.Errorf("%v cannot be given the dimensions %v", x.dims, want)
	}
	return tensor{dims: dims, data: x.data}, nil
}

// gather picks elements of an axis by a vector of indices.
func gather(m *memory, s *step, in []tensor) (tensor, error) {
	x, indices := in[0], in[1]
	if x.ints != nil || indices.data != nil || len(indices.dims) != 1 {
		return tensor{}, fmt.Errorf("the indices %v of %v must be one list of integers", indices.dims, x.dims)
	}
	w, axis, err := axisOf(x, s.attrs[0].int)
	if err != nil {
		return tensor{}, err
	}
	from := make([]int, len(indices.ints))
	for i, index := range indices.ints {
		if index < -int64(w.size) || index >= int64(w.size) {
			return tensor{}, fmt.Errorf("there is no element %d on axis %d of %v", index, axis, x.dims)
		}
		if from[i] = int(index); index < 0 {
			from[i] += w.size
		}
	}
	dims := slices.Clone(x.dims)
	dims[axis] = len(from)
	out, err := m.tensor(dims...)
	if err != nil {
		return tensor{}, err
	}
	for o := range w.outer {
		row, to := x.data[o*w.size*w.inner:], out.data[o*len(from)*w.inner:]
		if w.inner == 1 {
			for i, f := range from {
				to[i] = row[f]
			}
			continue
		}
		for i, f := range from {
			copy(to[i*w.inner:(i+1)*w.inner], row[f*w.inner:])
		}
	}
	return out, nil
}

func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// isIota reports whether v is 0, 1, 2, …
func isIota(v []int64) bool {
	for i, x := range v {
		if x != int64(i) {
			return false
		}
	}
	return true
}
