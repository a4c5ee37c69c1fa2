package main

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/trainer"
)

// show runs a training of a linear part and a network through a progress display.
func show(live bool) string {
	var out bytes.Buffer
	p := newProgress(&out)
	p.live = live
	p.update(trainer.Progress{Stage: "linear", Done: 0.04, Left: 2 * time.Minute})
	p.update(trainer.Progress{Stage: "linear", Done: 0.08, Left: 2 * time.Minute})
	n := trainer.NetworkProgress{Name: "network residual 1", Epoch: 1, Epochs: 3, Loss: 0.5, Validation: math.NaN()}
	p.update(trainer.Progress{Stage: "network", Done: 0.5, Left: 90 * time.Second, Network: &n})
	n = trainer.NetworkProgress{Name: "network residual 1", Epoch: 3, Epochs: 3, Loss: 0.25, Validation: 0.375, RejectedUpdates: 1}
	p.update(trainer.Progress{Stage: "network", Done: 1, Network: &n})
	p.finish()
	return out.String()
}

func TestProgressOffATerminalIsALineForEveryTenth(t *testing.T) {
	want := `  4 %, about 2m0s left: linear
 50 %, about 1m30s left: network residual 1, epoch 1/3, loss 0.50000
100 %, about 0s left: network residual 1, epoch 3/3, loss 0.25000, validation 0.37500, 1 steps rejected
`
	if got := show(false); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}

func TestProgressOnATerminalIsABar(t *testing.T) {
	if got := show(true); !strings.Contains(got, "linear") || !strings.Contains(got, "%") || strings.Contains(got, "\n") {
		t.Errorf("got %q", got)
	}
}
