//go:build !amd64

package kernel

// supported returns the kernel sets that work here, worst first.
func supported() []set { return []set{portable} }
