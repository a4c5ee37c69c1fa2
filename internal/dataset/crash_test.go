package dataset_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
)

// childDir makes this test binary, run again as a child process, append to the
// dataset in the directory that it names until it is killed.
const (
	childDir   = "FORESCALE_DATASET_TEST_DIR"
	childStart = "FORESCALE_DATASET_TEST_START"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childCompact); dir != "" {
		if err := childCompacts(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	if dir := os.Getenv(childDir); dir != "" {
		if err := childAppends(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
	}
	os.Exit(m.Run())
}

// tick returns what the collector of the crash test learns at slot n: the newest
// slot, and the two before it again. Late at night it touches two days.
func tick(n int) (samples []api.Sample) {
	for slot := max(0, n-2); slot <= n; slot++ {
		for g := range 5 {
			samples = append(samples, sample(fmt.Sprint("g", g), slot, float64(slot*10+g)))
		}
	}
	return samples
}

func childAppends(dir string) error {
	store, err := blob.NewDir(dir)
	if err != nil {
		return err
	}
	start, err := strconv.Atoi(os.Getenv(childStart))
	if err != nil {
		return err
	}
	d, out := dataset.New(store), bufio.NewWriter(os.Stdout)
	for n := start; ; n++ {
		// The clock goes on while the work is repeated, as after a restart.
		if err := d.Append(context.Background(), "collector", at(n), tick(n), time.Now()); err != nil {
			return err
		}
		fmt.Fprintln(out, n)
		if err := out.Flush(); err != nil {
			return err
		}
	}
}

func TestKillingTheCollectorLosesAndDoublesNothing(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(3, 4))
	next := 270 // midnight comes at 288
	for round := range 25 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		// Each restart repeats the two newest ticks that were acknowledged.
		cmd.Env = append(os.Environ(), childDir+"="+dir, fmt.Sprintf("%s=%d", childStart, max(270, next-2)))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var kill *time.Timer
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if kill == nil {
				kill = time.AfterFunc(time.Duration(rng.IntN(40_000))*time.Microsecond, func() { cmd.Process.Kill() })
			}
			n, err := strconv.Atoi(lines.Text())
			if err != nil {
				t.Fatal(err)
			}
			next = max(next, n+1)
		}
		if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
			t.Fatalf("round %d: the collector ended by itself: %v", round, err)
		}
	}
	store, err := blob.NewDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := scan(t, dataset.New(store), dataset.Query{To: at(next)})
	var want []api.Sample
	for g := range 5 {
		for slot := 268; slot < next; slot++ {
			want = append(want, sample(fmt.Sprint("g", g), slot, float64(slot*10+g)))
		}
	}
	wantSamples(t, got, want...)
	perTick := map[string]int{}
	for _, key := range keys(t, store) {
		perTick[key[:len("open/date=2026-03-14/20260314T001500Z")]]++
	}
	for prefix, n := range perTick {
		if n != 1 {
			t.Errorf("%d parts under %s: a repeated tick was stored twice", n, prefix)
		}
	}
	if next < 300 {
		t.Logf("only %d ticks were written", next-270)
	}
}

// The times below are far above what is measured (a few dozen milliseconds), so
// that only a change of kind fails: a part read twice, a scan that is quadratic.
func TestScansOfManyPartsAreQuick(t *testing.T) {
	metrics := []string{api.MetricCPU, api.MetricNetworkIn, api.MetricRequests, api.MetricInService, api.MetricDesired}
	slot := func(n int) (samples []api.Sample) {
		for _, m := range metrics {
			samples = append(samples, api.Sample{Group: "web", Metric: m, Stat: api.DefaultStat(m), Time: at(n), Value: float64(n)})
		}
		return samples
	}
	store, err := blob.NewDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	timed := func(what string, limit time.Duration, do func()) {
		t.Helper()
		start := time.Now()
		do()
		if d := time.Since(start); d > limit {
			t.Errorf("%s took %v, want at most %v", what, d, limit)
		} else {
			t.Logf("%s took %v", what, d)
		}
	}
	const days = 60
	var history []api.Sample
	for n := -288 * days; n < 0; n++ {
		history = append(history, slot(n)...)
	}
	timed("a backfill of 60 days", 5*time.Second, func() {
		appendTo(t, dataset.New(store), "backfill", at(0), at(0), history...)
	})
	timed("a cold scan of 60 days", 3*time.Second, func() {
		if got := scan(t, dataset.New(store), dataset.Query{}); len(got) != len(history) {
			t.Errorf("%d rows, want %d", len(got), len(history))
		}
	})
	d := dataset.New(store)
	for n := range 288 {
		appendTo(t, d, "live", at(n), at(n+1), slot(n)...)
	}
	timed("a cold scan of 288 parts of one tick", 3*time.Second, func() {
		if got := scan(t, d, dataset.Query{From: at(0)}); len(got) != 288*len(metrics) {
			t.Errorf("%d rows, want %d", len(got), 288*len(metrics))
		}
	})
	timed("a hundred scans of the newest two hours", 10*time.Second, func() {
		for range 100 {
			if got := scan(t, d, dataset.Query{From: at(264), To: at(288)}); len(got) != 24*len(metrics) {
				t.Errorf("%d rows, want %d", len(got), 24*len(metrics))
			}
		}
	})
}
