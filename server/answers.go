package server

import (
	"context"
	"errors"
	"sync"
	"time"
)

// answers remembers answers for a moment, and lets one caller find each out while
// the others wait.
type answers struct {
	mu sync.Mutex
	by map[string]*answer // guarded by mu
}

type answer struct {
	done  chan struct{} // closed when value and err are set
	at    time.Time
	value any
	err   error
}

const (
	answerAge  = time.Second
	maxAnswers = 64
)

// forget has every answer found anew; who waits for one gets it all the same.
func (a *answers) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.by = nil
}

// get returns the answer under key, at most answerAge old.
func (a *answers) get(ctx context.Context, key string, now time.Time, find func(ctx context.Context) (any, error)) (any, error) {
	a.mu.Lock()
	if got := a.by[key]; got != nil && now.Sub(got.at) < answerAge {
		a.mu.Unlock()
		select {
		case <-got.done:
			return got.value, got.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if a.by == nil || len(a.by) >= maxAnswers {
		a.by = map[string]*answer{}
	}
	mine := &answer{done: make(chan struct{}), at: now}
	a.by[key] = mine
	a.mu.Unlock()
	defer func() {
		if mine.value == nil && mine.err == nil {
			mine.err = errors.New("the answer could not be found") // find panicked
		}
		close(mine.done)
	}()
	// Others wait for the answer: it must not end with this caller's request, but
	// still within its deadline.
	free := context.WithoutCancel(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		free, cancel = context.WithDeadline(free, deadline)
		defer cancel()
	}
	mine.value, mine.err = find(free)
	return mine.value, mine.err
}
