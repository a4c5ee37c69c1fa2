package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/batch"
)

// showGroups runs three groups of four through a display.
func showGroups(live bool) string {
	var out bytes.Buffer
	p, _ := newGroupProgress(&out)
	p.live = live
	last := &models.HorizonScore{Minutes: 60, Model: models.Score{MAE: 1.25}}
	p.update(batch.Progress{Total: 4, Skipped: 1, Last: batch.Result{Group: "api", Status: batch.Skipped}})
	p.update(batch.Progress{Total: 4, Skipped: 1, Trained: 1, Rate: 30, Left: 4 * time.Second,
		Last: batch.Result{Group: "web", Status: batch.Trained, Seconds: 2, Outcome: batch.Outcome{Last: last}}})
	p.update(batch.Progress{Total: 4, Skipped: 1, Trained: 1, Failed: 1, Rate: 60, Left: time.Second,
		Last: batch.Result{Group: "db", Status: batch.Failed, Error: "too short\nby far"}})
	p.finish()
	return out.String()
}

func TestARunOffATerminalIsALineAGroup(t *testing.T) {
	want := `api skipped: 1 of 4, 1 skipped
web trained, MAE 1.25 60 min ahead, 2.0 s: 2 of 4, 1 skipped, 30.0 a minute, 4s left
db failed (too short): 3 of 4, 1 skipped, 1 failed, 60.0 a minute, 1s left
`
	if got := showGroups(false); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}

func TestARunOnATerminalIsABarWithALineForWhatFailed(t *testing.T) {
	got := showGroups(true)
	if strings.Count(got, "\n") != 1 || !strings.Contains(got, "db failed (too short)\n") || !strings.Contains(got, "2 of 4, 1 skipped, 30.0 a minute") || !strings.Contains(got, "%") {
		t.Errorf("%q", got)
	}
}
