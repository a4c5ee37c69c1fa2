// Package batch stands between the handlers and a model's session. Today it
// bounds how many runs go on at once and how many wait for their turn; what
// coalesces waiting requests into one run will implement the same Runner.
//
// The invariant: no more than the given number of runs at a time, no more than
// the given number waiting, and whoever finds the queue full learns it at once.
package batch

import (
	"context"
	"errors"
	"fmt"

	"github.com/forescale/forescale/server/tensor"
)

// ErrFull is returned when the queue is full. The caller should try again later.
var ErrFull = errors.New("too many requests are waiting")

// Batch is the input of one run: one tensor per input of the model, in the order
// in which the model declares them.
type Batch struct {
	// Rows is the length of the first axis, which all inputs and outputs share
	// (tensor.Batched). 0: they share none, and the batch runs alone and whole.
	Rows   int
	Inputs []tensor.Tensor
}

// Runner runs a model. It is safe for concurrent use.
type Runner interface {
	// Run returns one tensor per output of the model, in the model's order. The
	// caller owns them. The inputs are only read, and not after Run has returned.
	Run(ctx context.Context, b Batch) ([]tensor.Tensor, error)
}

// Gate lets a bounded number of runs through at a time, whatever models they are
// of, because they all share the same processors.
type Gate struct {
	running chan struct{} // a token for each run that goes on
	present chan struct{} // a token for each run that goes on or waits
}

// NewGate returns a gate for concurrent runs and a queue of queued more.
func NewGate(concurrent, queued int) *Gate {
	return &Gate{running: make(chan struct{}, concurrent), present: make(chan struct{}, concurrent+queued)}
}

// Waiting returns the number of runs in the queue, for a gauge.
func (g *Gate) Waiting() int { return max(0, len(g.present)-len(g.running)) }

// Running returns the number of runs that go on, for a gauge.
func (g *Gate) Running() int { return len(g.running) }

// Run runs b on r when its turn comes. It returns ErrFull when the queue is
// full, and the context's error when that ends first.
func (g *Gate) Run(ctx context.Context, r Runner, b Batch) ([]tensor.Tensor, error) {
	select {
	case g.present <- struct{}{}:
	default:
		return nil, ErrFull
	}
	defer func() { <-g.present }()
	select {
	case g.running <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for a run: %w", context.Cause(ctx))
	}
	defer func() { <-g.running }()
	if ctx.Err() != nil { // both were ready, and select may have taken either
		return nil, fmt.Errorf("waiting for a run: %w", context.Cause(ctx))
	}
	return r.Run(ctx, b)
}
