package kernel

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"unsafe"
)

// guarded returns n elements between two pages that nothing may touch: right
// before the upper one, or right behind the lower one.
func guarded(t *testing.T, n int, upper bool) []float32 {
	page := syscall.Getpagesize()
	room := (n*4 + page - 1) / page * page
	m, err := syscall.Mmap(-1, 0, room+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Munmap(m); err != nil {
			t.Error(err)
		}
	})
	for _, guard := range [][]byte{m[:page], m[page+room:]} {
		if err := syscall.Mprotect(guard, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	at := page
	if upper {
		at += room - n*4
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&m[:at+1][at])), n)
}

// A kernel that reads or writes outside of its slices faults here, which ends the
// test binary with the name of the kernel on top of the stack.
func TestKernelsStayWithinTheirSlices(t *testing.T) {
	everySet(t, func(t *testing.T) {
		for _, upper := range []bool{false, true} {
			for _, n := range []int{1, 2, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 100} {
				v := func() []float32 { return guarded(t, n, upper) }
				z, before, c, tanhC, h := guarded(t, 4*n, upper), v(), v(), v(), v()
				CellForward(z, before, c, tanhC, h)
				CellForward(z, nil, c, tanhC, h)
				CellBackward(z, before, tanhC, h, c)
				CellBackward(z, nil, tanhC, h, c)
				ReLU(c, h)
				ReLUBackward(c, h)
				AddTo(c, h)
				Axpy(c, 2, h)
				AddRows(c, z)
				Adam(c, h, tanhC, before, 1, 1, 1, 0)
				_ = SumSquares(c)
				Dropout(c, h, 1, 1000, false)
				Dropout(c, h, 1, 1000, true)
				_ = Dot(c, h)
			}
		}
	})
}

func TestProductsStayWithinTheirOperands(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	everySet(t, func(t *testing.T) {
		for trial := range 400 {
			m, n, k := 1+rng.IntN(40), 1+rng.IntN(70), 1+rng.IntN(40)
			if trial%20 == 0 {
				m, k = m+120, k+250
			}
			upper, ta, tb := rng.IntN(2) == 1, rng.IntN(2) == 1, rng.IntN(2) == 1
			place := func(rows, cols int, trans bool) Operand[float32] {
				if trans {
					rows, cols = cols, rows
				}
				stride := cols + rng.IntN(3)
				return Operand[float32]{guarded(t, (rows-1)*stride+cols, upper), stride, trans}
			}
			a, b, c := place(m, k, ta), place(k, n, tb), place(m, n, false)
			Gemm(m, n, k, a, b, c.Data, c.Stride, trial%3 > 0)
			var p Packed[float32]
			p.Pack(k, n, b)
			if len(p.data) > 0 { // the packed operand between guards as well
				moved := guarded(t, len(p.data), upper)
				copy(moved, p.data)
				p.data = moved
			}
			GemmPacked(m, a, &p, c.Data, c.Stride, trial%3 > 0)
			GemmBias(m, a, &p, guarded(t, n, upper), c.Data, c.Stride)
		}
	})
}
