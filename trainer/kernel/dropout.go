package kernel

// dropLanes is how many random numbers a group of elements of [Dropout] takes,
// and dropGroup the number of these elements: each number serves two.
const (
	dropLanes = 16
	dropGroup = 2 * dropLanes
)

// Dropout computes dst = m src, or dst += m src with accumulate, element by
// element, where each m is 0 with a probability of threshold/65536 and otherwise
// 65536/(65536-threshold), so that it is 1 on average. Which it is follows from
// the key and the element's number alone, so that going back takes the same call
// with the same key, and no memory for the mask. A dropped element of src may
// even be NaN. dst may be src. It panics unless the threshold is below 65536, and
// when dst is shorter than src.
//
// With i the element's number within its group g of 32, the random number of 16
// bits is the lower half (i < 16) or the upper half of
//
//	h = mix((16 g + i mod 16 + lower half of the key) xor upper half of the key)
//
// where mix is the finaliser of MurmurHash3 (Appleby 2011).
func Dropout[T Float](dst, src []T, key uint64, threshold uint32, accumulate bool) {
	if threshold >= 1<<16 {
		panic("kernel: Dropout: the threshold must be below 65536")
	}
	dst = dst[:len(src)]
	factor := T(1 / (1 - float64(threshold)/(1<<16)))
	whole := 0
	if dst32, ok := any(dst).([]float32); ok && active != portable {
		whole = len(src) / dropGroup * dropGroup
		drop32(dst32[:whole], any(src).([]float32), uint32(key), uint32(key>>32), threshold, float32(factor), accumulate)
	}
	dropPortable(dst[whole:], src[whole:], uint32(key)+uint32(whole/2), uint32(key>>32), threshold, factor, accumulate)
}

// dropPortable is Dropout where the first random number is that of counter.
func dropPortable[T Float](dst, src []T, counter, key, threshold uint32, factor T, accumulate bool) {
	factors := [2]T{factor, 0}
	for len(src) > 0 {
		n := min(dropGroup, len(src))
		for i, v := range src[:n] {
			h := (counter + uint32(i%dropLanes)) ^ key
			h ^= h >> 16
			h *= dropMix1
			h ^= h >> 13
			h *= dropMix2
			h ^= h >> 16
			if i >= dropLanes {
				h >>= 16
			}
			// The difference borrows, and has its highest bit set, where the element is
			// dropped: a branch would be guessed wrong too often.
			m := factors[(h&0xffff-threshold)>>31]
			if m == 0 {
				v = 0 // and not NaN
			}
			if accumulate {
				dst[i] += m * v
			} else {
				dst[i] = m * v
			}
		}
		dst, src = dst[n:], src[n:]
		counter += dropLanes
	}
}

// The multipliers of MurmurHash3's finaliser.
const (
	dropMix1 = 0x85ebca6b
	dropMix2 = 0xc2b2ae35
)

// Dot returns x · y, the sum of the products of their elements. In float32 the
// order of the additions depends on the kernel set. It panics when y is shorter
// than x.
func Dot[T Float](x, y []T) T {
	y = y[:len(x)]
	if x32, ok := any(x).([]float32); ok && active != portable {
		return T(dot32(x32, any(y).([]float32)))
	}
	return dotPortable(x, y)
}

// dotPortable keeps four sums side by side, so that the processor need not wait
// for each addition.
func dotPortable[T Float](x, y []T) T {
	var s0, s1, s2, s3 T
	i := 0
	for ; i+4 <= len(x); i += 4 {
		s0 += x[i] * y[i]
		s1 += x[i+1] * y[i+1]
		s2 += x[i+2] * y[i+2]
		s3 += x[i+3] * y[i+3]
	}
	for ; i < len(x); i++ {
		s0 += x[i] * y[i]
	}
	return (s0 + s1) + (s2 + s3)
}
