package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/journal"
)

// tailRun follows a lake in this process until its output has so many lines.
func tailRun(t *testing.T, lines int, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var errOut bytes.Buffer
	out := &countingLines{left: lines, done: cancel}
	tl := &tail{out: out, errOut: &errOut, getenv: os.Getenv, now: func() time.Time { return past.Add(2 * time.Minute) }}
	c := tailCommand()
	c.Flags, c.Check, c.Run = tl.flags, tl.check, tl.run
	code := cli.Execute(ctx, c, args, out, &errOut)
	return outcome{code, out.String(), errOut.String()}
}

// countingLines calls done when enough lines have been written.
type countingLines struct {
	text bytes.Buffer // not embedded: its WriteString would go past Write
	left int
	done func()
}

// String returns what has been written.
func (c *countingLines) String() string { return c.text.String() }

func (c *countingLines) Write(p []byte) (int, error) {
	if c.left -= bytes.Count(p, []byte("\n")); c.left <= 0 {
		c.done()
	}
	return c.text.Write(p)
}

func TestDecisionsAreShownFromSomeTimeOn(t *testing.T) {
	lake := recorded(t, 12, nil)
	o := tailRun(t, 2, "-store", lake)
	o.said(t, 0, "03-02 12:00Z  idle  cpu 50 %  stays at 2 instances", "03-02 12:00Z  web  cpu 85 %  ")
	if n := strings.Count(o.stdout, "\n"); n != 2 {
		t.Errorf("%d lines:\n%s", n, o.stdout)
	}
	if o = tailRun(t, 6, "-store", lake, "web", "-since", "30m"); strings.Contains(o.stdout, "idle") || strings.Count(o.stdout, "\n") != 6 || !strings.HasPrefix(o.stdout, "03-02 11:35Z  web") {
		t.Errorf("the last half hour of web is\n%s", o.stdout)
	}
	if o = tailRun(t, 3, "-store", lake, "-since", "1h", "-changes"); strings.Contains(o.stdout, "idle") || !strings.Contains(o.stdout, "-> ") {
		t.Errorf("the changes are\n%s", o.stdout)
	}
	o = tailRun(t, 1, "-store", lake, "web", "-o", "json")
	var line tailed
	if err := json.Unmarshal([]byte(o.stdout), &line); err != nil || line.Decision == nil || line.Decision.Group != "web" || !line.Tick.Equal(past) || line.Scaler != "host-1" {
		t.Errorf("%v: %s", err, o.stdout)
	}
}

func TestATickThatWentWrongIsShown(t *testing.T) {
	lake := recorded(t, 1, func(rec *api.TickRecord) {
		rec.Errors, rec.Brake = []string{"history:\x1b[2J slow"}, &api.Brake{Groups: 12}
		rec.Decisions[0].Alerts = []string{"at-maximum"}
	})
	tailRun(t, 4, "-store", lake).said(t, 0, "tick error: history: [2J slow", "the brake holds scale-ins: 12 groups", "[at-maximum]")
	o := tailRun(t, 3, "-store", lake, "-o", "json")
	if !strings.Contains(o.stdout, `"errors":["history:`) || !strings.Contains(o.stdout, `"brake":{"groups":12`) {
		t.Errorf("got %s", o.stdout)
	}
}

// What is recorded while tail runs, also late and for an earlier tick, is shown once;
// what cannot be read is told of and does not end it; Ctrl-C does.
func TestDecisionsAreFollowed(t *testing.T) {
	lake := filepath.Join(t.TempDir(), "lake")
	j := journal.New(openLake(t, lake))
	record := func(tick time.Time) {
		rec := api.TickRecord{Tick: tick, Scaler: "one", Decisions: []api.Decision{{Group: "web", Tick: tick, Capacity: api.Capacity{Desired: 4, Max: 9}, Desired: 4}}}
		if err := j.Append(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
	}
	tick := time.Now().UTC().Truncate(systemStep)
	record(tick.Add(-systemStep))
	cmd := exec.Command(filepath.Join(programs(t), "forescale"), "tail", "-store", lake, "-every", "100ms")
	cmd.Env = withoutCredentials()
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	lines := bufio.NewReader(out)
	expect := func(tick time.Time) {
		t.Helper()
		line, err := lines.ReadString('\n')
		if want := clock(tick) + "  web  load ?  stays at 4 instances"; err != nil || !strings.HasPrefix(line, want) {
			t.Fatalf("%q, %v, want %q", line, err, want)
		}
	}
	expect(tick.Add(-systemStep))
	record(tick)
	expect(tick)
	if _, err := openLake(t, lake).Put(t.Context(), j.Key(tick.Add(-3*systemStep)), []byte("{"), blob.Condition{}); err != nil {
		t.Fatal(err)
	}
	record(tick.Add(-time.Minute)) // late, by the next scaler
	expect(tick.Add(-time.Minute))
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(lines)
	if waitErr := cmd.Wait(); waitErr != nil || err != nil || len(rest) > 0 {
		t.Errorf("%v, %v, then %q\n%s", waitErr, err, rest, errOut.String())
	}
}

func TestTheCommandLineOfTailIsChecked(t *testing.T) {
	lake, config := installation(t)
	for want, args := range map[string][]string{
		"-store URL or -config FILE":       {},
		"-since: \"x\" is no length":       {"-store", lake, "-since", "x"},
		"-since 0s: must be positive":      {"-store", lake, "-since", "0s"},
		"at most 90 days":                  {"-store", lake, "-since", "91d"},
		"-every 1ms: must be 100ms to 1h":  {"-store", lake, "-every", "1ms"},
		`"yaml" is not table or json`:      {"-store", lake, "-o", "yaml"},
		`there is no group "wbe"`:          {"-config", config, "wbe"},
		"-shard is empty":                  {"-store", lake, "-shard", ""},
		"-store and -config exclude each ": {"-store", lake, "-config", config},
	} {
		tailRun(t, 1, args...).expect(t, 2, want)
	}
}
