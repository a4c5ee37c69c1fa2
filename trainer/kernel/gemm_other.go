//go:build !amd64

package kernel

// panel returns 0: the portable set has no micro-kernels.
func (s set) panel() int { return 0 }

func gemm32(_, _, _ int, _, _ Operand[float32], _ []float32, _ int, _ bool) {
	panic("kernel: no micro-kernels")
}
func gemmPacked32(_ int, _ Operand[float32], _ *Packed[float32], _ []float32, _ int, _ bool) {
	panic("kernel: no micro-kernels")
}
func packPanels(_ []float32, _, _, _ int, _ Operand[float32]) { panic("kernel: no micro-kernels") }
