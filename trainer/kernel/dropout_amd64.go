package kernel

import "unsafe"

//go:noescape
func dropAVX512(groups int, dst, src *float32, counter, key, threshold uint32, factor float32, accumulate bool)

//go:noescape
func dropAVX2(groups int, dst, src *float32, counter, key, threshold uint32, factor float32, accumulate bool)

//go:noescape
func dotAVX512(n int, x, y *float32) float32

//go:noescape
func dotAVX2(n int, x, y *float32) float32

// drop32 is [Dropout] for whole groups.
func drop32(dst, src []float32, counter, key, threshold uint32, factor float32, accumulate bool) {
	d, s := unsafe.SliceData(dst), unsafe.SliceData(src)
	if active == avx512 {
		dropAVX512(len(dst)/dropGroup, d, s, counter, key, threshold, factor, accumulate)
	} else {
		dropAVX2(len(dst)/dropGroup, d, s, counter, key, threshold, factor, accumulate)
	}
}

func dot32(x, y []float32) float32 {
	if active == avx512 {
		return dotAVX512(len(x), unsafe.SliceData(x), unsafe.SliceData(y))
	}
	return dotAVX2(len(x), unsafe.SliceData(x), unsafe.SliceData(y))
}
