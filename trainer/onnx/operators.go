package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/forescale/forescale/trainer/kernel"
)

// operator says how a node of this type must look and what it computes.
type operator struct {
	inputs   int
	variadic bool // inputs is the least number
	attrs    []attr
	run      func(n node, in []tensor) (tensor, error)
}

// operators is all that our models use; Graph has a method for each.
var operators = map[string]operator{
	"Add":       {inputs: 2, run: elementwise(func(a, b float32) float32 { return a + b })},
	"Sub":       {inputs: 2, run: elementwise(func(a, b float32) float32 { return a - b })},
	"Mul":       {inputs: 2, run: elementwise(func(a, b float32) float32 { return a * b })},
	"MatMul":    {inputs: 2, run: matMul},
	"Relu":      {inputs: 1, run: relu},
	"Clip":      {inputs: 3, run: clip},
	"Transpose": {inputs: 1, attrs: []attr{{name: "perm", kind: attrInts}}, run: transpose},
	"Squeeze":   {inputs: 2, run: squeeze},
	"Slice":     {inputs: 4, run: slice},
	"Concat":    {inputs: 1, variadic: true, attrs: []attr{{name: "axis", kind: attrInt}}, run: concat},
	"LSTM":      {inputs: 4, attrs: []attr{{name: "direction", kind: attrString}, {name: "hidden_size", kind: attrInt}}, run: lstm},
}

var errNotFloat = errors.New("an input is not a float32 tensor")

// elementwise applies f with numpy's broadcasting.
func elementwise(f func(a, b float32) float32) func(node, []tensor) (tensor, error) {
	return func(_ node, in []tensor) (tensor, error) {
		a, b := in[0], in[1]
		if a.ints != nil || b.ints != nil {
			return tensor{}, errNotFloat
		}
		dims, strideA, strideB, err := broadcast(a.dims, b.dims)
		if err != nil {
			return tensor{}, err
		}
		out, err := newTensor(dims...)
		if err != nil {
			return tensor{}, err
		}
		at := make([]int, len(dims))
		ia, ib := 0, 0
		for i := range out.data {
			out.data[i] = f(a.data[ia], b.data[ib])
			for axis := len(dims) - 1; axis >= 0; axis-- {
				at[axis]++
				ia, ib = ia+strideA[axis], ib+strideB[axis]
				if at[axis] < dims[axis] {
					break
				}
				ia, ib = ia-strideA[axis]*dims[axis], ib-strideB[axis]*dims[axis]
				at[axis] = 0
			}
		}
		return out, nil
	}
}

// broadcast returns the common shape of two, and for each the distance in its
// data that one step along an axis of the common shape makes: 0 where repeated.
func broadcast(a, b []int) (dims, strideA, strideB []int, err error) {
	rank := max(len(a), len(b))
	dims, strideA, strideB = make([]int, rank), make([]int, rank), make([]int, rank)
	stepA, stepB := 1, 1
	for axis := rank - 1; axis >= 0; axis-- {
		da, db := 1, 1
		if i := axis - rank + len(a); i >= 0 {
			da = a[i]
		}
		if i := axis - rank + len(b); i >= 0 {
			db = b[i]
		}
		if da != db && da != 1 && db != 1 {
			return nil, nil, nil, fmt.Errorf("dimensions %v and %v do not fit together", a, b)
		}
		dims[axis] = da
		if da == 1 {
			dims[axis] = db
		} else {
			strideA[axis] = stepA
		}
		if db != 1 {
			strideB[axis] = stepB
		}
		stepA, stepB = stepA*da, stepB*db
	}
	return dims, strideA, strideB, nil
}

func matMul(_ node, in []tensor) (tensor, error) {
	a, b := in[0], in[1]
	if a.ints != nil || b.ints != nil {
		return tensor{}, errNotFloat
	}
	if len(a.dims) != 2 || len(b.dims) != 2 || a.dims[1] != b.dims[0] || len(a.data) == 0 || len(b.data) == 0 {
		return tensor{}, fmt.Errorf("dimensions %v and %v do not fit together", a.dims, b.dims)
	}
	m, k, n := a.dims[0], a.dims[1], b.dims[1]
	out, err := newTensor(m, n)
	if err != nil {
		return tensor{}, err
	}
	kernel.Gemm(m, n, k, kernel.Of(a.data, k), kernel.Of(b.data, n), out.data, n, false)
	return out, nil
}

func relu(_ node, in []tensor) (tensor, error) {
	if in[0].ints != nil {
		return tensor{}, errNotFloat
	}
	out := tensor{dims: in[0].dims, data: make([]float32, len(in[0].data))}
	for i, v := range in[0].data {
		out.data[i] = max(v, 0)
	}
	return out, nil
}

func clip(_ node, in []tensor) (tensor, error) {
	if in[0].ints != nil {
		return tensor{}, errNotFloat
	}
	low, err := in[1].scalar()
	if err != nil {
		return tensor{}, err
	}
	high, err := in[2].scalar()
	if err != nil {
		return tensor{}, err
	}
	out := tensor{dims: in[0].dims, data: make([]float32, len(in[0].data))}
	for i, v := range in[0].data {
		out.data[i] = min(max(v, low), high)
	}
	return out, nil
}

func transpose(n node, in []tensor) (tensor, error) {
	x, perm := in[0], n.attrs[0].ints
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
	out, err := newTensor(dims...)
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

func squeeze(_ node, in []tensor) (tensor, error) {
	x := in[0]
	axis, err := in[1].index()
	switch {
	case err != nil:
		return tensor{}, err
	case x.ints != nil:
		return tensor{}, errNotFloat
	case axis < 0 || axis >= int64(len(x.dims)) || x.dims[axis] != 1:
		return tensor{}, fmt.Errorf("axis %d of %v has not size 1", axis, x.dims)
	}
	return tensor{dims: slices.Delete(slices.Clone(x.dims), int(axis), int(axis)+1), data: x.data}, nil
}

func slice(_ node, in []tensor) (tensor, error) {
	x := in[0]
	var args [3]int64 // from, to, axis
	for i := range args {
		var err error
		if args[i], err = in[1+i].index(); err != nil {
			return tensor{}, err
		}
	}
	from, to, axis := args[0], args[1], args[2]
	switch {
	case x.ints != nil:
		return tensor{}, errNotFloat
	case axis < 0 || axis >= int64(len(x.dims)) || from < 0 || to < from || to > int64(x.dims[axis]):
		return tensor{}, fmt.Errorf("[%d, %d) of axis %d does not lie in %v", from, to, axis, x.dims)
	}
	dims := slices.Clone(x.dims)
	dims[axis] = int(to - from)
	out, err := newTensor(dims...)
	if err != nil {
		return tensor{}, err
	}
	inner := product(x.dims[axis+1:])
	for o := range product(x.dims[:axis]) {
		row := x.data[o*x.dims[axis]*inner:]
		copy(out.data[o*dims[axis]*inner:], row[int(from)*inner:int(to)*inner])
	}
	return out, nil
}

func concat(n node, in []tensor) (tensor, error) {
	axis := n.attrs[0].int
	if axis < 0 || axis >= int64(len(in[0].dims)) {
		return tensor{}, fmt.Errorf("there is no axis %d in %v", axis, in[0].dims)
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
	out, err := newTensor(dims...)
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

// lstm computes the operator as the specification has it, without peepholes,
// clipping or sequence lengths, forward:
//
//	z_t = x_t Wᵀ + h_(t-1) Rᵀ + Wb + Rb,  gates i, o, f, c
//	c_t = f c_(t-1) + i tanh(z_c),  h_t = o tanh(c_t)
func lstm(n node, in []tensor) (tensor, error) {
	x, w, r, b := in[0], in[1], in[2], in[3]
	H := int(n.attrs[1].int)
	if n.attrs[0].text != "forward" {
		return tensor{}, fmt.Errorf("direction %.20q, only forward is run", n.attrs[0].text)
	}
	if n.attrs[1].int < 1 || n.attrs[1].int > maxElements || len(x.dims) != 3 || len(x.data) == 0 ||
		!slices.Equal(w.dims, []int{1, 4 * H, x.dims[2]}) || !slices.Equal(r.dims, []int{1, 4 * H, H}) ||
		!slices.Equal(b.dims, []int{1, 8 * H}) || w.ints != nil || r.ints != nil || b.ints != nil {
		return tensor{}, fmt.Errorf("dimensions %v, %v, %v, %v do not fit hidden_size %d", x.dims, w.dims, r.dims, b.dims, n.attrs[1].int)
	}
	T, B, C, G := x.dims[0], x.dims[1], x.dims[2], 4*H
	h, err := newTensor(T, 1, B, H)
	if err != nil {
		return tensor{}, err
	}
	z, err := newTensor(T*B, G)
	if err != nil {
		return tensor{}, err
	}
	for i := range z.data {
		z.data[i] = b.data[i%G] + b.data[G+i%G]
	}
	kernel.Gemm(T*B, G, C, kernel.Of(x.data, C), kernel.TransposeOf(w.data, C), z.data, G, true)
	c := make([]float32, B*H)
	for t := range T {
		if t > 0 {
			kernel.Gemm(B, G, H, kernel.Of(h.data[(t-1)*B*H:], H), kernel.TransposeOf(r.data, H), z.data[t*B*G:], G, true)
		}
		for row := range B {
			gates := z.data[(t*B+row)*G:][:G]
			cr, hr := c[row*H:][:H], h.data[(t*B+row)*H:][:H]
			for j := range hr {
				i, o, f := sigmoid(gates[j]), sigmoid(gates[H+j]), sigmoid(gates[2*H+j])
				cr[j] = f*cr[j] + i*tanh(gates[3*H+j])
				hr[j] = o * tanh(cr[j])
			}
		}
	}
	return h, nil
}

func sigmoid(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }

func tanh(x float32) float32 { return float32(math.Tanh(float64(x))) }

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
