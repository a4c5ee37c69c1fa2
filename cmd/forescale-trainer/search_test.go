package main

import (
	"context"
	"encoding/csv"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/trainer/checkpoint"
)

// space is a search of three trials, of a second or two.
const space = "space:\n  rate: {log: [1e-4, 1e-2]}\n  hidden: [4, 8]\ntrials: 3\nmin_budget: 1\nmax_budget: 3\n"

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// searching returns the arguments of a search on a file.
func searching(t *testing.T, out string) []string {
	return []string{"-data", csvFile(t, 900, "cpu_utilization"), "-out", out, "-search", writeFile(t, "space.yaml", space),
		"-preset", "fast", "-horizon", "2", "-lookback", "6", "-seed", "3"}
}

func TestASearchTrainsTheWinnerAndShowsTheTrials(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	args := searching(t, out)
	code, stdout, stderr := execute(t.Context(), args...)
	if code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, want := range []string{"rung  budget", "# trial ", "\nepochs: 3\n", "persistence MAE"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the output does not say %q:\n%s", want, stdout)
		}
	}
	for _, want := range []string{"search 1 of 5: trial ", "search 5 of 5: trial ", "3 epochs: "} {
		if !strings.Contains(stderr, want) {
			t.Errorf("the progress does not say %q:\n%s", want, stderr)
		}
	}
	f, err := os.Open(filepath.Join(out, "trials.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if rows, err := csv.NewReader(f).ReadAll(); err != nil || len(rows) != 6 || rows[1][1] != "3" {
		t.Errorf("trials.csv has %v, %v", rows, err)
	}
	if md, err := os.ReadFile(filepath.Join(out, "trials.md")); err != nil || strings.Count(string(md), "\n") != 7 {
		t.Errorf("trials.md has %s, %v", md, err)
	}

	// What is printed can be pasted: it gives the same model without a search.
	_, fragment, _ := strings.Cut(stdout, "# trial ")
	fragment, _, _ = strings.Cut("# "+fragment, "\n\n")
	config := writeFile(t, "forescale.yaml", "trainer:\n  "+strings.ReplaceAll(strings.TrimSpace(fragment), "\n", "\n  ")+"\n")
	pasted := filepath.Join(t.TempDir(), "pasted")
	if code, _, stderr := execute(t.Context(), append([]string{"-config", config}, replaced(args, out, pasted)...)...); code != cli.ExitOK {
		t.Fatalf("exit code %d: %s\n%s", code, stderr, fragment)
	}
	if model(t, out) != model(t, pasted) {
		t.Error("the fragment gives another model than the search")
	}

	code, stdout, stderr = execute(t.Context(), append(args, "-resume")...)
	if code != cli.ExitOK || strings.Count(stderr, "from the journal") != 5 || !strings.Contains(stdout, "persistence MAE") {
		t.Errorf("resumed: exit code %d: %s", code, stderr)
	}
	code, _, stderr = execute(t.Context(), args...)
	if code != cli.ExitOK || strings.Contains(stderr, "from the journal") || !strings.Contains(stderr, "is discarded; -resume would have continued it") {
		t.Errorf("begun anew: exit code %d: %s", code, stderr)
	}
}

// replaced returns the arguments with another -out and without the search.
func replaced(args []string, out, other string) []string {
	var left []string
	for i := 0; i < len(args); i += 2 {
		switch {
		case args[i] == "-search":
		case args[i+1] == out:
			left = append(left, args[i], other)
		default:
			left = append(left, args[i], args[i+1])
		}
	}
	return left
}

func model(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// afterTrials is a context that ends once the journal in dir holds n trials.
type afterTrials struct {
	context.Context
	dir string
	n   int
}

func (c afterTrials) Err() error {
	if b, err := os.ReadFile(filepath.Join(c.dir, "search.jsonl")); err == nil && strings.Count(string(b), "\n") > c.n {
		return context.Canceled
	}
	return nil
}

// Done ends soon after Err does, as that of a signal's context would.
func (c afterTrials) Done() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		for c.Err() == nil {
			select {
			case <-c.Context.Done():
				return
			case <-time.After(time.Millisecond):
			}
		}
		close(done)
	}()
	return done
}

func TestASearchThatWasStoppedIsResumed(t *testing.T) {
	whole, out, dir := filepath.Join(t.TempDir(), "out"), filepath.Join(t.TempDir(), "out"), filepath.Join(t.TempDir(), "trials")
	args := append(searching(t, whole), "-workers", "1")
	if code, _, stderr := execute(t.Context(), args...); code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for i, a := range args {
		if a == whole {
			args[i] = out
		}
	}
	args = append(args, "-search-dir", dir)
	code, stdout, stderr := execute(afterTrials{t.Context(), dir, 2}, args...)
	if code != cli.ExitOK || stdout != "" || !strings.Contains(stderr, "stopped; no model was written, and -resume continues the search from "+dir) {
		t.Fatalf("stopped: exit code %d, %q, %s", code, stdout, stderr)
	}
	if files, err := os.ReadDir(out); err != nil || len(files) > 0 {
		t.Errorf("the output directory holds %v, %v", files, err)
	}
	code, _, stderr = execute(t.Context(), append(args, "-resume")...)
	// A third trial may have ended between the second and the signal.
	if n := strings.Count(stderr, "from the journal"); code != cli.ExitOK || n < 2 || n > 3 {
		t.Errorf("resumed: exit code %d: %s", code, stderr)
	}
	if model(t, out) != model(t, whole) {
		t.Error("resumed, the search gives another model")
	}
	code, _, stderr = execute(t.Context(), append(args, "-resume", "-seed", "4")...)
	if code != cli.ExitFailed || !strings.Contains(stderr, "another configuration") {
		t.Errorf("resumed with another seed: exit code %d: %s", code, stderr)
	}
}

// A data lake grows; a search that goes on must see what it saw.
func TestAResumedSearchReadsTheLakeUpToWhereItBegan(t *testing.T) {
	until := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	p := &program{out: t.TempDir(), resume: true, history: time.Hour, stderr: io.Discard}
	p.common.Data = "file:///lake"
	before := p.oneSpan(filepath.Join(p.out, checkpointDir))
	journal, err := p.openJournal(checkpoint.Identity{Program: "x", Until: until})
	if err != nil {
		t.Fatal(err)
	}
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
	if span := p.oneSpan(filepath.Join(p.out, checkpointDir)); !span.Until.Equal(until) || before.Until.Equal(until) {
		t.Errorf("read up to %s, want %s; before the search %s", span.Until, until, before.Until)
	}
	p.resume = false
	if span := p.oneSpan(filepath.Join(p.out, checkpointDir)); span.Until.Equal(until) {
		t.Error("a new run reads the lake of the old one")
	}
}

func TestFaultsOfASearch(t *testing.T) {
	config := writeFile(t, "forescale.yaml", "trainer:\n  search:\n    space: {rate: [1e-3, 1e-2], hidden: [8, 9]}\n    trials: 3\n")
	for name, c := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"the default search":           {[]string{"-search", "default"}, cli.ExitOK, nil},
		"the section":                  {[]string{"-config", config}, cli.ExitOK, nil},
		"no search in spite of it":     {[]string{"-config", config, "-search", "none", "-search-dir", "x"}, cli.ExitUsage, []string{"-search-dir: it takes -search"}},
		"all groups":                   {[]string{"-config", config, "-all-groups"}, cli.ExitUsage, []string{"-search: it takes one group", "-search none"}},
		"no such file":                 {[]string{"-search", "/does/not/exist.yaml"}, cli.ExitUsage, []string{"-search: ", "exist.yaml"}},
		"keys that are none":           {[]string{"-search", writeFile(t, "s.yaml", "spice: {}\ntrails: 3\n")}, cli.ExitUsage, []string{"s.yaml", `line 1: unknown key "spice"`, `line 2: unknown key "trails"`}},
		"a space with several faults":  {[]string{"-search", writeFile(t, "s.yaml", "space: {hiden: [1], seed: [1, 2], layers: {int: [99, 100]}, rate: {log: [1e-4, 1e-3]}}\ntrials: 3\neta: 1\n"), "-horizon", "-1"}, cli.ExitUsage, []string{`"hiden" is no key`, "seed cannot be searched", "eta: 1", "horizon: -1"}},
		"a value that no model allows": {[]string{"-search", writeFile(t, "s.yaml", "space: {layers: {int: [99, 100]}, rate: {log: [1, 3]}}\ntrials: 3\n")}, cli.ExitUsage, []string{"layers: ", "1 to 16", "rate: "}},
		"epochs beside a budget":       {[]string{"-config", config, "-epochs", "4"}, cli.ExitUsage, []string{"max_budget: 27 epochs contradict the 4"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := execute(t.Context(), append(c.args, "-check")...)
			if code != c.code {
				t.Errorf("exit code %d, want %d: %s", code, c.code, stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("the message does not say %q: %s", want, stderr)
				}
			}
		})
	}
}
