package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/forescale/forescale/trainer/batch"
)

// groupProgress shows a run over many groups: a bar on a terminal, on which only
// what failed gets a line, and a line per group elsewhere. It is used by one
// goroutine at a time.
type groupProgress struct {
	out  io.Writer
	bar  *progressbar.ProgressBar // nil where out is no terminal
	live bool
}

// newGroupProgress returns the display for a run whose messages go to out, and a
// writer for these messages that is safe for concurrent use.
func newGroupProgress(out io.Writer) (*groupProgress, io.Writer) {
	f, ok := out.(*os.File)
	shared := &serial{to: out}
	return &groupProgress{out: shared, live: ok && term.IsTerminal(int(f.Fd()))}, shared
}

// update is called after every group.
func (p *groupProgress) update(u batch.Progress) {
	if !p.live {
		fmt.Fprintf(p.out, "%s: %s\n", describeGroup(u.Last), describeRun(u))
		return
	}
	if p.bar == nil {
		p.bar = progressbar.NewOptions(u.Total, progressbar.OptionSetWriter(p.out), progressbar.OptionSetPredictTime(false),
			progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish())
	}
	if u.Last.Status == batch.Failed {
		_ = p.bar.Clear()
		fmt.Fprintln(p.out, describeGroup(u.Last))
	}
	p.bar.Describe(describeRun(u))
	_ = p.bar.Set(u.Done()) // a terminal that went away does not stop training
}

// describeGroup says what became of a group.
func describeGroup(r batch.Result) string {
	s := fmt.Sprintf("%s %s", r.Label(), r.Status)
	switch {
	case r.Status == batch.Failed:
		why, _, _ := strings.Cut(r.Error, "\n")
		return s + " (" + why + ")"
	case r.Status == batch.Trained && r.Last != nil:
		s += fmt.Sprintf(", MAE %.4g %g min ahead, %.1f s", r.Last.Model.MAE, r.Last.Minutes, r.Seconds)
	}
	return s
}

// describeRun says how far the run is.
func describeRun(u batch.Progress) string {
	s := fmt.Sprintf("%d of %d", u.Done(), u.Total)
	if u.Skipped > 0 {
		s += fmt.Sprintf(", %d skipped", u.Skipped)
	}
	if u.Failed > 0 {
		s += fmt.Sprintf(", %d failed", u.Failed)
	}
	if u.Rate > 0 {
		s += fmt.Sprintf(", %.1f a minute, %s left", u.Rate, u.Left.Round(time.Second))
	}
	return s
}

// finish takes the bar off the terminal.
func (p *groupProgress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}

// serial lets several goroutines write to one writer.
type serial struct {
	mu sync.Mutex
	to io.Writer // guarded by mu
}

// Write implements io.Writer.
func (s *serial) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.to.Write(b)
}
