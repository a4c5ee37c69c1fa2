package search

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func open(t *testing.T, dir string) *Journal {
	t.Helper()
	j, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

// halfFailing has losses with all digits, and failures with awkward messages.
func halfFailing(ctx context.Context, p Params, budget int) (float64, error) {
	loss, _ := bowlLoss(ctx, p, budget)
	if int(1e5*loss)%3 == 0 {
		return 0, fmt.Errorf("line one\nline two | \"%g\"", loss)
	}
	return loss, nil
}

func TestASearchStoppedAfterAnyEvaluationGoesOnAsIfNothingHadBeen(t *testing.T) {
	want := mustRun(t, bowl(), halfFailing, nil)
	for stop := 0; stop < len(want.Trials); stop += 3 {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(context.Background())
		c := bowl()
		c.Workers = 1 + stop%4
		c.Progress = func(p Progress) {
			if p.Done > stop {
				cancel()
			}
		}
		j := open(t, dir)
		if _, err := Run(ctx, c, halfFailing, j); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		j.Close()
		j = open(t, dir) // read from the file, not from memory
		kept := len(j.entries)
		fresh := 0
		c = bowl()
		c.Progress = func(p Progress) {
			if !p.Reused {
				fresh++
			}
		}
		if got := mustRun(t, c, halfFailing, j); !equal(got, want) {
			t.Fatalf("stopped after %d: %+v, want %+v", stop, got.Best, want.Best)
		}
		if kept+fresh != len(want.Trials) || kept < stop {
			t.Fatalf("stopped after %d: %d were kept and %d evaluated", stop, kept, fresh)
		}
		j.Close()
	}
}

func TestALastLineCutShortAnywhereIsForgotten(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	want := mustRun(t, bowl(), halfFailing, j)
	j.Close()
	path := filepath.Join(dir, journalName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := 0; cut < len(whole); cut += 401 {
		for _, tail := range []string{"", "\x00\x00\x00"} { // a crash of the machine may leave zeros
			if err := os.WriteFile(path, []byte(string(whole[:cut])+tail), 0o600); err != nil {
				t.Fatal(err)
			}
			j := open(t, dir)
			if n := bytes.Count(whole[:cut], []byte("\n")); len(j.entries) != max(0, n-1) {
				t.Fatalf("cut at %d: %d entries of %d lines", cut, len(j.entries), n)
			}
			if got := mustRun(t, bowl(), halfFailing, j); !equal(got, want) {
				t.Fatalf("cut at %d: %+v", cut, got.Best)
			}
			j.Close()
			if again, _ := os.ReadFile(path); !bytes.Equal(again, whole) {
				t.Fatalf("cut at %d: the journal did not become what it was", cut)
			}
		}
	}
}

func TestAJournalOfAnotherSearchIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string // empty: it is the same search
	}{
		{"another seed", func(c *Config) { c.Seed = 4 }, "seed is 0 there and 4 here"},
		{"other data", func(c *Config) { c.DataHash = "b" }, "data is a there and b here"},
		{"another space", func(c *Config) { c.Space["x"] = Uniform(-2, 1) }, "space.x is {uniform: [-1, 1]} there and {uniform: [-2, 1]} here"},
		{"a further parameter", func(c *Config) { c.Space["y"] = Choice("a, b") }, `space.y is absent there and ["a, b"] here`},
		{"a parameter less", func(c *Config) { delete(c.Space, "x") }, "space.x is {uniform: [-1, 1]} there and absent here"},
		{"more trials and another eta", func(c *Config) { c.Trials, c.Eta = 32, 2 }, "eta is 3 there and 2 here; trials is 27 there and 32 here"},
		{"other budgets", func(c *Config) { c.MinBudget, c.MaxBudget = 2, 54 }, "max_budget is 27 there and 54 here; min_budget is 1 there and 2 here"},
		{"other brackets", func(c *Config) { c.Brackets = 3 }, "brackets is 2 there and 3 here"},
		{"more workers are the same search", func(c *Config) { c.Workers = 4 }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := open(t, t.TempDir())
			c := bowl()
			c.DataHash = "a"
			mustRun(t, c, bowlLoss, j)
			tt.change(&c)
			_, err := Run(context.Background(), c, bowlLoss, j)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, ErrOtherSearch) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "remove the file to begin anew") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestADamagedJournalIsNamedWithItsLine(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	mustRun(t, bowl(), bowlLoss, j)
	j.Close()
	path := filepath.Join(dir, journalName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(whole), "\n")
	for _, tt := range []struct {
		name    string
		line    int // counts from 0
		content string
		want    string
	}{
		{"a header that is none", 0, "{}\n", "line 1: version 0 is not 1"},
		{"a header of other settings", 0, strings.Replace(lines[0], `"seed":"0"`, `"seed":"1"`, 1), "line 1: the fingerprint"},
		{"no JSON", 5, "{\n", "line 6: "},
		{"an empty line", 5, "\n", "line 6: "},
		{"an unknown key", 5, `{"id":1,"los":3}` + "\n", `line 6: json: unknown field "los"`},
		{"a state that is none", 5, strings.Replace(lines[5], `"done"`, `"dne"`, 1), `line 6: the state "dne"`},
		{"a loss that is missing", 5, strings.Replace(lines[5], `"loss"`, `"error":"","seconds"`, 1), "line 6: "},
		{"an evaluation that is there twice", 5, lines[4], "line 6: trial 3 with budget 1 in rung 0 is no part"},
		{"a trial that there is not", 5, strings.Replace(lines[5], `"id":4`, `"id":400`, 1), "line 6: trial 400"},
		{"parameters that were drawn in another way", 5, strings.Replace(lines[5], `"x":`, `"x":1`, 1), "line 6: trial 4 with budget 1"},
		{"a budget that the rung has not", 5, strings.Replace(lines[5], `"budget":1`, `"budget":2`, 1), "line 6: trial 4 with budget 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.content == lines[tt.line] {
				t.Fatal("nothing was changed")
			}
			changed := strings.Join(lines[:tt.line], "") + tt.content + strings.Join(lines[tt.line+1:], "")
			if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
			j, err := Open(dir)
			if err == nil {
				_, err = Run(context.Background(), bowl(), bowlLoss, j)
				j.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "remove the file to begin anew") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestOneSearchHasAJournalAtATime(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	if _, err := Open(dir); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), journalName) {
		t.Errorf("got %v", err)
	}
	j.Close()
	open(t, dir)
}

func TestASearchEndsWhenTheJournalCannotBeWritten(t *testing.T) {
	j := open(t, t.TempDir())
	c := bowl()
	c.Progress = func(p Progress) {
		if p.Done == 5 {
			j.file.Close()
		}
	}
	res, err := Run(context.Background(), c, bowlLoss, j)
	if !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), journalName) || len(res.Trials) != 5 {
		t.Errorf("%v after %d trials", err, len(res.Trials))
	}
	before, err := os.ReadFile(j.path)
	if err != nil {
		t.Fatal(err)
	}
	if j.file, err = os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0); err != nil { // as if there were room again
		t.Fatal(err)
	}
	_, err = Run(context.Background(), bowl(), bowlLoss, j)
	if after, _ := os.ReadFile(j.path); !errors.Is(err, os.ErrClosed) || !bytes.Equal(after, before) {
		t.Errorf("a journal with a line cut short was written on: %v", err)
	}
	if _, err := Open(filepath.Join(j.path, "below a file")); err == nil {
		t.Error("a folder below a file")
	}
}

func TestAnEntryReadsBackAsItWas(t *testing.T) {
	for _, loss := range []float64{0.1, -1e-300, math.MaxFloat64, 1. / 3} {
		e := entry{Trial: Trial{ID: 3, Bracket: 1, Rung: 2, Budget: 9, Loss: loss, Seconds: 0.25, State: Done, Params: Params{"a": "b"}}, Elapsed: 1<<40 + 1}
		var back entry
		raw, err := e.MarshalJSON()
		if err == nil {
			err = back.UnmarshalJSON(raw)
		}
		if err != nil || fmt.Sprintf("%#v", back) != fmt.Sprintf("%#v", e) {
			t.Errorf("%+v became %+v, %v", e, back, err)
		}
	}
}

// FuzzJournal looks for a file that makes the reader or a search panic, and for an
// entry that does not read back as it was written.
func FuzzJournal(f *testing.F) {
	j := Journal{header: &header{Version: journalVersion, Settings: bowl().settings()}}
	j.header.Fingerprint = fingerprint(j.header.Settings)
	var whole bytes.Buffer
	enc := json.NewEncoder(&whole)
	if err := enc.Encode(j.header); err != nil {
		f.Fatal(err)
	}
	for _, e := range []entry{
		{Trial: Trial{ID: 2, Budget: 1, Loss: 0.1, Seconds: 0.25, State: Done, Params: bowl().Candidates()[2]}, Elapsed: 1e9},
		{Trial: Trial{ID: 2, Rung: 1, Budget: 3, Loss: math.NaN(), State: Failed, Err: "panic"}, Elapsed: 2e9},
	} {
		if err := enc.Encode(e); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(whole.Bytes())
	f.Add(whole.Bytes()[:whole.Len()-1])
	f.Fuzz(func(t *testing.T, data []byte) {
		var j Journal
		if j.parse(wholeLines(data)) != nil || j.header == nil {
			return
		}
		for _, e := range j.entries {
			raw, err := e.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			var back entry
			if err := back.UnmarshalJSON(raw); err != nil || fmt.Sprintf("%#v", back) != fmt.Sprintf("%#v", e) {
				t.Fatalf("%#v became %#v, %v", e, back, err)
			}
		}
		// What is not in the journal is not evaluated either, for speed.
		res, err := Run(context.Background(), bowl(), func(context.Context, Params, int) (float64, error) { return 0, ErrAbort }, &j)
		if err == nil && (res.Complete != 4 || res.Best.State != Done) {
			t.Fatalf("a search without an error ended with %+v", res.Best)
		}
	})
}
