//go:build !amd64

package kernel

// Never called: the active set is the portable one.

func drop32(_, _ []float32, _, _, _ uint32, _ float32, _ bool) { panic(noAssembly) }
func dot32(_, _ []float32) float32                             { panic(noAssembly) }
