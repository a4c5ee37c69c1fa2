package main

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/trainer"
)

// show runs three epochs of two steps through a progress display.
func show(live bool) string {
	var out bytes.Buffer
	p := newProgress(&out)
	p.live = live
	validation := math.NaN()
	for epoch := 1; epoch <= 3; epoch++ {
		for step := 1; step <= 2; step++ {
			p.update(trainer.Progress{Epoch: epoch, Epochs: 3, Step: step, Steps: 2, Loss: 0.5, Validation: validation,
				Rate: 1e-3, Left: 90 * time.Second, RejectedUpdates: epoch / 3})
		}
		validation = 0.25
	}
	p.finish()
	return out.String()
}

func TestProgressOffATerminalIsALineAnEpoch(t *testing.T) {
	want := `epoch 1/3, loss 0.50000, rate 0.001, 1m30s left at most
epoch 2/3, loss 0.50000, validation 0.25000, rate 0.001, 1m30s left at most
epoch 3/3, loss 0.50000, validation 0.25000, 1 steps rejected, rate 0.001, 1m30s left at most
`
	if got := show(false); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}

func TestProgressOnATerminalIsABarWithTheLoss(t *testing.T) {
	if got := show(true); !strings.Contains(got, "epoch 1/3, loss 0.50000") || !strings.Contains(got, "%") || strings.Contains(got, "\n") {
		t.Errorf("got %q", got)
	}
}
