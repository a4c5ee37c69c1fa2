package kernel

import "golang.org/x/sys/cpu"

// supported returns the kernel sets that work here, worst first. The flags are
// set only when the operating system saves the registers too (XCR0).
func supported() []set {
	sets := []set{portable}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		sets = append(sets, avx2)
	}
	if cpu.X86.HasAVX512F {
		sets = append(sets, avx512)
	}
	return sets
}
