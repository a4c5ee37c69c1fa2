package batch

import (
	"context"
	"sync"
	"time"

	"github.com/forescale/forescale/server/tensor"
)

// request is one call of Gate.Run.
type request struct {
	ctx   context.Context
	batch Batch
	since time.Time
	next  int           // the first row that no worker has taken; guarded by Gate.mu
	done  chan struct{} // receives once, when all rows have been run; holds one

	mu       sync.Mutex
	gone     bool            // the caller has given up: nothing of it may be touched; guarded by mu
	left     int             // rows that have not been run; guarded by mu
	runs     []*run          // that hold rows of it now; guarded by mu
	outputs  []tensor.Tensor // guarded by mu until done
	err      error           // of the first part that failed; guarded by mu until done
	panicked any             // guarded by mu until done
}

func newRequest(ctx context.Context, b Batch, now time.Time) *request {
	return &request{ctx: ctx, batch: b, since: now, done: make(chan struct{}, 1), left: max(1, b.Rows)}
}

// weight returns the rows that no worker has taken yet. Gate.mu is held.
func (q *request) weight() int { return max(1, q.batch.Rows) - q.next }

// leave ends the caller's part in a request that it has given up. It returns true when
// done will receive all the same, because all has been run just now. After false, nobody
// touches the caller's tensors again, and a run that goes on for nobody any more is told
// to stop.
func (q *request) leave() (wait bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.left == 0 {
		return true
	}
	q.gone = true
	for _, r := range q.runs {
		r.lose()
	}
	return false
}

// over reports whether nothing of the request is left to run: all has been, or the
// caller has given up.
func (q *request) over() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.left == 0 || q.gone
}
