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

// start returns where v begins, nil for a nil slice. An empty slice is not read.
func start(v []float32) *float32 { return unsafe.SliceData(v) }
