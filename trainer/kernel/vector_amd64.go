package kernel

import "unsafe"

//go:noescape
func cellForwardAVX512(n int, z, before, c, tanhC, h *float32)

//go:noescape
func cellForwardAVX2(n int, z, before, c, tanhC, h *float32)

//go:noescape
func cellBackwardAVX512(n int, z, before, tanhC, dh, dc *float32)

//go:noescape
func cellBackwardAVX2(n int, z, before, tanhC, dh, dc *float32)

//go:noescape
func reluAVX512(n int, dst, src *float32)

//go:noescape
func reluAVX2(n int, dst, src *float32)

//go:noescape
func reluBackwardAVX512(n int, dst, src *float32)

//go:noescape
func reluBackwardAVX2(n int, dst, src *float32)

//go:noescape
func addAVX512(n int, dst, src *float32)

//go:noescape
func addAVX2(n int, dst, src *float32)

//go:noescape
func axpyAVX512(n int, alpha float32, dst, src *float32)

//go:noescape
func axpyAVX2(n int, alpha float32, dst, src *float32)

//go:noescape
func adamAVX512(n int, x, m, v, grad *float32, f *adamFactors)

//go:noescape
func adamAVX2(n int, x, m, v, grad *float32, f *adamFactors)

//go:noescape
func sumSquaresAVX512(lane *[sumLanes]float64, n int, x *float32)

//go:noescape
func sumSquaresAVX2(lane *[sumLanes]float64, n int, x *float32)

// adamFactors is what the kernels of Adam take, in this order.
type adamFactors struct {
	clip, scale, root, shrink  float32
	beta1, rest1, beta2, rest2 float32 // β and 1-β
	epsilon                    float32
}

func cellForward32(z, before, c, tanhC, h []float32) {
	if active == avx512 {
		cellForwardAVX512(len(h), start(z), start(before), start(c), start(tanhC), start(h))
	} else {
		cellForwardAVX2(len(h), start(z), start(before), start(c), start(tanhC), start(h))
	}
}

func cellBackward32(z, before, tanhC, dh, dc []float32) {
	if active == avx512 {
		cellBackwardAVX512(len(dh), start(z), start(before), start(tanhC), start(dh), start(dc))
	} else {
		cellBackwardAVX2(len(dh), start(z), start(before), start(tanhC), start(dh), start(dc))
	}
}

func relu32(dst, src []float32) {
	if active == avx512 {
		reluAVX512(len(src), start(dst), start(src))
	} else {
		reluAVX2(len(src), start(dst), start(src))
	}
}

func reluBackward32(dst, src []float32) {
	if active == avx512 {
		reluBackwardAVX512(len(src), start(dst), start(src))
	} else {
		reluBackwardAVX2(len(src), start(dst), start(src))
	}
}

func add32(dst, src []float32) {
	if active == avx512 {
		addAVX512(len(src), start(dst), start(src))
	} else {
		addAVX2(len(src), start(dst), start(src))
	}
}

func axpy32(dst []float32, alpha float32, src []float32) {
	if active == avx512 {
		axpyAVX512(len(src), alpha, start(dst), start(src))
	} else {
		axpyAVX2(len(src), alpha, start(dst), start(src))
	}
}

func adam32(x, m, v, g []float32, clip, scale, root, shrink float32) {
	f := adamFactors{clip, scale, root, shrink, Beta1, 1 - Beta1, Beta2, 1 - Beta2, Epsilon}
	if active == avx512 {
		adamAVX512(len(g), start(x), start(m), start(v), start(g), &f)
	} else {
		adamAVX2(len(g), start(x), start(m), start(v), start(g), &f)
	}
}

// addSquares32 adds the squares of x, whose length is a multiple of sumLanes, to
// the lanes.
func addSquares32(lane *[sumLanes]float64, x []float32) {
	if active == avx512 {
		sumSquaresAVX512(lane, len(x), start(x))
	} else {
		sumSquaresAVX2(lane, len(x), start(x))
	}
}

// start returns where v begins, nil for a nil slice. An empty slice is not read.
func start(v []float32) *float32 { return unsafe.SliceData(v) }
