package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// itself is the command as a process of its own.
func itself(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), roomFor+"=1099511627776") // a terabyte is no limit here
	return cmd
}

// newest is the content of the checkpoints, which changes with each one saved.
func newest(dir string) string {
	entries, _ := os.ReadDir(dir)
	all := ""
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasSuffix(e.Name(), ".ckpt") {
			all += e.Name() + info.ModTime().String()
		}
	}
	return all
}

func TestATrainingThatIsKilledAgainAndAgainGivesTheSameBytes(t *testing.T) {
	data := csvFile(t, 900, "cpu_utilization")
	for _, preset := range []string{"fast", "default"} {
		t.Run(preset, func(t *testing.T) {
			whole, out := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "out")
			args := append([]string{"-data", data}, quick...)
			args = append(args, "-preset", preset, "-epochs", "6")
			if said, err := itself(t, append(args, "-out", whole)...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			dir, kills := filepath.Join(out, checkpointDir), 0
			for done := false; !done; {
				before := newest(dir)
				cmd := itself(t, append(args, "-out", out, "-resume")...)
				var stderr strings.Builder
				cmd.Stderr = &stderr
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() { ended <- cmd.Wait() }()
				for killed := false; ; {
					select {
					case err := <-ended:
						if err != nil && !killed {
							t.Fatalf("%v: %s", err, stderr.String())
						}
						done = err == nil
					case <-time.After(time.Millisecond):
						// Three kills are enough; each comes once the run has kept something.
						if now := newest(dir); !killed && kills < 3 && now != before && now != "" {
							if err := cmd.Process.Kill(); err == nil {
								killed = true
								kills++
							}
						}
						continue
					}
					break
				}
			}
			if kills == 0 {
				t.Fatal("the training was never killed")
			}
			want, got := contents(t, whole), contents(t, out)
			for _, name := range []string{"model.onnx", "predictions.csv"} {
				if want[name] == "" || got[name] != want[name] {
					t.Errorf("killed %d times, %s is another: %d bytes, %d before", kills, name, len(got[name]), len(want[name]))
				}
			}
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("the model is delivered, and the checkpoint still there: %v", err)
			}
		})
	}
}
