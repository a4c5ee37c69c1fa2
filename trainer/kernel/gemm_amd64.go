package kernel

import "unsafe"

// The micro-kernels; their contract is in the assembly files.
//
//go:noescape
func gemm8x32(tiles, k int, a *float32, rs, ks int, b *float32, bs int, c *float32, ldc, cols int, d *float32, ldd int)

//go:noescape
func gemm4x32(tiles, k int, a *float32, rs, ks int, b *float32, bs int, c *float32, ldc, cols int, d *float32, ldd int)

//go:noescape
func gemm2x32(tiles, k int, a *float32, rs, ks int, b *float32, bs int, c *float32, ldc, cols int, d *float32, ldd int)

//go:noescape
func gemm1x32(tiles, k int, a *float32, rs, ks int, b *float32, bs int, c *float32, ldc, cols int, d *float32, ldd int)

//go:noescape
func gemm6x16(tiles, k int, a *float32, rs, ks int, b *float32, bs int, c *float32, ldc, cols int, d *float32, ldd int)

//go:noescape
func gemm4x16(tiles, k int, a *float32, rs, ks int, b *float32, bs int, c *float32, ldc, cols int, d *float32, ldd int)

//go:noescape
func gemm2x16(tiles, k int, a *float32, rs, ks int, b *float32, bs int, c *float32, ldc, cols int, d *float32, ldd int)

//go:noescape
func gemm1x16(tiles, k int, a *float32, rs, ks int, b *float32, bs int, c *float32, ldc, cols int, d *float32, ldd int)

const (
	// blockDepth is how many terms of an element's sum are chained before they are
	// added to C. So many rows of a panel fill the first-level cache, and sums over
	// thousands of terms keep more of their digits. Results depend on it, to the
	// rounding, and on no other block size.
	blockDepth = 256
	// blockRows is how many rows of A a packed product works on at a time: 96 KB
	// at full depth, in the second-level cache beside the panels of B. It is a
	// multiple of every tile's rows.
	blockRows = 96
	// directRows is up to how many rows of A it is quicker to read B where it lies
	// than to copy each panel of it first. The copy waits for memory; the
	// micro-kernel, whose loads run ahead of its arithmetic, does not.
	directRows = 128

	maxPanel = 32 // columns of the widest panel

	// maxTiles is how many tiles one call computes: assembly cannot be preempted,
	// and the garbage collector waits for it.
	maxTiles = 64
)

// panel returns how many columns of B the micro-kernels of s work on, or 0 when
// s has none.
func (s set) panel() int {
	switch s {
	case avx512:
		return 32
	case avx2:
		return 16
	}
	return 0
}

// addend is D in C = A·B + D: nothing, C itself, or one row for all rows of C.
type addend struct {
	data   []float32 // nil: nothing
	stride int
}

// addendOf returns what a product adds: C with accumulate, or else nothing.
func addendOf(c []float32, ldc int, accumulate bool) addend {
	if accumulate {
		return addend{c, ldc}
	}
	return addend{}
}

// from returns the addend without its first rows and cols.
func (d addend) from(row, col int) addend {
	if d.data != nil {
		d.data = d.data[row*d.stride+col:]
	}
	return d
}

// gemm32 is [Gemm] for a set with micro-kernels. The caller has checked the
// operands; no dimension is zero.
func gemm32(m, n, k int, a, b Operand[float32], c []float32, ldc int, accumulate bool) {
	width := active.panel()
	if m <= directRows && !b.Trans {
		whole := n - n%width
		gemmDirect(m, whole, k, a, b, c, ldc, accumulate)
		if whole == n {
			return
		}
		n, b, c = n-whole, b.from(0, whole), c[whole:]
	}
	var scratch [blockDepth*maxPanel + alignment]float32
	panel := aligned(scratch[:])
	d := addendOf(c, ldc, accumulate)
	for l := 0; l < k; l += blockDepth {
		kl := min(blockDepth, k-l)
		for j := 0; j < n; j += width {
			cols := min(width, n-j)
			packPanel(panel, width, kl, cols, b.from(l, j))
			strip(m, kl, a.from(0, l), panel, width, c[j:], ldc, cols, d.from(0, j))
		}
		d = addend{c, ldc}
	}
}

// gemmDirect multiplies by whole panels of b, untransposed, where they lie.
func gemmDirect(m, n, k int, a, b Operand[float32], c []float32, ldc int, accumulate bool) {
	width := active.panel()
	d := addendOf(c, ldc, accumulate)
	for l := 0; l < k; l += blockDepth {
		kl := min(blockDepth, k-l)
		for j := 0; j < n; j += width {
			strip(m, kl, a.from(0, l), b.from(l, j).Data, b.Stride, c[j:], ldc, width, d.from(0, j))
		}
		d = addend{c, ldc}
	}
}

// gemmPacked32 is [GemmPacked] for a set with micro-kernels, under the same
// conditions as gemm32; with a bias, it is [GemmBias].
func gemmPacked32(m int, a Operand[float32], b *Packed[float32], bias, c []float32, ldc int, accumulate bool) {
	width := active.panel()
	if b.panel != width {
		panic("kernel: B was packed for another kernel set")
	}
	for i := 0; i < m; i += blockRows {
		mi := min(blockRows, m-i)
		ci := c[i*ldc:]
		d := addendOf(ci, ldc, accumulate)
		if bias != nil {
			d = addend{bias, 0}
		}
		for l := 0; l < b.k; l += blockDepth {
			kl := min(blockDepth, b.k-l)
			for j := 0; j < b.n; j += width {
				panel := b.data[j*b.k+l*width:]
				strip(mi, kl, a.from(i, l), panel, width, ci[j:], ldc, min(width, b.n-j), d.from(0, j))
			}
			d = addend{ci, ldc}
		}
	}
}

// strip computes m rows of one panel's columns of C. b points at whole rows of
// the panel, bs apart.
func strip(m, k int, a Operand[float32], b []float32, bs int, c []float32, ldc, cols int, d addend) {
	rs, ks := a.Stride, 1
	if a.Trans {
		rs, ks = 1, a.Stride
	}
	ldd := d.stride
	for i := 0; i < m; {
		rows, tiles := active.tile(m - i)
		ap, bp, cp, dp := &a.Data[i*rs], &b[0], &c[i*ldc], start(d.from(i, 0).data)
		switch {
		case active == avx512 && rows == 8:
			gemm8x32(tiles, k, ap, rs, ks, bp, bs, cp, ldc, cols, dp, ldd)
		case active == avx512 && rows == 4:
			gemm4x32(tiles, k, ap, rs, ks, bp, bs, cp, ldc, cols, dp, ldd)
		case active == avx512 && rows == 2:
			gemm2x32(tiles, k, ap, rs, ks, bp, bs, cp, ldc, cols, dp, ldd)
		case active == avx512:
			gemm1x32(tiles, k, ap, rs, ks, bp, bs, cp, ldc, cols, dp, ldd)
		case rows == 6:
			gemm6x16(tiles, k, ap, rs, ks, bp, bs, cp, ldc, cols, dp, ldd)
		case rows == 4:
			gemm4x16(tiles, k, ap, rs, ks, bp, bs, cp, ldc, cols, dp, ldd)
		case rows == 2:
			gemm2x16(tiles, k, ap, rs, ks, bp, bs, cp, ldc, cols, dp, ldd)
		default:
			gemm1x16(tiles, k, ap, rs, ks, bp, bs, cp, ldc, cols, dp, ldd)
		}
		i += rows * tiles
	}
}

// tile returns the rows of the micro-kernel to take for the next rows of a strip
// of which m are left, and how many tiles of it.
func (s set) tile(m int) (rows, tiles int) {
	switch {
	case s == avx512 && m >= 8:
		return 8, min(maxTiles, m/8)
	case s == avx2 && m >= 6:
		// Two tiles of 4 rows are quicker than one of 6 and one of 2.
		if m%6 == 2 {
			m -= 8
		}
		if m > 0 {
			return 6, min(maxTiles, m/6)
		}
		return 4, 2
	case m >= 4:
		return 4, 1
	case m >= 2:
		return 2, 1
	}
	return 1, 1
}

// packPanel copies b [k, cols] to rows of width elements. What b does not have is
// zero: the micro-kernels multiply it, though they never store the result, and
// leftovers that are denormal would be slow.
func packPanel(dst []float32, width, k, cols int, b Operand[float32]) {
	switch {
	case cols < width:
		clear(dst[:k*width])
	case !b.Trans && width == 32:
		for l := range k {
			*(*[32]float32)(dst[l*32:]) = *(*[32]float32)(b.Data[l*b.Stride:])
		}
		return
	case !b.Trans && width == 16:
		for l := range k {
			*(*[16]float32)(dst[l*16:]) = *(*[16]float32)(b.Data[l*b.Stride:])
		}
		return
	}
	packRows(dst, width, k, cols, b)
}

// packPanels lays b [k, n] out in panels of width columns, one after the other.
func packPanels(dst []float32, width, k, n int, b Operand[float32]) {
	for j := 0; j < n; j += width {
		packPanel(dst[j*k:], width, k, min(width, n-j), b.from(0, j))
	}
}

// alignment of a panel in elements: a cache line, so that no load crosses one.
const alignment = 16

// aligned returns v from its first element that begins a cache line. Only speed
// depends on it.
func aligned(v []float32) []float32 {
	past := int(uintptr(unsafe.Pointer(&v[0])) / 4 % alignment)
	return v[(alignment-past)%alignment:]
}
