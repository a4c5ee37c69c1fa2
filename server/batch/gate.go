package batch

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/forescale/forescale/server/tensor"
)

// Observer is told what happens, for metrics and traces. Its methods must not block.
type Observer interface {
	// Turn says that the first rows of a request, which has waited so long, go into a
	// run now. ctx is that of the request.
	Turn(ctx context.Context, waited time.Duration)
	// Ran says that a run has ended, after those were answered whose it was.
	Ran(Report)
}

// Report says how a run went.
type Report struct {
	Rows     int // that shared the run
	Requests int // that the rows are of
	Took     time.Duration
}

// Gate lets a bounded number of runs through at a time, whatever models they are
// of, because they all share the same processors. Models with waiting requests take
// turns, a run each. Whoever finds the gate idle does the run itself.
type Gate struct {
	workers  int
	queued   int
	now      func() time.Time
	observer Observer

	mu      sync.Mutex
	running int               // workers that are at work; guarded by mu
	waiting int               // rows in the queues, an alone request counting as one; guarded by mu
	queues  map[Runner]*queue // those with waiting requests; guarded by mu
	turns   []*queue          // the same, in the order of their turns; guarded by mu
}

// queue holds the requests to one model that wait, oldest first.
type queue struct {
	runner   Runner
	requests []*request // never empty; guarded by Gate.mu
}

// NewGate returns a gate for concurrent runs and a queue of queued rows.
func NewGate(concurrent, queued int, now func() time.Time, observer Observer) *Gate {
	return &Gate{workers: concurrent, queued: queued, now: now, observer: observer, queues: map[Runner]*queue{}}
}

// Waiting returns the number of rows in the queue, for a gauge.
func (g *Gate) Waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting
}

// Running returns the number of runs that go on, for a gauge.
func (g *Gate) Running() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.running
}

// Run runs b on r when its turn comes, together with what else waits for r if r is a
// Coalescer. It returns ErrFull when the queue is full, and the cause of ctx's end
// when that comes first; at the end of its run, if it does that itself and others have
// come to share it. A panic of the run goes on here. r must be comparable.
func (g *Gate) Run(ctx context.Context, r Runner, b Batch) ([]tensor.Tensor, error) {
	if ctx.Err() != nil {
		return nil, gaveUp(ctx)
	}
	q := newRequest(ctx, b, g.now())
	idle, err := g.enqueue(r, q)
	switch {
	case err != nil:
		return nil, err
	case idle:
		if !g.workFor(r, q) {
			return nil, gaveUp(ctx)
		}
	default:
		select {
		case <-q.done:
		case <-ctx.Done():
			if g.drop(r, q); !q.leave() {
				return nil, gaveUp(ctx)
			}
			<-q.done
		}
	}
	if q.panicked != nil { // q is ours again
		panic(q.panicked)
	}
	return q.outputs, q.err
}

func gaveUp(ctx context.Context) error {
	return fmt.Errorf("waiting for a run: %w", context.Cause(ctx))
}

// enqueue puts a request at the end of its model's queue, and sees to it that there is a
// worker who will come to it. idle says that this is the caller.
func (g *Gate) enqueue(r Runner, q *request) (idle bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running == g.workers && g.waiting >= g.queued {
		return false, ErrFull
	}
	of := g.queues[r]
	if of == nil {
		of = &queue{runner: r}
		g.queues[r] = of
		g.turns = append(g.turns, of)
	}
	of.requests = append(of.requests, q)
	g.waiting += q.weight()
	if g.running == g.workers {
		return false, nil
	}
	g.running++
	if roomOf(r) > 0 && q.batch.Rows > 0 {
		return true, nil
	}
	go g.work()
	return false, nil
}

// roomOf returns the rows that one run of a model may have together; 0: each request
// runs by itself.
func roomOf(r Runner) int {
	if c, ok := r.(Coalescer); ok {
		return c.MaxRows()
	}
	return 0
}

// drop takes what no worker has taken yet of a request out of the queue.
func (g *Gate) drop(r Runner, q *request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	of := g.queues[r]
	if of == nil {
		return
	}
	i := slices.Index(of.requests, q)
	if i < 0 {
		return
	}
	of.requests = slices.Delete(of.requests, i, i+1)
	g.waiting -= q.weight()
	if len(of.requests) == 0 {
		delete(g.queues, r)
		at := slices.Index(g.turns, of)
		g.turns = slices.Delete(g.turns, at, at+1)
	}
}

// take gives a worker what it is to run next: the oldest requests of the model whose
// turn it is, as many rows as may go together. It returns false when nothing waits;
// the worker is then one less.
func (g *Gate) take(w *worker) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.turns) == 0 {
		g.running--
		return false
	}
	of := g.turns[0]
	g.turns = slices.Delete(g.turns, 0, 1)
	w.parts = w.parts[:0]
	w.runner = of.runner
	room := roomOf(of.runner)
	w.lanes, _ = of.runner.(Coalescer)
	if head := of.requests[0]; room == 0 || head.batch.Rows == 0 {
		w.lanes = nil
		w.parts = append(w.parts, part{request: head, since: head.since, rows: head.weight()})
		of.pop()
	} else {
		of.fill(w, room)
	}
	for _, p := range w.parts {
		g.waiting -= p.rows
	}
	if len(of.requests) == 0 {
		delete(g.queues, of.runner)
	} else {
		g.turns = append(g.turns, of)
	}
	return true
}

// fill gives a worker rows of the oldest requests until room rows are together. What a
// request has more than that goes next; but if it is more than another run can hold, at
// the end, so that who has little does not wait for all of who has much.
func (of *queue) fill(w *worker, room int) {
	filled := 0
	for filled < room && len(of.requests) > 0 {
		q := of.requests[0]
		n := min(room-filled, q.batch.Rows-q.next)
		if n <= 0 { // an alone request among others: it waits for a run of its own
			break
		}
		w.parts = append(w.parts, part{request: q, since: q.since, first: q.next, rows: n})
		q.next += n
		filled += n
		if left := q.batch.Rows - q.next; left == 0 {
			of.pop()
		} else if left > room && len(of.requests) > 1 {
			of.pop()
			of.requests = append(of.requests, q)
		}
	}
}

// pop takes the oldest request away.
func (of *queue) pop() { of.requests = slices.Delete(of.requests, 0, 1) }
