package dataset_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
)

// childCompact makes this test binary, run again as a child process, compact the
// dataset in the directory that it names.
const childCompact = "FORESCALE_DATASET_TEST_COMPACT"

func childCompacts(dir string) error {
	store, err := blob.NewDir(dir)
	if err != nil {
		return err
	}
	fmt.Println("begin")
	cfg := whole
	cfg.FileBytes = 4000
	_, err = dataset.New(store).Compact(context.Background(), cfg)
	return err
}

// kill -9 at random moments, two compactors at a time, late rows in between.
func TestKillingCompactorsLosesAndDoublesNothing(t *testing.T) {
	dir := t.TempDir()
	store, err := blob.NewDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(5, 6))
	l := &lake{store: store, truth: truth{}, clock: at(2000)}
	killed := 0
	for range 12 {
		l.grow(t, r, 8)
		var children []*exec.Cmd
		for range 2 {
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), childCompact+"="+dir)
			cmd.Stderr = os.Stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := out.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			children = append(children, cmd)
		}
		for _, cmd := range children {
			time.AfterFunc(time.Duration(r.IntN(40_000))*time.Microsecond, func() { cmd.Process.Kill() })
		}
		l.check(t, r, dataset.New(store), "while they run")
		for _, cmd := range children {
			if err := cmd.Wait(); err != nil && err.Error() != "signal: killed" {
				t.Fatal(err)
			} else if err != nil {
				killed++
			}
		}
		l.check(t, r, dataset.New(store), "after they were killed")
	}
	if killed == 0 {
		t.Error("nobody was killed: the test shows nothing")
	}
	if _, err := dataset.New(store).Compact(t.Context(), whole); err != nil {
		t.Fatal(err)
	}
	l.check(t, r, dataset.New(store), "in the end")
	if got := glob(t, store); len(got) != len(l.truth) {
		t.Errorf("the closed files have %d rows, want %d", len(got), len(l.truth))
	}
	report, err := dataset.New(store).Verify(t.Context(), nil)
	if err != nil || len(report.Corrupt) > 0 || report.Open.Count > 0 {
		t.Errorf("%+v, %v", report, err)
	}
	if !slices.ContainsFunc(keys(t, store), func(key string) bool { return strings.HasSuffix(key, "-of-00002.parquet") }) {
		t.Error("no day has two files")
	}
}
