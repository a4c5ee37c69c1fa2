package search

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// withLists is a search whose choices are lists, with trials that are given.
func withLists(t *testing.T) Config {
	t.Helper()
	c, err := FromYAML([]byte("space: {members: [[a], [a, b], []], rate: {log: [1e-4, 1]}}\ntrials: 6\nmin_budget: 1\nmax_budget: 3\n"))
	if err != nil {
		t.Fatal(err)
	}
	c.Given = []Params{{}, {"rate": 1e-4}} // the best, and the worst of all
	return c
}

// byRate prefers the greatest rate; 0.9 stands for what is not set.
func byRate(_ context.Context, p Params, budget int) (float64, error) {
	if p["rate"] == nil {
		return 0.1 / float64(budget), nil
	}
	return (1 - p.Float("rate")) / float64(budget), nil
}

func TestGivenTrialsComeFirstAndStayToTheEnd(t *testing.T) {
	c := withLists(t)
	drawn := c
	drawn.Given = nil
	if got, want := c.Candidates(), drawn.Candidates(); !reflect.DeepEqual(got[:2], c.Given) || !reflect.DeepEqual(got[2:], want[:4]) {
		t.Errorf("candidates %v, of which are drawn %v", got, want)
	}
	dir := t.TempDir()
	run := func(c Config) (Result, error) {
		j, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		return Run(context.Background(), c, byRate, j)
	}
	first, err := run(c)
	if err != nil || first.Best.ID != 0 || len(first.Best.Params) != 0 {
		t.Fatalf("the best is %+v, %v", first.Best, err)
	}
	var text strings.Builder
	if err := first.WriteText(&text); err != nil || strings.Contains(text.String(), "nil") {
		t.Errorf("the table is\n%s%v", text.String(), err)
	}
	c.Progress = func(p Progress) {
		if !p.Reused || p.Total != 10 {
			t.Errorf("trial %d of %d was evaluated again", p.Trial.ID, p.Total)
		}
	}
	if again, err := run(c); err != nil || !reflect.DeepEqual(again, first) {
		t.Errorf("from the journal:\n%+v, %v\nat first:\n%+v", again, err, first)
	}
	var last []int
	for _, trial := range first.Trials {
		if trial.Rung == 1 {
			last = append(last, trial.ID)
		}
	}
	if len(last) != 4 || last[0] != 0 || last[1] != 1 {
		t.Errorf("of six trials %v are in the last rung; it has room for both that are given and two of the others", last)
	}
	c.Given[1] = Params{"rate": 0.25}
	if _, err := run(c); !errors.Is(err, ErrOtherSearch) || !strings.Contains(err.Error(), "given.1") {
		t.Errorf("other given trials: %v", err)
	}
	c.Given = make([]Params, 7)
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "7 are given") {
		t.Errorf("too many given trials: %v", err)
	}
}

func TestAListIsAChoice(t *testing.T) {
	c := withLists(t)
	if got, want := c.Space["members"].String(), `[["a"], ["a", "b"], []]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var into struct {
		Members []string `yaml:"members"`
	}
	p := Params{"members": []any{"a", "b"}}
	if err := p.Apply(&into); err != nil || !reflect.DeepEqual(into.Members, []string{"a", "b"}) {
		t.Errorf("got %v, %v", into, err)
	}
	for _, choices := range [][]any{{[]any{"a"}, []any{"a"}}, {[]any{nil}}, {[]any{map[string]any{}}}} {
		c.Space["members"] = Choice(choices...)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "space: members: the choice") {
			t.Errorf("%v: %v", choices, err)
		}
	}
}

func TestAJournalThatIsResetTakesAnotherSearch(t *testing.T) {
	dir := t.TempDir()
	j, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := withLists(t)
	if _, err := Run(context.Background(), c, byRate, j); err != nil {
		t.Fatal(err)
	}
	if err := j.Reset(); err != nil {
		t.Fatal(err)
	}
	c.Seed++
	want, err := Run(context.Background(), c, byRate, j)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if j, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if got, err := Run(context.Background(), c, byRate, j); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}
