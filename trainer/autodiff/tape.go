package autodiff

import "github.com/forescale/forescale/trainer/kernel"

// Float is the element type of a matrix.
type Float = kernel.Float

// Node is a matrix on a tape.
type Node[T Float] struct {
	Rows, Cols int
	Value      []T // [Rows, Cols]
	// Grad is dLoss/dValue, filled by Backward. It is nil for a node whose
	// gradient nobody asked for: an input, or what follows from inputs alone. A
	// result that did not lead to the loss keeps whatever its memory held.
	Grad []T

	param bool     // the memory is the caller's
	begun bool     // Grad holds at least a part of the gradient
	whole *Node[T] // for a view: the node whose memory it shares
}

// Row returns the values of row r.
func (n *Node[T]) Row(r int) []T { return n.Value[r*n.Cols : (r+1)*n.Cols] }

// begin says that a contribution to n.Grad follows, and returns whether it is to
// be added: the first one overwrites what the memory held, which spares clearing
// it. A view never comes first, as it would leave the rest of the memory alone.
func (n *Node[T]) begin() (accumulate bool) {
	if n.whole != nil {
		if !n.whole.begin() {
			clear(n.whole.Grad)
		}
		return true
	}
	accumulate, n.begun = n.begun, true
	return accumulate
}

// gradient returns n.Grad for a contribution that only adds.
func (n *Node[T]) gradient() []T {
	if !n.begin() {
		clear(n.Grad)
	}
	return n.Grad
}

// Tape records a computation. Its zero value is ready for use; Reset readies it
// for the next computation and keeps its memory: nodes, values and operations of
// a computation that is repeated are those of the time before, so that it
// allocates nothing.
type Tape[T Float] struct {
	arena    arena[T]
	nodes    []*Node[T] // handed out and, up to the capacity, to be handed out again
	entries  []entry[T] // in the order of the forward computation; likewise
	key      uint64     // of the random numbers; see Dropout
	training bool
	drops    uint64 // dropout operations recorded so far
	packs    *Packs[T]
}

// entry is one operation of the record.
type entry[T Float] struct {
	result *Node[T]
	operation
}

// operation is what an operation remembers of its forward half, with its
// backward half: that adds to the gradients of the operands, given the result's.
type operation interface{ backward() }

// Reset forgets the record; every node of it becomes invalid. In training,
// dropout draws its random numbers by key: the same key gives the same numbers.
// Otherwise dropout does nothing.
func (t *Tape[T]) Reset(key uint64, training bool) {
	t.arena.reset()
	t.nodes, t.entries = t.nodes[:0], t.entries[:0]
	t.key, t.training, t.drops = key, training, 0
}

// Input returns a node without a gradient, all zero, for the caller to fill.
func (t *Tape[T]) Input(rows, cols int) *Node[T] {
	n := t.node(rows, cols, t.arena.alloc(rows*cols), nil)
	clear(n.Value)
	return n
}

// Param returns a node over the caller's memory. Backward adds to grad, and does
// not clear it first; nil asks for no gradient.
func (t *Tape[T]) Param(rows, cols int, value, grad []T) *Node[T] {
	n := t.node(rows, cols, value[:rows*cols], grad)
	n.param, n.begun = true, true
	return n
}

// Backward fills the gradients of all that led to loss, a 1x1 node.
func (t *Tape[T]) Backward(loss *Node[T]) {
	if loss.Rows != 1 || loss.Cols != 1 {
		panic("autodiff: Backward needs a scalar")
	}
	if loss.Grad == nil {
		return
	}
	loss.gradient()[0] = 1
	for i := len(t.entries) - 1; i >= 0; i-- {
		if e := t.entries[i]; e.result.Grad != nil && e.result.begun {
			e.backward()
		}
	}
}

// node returns a node in memory that an earlier computation had, if there is any.
func (t *Tape[T]) node(rows, cols int, value, grad []T) *Node[T] {
	at := len(t.nodes)
	if at < cap(t.nodes) && t.nodes[:at+1][at] != nil {
		t.nodes = t.nodes[:at+1]
	} else {
		t.nodes = append(t.nodes, new(Node[T]))
	}
	n := t.nodes[at]
	*n = Node[T]{Rows: rows, Cols: cols, Value: value, Grad: grad}
	return n
}

// result returns the node of an operation's result, its values yet to be
// written. It has a gradient when one of the operands has.
func (t *Tape[T]) result(rows, cols int, operands ...*Node[T]) *Node[T] {
	n := t.node(rows, cols, t.arena.alloc(rows*cols), nil)
	if needed(operands...) {
		n.Grad = t.arena.alloc(rows * cols)
	}
	return n
}

// needed reports whether one of the nodes has a gradient.
func needed[T Float](nodes ...*Node[T]) bool {
	for _, n := range nodes {
		if n != nil && n.Grad != nil {
			return true
		}
	}
	return false
}

// operationOf returns an operation of type O for the tape's next entry: the one
// that stood there in an earlier computation, its fields as they were, or a new
// one.
func operationOf[O any, T Float](t *Tape[T]) *O {
	if at := len(t.entries); at < cap(t.entries) {
		if o, ok := any(t.entries[:at+1][at].operation).(*O); ok {
			return o
		}
	}
	return new(O)
}

// record appends the operation that made n.
func (t *Tape[T]) record(n *Node[T], o operation) {
	t.entries = append(t.entries, entry[T]{n, o})
}

// arena hands out slices, whose contents are undefined, and takes all of them
// back at once. After the first computation it is one block, large enough for
// the next of the same size.
type arena[T Float] struct {
	block []T
	used  int
	asked int // elements handed out since the last reset, spilled ones included
}

// alignment, in elements, is a cache line: slices begin where lines do.
const alignment = 16

func (a *arena[T]) alloc(n int) []T {
	size := (n + alignment - 1) / alignment * alignment
	a.asked += size
	if a.used+size > len(a.block) {
		return make([]T, n) // spills to the garbage collector until the next reset
	}
	s := a.block[a.used : a.used+n : a.used+n]
	a.used += size
	return s
}

func (a *arena[T]) reset() {
	if a.asked > len(a.block) {
		a.block = make([]T, a.asked)
	}
	a.used, a.asked = 0, 0
}
