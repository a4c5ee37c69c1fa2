package kernel

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestMain answers TestTheEnvironmentChoosesTheSet, which starts this binary again.
func TestMain(m *testing.M) {
	if os.Getenv("KERNEL_TEST_SAYS_SET") != "" {
		fmt.Printf("%s|%s", Set(), Notice())
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestTheEnvironmentChoosesTheSet(t *testing.T) {
	best := supported()[len(supported())-1].String()
	for _, c := range []struct{ choice, set, notice string }{
		{"portable", "portable", ""},
		{"", best, ""},
		{"abacus", best, "abacus"},
	} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "KERNEL_TEST_SAYS_SET=1", EnvName+"="+c.choice)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		set, notice, _ := strings.Cut(string(out), "|")
		if set != c.set || (notice == "") != (c.notice == "") || !strings.Contains(notice, c.notice) {
			t.Errorf("%s=%q: set %q, notice %q; want %q, a notice with %q", EnvName, c.choice, set, notice, c.set, c.notice)
		}
	}
}

// use makes s the active set until the test ends.
func use(t testing.TB, s set) {
	before := active
	active = s
	t.Cleanup(func() { active = before })
}

// everySet runs a test once for each kernel set that this machine has.
func everySet(t *testing.T, test func(t *testing.T)) {
	for _, s := range supported() {
		t.Run(s.String(), func(t *testing.T) {
			use(t, s)
			test(t)
		})
	}
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		name      string
		choice    string
		supported []set
		want      set
		notice    string // part of it
	}{
		{"unset takes the best", "", []set{portable, avx2, avx512}, avx512, ""},
		{"unset takes the best there is", "", []set{portable}, portable, ""},
		{"a supported choice is followed", "avx2", []set{portable, avx2, avx512}, avx2, ""},
		{"portable is always there", "portable", []set{portable, avx2, avx512}, portable, ""},
		{"an unsupported choice falls back", "avx512", []set{portable, avx2}, avx2, "not one of avx2, portable"},
		{"an unknown choice falls back", "sse9", []set{portable, avx2, avx512}, avx512, `FORESCALE_KERNEL="sse9"`},
		{"names are exact", "AVX2", []set{portable, avx2}, avx2, `"AVX2"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, notice := choose(c.choice, c.supported)
			if got != c.want || (notice == "") != (c.notice == "") || !strings.Contains(notice, c.notice) {
				t.Errorf("%v, %q; want %v, a notice with %q", got, notice, c.want, c.notice)
			}
		})
	}
}
