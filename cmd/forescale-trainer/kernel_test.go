package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/trainer/checkpoint"
	"github.com/forescale/forescale/trainer/kernel"
)

func TestAKernelSetThatIsNotThereIsToldAtTheStartOfARun(t *testing.T) {
	data := csvFile(t, 900, "cpu_utilization")
	for _, c := range []struct{ name, choice, want string }{
		{"unset, there is nothing to say", "", ""},
		{"a set that every machine has", "portable", ""},
		{"a set that no machine has", "abacus", `FORESCALE_KERNEL="abacus" is not one of`},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := itself(t, append([]string{"-data", data, "-out", t.TempDir()}, quick...)...)
			cmd.Env = append(cmd.Env, kernel.EnvName+"="+c.choice)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v: %s", err, stderr.String())
			}
			first, _, _ := strings.Cut(stderr.String(), "\n")
			if told := strings.Contains(stderr.String(), kernel.EnvName); told != (c.want != "") || !strings.Contains(first, c.want) {
				t.Errorf("want %q first:\n%s", c.want, stderr.String())
			}
		})
	}
}

func TestWhatAnotherKernelSetBeganIsNotResumed(t *testing.T) {
	dir := t.TempDir()
	raw, err := os.ReadFile(csvFile(t, 900, "cpu_utilization"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "web.csv")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, kept string
		args       []string
	}{
		{"the training of a group", checkpointDir, []string{"-data", file}},
		{"a shared model", checkpointDir, []string{"-shared", "-data", dir}},
		{"a search", searchFolder, []string{"-data", file, "-search", writeFile(t, "space.yaml", space)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := t.TempDir()
			kept := filepath.Join(out, c.kept)
			begun, err := checkpoint.Open(kept, checkpoint.Identity{Program: cli.Version, Kernel: "abacus"}, false, func(string) {})
			if err != nil {
				t.Fatal(err)
			}
			if err := begun.Save("search", []byte("half of it")); err != nil {
				t.Fatal(err)
			}
			args := append(append([]string{"-out", out, "-resume"}, c.args...), "-preset", "fast", "-horizon", "2", "-lookback", "6")
			code, _, stderr := execute(t.Context(), args...)
			if code != cli.ExitFailed || !strings.Contains(stderr, kept+" is of another kernel set (abacus; this is "+kernel.Set()+")") {
				t.Errorf("exit code %d: %s", code, stderr)
			}
			if _, err := os.Stat(filepath.Join(out, "model.onnx")); err == nil || !checkpoint.Any(kept) {
				t.Errorf("a model was written, or what was begun is gone: %v", err)
			}
		})
	}
}
