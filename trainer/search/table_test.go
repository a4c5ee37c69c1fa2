package search

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// small is a result with a promoted trial, a tie, and a failure that is awkward to print.
func small() Result {
	p := func(rate float64, loss string) Params { return Params{"rate": rate, "loss": loss} }
	r := Result{Budgets: []int{1, 3}, Complete: 2, Trials: []Trial{
		{ID: 0, Params: p(0.00123456, "absolute"), Budget: 1, Loss: 0.5, Seconds: 1.25, State: Done},
		{ID: 1, Params: p(0.01, "hu|ber"), Budget: 1, Loss: math.NaN(), State: Failed, Err: "panic: a | b\n\tat line 3"},
		{ID: 2, Params: p(0.1, "absolute"), Budget: 1, Loss: 1. / 3, State: Done},
		{ID: 3, Params: p(0.2, "absolute"), Budget: 1, Loss: 0.5, State: Done},
		{ID: 2, Params: p(0.1, "absolute"), Rung: 1, Budget: 3, Loss: 0.25, State: Done},
	}}
	r.Best = r.Trials[4]
	return r
}

func TestTheTableIsSortedByRungAndLoss(t *testing.T) {
	var text strings.Builder
	if err := small().WriteText(&text); err != nil {
		t.Fatal(err)
	}
	want := `rung  budget  bracket  trial  state   loss      seconds  parameter loss  rate        error
1     3       0        2      done    0.25      0.000    absolute        0.1
0     1       0        2      done    0.333333  0.000    absolute        0.1
0     1       0        0      done    0.5       1.250    absolute        0.00123456
0     1       0        3      done    0.5       0.000    absolute        0.2
0     1       0        1      failed            0.000    hu|ber          0.01        panic: a | b at line 3
`
	if text.String() != want {
		t.Errorf("got\n%s\nwant\n%s", text.String(), want)
	}
	text.Reset()
	if err := small().WriteMarkdown(&text); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(text.String(), "\n")
	if len(lines) != 8 || lines[1] != "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |" ||
		lines[6] != `| 0 | 1 | 0 | 1 | failed |  | 0.000 | hu\|ber | 0.01 | panic: a \| b at line 3 |` {
		t.Errorf("got\n%s", text.String())
	}
}

func TestTheCSVHoldsEveryDigit(t *testing.T) {
	var text strings.Builder
	if err := small().WriteCSV(&text); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(text.String())).ReadAll()
	if err != nil || len(rows) != 6 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	at := slices.Index(rows[0], "loss")
	if loss, err := strconv.ParseFloat(rows[2][at], 64); err != nil || loss != 1./3 {
		t.Errorf("the loss reads back as %v, %v", loss, err)
	}
	if rows[5][at] != "" {
		t.Errorf("a failed trial has the loss %q", rows[5][at])
	}
}

func TestTheFragmentSaysWhereItComesFrom(t *testing.T) {
	r := small()
	want := "# trial 2 won with a loss of 0.25 at a budget of 3; 5 evaluations of 4 trials, of which 1 failed\nloss: absolute\nrate: 0.1\n"
	if got := r.Fragment(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	r.Complete, r.TimedOut = 1, true
	if got := r.Fragment(); !strings.Contains(got, "Only 1 of 2 rungs are complete: the time budget ran out") || strings.Count(got, "\n") != 3 {
		t.Errorf("got %q", got)
	}
	if got := (Result{}); got.Fragment() != "" || !strings.Contains(got.Summary(), "no trial has a loss") {
		t.Errorf("got %q, %q", got.Fragment(), got.Summary())
	}
}

func TestATrialWithoutALossCanBeWrittenAsJSON(t *testing.T) {
	raw, err := json.Marshal(small().Trials[1:3])
	if err != nil || strings.Count(string(raw), `"loss":0`) != 1 || !strings.Contains(string(raw), `"error":"panic: a | b\n\tat line 3"`) {
		t.Errorf("%s, %v", raw, err)
	}
}

// failingWriter has no room left.
type failingWriter struct{}

var errFull = errors.New("full")

func (failingWriter) Write([]byte) (int, error) { return 0, errFull }

func TestATableThatCannotBeWrittenIsAnError(t *testing.T) {
	r := small()
	for _, err := range []error{r.WriteText(failingWriter{}), r.WriteCSV(failingWriter{}), r.WriteMarkdown(failingWriter{})} {
		if !errors.Is(err, errFull) {
			t.Errorf("got %v", err)
		}
	}
}
