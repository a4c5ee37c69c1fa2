package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/trainer"
	"github.com/forescale/forescale/trainer/checkpoint"
)

// The variables that make this test binary the command itself, for which a file
// may have so many bytes at most, with one of the trainings below.
const (
	roomFor  = "FORESCALE_TEST_ROOM"
	trainsAs = "FORESCALE_TEST_TRAINS"
)

func TestMain(m *testing.M) {
	room, err := strconv.ParseUint(os.Getenv(roomFor), 10, 64)
	if err != nil {
		os.Exit(m.Run())
	}
	// Writing beyond the limit fails as it does on a full disk, for anybody.
	small := syscall.Rlimit{Cur: room, Max: room}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		panic(err)
	}
	p := &program{train: map[string]training{"plain": plain, "checkpoints": checkpoints, "notes": notes}[os.Getenv(trainsAs)]}
	cli.Main(p.command())
}

// plain trains without a checkpoint, which might meet the limit first.
func plain(ctx context.Context, c trainer.Config, d trainer.Data, _ *checkpoint.Dir) (*trainer.Result, error) {
	return train(ctx, c, d, nil)
}

// checkpoints saves a state of 64 KiB and trains no further where it cannot.
func checkpoints(ctx context.Context, c trainer.Config, d trainer.Data, k *checkpoint.Dir) (*trainer.Result, error) {
	if err := k.Save("network", make([]byte, 64<<10)); err != nil {
		return nil, err
	}
	return train(ctx, c, d, nil)
}

// notes makes a small model of which there is much to say: more than fits into an
// entry of the ledger.
func notes(context.Context, trainer.Config, trainer.Data, *checkpoint.Dir) (*trainer.Result, error) {
	return &trainer.Result{Model: []byte("model"), Notes: []string{strings.Repeat("n", 64<<10)}}, nil
}

// contents returns the files below a directory.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestAFullDiskIsNamedAndSpoilsNothing(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data := csvFile(t, 900, "cpu_utilization")
	lake, long := newWorld(t, "api", "web"), newWorld(t)
	long.put("web", 0, 6000)
	for name, c := range map[string]struct {
		room   int    // bytes
		over   string // the file that is just small enough, in place of room
		trains string
		args   func(out string) []string
		want   []string // of the message
		may    []string // files that may differ afterwards
	}{
		"the model": {room: 4 << 10, trains: "plain", args: func(out string) []string { return []string{"-preset", "fast", "-data", data} },
			want: []string{"write OUT/model.onnx:", "free some space and run again"}},
		"the predictions, after the model": {over: "model.onnx", trains: "plain", args: func(out string) []string { return []string{"-preset", "fast", "-data", long.url, "-history", "100000h"} },
			want: []string{"write OUT/predictions.csv:", "free some space and run again"}},
		"a checkpoint": {room: 4 << 10, trains: "checkpoints", args: func(out string) []string { return []string{"-preset", "fast", "-data", data} },
			want: []string{"checkpoint: write OUT/.checkpoint/network.ckpt:", "free some space and run again"}},
		"the metrics": {room: 0, trains: "notes", args: func(out string) []string { return []string{"-preset", "fast", "-data", data, "-metrics-file", out + "/run.prom"} },
			want: []string{"metrics: write OUT/run.prom:", "free some space and run again"}},
		"the models of a run": {room: 4 << 10, trains: "plain", args: func(out string) []string { return lake.args(out, worldSlots, "-resume", "-jobs", "1") },
			want: []string{"write OUT/api/model.onnx:", "free some space and run again", "stopped after 1 of 2 groups"},
			may:  []string{"summary.csv", "summary.json", ".ledger/run.json"}}, // which are small
		"the ledger": {room: 4 << 10, trains: "notes", args: func(out string) []string { return lake.args(out, worldSlots, "-resume", "-jobs", "1") },
			want: []string{"api: the model is delivered, but not in the ledger: write OUT/.ledger/api-", "free some space and run again"},
			may:  []string{"api/model.onnx", "api/predictions.csv", "api/report.json", "api/manifest.json", "summary.csv", "summary.json", ".ledger/run.json"}},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			args := append(append(c.args(out), quick...), "-out", out)
			if code, _, stderr := execute(t.Context(), args...); code != cli.ExitOK {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			before := contents(t, out)
			if c.over != "" {
				c.room = len(before[c.over])
			}
			cmd := exec.Command(self, append(args, "-seed", "77")...)
			cmd.Env = append(os.Environ(), roomFor+"="+strconv.Itoa(c.room), trainsAs+"="+c.trains)
			stdout, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer stdout.Close()
			var stderr strings.Builder
			cmd.Stdout, cmd.Stderr = stdout, &stderr // a pipe: limits are for files
			err = cmd.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != cli.ExitFailed {
				t.Errorf("%v: %s", err, stderr.String())
			}
			said := strings.ReplaceAll(stderr.String(), out, "OUT")
			for _, want := range c.want {
				if !strings.Contains(said, want) {
					t.Errorf("the message does not say %q: %s", want, said)
				}
			}
			after := contents(t, out)
			for _, name := range c.may {
				delete(before, name)
				delete(after, name)
			}
			for name, content := range before {
				if after[name] != content {
					t.Errorf("%s is not what it was", name)
				}
				delete(after, name)
			}
			for name := range after {
				t.Errorf("%s was left behind", name)
			}
		})
	}
}
