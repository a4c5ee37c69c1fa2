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

// progress shows training: a bar on a terminal, a line per epoch elsewhere.
type progress struct {
	out   io.Writer
	bar   *progressbar.ProgressBar // nil where out is no terminal
	live  bool
	epoch int
}

func newProgress(out io.Writer) *progress {
	f, ok := out.(*os.File)
	return &progress{out: out, live: ok && term.IsTerminal(int(f.Fd()))}
}

// update is called after every step.
func (p *progress) update(u trainer.Progress) {
	if p.live {
		if p.bar == nil {
			p.bar = progressbar.NewOptions(u.Epochs*u.Steps, progressbar.OptionSetWriter(p.out),
				progressbar.OptionSetPredictTime(true), progressbar.OptionFullWidth(),
				progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
		}
		p.bar.Describe(describe(u))
		_ = p.bar.Set((u.Epoch-1)*u.Steps + u.Step) // a terminal that went away does not stop training
		return
	}
	if u.Epoch != p.epoch {
		p.epoch = u.Epoch
		fmt.Fprintf(p.out, "%s, rate %.2g, %s left at most\n", describe(u), u.Rate, u.Left.Round(time.Second))
	}
}

func describe(u trainer.Progress) string {
	s := fmt.Sprintf("epoch %d/%d, loss %.5f", u.Epoch, u.Epochs, u.Loss)
	if !math.IsNaN(u.Validation) {
		s += fmt.Sprintf(", validation %.5f", u.Validation)
	}
	if u.RejectedUpdates > 0 {
		s += fmt.Sprintf(", %d steps rejected", u.RejectedUpdates)
	}
	return s
}

// finish takes the bar off the terminal.
func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
