package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// meter shows how far something is that has several stages: a bar on a terminal,
// a line for every quarter of a stage elsewhere. It is safe for concurrent use.
type meter struct {
	out  io.Writer
	live bool

	mu      sync.Mutex
	bar     *progressbar.ProgressBar // nil until there is something to show
	what    string                   // the stage
	quarter int                      // the last of it that was told, counted from 1
}

func newMeter(out io.Writer) *meter {
	f, ok := out.(*os.File)
	return &meter{out: out, live: ok && term.IsTerminal(int(f.Fd()))}
}

// meterSteps is how many steps the bar has.
const meterSteps = 1000

// stage returns a function that shows how much of a stage is done, 0 to 1.
func (m *meter) stage(what string) func(done float64) {
	return func(done float64) { m.update(what, done) }
}

func (m *meter) update(what string, done float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if what != m.what {
		m.what, m.quarter = what, 0
	}
	if m.live {
		if m.bar == nil {
			m.bar = progressbar.NewOptions(meterSteps, progressbar.OptionSetWriter(m.out), progressbar.OptionFullWidth(),
				progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
		}
		m.bar.Describe(what)
		_ = m.bar.Set(int(meterSteps * done)) // a terminal that went away stops nothing
		return
	}
	if quarter := 1 + int(4*done); quarter > m.quarter {
		m.quarter = quarter
		fmt.Fprintf(m.out, "%s: %3.0f %%\n", what, 100*done)
	}
}

// note tells something beside the bar.
func (m *meter) note(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bar != nil {
		_ = m.bar.Clear()
	}
	fmt.Fprintf(m.out, format+"\n", args...)
}

// finish takes the bar off the terminal.
func (m *meter) finish() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bar != nil {
		_ = m.bar.Finish()
	}
}
