package main

import (
	"fmt"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/forescale/forescale/collector"
)

// progressEvery is how often a back-fill logs its progress.
const progressEvery = 10 * time.Second

// progress returns what shows a back-fill's progress, with the time that it is
// likely to take yet: a bar on a terminal, log lines otherwise.
func (p *program) progress() func(collector.Progress) {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return p.logProgress(time.Now)
	}
	var bar *progressbar.ProgressBar
	return func(pr collector.Progress) {
		if bar == nil {
			bar = progressbar.NewOptions64(int64(pr.Total/time.Minute), progressbar.OptionSetWriter(os.Stderr),
				progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish())
		}
		bar.Describe(fmt.Sprintf("%s %s, %d samples", pr.Source, pr.At.Format("2006-01-02 15:04"), pr.Samples))
		_ = bar.Set64(int64(pr.Done / time.Minute)) // a terminal that is gone is no reason to stop
	}
}

// logProgress logs the first and the last step, and others now and then.
func (p *program) logProgress(now func() time.Time) func(collector.Progress) {
	began := now()
	var last time.Time
	return func(pr collector.Progress) {
		at := now()
		if at.Sub(last) < progressEvery && pr.Done < pr.Total {
			return
		}
		last = at
		p.log.Info("back-fill", "source", pr.Source, "at", pr.At, "done", pr.Done.String(), "total", pr.Total.String(),
			"samples", pr.Samples, "left", left(at.Sub(began), pr).String())
	}
}

// left returns how long the rest takes at the speed so far; 0 while none is known.
func left(took time.Duration, pr collector.Progress) time.Duration {
	if pr.Done <= 0 {
		return 0
	}
	return time.Duration(float64(took) * float64(pr.Total-pr.Done) / float64(pr.Done)).Round(time.Second)
}
