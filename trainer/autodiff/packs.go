package autodiff

import (
	"sync"

	"github.com/forescale/forescale/trainer/kernel"
)

// Packs keeps parameters in the layout that kernel.GemmPacked takes them in, once
// for all tapes that share it: packing a layer's weights costs about as much as
// a step of the layer. Its zero value is ready for use, by several goroutines at
// once, but for Outdate.
type Packs[T Float] struct {
	mu   sync.Mutex
	used []*pack[T] // asked for since Outdate was last called, or before that
	free []*pack[T] // memory for others
}

// pack is one parameter, or its transpose.
type pack[T Float] struct {
	k, n   int
	b      kernel.Operand[T]
	wanted bool // since Outdate was last called; guarded by Packs.mu

	mu     sync.Mutex // guards what follows
	fresh  bool
	packed kernel.Packed[T]
}

// Outdate says that parameters may have changed. What nobody asked for since the
// last time is forgotten. It returns how many are left to Refresh. No tape that
// shares p may be in use.
func (p *Packs[T]) Outdate() int {
	kept := p.used[:0]
	for _, e := range p.used {
		e.fresh = false
		if !e.wanted {
			e.b = kernel.Operand[T]{}
			p.free = append(p.free, e)
			continue
		}
		e.wanted = false
		kept = append(kept, e)
	}
	p.used = kept
	return len(kept)
}

// Refresh packs the parameter with number i, below what Outdate returned. It is a
// way to spread the work over goroutines: what has not been refreshed is packed
// when it is first asked for.
func (p *Packs[T]) Refresh(i int) {
	p.mu.Lock()
	e := p.used[i]
	p.mu.Unlock()
	e.pack()
}

// of returns b [k, n] as packed.
func (p *Packs[T]) of(k, n int, b kernel.Operand[T]) *kernel.Packed[T] {
	e := p.entry(k, n, b)
	e.pack()
	return &e.packed
}

func (p *Packs[T]) entry(k, n int, b kernel.Operand[T]) *pack[T] {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.used {
		if e.k == k && e.n == n && e.b.Trans == b.Trans && e.b.Stride == b.Stride && &e.b.Data[0] == &b.Data[0] {
			e.wanted = true
			return e
		}
	}
	e := &pack[T]{}
	if last := len(p.free) - 1; last >= 0 {
		e, p.free = p.free[last], p.free[:last]
	}
	e.k, e.n, e.b, e.wanted = k, n, b, true
	p.used = append(p.used, e)
	return e
}

// pack packs the parameter unless that has been done.
func (e *pack[T]) pack() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.fresh {
		e.packed.Pack(e.k, e.n, e.b)
		e.fresh = true
	}
}

// Share lets the tape take packed parameters from p, whose values must stay as
// they are until p.Outdate is called.
func (t *Tape[T]) Share(p *Packs[T]) { t.packs = p }

// packed returns b [k, n], the values of node w or their transpose, as packed:
// in own, unless it is shared.
func (t *Tape[T]) packed(own *kernel.Packed[T], w *Node[T], k, n int, b kernel.Operand[T]) *kernel.Packed[T] {
	if t.packs != nil && w.param {
		return t.packs.of(k, n, b)
	}
	own.Pack(k, n, b)
	return own
}
