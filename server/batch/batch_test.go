package batch

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/forescale/forescale/server/tensor"
)

// blocked is a runner whose runs end when release is closed.
type blocked struct{ started, release chan struct{} }

func (b blocked) Run(context.Context, Batch) ([]tensor.Tensor, error) {
	b.started <- struct{}{}
	<-b.release
	return nil, nil
}

func TestTheGateBoundsRunsAndQueueAndShedsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(2, 3)
		r := blocked{started: make(chan struct{}, 100), release: make(chan struct{})}
		results := make(chan error, 100)
		for range 9 {
			go func() {
				_, err := g.Run(t.Context(), r, Batch{})
				results <- err
			}()
		}
		synctest.Wait()
		if len(r.started) != 2 || g.Running() != 2 || g.Waiting() != 3 || len(results) != 4 {
			t.Fatalf("%d started, %d running, %d waiting, %d answered", len(r.started), g.Running(), g.Waiting(), len(results))
		}
		for range 4 {
			if err := <-results; !errors.Is(err, ErrFull) {
				t.Errorf("shed with %v", err)
			}
		}
		close(r.release)
		for range 5 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if g.Running() != 0 || g.Waiting() != 0 {
			t.Error("the gate is not empty")
		}
	})
}

func TestWhoeverGivesUpWaitingNeverRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(1, 1)
		r := blocked{started: make(chan struct{}, 100), release: make(chan struct{})}
		go g.Run(t.Context(), r, Batch{})
		synctest.Wait()
		ctx, cancel := context.WithCancelCause(t.Context())
		gaveUp := errors.New("gave up")
		result := make(chan error, 1)
		go func() {
			_, err := g.Run(ctx, r, Batch{})
			result <- err
		}()
		synctest.Wait()
		cancel(gaveUp)
		if err := <-result; !errors.Is(err, gaveUp) {
			t.Errorf("got %v", err)
		}
		close(r.release)
		synctest.Wait()
		if len(r.started) != 1 {
			t.Errorf("%d runs, want 1", len(r.started))
		}
	})
}
