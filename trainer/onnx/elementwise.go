package onnx

import (
	"fmt"
	"math"
)

// block is how many elements a repeated number is written out for, so that one
// loop per operator does for every kind of broadcasting.
const block = 256

// pairwise returns an operator with numpy's broadcasting. f computes one stretch of
// the result, of stretches of equal length.
func pairwise(f func(out, a, b []float32)) compute {
	return func(m *memory, _ *step, in []tensor) (tensor, error) {
		a, b := in[0], in[1]
		if a.ints != nil || b.ints != nil {
			return tensor{}, errNotFloat
		}
		dims, strideA, strideB, err := broadcast(a.dims, b.dims)
		if err != nil {
			return tensor{}, err
		}
		out, err := m.tensor(dims...)
		if err != nil || len(out.data) == 0 {
			return out, err
		}
		outer, run, fixedA, fixedB := stretch(dims, strideA, strideB)
		var repeatedA, repeatedB [block]float32
		at, ia, ib := make([]int, outer), 0, 0
		for o := 0; o < len(out.data); o += run {
			stretchOf(f, out.data[o:o+run], a.data[ia:], b.data[ib:], fixedA, fixedB, &repeatedA, &repeatedB)
			for axis := outer - 1; axis >= 0; axis-- {
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

// stretchOf computes one stretch. An operand that is fixed there is one number.
func stretchOf(f func(out, a, b []float32), out, a, b []float32, fixedA, fixedB bool, repeatedA, repeatedB *[block]float32) {
	if !fixedA && !fixedB {
		f(out, a[:len(out)], b[:len(out)])
		return
	}
	n := min(block, len(out))
	if fixedA {
		fill(repeatedA[:n], a[0])
	}
	if fixedB {
		fill(repeatedB[:n], b[0])
	}
	for i := 0; i < len(out); i += block {
		part := out[i:min(i+block, len(out))]
		pa, pb := repeatedA[:len(part)], repeatedB[:len(part)]
		if !fixedA {
			pa = a[i : i+len(part)]
		}
		if !fixedB {
			pb = b[i : i+len(part)]
		}
		f(part, pa, pb)
	}
}

func fill(v []float32, x float32) {
	for i := range v {
		v[i] = x
	}
}

// stretch splits the axes of a result into outer ones and a stretch of run
// elements, the longest over which each operand either lies in one piece or is
// one number (fixed).
func stretch(dims, strideA, strideB []int) (outer, run int, fixedA, fixedB bool) {
	run, outer = 1, len(dims)
	first := true
	for ; outer > 0; outer-- {
		d, a, b := dims[outer-1], strideA[outer-1], strideB[outer-1]
		if d == 1 {
			continue
		}
		if first {
			fixedA, fixedB, first = a == 0, b == 0, false
		}
		if fixedA != (a == 0) || !fixedA && a != run || fixedB != (b == 0) || !fixedB && b != run {
			break
		}
		run *= d
	}
	return outer, run, fixedA, fixedB
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

func add(out, a, b []float32) {
	for i, v := range a {
		out[i] = v + b[i]
	}
}

func sub(out, a, b []float32) {
	for i, v := range a {
		out[i] = v - b[i]
	}
}

func mul(out, a, b []float32) {
	for i, v := range a {
		out[i] = v * b[i]
	}
}

func div(out, a, b []float32) {
	for i, v := range a {
		out[i] = v / b[i]
	}
}

// larger and smaller are the built-in functions, which pass NaN on as ONNX
// Runtime does.
func larger(out, a, b []float32) {
	for i, v := range a {
		out[i] = max(v, b[i])
	}
}

func smaller(out, a, b []float32) {
	for i, v := range a {
		out[i] = min(v, b[i])
	}
}

// single returns an operator that applies f to each element.
func single(f func(float32) float32) compute {
	return func(m *memory, _ *step, in []tensor) (tensor, error) {
		if in[0].ints != nil {
			return tensor{}, errNotFloat
		}
		out, err := m.tensor(in[0].dims...)
		if err != nil {
			return tensor{}, err
		}
		for i, v := range in[0].data {
			out.data[i] = f(v)
		}
		return out, nil
	}
}

func relu(x float32) float32    { return max(x, 0) }
func neg(x float32) float32     { return -x }
func abs(x float32) float32     { return float32(math.Abs(float64(x))) }
func log(x float32) float32     { return float32(math.Log(float64(x))) }
func exp(x float32) float32     { return float32(math.Exp(float64(x))) }
func sqrt(x float32) float32    { return float32(math.Sqrt(float64(x))) }
func sigmoid(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }
func tanh(x float32) float32    { return float32(math.Tanh(float64(x))) }

// softplus computes log(1 + exp(x)) such that exp never overflows.
func softplus(x float32) float32 {
	return float32(max(float64(x), 0) + math.Log1p(math.Exp(-math.Abs(float64(x)))))
}

func clip(m *memory, _ *step, in []tensor) (tensor, error) {
	low, err := in[1].scalar()
	if err != nil {
		return tensor{}, err
	}
	high, err := in[2].scalar()
	if err != nil {
		return tensor{}, err
	}
	return single(func(x float32) float32 { return min(max(x, low), high) })(m, nil, in[:1])
}
