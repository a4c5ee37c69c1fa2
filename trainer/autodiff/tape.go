package autodiff

import "github.com/forescale/forescale/trainer/kernel"

// Float is the element type of a matrix.
type Float = kernel.Float

// Node is a matrix on a tape.
type Node[T Float] struct {
	Rows, Cols int
	Value      []T // [Rows, Cols]
	// Grad is dLoss/dValue, filled by Backward. It is nil for a node whose
	// gradient nobody asked for: an input, or what follows from inputs alone.
	Grad []T
}

// Row returns the values of row r.
func (n *Node[T]) Row(r int) []T { return n.Value[r*n.Cols : (r+1)*n.Cols] }

// Tape records a computation. Its zero value is ready for use; Reset readies it
// for the next computation and keeps its memory.
type Tape[T Float] struct {
	arena    arena[T]
	backward []func() // in the order of the forward computation
	key      uint64   // of the random numbers; see Dropout
	training bool
	drops    uint64 // dropout operations recorded so far
}

// Reset forgets the record; every node of it becomes invalid. In training,
// dropout draws its random numbers by key: the same key gives the same numbers.
// Otherwise dropout does nothing.
func (t *Tape[T]) Reset(key uint64, training bool) {
	t.arena.reset()
	clear(t.backward) // let go of the closures' nodes
	t.backward = t.backward[:0]
	t.key, t.training, t.drops = key, training, 0
}

// Input returns a node without a gradient, all zero, for the caller to fill.
func (t *Tape[T]) Input(rows, cols int) *Node[T] {
	return &Node[T]{Rows: rows, Cols: cols, Value: t.arena.alloc(rows * cols)}
}

// Param returns a node over the caller's memory. Backward adds to grad, and does
// not clear it first; nil asks for no gradient.
func (t *Tape[T]) Param(rows, cols int, value, grad []T) *Node[T] {
	return &Node[T]{Rows: rows, Cols: cols, Value: value[:rows*cols], Grad: grad}
}

// Backward fills the gradients of all that led to loss, a 1x1 node.
func (t *Tape[T]) Backward(loss *Node[T]) {
	if loss.Rows != 1 || loss.Cols != 1 {
		panic("autodiff: Backward needs a scalar")
	}
	if loss.Grad == nil {
		return
	}
	loss.Grad[0] = 1
	for i := len(t.backward) - 1; i >= 0; i-- {
		t.backward[i]()
	}
}

// result returns the node of an operation's result. It has a gradient when one
// of the operands has.
func (t *Tape[T]) result(rows, cols int, operands ...*Node[T]) *Node[T] {
	n := t.Input(rows, cols)
	for _, o := range operands {
		if o != nil && o.Grad != nil {
			n.Grad = t.arena.alloc(rows * cols)
			break
		}
	}
	return n
}

// record keeps the backward half of the operation that made n, if n needs one.
func (t *Tape[T]) record(n *Node[T], backward func()) {
	if n.Grad != nil {
		t.backward = append(t.backward, backward)
	}
}

// arena hands out zeroed slices and takes all of them back at once. After the
// first computation it is one block, large enough for the next of the same size.
type arena[T Float] struct {
	block []T
	used  int
	asked int // elements handed out since the last reset, spilled ones included
}

func (a *arena[T]) alloc(n int) []T {
	a.asked += n
	if a.used+n > len(a.block) {
		return make([]T, n) // spills to the garbage collector until the next reset
	}
	s := a.block[a.used : a.used+n : a.used+n]
	a.used += n
	clear(s)
	return s
}

func (a *arena[T]) reset() {
	if a.asked > len(a.block) {
		a.block = make([]T, a.asked)
	}
	a.used, a.asked = 0, 0
}
