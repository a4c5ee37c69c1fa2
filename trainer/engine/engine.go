package engine

import (
	"sync"
	"sync/atomic"

	"github.com/forescale/forescale/trainer/autodiff"
	"github.com/forescale/forescale/trainer/kernel"
	"github.com/forescale/forescale/trainer/optim"
)

// Runner computes batches in shards. It is used by one goroutine at a time;
// during a call, each shard belongs to one of its workers.
type Runner struct {
	shardRows int
	workers   []*worker
	packs     autodiff.Packs[float32]
	grads     [][]float32 // [shards of the largest batch so far][parameters]; the first then takes their sum
	losses    []float64   // of each shard
	squares   []float64   // of each chunk of the gradient: the sum of its squares

	// What the call that is running works on.
	rows, shards int // of the batch
	key          uint64
	loss         Loss
	update       optim.Update
	params       []float32
	phase        func(w *worker, item int)
	items        int
	next         atomic.Int64 // the item to take next
	busy         sync.WaitGroup

	// The phases of a step, bound once.
	refresh, differentiate, reduce, apply, evaluate func(w *worker, item int)
}

// worker is the memory that a goroutine computes in. What was in it before has no
// influence on a result.
type worker struct {
	shard Shard
	tape  autodiff.Tape[float32]
	start func() // works until no item is left, then reports to busy
}

// Shard is a part of a batch, lent to a Loss for the time of a call.
type Shard struct {
	From, To int // its rows of the batch
	// Tape is ready for a new computation.
	Tape *autodiff.Tape[float32]
	// Grad takes the gradient, laid out as the parameters are; nil when none is
	// asked for.
	Grad []float32
}

// Loss computes the loss of a shard, a scalar on its tape, with the gradients of
// the parameters going to s.Grad. Several calls run at the same time, each with a
// shard of its own. A shard's loss is its part of the batch's: they are added.
// Parameters must not change before all calls have returned.
type Loss func(s *Shard) *autodiff.Node[float32]

// chunk is how many parameters are an item of work in adding up gradients and in
// the optimiser's step.
const chunk = 1 << 15

// New returns a runner for size parameters that cuts batches into shards of
// shardRows rows and computes on the given number of goroutines; all must be
// positive.
func New(size, shardRows, workers int) *Runner {
	if size < 1 || shardRows < 1 || workers < 1 {
		panic("engine: New: numbers must be positive")
	}
	r := &Runner{shardRows: shardRows, squares: make([]float64, (size+chunk-1)/chunk)}
	r.grads = [][]float32{make([]float32, size)}
	for range workers {
		w := &worker{}
		w.shard.Tape = &w.tape
		w.tape.Share(&r.packs)
		w.start = func() {
			r.drain(w)
			r.busy.Done()
		}
		r.workers = append(r.workers, w)
	}
	r.refresh = func(_ *worker, i int) { r.packs.Refresh(i) }
	r.differentiate, r.reduce, r.apply, r.evaluate = r.differentiateShard, r.reduceChunk, r.applyChunk, r.evaluateShard
	return r
}

// Step learns from a batch of some rows: it moves the parameters x against the
// gradient of the loss and returns the loss before. The key chooses the random
// numbers of dropout. With an error of optim.Adam's, x is as it was.
func (r *Runner) Step(adam *optim.Adam, x []float32, rate float64, rows int, key uint64, loss Loss) (float64, error) {
	sum := r.gradient(rows, key, loss)
	squares := 0.0
	for _, s := range r.squares { // in this order, always
		squares += s
	}
	update, err := adam.Begin(squares, rate)
	if err != nil {
		return sum, err
	}
	r.params, r.update = x, update
	r.run(r.apply, len(r.squares))
	r.params, r.update = nil, optim.Update{}
	return sum, nil
}

// Gradient returns the loss of a batch of some rows and its gradient, which is
// valid until the next call.
func (r *Runner) Gradient(rows int, key uint64, loss Loss) (float64, []float32) {
	return r.gradient(rows, key, loss), r.grads[0]
}

// Loss returns the loss of some rows without dropout and without a gradient.
func (r *Runner) Loss(rows int, loss Loss) float64 {
	r.begin(rows, 0, loss)
	r.run(r.evaluate, r.shards)
	return r.total()
}

// gradient leaves the gradient in the first of r.grads and its squares in
// r.squares, and returns the loss.
func (r *Runner) gradient(rows int, key uint64, loss Loss) float64 {
	r.begin(rows, key, loss)
	for len(r.grads) < r.shards {
		r.grads = append(r.grads, make([]float32, len(r.grads[0])))
	}
	r.run(r.differentiate, r.shards)
	r.run(r.reduce, len(r.squares))
	return r.total()
}

// begin readies the runner for a batch.
func (r *Runner) begin(rows int, key uint64, loss Loss) {
	if rows < 1 {
		panic("engine: a batch without rows")
	}
	r.rows, r.key, r.loss = rows, key, loss
	r.shards = (rows + r.shardRows - 1) / r.shardRows
	for len(r.losses) < r.shards {
		r.losses = append(r.losses, 0)
	}
	r.run(r.refresh, r.packs.Outdate())
}

// total returns the sum of the shards' losses and lets go of the caller's things.
func (r *Runner) total() float64 {
	sum := 0.0
	for _, l := range r.losses[:r.shards] { // in this order, always
		sum += l
	}
	r.loss = nil
	return sum
}

// differentiateShard computes the loss and the gradient of a shard.
func (r *Runner) differentiateShard(w *worker, i int) {
	w.shard.Grad = r.grads[i]
	clear(w.shard.Grad)
	w.tape.Reset(autodiff.Mix(r.key^autodiff.Mix(uint64(i))), true)
	r.losses[i] = r.compute(w, i, true)
}

// evaluateShard computes the loss of a shard alone.
func (r *Runner) evaluateShard(w *worker, i int) {
	w.shard.Grad = nil
	w.tape.Reset(0, false)
	r.losses[i] = r.compute(w, i, false)
}

func (r *Runner) compute(w *worker, i int, backward bool) float64 {
	w.shard.From, w.shard.To = i*r.shardRows, min(r.rows, (i+1)*r.shardRows)
	l := r.loss(&w.shard)
	if backward {
		w.tape.Backward(l)
	}
	return float64(l.Value[0])
}

// reduceChunk adds up one chunk of the shards' gradients.
func (r *Runner) reduceChunk(_ *worker, i int) {
	from, to := i*chunk, min(len(r.grads[0]), (i+1)*chunk)
	sum := r.grads[0][from:to]
	for _, g := range r.grads[1:r.shards] { // in this order, always
		kernel.AddTo(sum, g[from:to])
	}
	r.squares[i] = kernel.SumSquares(sum)
}

// applyChunk moves one chunk of the parameters.
func (r *Runner) applyChunk(_ *worker, i int) {
	r.update.Apply(r.params, r.grads[0], i*chunk, min(len(r.grads[0]), (i+1)*chunk))
}

// run works through a phase's items on the workers.
func (r *Runner) run(phase func(w *worker, item int), items int) {
	if items == 0 {
		return
	}
	r.phase, r.items = phase, items
	r.next.Store(0)
	helpers := min(len(r.workers), items) - 1
	r.busy.Add(helpers)
	for _, w := range r.workers[1 : 1+helpers] {
		go w.start()
	}
	r.drain(r.workers[0])
	r.busy.Wait()
}

// drain takes items until none is left.
func (r *Runner) drain(w *worker) {
	for {
		i := int(r.next.Add(1)) - 1
		if i >= r.items {
			return
		}
		r.phase(w, i)
	}
}
