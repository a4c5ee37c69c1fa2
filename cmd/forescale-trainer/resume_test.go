package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/trainer"
	"github.com/forescale/forescale/trainer/checkpoint"
)

// keeping is a training that saves a state and then waits for the end.
func keeping(stop context.CancelFunc) training {
	return func(ctx context.Context, _ trainer.Config, _ trainer.Data, k *checkpoint.Dir) (*trainer.Result, error) {
		if err := k.Save("network", []byte("epoch 7")); err != nil {
			return nil, err
		}
		stop()
		<-ctx.Done()
		return nil, ctx.Err()
	}
}

func TestATrainingThatWasStoppedIsResumed(t *testing.T) {
	w, out := newWorld(t, "web"), t.TempDir()
	args := append([]string{"-data", w.url, "-out", out, "-history", "100000h"}, quick...)
	dir := filepath.Join(out, ".checkpoint")
	interrupt := func(more ...string) string {
		t.Helper()
		ctx, stop := context.WithCancel(t.Context())
		code, _, stderr := executeWith(ctx, keeping(stop), append(slices.Clone(args), more...)...)
		if code == cli.ExitUsage || !strings.Contains(stderr, "stopped; no model was written, and -resume continues from "+dir) {
			t.Errorf("exit code %d: %s", code, stderr)
		}
		return stderr
	}
	interrupt("-until", w.at(worldSlots).Format(time.RFC3339))
	w.put("web", worldSlots, worldSlots+300) // which the training that goes on must not see
	state, slots := "", 0
	resume := func(more ...string) (int, string) {
		code, _, stderr := executeWith(t.Context(), func(ctx context.Context, c trainer.Config, d trainer.Data, k *checkpoint.Dir) (*trainer.Result, error) {
			b, err := k.Load("network")
			if err != nil {
				return nil, err
			}
			state, slots = string(b), d.Grid.Len()
			return train(ctx, c, d, k)
		}, append(append(slices.Clone(args), "-resume"), more...)...)
		return code, stderr
	}
	for _, other := range []struct {
		args []string
		want string
	}{
		{[]string{"-seed", "8"}, "another configuration"},
		{[]string{"-until", w.at(worldSlots + 300).Format(time.RFC3339)}, "other data"},
	} {
		code, stderr := resume(other.args...)
		if code != cli.ExitFailed || !strings.Contains(stderr, "is of "+other.want+": remove "+dir+" or run without -resume") || state != "" {
			t.Errorf("%s: exit code %d, state %q: %s", other.want, code, state, stderr)
		}
	}
	code, stderr := resume()
	if code != cli.ExitOK || state != "epoch 7" || slots != worldSlots || !strings.Contains(stderr, "training continues from the checkpoint in "+dir) {
		t.Errorf("exit code %d, state %q, %d slots: %s", code, state, slots, stderr)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the model is delivered, and the checkpoint still there: %v", err)
	}
	interrupt()
	if stderr := interrupt(); !strings.Contains(stderr, "is discarded") {
		t.Errorf("without -resume: %s", stderr)
	}
	if err := os.WriteFile(filepath.Join(dir, "network.ckpt"), []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stderr = resume(); code != cli.ExitOK || state != "" || !strings.Contains(stderr, "damaged") {
		t.Errorf("damaged: exit code %d, state %q: %s", code, state, stderr)
	}
}
