// Package shadow puts copies of requests to versions that do not serve, and says how
// far their answers are from those that were given.
//
// Invariants:
//
//   - Offer never waits: what the queue has no room for is dropped and counted.
//   - All shadows together take no more than a quarter of one processor.
//   - The answer of a shadow goes nowhere but into the comparison.
package shadow

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"time"
)

// Bounds of a Mirror.
const (
	queue   = 16               // copies that wait
	share   = 4                // after a run, the mirror rests until it has worked this part of the time
	longest = 10 * time.Second // for one copy, the loading of the version included
)

// Job puts one copy to a shadow and returns the difference of each row, see
// Difference.
type Job func(ctx context.Context) ([]float64, error)

// The reasons why a copy could not be compared, for metrics.
var (
	ErrLoad    = errors.New("load")    // the version cannot be loaded
	ErrRequest = errors.New("request") // it cannot read what the champion reads
	ErrRun     = errors.New("run")     // it failed
)

// Observer is told what happens, for metrics and the log. It must not block.
type Observer interface {
	ShadowCompared(model string, differences []float64)
	ShadowDropped(model string)
	// ShadowFailed says that a copy could not be compared; err may wrap one of the
	// reasons.
	ShadowFailed(model string, err error)
}

// Mirror works off copies, one at a time.
type Mirror struct {
	room     chan struct{} // a token for each copy that waits or is worked on
	jobs     chan job      // as long as room, so that sending never waits
	observer Observer
	busy     func() bool
	now      func() time.Time
}

type job struct {
	model string
	do    Job
}

// New returns a mirror that Run works off. While busy says that requests wait for the
// processors, copies are dropped.
func New(observer Observer, busy func() bool, now func() time.Time) *Mirror {
	return &Mirror{room: make(chan struct{}, queue), jobs: make(chan job, queue), observer: observer, busy: busy, now: now}
}

// Offer takes a copy of a request to the named model, if there is room. prepare makes
// the copy, and is called only then; it returns nil when there is nothing to compare.
func (m *Mirror) Offer(model string, prepare func() Job) {
	if m.busy() {
		m.observer.ShadowDropped(model)
		return
	}
	select {
	case m.room <- struct{}{}:
	default:
		m.observer.ShadowDropped(model)
		return
	}
	do := prepare()
	if do == nil {
		<-m.room
		return
	}
	m.jobs <- job{model, do} // never waits: whoever sends has a token
}

// Run works copies off until ctx ends. It returns nil.
func (m *Mirror) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case j := <-m.jobs:
			started := m.now()
			m.work(ctx, j)
			<-m.room
			if !rest(ctx, (share-1)*m.now().Sub(started)) {
				return nil
			}
		}
	}
}

// work compares one copy. A panic over it ends nothing else.
func (m *Mirror) work(ctx context.Context, j job) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			m.observer.ShadowFailed(j.model, fmt.Errorf("%w: it panicked: %v\n%s", ErrRun, p, debug.Stack()))
		}
	}()
	differences, err := j.do(ctx)
	switch {
	case err != nil && ctx.Err() == context.Canceled: // the server ends
	case err != nil:
		m.observer.ShadowFailed(j.model, err)
	default:
		m.observer.ShadowCompared(j.model, differences)
	}
}

// rest waits, and reports false when ctx ended first.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Difference says how far b is from a:
//
//	sum |a - b| / max(sum |a|, sum |b|)
//
// 0: they are equal, 2: one is the other's negative; NaN when one is not finite or
// they are not of the same length.
func Difference(a, b []float64) float64 {
	if len(a) != len(b) {
		return math.NaN()
	}
	var apart, sumA, sumB float64
	for i := range a {
		apart += math.Abs(a[i] - b[i])
		sumA += math.Abs(a[i])
		sumB += math.Abs(b[i])
	}
	if apart == 0 {
		return 0
	}
	if d := apart / max(sumA, sumB); !math.IsInf(apart, 0) {
		return d
	}
	return math.NaN()
}
