package batch

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/forescale/forescale/server/tensor"
)

// worker does one run after the other, as long as something waits.
type worker struct {
	runner Runner
	lanes  Coalescer // nil: parts[0] runs by itself, whole, on runner
	parts  []part
	joined []part // of parts: those whose rows are in the lane
}

// part is some rows of a request.
type part struct {
	request     *request
	since       time.Time // when the request came
	first, rows int
}

// workers are those without work.
var workers = sync.Pool{New: func() any { return &worker{} }}

// workFor is work in the goroutine of a caller that found the gate idle, which saves it
// a change of goroutines. It ends with the caller's own request; who waits then gets a
// worker in a goroutine of its own. It returns false when the caller has given up.
//
// A caller who gives up waits for the end of an operator that nothing can stop. So this
// is for lanes alone: a model whose run of a row takes long has none.
func (g *Gate) workFor(r Runner, q *request) bool {
	wait, left := true, make(chan struct{})
	stop := context.AfterFunc(q.ctx, func() {
		defer close(left)
		g.drop(r, q)
		wait = q.leave()
	})
	w := workers.Get().(*worker)
	runtime.Gosched() // see work
	for g.take(w) {   // nothing to take: the request was given up, and dropped
		g.run(w)
		if q.over() {
			g.handOver()
			break
		}
	}
	workers.Put(w)
	if !stop() {
		<-left
	}
	if wait {
		<-q.done
	}
	return wait
}

// handOver gives what waits to a worker in a goroutine of its own, in place of the
// calling one.
func (g *Gate) handOver() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.turns) == 0 {
		g.running--
	} else {
		go g.work()
	}
}

// work runs what waits until nothing does.
//
// Before each run others get their turn: who has been answered writes the answer, and
// whose request has come in puts it in the queue, to be part of the run. With a single
// processor they would otherwise come one by one, each to find the gate idle.
func (g *Gate) work() {
	w := workers.Get().(*worker)
	for runtime.Gosched(); g.take(w); runtime.Gosched() {
		g.run(w)
	}
	workers.Put(w)
}

// run runs what a worker has taken.
func (g *Gate) run(w *worker) {
	report := Report{Requests: len(w.parts)}
	started := g.now()
	for _, p := range w.parts {
		report.Rows += p.rows
		if p.first == 0 {
			g.observer.Turn(p.request.ctx, started.Sub(p.since))
		}
	}
	if w.lanes == nil {
		w.runWhole(w.parts[0])
	} else {
		w.runTogether(w.parts)
	}
	clear(w.parts) // what they point to belongs to others by now
	clear(w.joined[:cap(w.joined)])
	w.runner, w.lanes = nil, nil
	report.Took = g.now().Sub(started)
	g.observer.Ran(report)
}

// runWhole runs a request by itself, whatever its shapes, on a copy of its tensors: a
// caller who gives up must not wait for an operator that nothing can stop.
func (w *worker) runWhole(p part) {
	q := p.request
	ctx, stop := context.WithCancel(context.WithoutCancel(q.ctx))
	defer stop()
	r := &run{stop: stop}
	own, ok := p.joinWhole(r)
	if !ok {
		return
	}
	var outputs []tensor.Tensor
	panicked, err := guarded(func() (err error) {
		outputs, err = w.runner.Run(ctx, own)
		return err
	})
	q.mu.Lock()
	q.runs = without(q.runs, r)
	if q.gone {
		q.mu.Unlock()
		return
	}
	q.outputs, q.err, q.panicked = outputs, err, panicked
	p.settle()
}

// joinWhole returns a copy of a request's batch, unless it is given up.
func (p part) joinWhole(r *run) (own Batch, ok bool) {
	q := p.request
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone {
		return Batch{}, false
	}
	own = Batch{Rows: q.batch.Rows, Inputs: make([]tensor.Tensor, len(q.batch.Inputs))}
	for i, t := range q.batch.Inputs {
		own.Inputs[i] = t.Clone()
	}
	r.waiting.Add(1)
	q.runs = append(q.runs, r)
	return own, true
}

// run is one run of rows of several requests. It stops when all of them are given up.
type run struct {
	waiting atomic.Int32 // requests that still want to know
	stop    context.CancelFunc
}

func (r *run) lose() {
	if r.waiting.Add(-1) == 0 {
		r.stop()
	}
}

// runTogether runs parts of several requests in one run. If that fails, each part is
// run again by itself, so that nobody fails for what is in another's rows.
func (w *worker) runTogether(parts []part) {
	panicked, err := w.attempt(parts)
	switch {
	case err == nil && panicked == nil:
		return
	case len(parts) == 1:
		parts[0].fail(panicked, err)
		return
	}
	for i := range parts {
		if panicked, err := w.attempt(parts[i : i+1]); err != nil || panicked != nil {
			parts[i].fail(panicked, err)
		}
	}
}

// attempt copies the parts into a lane, runs it, and copies their answers out. With an
// error, or after a panic, no part has been answered.
func (w *worker) attempt(parts []part) (panicked any, err error) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	r := &run{stop: stop}
	w.joined = w.joined[:0]
	answered := 0
	panicked, err = guarded(func() error {
		lane, err := w.lanes.Lane()
		if err != nil {
			return err
		}
		defer lane.Free()
		rows := w.gather(r, parts, lane.Inputs())
		if rows == 0 {
			return nil
		}
		outputs, err := lane.Run(ctx, rows)
		if err != nil {
			return err
		}
		at := 0
		for ; answered < len(w.joined); answered++ {
			w.joined[answered].answer(r, outputs, at)
			at += w.joined[answered].rows
		}
		return nil
	})
	for _, p := range w.joined[answered:] {
		p.request.forget(r)
	}
	return panicked, err
}

// gather copies the rows of the parts into the inputs of a run, and returns their
// number.
func (w *worker) gather(r *run, parts []part, inputs []tensor.Tensor) (rows int) {
	r.waiting.Store(1) // this worker, until all have joined
	for _, p := range parts {
		joined, err := p.join(r, inputs, rows)
		if joined {
			w.joined = append(w.joined, p)
			rows += p.rows
		} else if err != nil {
			p.fail(nil, err)
		}
	}
	r.lose()
	return rows
}

// join copies the rows of a part into the inputs of a run, from row at on, unless the
// request is given up. The error is that of an earlier part, or says what does not fit.
func (p part) join(r *run, inputs []tensor.Tensor, at int) (joined bool, err error) {
	q := p.request
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.gone:
		return false, nil
	case q.err != nil:
		return false, q.err
	case len(inputs) != len(q.batch.Inputs):
		return false, fmt.Errorf("the model has %d inputs, not %d", len(inputs), len(q.batch.Inputs))
	}
	for i, to := range inputs {
		if err := tensor.CopyRows(to, at, q.batch.Inputs[i], p.first, p.rows); err != nil {
			return false, fmt.Errorf("input %d: %w", i, err)
		}
	}
	r.waiting.Add(1)
	q.runs = append(q.runs, r)
	return true, nil
}

// answer copies the rows of a part, from row at on, out of the outputs of a run.
func (p part) answer(r *run, outputs []tensor.Tensor, at int) {
	q := p.request
	q.mu.Lock()
	q.runs = without(q.runs, r)
	if q.gone {
		q.mu.Unlock()
		return
	}
	if q.outputs == nil {
		q.outputs = make([]tensor.Tensor, len(outputs))
		for i, from := range outputs {
			q.outputs[i] = tensor.LikeRows(from, q.batch.Rows)
		}
	}
	for i, from := range outputs {
		if err := tensor.CopyRows(q.outputs[i], p.first, from, at, p.rows); err != nil && q.err == nil {
			q.err = fmt.Errorf("output %d: %w", i, err)
		}
	}
	p.settle()
}

// fail notes that a part could not be run.
func (p part) fail(panicked any, err error) {
	q := p.request
	q.mu.Lock()
	if q.gone {
		q.mu.Unlock()
		return
	}
	if q.err == nil {
		q.outputs, q.err, q.panicked = nil, err, panicked
	}
	p.settle()
}

// settle counts a part as done and releases q.mu. The request belongs to its caller
// again with the last one.
func (p part) settle() {
	q := p.request
	q.left -= p.rows
	done := q.left == 0
	q.mu.Unlock()
	if done {
		q.done <- struct{}{}
	}
}

// forget takes a run that has failed off the request.
func (q *request) forget(r *run) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.runs = without(q.runs, r)
}

func without(runs []*run, r *run) []*run {
	return slices.DeleteFunc(runs, func(other *run) bool { return other == r })
}

// errPanicked is the error of a run that panicked, beside what it panicked with.
var errPanicked = errors.New("the run panicked")

// guarded calls f. A panic in it must end neither the worker nor the process; its value,
// with the stack, goes to those whose run it was.
func guarded(f func() error) (panicked any, err error) {
	defer func() {
		if p := recover(); p != nil {
			panicked, err = fmt.Sprintf("%v\n%s", p, debug.Stack()), errPanicked
		}
	}()
	return nil, f()
}
