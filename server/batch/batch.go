// Package batch stands between the handlers and the models' sessions: it says who
// runs when, and which rows of different requests go in one run.
//
// A request that finds a worker idle runs at once. What arrives while all workers
// are busy waits, and goes together in the next run of its model. There is no
// timer: waiting for company would cost more than it gains, because a run takes
// less than the shortest time that a timer can wait.
//
// The invariant: no more than the given number of runs at a time, whatever models
// they are of; no more than the given number of rows waiting, but for the last
// request that was let in; whoever finds the queue full learns it at once; and
// whoever gives up waiting is not run.
package batch

import (
	"context"
	"errors"

	"github.com/forescale/forescale/server/tensor"
)

// ErrFull is returned when the queue is full. The caller should try again later.
var ErrFull = errors.New("too many requests are waiting")

// Batch is the input of one request: one tensor per input of the model, in the order
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

// Coalescer is a Runner whose model runs rows of different requests together.
// Whatever is no Coalescer runs each request alone and whole.
type Coalescer interface {
	Runner
	// MaxRows returns the number of rows that one run should have at most; 0: the
	// model cannot run rows of different requests together.
	MaxRows() int
	// Lane returns room for one run, which the caller has for itself until Free. The
	// error says why there is none.
	Lane() (Lane, error)
}

// Lane is the memory of one run at a time. Its methods are for one goroutine.
type Lane interface {
	// Inputs returns one tensor per input of the model with MaxRows rows, or more, to
	// be filled.
	Inputs() []tensor.Tensor
	// Run runs the first rows of the inputs. It returns one tensor per output, each
	// with that many rows, which are valid until the next Run or Free. It stops when
	// ctx ends.
	Run(ctx context.Context, rows int) ([]tensor.Tensor, error)
	// Free gives the lane back.
	Free()
}
