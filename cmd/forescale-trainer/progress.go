package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/forescale/forescale/trainer"
)

// progress shows training: a bar on a terminal, a line for every tenth elsewhere.
type progress struct {
	out   io.Writer
	bar   *progressbar.ProgressBar // nil where out is no terminal
	live  bool
	tenth int // the last that was told, counted from 1
}

func newProgress(out io.Writer) *progress {
	f, ok := out.(*os.File)
	return &progress{out: out, live: ok && term.IsTerminal(int(f.Fd()))}
}

// barSteps is how many steps the bar has.
const barSteps = 1000

// update is called as parts of the training are done.
func (p *progress) update(u trainer.Progress) {
	if p.live {
		if p.bar == nil {
			p.bar = progressbar.NewOptions(barSteps, progressbar.OptionSetWriter(p.out),
				progressbar.OptionSetPredictTime(true), progressbar.OptionFullWidth(),
				progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
		}
		p.bar.Describe(describe(u))
		_ = p.bar.Set(int(barSteps * u.Done)) // a terminal that went away does not stop training
		return
	}
	if tenth := 1 + int(10*u.Done); tenth > p.tenth {
		p.tenth = tenth
		fmt.Fprintf(p.out, "%3.0f %%, about %s left: %s\n", 100*u.Done, u.Left.Round(time.Second), describe(u))
	}
}

func describe(u trainer.Progress) string {
	n := u.Network
	if n == nil {
		return u.Stage
	}
	s := fmt.Sprintf("%s, epoch %d/%d, loss %.5f", n.Name, n.Epoch, n.Epochs, n.Loss)
	if !math.IsNaN(n.Validation) {
		s += fmt.Sprintf(", validation %.5f", n.Validation)
	}
	if n.RejectedUpdates > 0 {
		s += fmt.Sprintf(", %d steps rejected", n.RejectedUpdates)
	}
	return s
}

// finish takes the bar off the terminal.
func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
