package search

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// dirEnv names the folder in which the test binary searches instead of testing,
// and callsEnv after how many evaluations it waits to be killed.
const (
	dirEnv   = "FORESCALE_TEST_SEARCH_DIR"
	callsEnv = "FORESCALE_TEST_SEARCH_CALLS"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(dirEnv); dir != "" {
		calls, err := strconv.Atoi(os.Getenv(callsEnv))
		if err == nil {
			err = searchIn(dir, int64(calls))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// searchIn searches with the journal in dir, noting every evaluation in the file
// calls before it begins, and prints the result.
func searchIn(dir string, most int64) error {
	j, err := Open(dir)
	if err != nil {
		return err
	}
	defer j.Close()
	calls, err := os.OpenFile(filepath.Join(dir, "calls"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer calls.Close()
	c := bowl()
	c.Workers = 2
	var begun atomic.Int64
	res, err := Run(context.Background(), c, func(ctx context.Context, p Params, budget int) (float64, error) {
		if _, err := fmt.Fprintf(calls, "%v %d\n", p, budget); err != nil {
			return 0, fmt.Errorf("%w: %w", ErrAbort, err)
		}
		if begun.Add(1) > most {
			time.Sleep(time.Hour)
		}
		return halfFailing(ctx, p, budget)
	}, j)
	fmt.Printf("%#v", res)
	return err
}

func TestASearchThatIsKilledAgainAndAgainEndsWithTheSameResult(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, journalName)
	want := fmt.Sprintf("%#v", mustRun(t, bowl(), halfFailing, nil))
	rng := rand.New(rand.NewPCG(11, 12))
	for kills := 0; ; kills++ {
		before := evaluated(t, path)
		out, killed := life(t, dir, rng)
		for key := range strings.Lines(read(t, filepath.Join(dir, "calls"))) {
			if before[strings.TrimSpace(key)] {
				t.Fatalf("after %d kills, %q stood in the journal and was evaluated again", kills, key)
			}
		}
		if killed {
			continue
		}
		if out != want {
			t.Errorf("got %s\nwant %s", out, want)
		}
		if kills < 5 {
			t.Errorf("only %d kills hit the search", kills)
		}
		return
	}
}

// life runs the search in a child and kills it at some moment before the end of
// the tenth evaluation, unless the search is over by then.
func life(t *testing.T, dir string, rng *rand.Rand) (out string, killed bool) {
	t.Helper()
	calls := filepath.Join(dir, "calls")
	if err := os.WriteFile(calls, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	most := 2 + rng.IntN(8)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), dirEnv+"="+dir, callsEnv+"="+strconv.Itoa(most))
	var stdout bytes.Buffer
	child.Stdout, child.Stderr = &stdout, os.Stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	// While it is at this evaluation, or when it waits.
	at := 1 + rng.IntN(most+1)
	for {
		select {
		case err := <-ended:
			if err != nil && !killed {
				t.Fatal(err)
			}
			return stdout.String(), err != nil
		case <-time.After(time.Duration(rng.IntN(1000)) * time.Microsecond):
			if !killed && strings.Count(read(t, calls), "\n") >= at {
				killed = child.Process.Kill() == nil
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// evaluated returns what the whole lines of a journal hold, as the child notes it.
// It reads the file with nothing of the journal's own code.
func evaluated(t *testing.T, path string) map[string]bool {
	t.Helper()
	keys := map[string]bool{}
	if _, err := os.Stat(path); err != nil {
		return keys
	}
	for text := range strings.Lines(read(t, path)) {
		var l struct {
			Params map[string]any `json:"params"`
			Budget int            `json:"budget"`
		}
		if strings.HasSuffix(text, "\n") && json.Unmarshal([]byte(text), &l) == nil && l.Budget > 0 {
			keys[fmt.Sprintf("%v %d", Params(l.Params), l.Budget)] = true
		}
	}
	return keys
}
