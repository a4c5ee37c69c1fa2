package kernel

import (
	"fmt"
	"os"
	"strings"
)

// set is a family of kernels that go together.
type set uint8

const (
	portable set = iota // Go and gonum, on every machine
	avx2                // AVX2 with FMA3
	avx512              // AVX-512F
)

var setNames = [...]string{portable: "portable", avx2: "avx2", avx512: "avx512"}

func (s set) String() string { return setNames[s] }

// EnvName is the environment variable that chooses the kernel set: avx512, avx2
// or portable. Unset or empty takes the best that the processor and the operating
// system support.
const EnvName = "FORESCALE_KERNEL"

// active is the kernel set in use. It is chosen once, before main, and never
// changes afterwards; only tests assign it.
var active, notice = choose(os.Getenv(EnvName), supported())

// choose returns the set of that name, or the last of the supported ones (worst
// first) and why the name was not followed.
func choose(name string, supported []set) (s set, notice string) {
	best := supported[len(supported)-1]
	if name == "" {
		return best, ""
	}
	for _, s := range supported {
		if s.String() == name {
			return s, ""
		}
	}
	var names []string
	for i := len(supported) - 1; i >= 0; i-- {
		names = append(names, supported[i].String())
	}
	return best, fmt.Sprintf("%s=%q is not one of %s, which this machine supports; using %s",
		EnvName, name, strings.Join(names, ", "), best)
}

// Set returns the name of the kernel set in use: avx512, avx2 or portable.
func Set() string { return active.String() }

// Notice returns why the choice made in FORESCALE_KERNEL was not followed, for a
// command to show, or "" when there is nothing to say.
func Notice() string { return notice }
