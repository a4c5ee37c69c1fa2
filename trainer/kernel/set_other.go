//go:build !amd64

package kernel

// supported returns the kernel sets that work here, worst first.
func supported() []set { return []set{portable} }

// panel returns 0: the portable set has no micro-kernels.
func (s set) panel() int { return 0 }

// What follows is never called: the active set is the portable one.

const noAssembly = "kernel: there is no assembly for this machine"

func gemm32(_, _, _ int, _, _ Operand[float32], _ []float32, _ int, _ bool) { panic(noAssembly) }
func gemmPacked32(_ int, _ Operand[float32], _ *Packed[float32], _, _ []float32, _ int, _ bool) {
	panic(noAssembly)
}
func packPanels(_ []float32, _, _, _ int, _ Operand[float32]) { panic(noAssembly) }
func cellForward32(_, _, _, _, _ []float32)                   { panic(noAssembly) }
func cellBackward32(_, _, _, _, _ []float32)                  { panic(noAssembly) }
func relu32(_, _ []float32)                                   { panic(noAssembly) }
func reluBackward32(_, _ []float32)                           { panic(noAssembly) }
func add32(_, _ []float32)                                    { panic(noAssembly) }
func axpy32(_ []float32, _ float32, _ []float32)              { panic(noAssembly) }
func adam32(_, _, _, _ []float32, _, _, _, _ float32)         { panic(noAssembly) }
func addSquares32(_ *[sumLanes]float64, _ []float32)          { panic(noAssembly) }
