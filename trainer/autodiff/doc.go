// Package autodiff differentiates programs over matrices in reverse mode.
//
// A [Tape] records operations as they are computed; [Tape.Backward] then walks
// the record backwards and adds to the gradient of every parameter. Operations
// are coarse: an LSTM layer over all of its time steps is one, so that its inner
// loops are plain code over plain slices. Each operation's docstring gives its
// equations, and its code follows them in the same order and with the same
// names: forward first, then backward, in which dx stands for dLoss/dx.
//
// The package knows nothing of networks, data or training. It is written once
// for float32, in which networks are trained, and float64, in which the tests
// compare every gradient with central differences.
//
// Invariant: results depend on the operands and the tape's key alone. A tape is
// used by one goroutine at a time.
//
// Matrices are row-major. A sequence of T steps over a batch of B is a matrix of
// T*B rows, time-major: row t*B+b is step t of batch element b.
package autodiff
