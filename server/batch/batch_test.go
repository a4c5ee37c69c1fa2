package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/forescale/forescale/server/tensor"
)

// blocked is a runner whose runs end when release is closed.
type blocked struct{ started, release chan struct{} }

func (b blocked) Run(context.Context, Batch) ([]tensor.Tensor, error) {
	b.started <- struct{}{}
	<-b.release
	return nil, nil
}

// doubler is a model that doubles its input, [rows, 2], and runs rows of different
// requests together. A run takes a second of the bubble's time. It fails for the value
// bad, and panics for worse.
type doubler struct {
	rows int // of one run at most

	mu    sync.Mutex
	runs  []int // rows of each, in the order in which they began
	lanes int   // handed out now
	whole int   // runs of requests by themselves
}

const (
	bad   = -1
	worse = -2
)

func (d *doubler) Run(ctx context.Context, b Batch) ([]tensor.Tensor, error) {
	d.mu.Lock()
	d.whole++
	d.mu.Unlock()
	return d.double(ctx, b.Inputs[0].Float32s())
}

func (d *doubler) double(ctx context.Context, values []float32) ([]tensor.Tensor, error) {
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	out := make([]float32, len(values))
	for i, v := range values {
		switch v {
		case bad:
			return nil, errors.New("a bad value")
		case worse:
			panic("a worse value")
		}
		out[i] = 2 * v
	}
	return []tensor.Tensor{tensor.New(out, int64(len(values)/2), 2)}, nil
}

func (d *doubler) MaxRows() int { return d.rows }

func (d *doubler) Lane() (Lane, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lanes++
	return &lane{d, make([]float32, 2*d.rows)}, nil
}

type lane struct {
	of   *doubler
	room []float32
}

func (l *lane) Inputs() []tensor.Tensor {
	return []tensor.Tensor{tensor.New(l.room, int64(l.of.rows), 2)}
}

func (l *lane) Run(ctx context.Context, rows int) ([]tensor.Tensor, error) {
	l.of.mu.Lock()
	l.of.runs = append(l.of.runs, rows)
	l.of.mu.Unlock()
	return l.of.double(ctx, l.room[:2*rows])
}

func (l *lane) Free() {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	l.of.lanes--
}

// rows returns a batch of rows that begin with the given values.
func rows(first ...float32) Batch {
	data := make([]float32, 0, 2*len(first))
	for _, v := range first {
		data = append(data, v, v+0.5)
	}
	return Batch{Rows: len(first), Inputs: []tensor.Tensor{tensor.New(data, int64(len(first)), 2)}}
}

// count returns a batch of n rows, 1, 2, 3 and so on.
func count(n int) Batch {
	var first []float32
	for i := range n {
		first = append(first, float32(i+1))
	}
	return rows(first...)
}

// check returns an error unless the answer is the doubled batch.
func check(b Batch, got []tensor.Tensor, err error) error {
	if err != nil {
		return err
	}
	var want []float32
	for _, v := range b.Inputs[0].Float32s() {
		want = append(want, 2*v)
	}
	if len(got) != 1 || !slices.Equal(got[0].Float32s(), want) || !slices.Equal(got[0].Shape, b.Inputs[0].Shape) {
		return fmt.Errorf("got %v for %v", got, b.Inputs)
	}
	return nil
}

// bench is a gate under test.
type bench struct {
	*Gate
	mu      sync.Mutex
	reports []Report
	waited  []time.Duration
	wait    sync.WaitGroup
	results chan error
}

func newBench(workers, queued int) *bench {
	b := &bench{results: make(chan error, 10_000)}
	b.Gate = NewGate(workers, queued, time.Now, b)
	return b
}

// Turn implements Observer.
func (b *bench) Turn(_ context.Context, waited time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waited = append(b.waited, waited)
}

// Ran implements Observer.
func (b *bench) Ran(r Report) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reports = append(b.reports, r)
}

// ask runs a batch in a goroutine of its own, and returns when it waits or runs.
func (b *bench) ask(ctx context.Context, r Runner, of Batch) {
	b.wait.Go(func() {
		got, err := b.Run(ctx, r, of)
		if _, ok := r.(*doubler); ok {
			err = check(of, got, err)
		}
		b.results <- err
	})
	synctest.Wait()
}

// end waits for all that was asked, and fails unless the gate is as it was.
func (b *bench) end(t *testing.T) (errs []error) {
	t.Helper()
	b.wait.Wait()
	synctest.Wait()
	if b.Running() != 0 || b.Waiting() != 0 || len(b.queues) != 0 || len(b.turns) != 0 {
		t.Errorf("the gate is not empty: %d run, %d wait, %d queues, %d turns", b.Running(), b.Waiting(), len(b.queues), len(b.turns))
	}
	close(b.results)
	for err := range b.results {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

func TestTheGateBoundsRunsAndQueueAndShedsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newBench(2, 3)
		r := blocked{started: make(chan struct{}, 100), release: make(chan struct{})}
		for range 9 {
			g.ask(t.Context(), r, Batch{})
		}
		if len(r.started) != 2 || g.Running() != 2 || g.Waiting() != 3 || len(g.results) != 4 {
			t.Fatalf("%d started, %d running, %d waiting, %d answered", len(r.started), g.Running(), g.Waiting(), len(g.results))
		}
		for range 4 {
			if err := <-g.results; !errors.Is(err, ErrFull) {
				t.Errorf("shed with %v", err)
			}
		}
		close(r.release)
		if errs := g.end(t); errs != nil {
			t.Error(errs)
		}
	})
}

func TestWhoIsFirstRunsAtOnceAndWhatComesMeanwhileGoesTogether(t *testing.T) {
	for name, c := range map[string]struct {
		workers int
		asked   []int // rows of each request
		runs    []int
	}{
		"a request to an idle gate":               {1, []int{1}, []int{1}},
		"four behind the first":                   {1, []int{1, 1, 1, 1, 1}, []int{1, 4}},
		"rows count and not requests":             {1, []int{1, 3, 3}, []int{1, 4, 2}},
		"a request larger than a run is split":    {1, []int{10}, []int{4, 4, 2}},
		"two workers run the first two":           {2, []int{1, 1, 1, 1}, []int{1, 1, 2}},
		"two workers share a request that is due": {2, []int{1, 1, 8}, []int{1, 1, 4, 4}},
		// The last row of the large one goes with what came after it.
		"little does not wait for much": {1, []int{1, 13, 2}, []int{1, 4, 4, 4, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, d := newBench(c.workers, 100), &doubler{rows: 4}
				for _, n := range c.asked {
					g.ask(t.Context(), d, count(n))
				}
				if errs := g.end(t); errs != nil {
					t.Error(errs)
				}
				if !slices.Equal(d.runs, c.runs) || d.lanes != 0 {
					t.Errorf("runs of %v rows, want %v; %d lanes are still out", d.runs, c.runs, d.lanes)
				}
			})
		})
	}
}

func TestWhoHasLittleIsAnsweredBeforeAllOfWhoHasMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, d := newBench(1, 100), &doubler{rows: 4}
		begin := time.Now()
		g.ask(t.Context(), d, count(40)) // ten seconds
		got, err := g.Run(t.Context(), d, count(1))
		if err := check(count(1), got, err); err != nil || time.Since(begin) > 3*time.Second {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
		if errs := g.end(t); errs != nil {
			t.Error(errs)
		}
		if took := time.Since(begin); took > 11*time.Second {
			t.Errorf("all took %s", took)
		}
	})
}

func TestModelsTakeTurnsAndShareTheWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, busy, quiet := newBench(1, 1000), &doubler{rows: 1}, &doubler{rows: 1}
		for range 20 {
			g.ask(t.Context(), busy, count(1))
		}
		begin := time.Now()
		if got, err := g.Run(t.Context(), quiet, count(1)); check(count(1), got, err) != nil || time.Since(begin) > 3*time.Second {
			t.Errorf("after %s: %v, %v", time.Since(begin), got, err)
		}
		if errs := g.end(t); errs != nil {
			t.Error(errs)
		}
	})
}

func TestARequestWithoutRowsRunsAloneAndWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, d := newBench(1, 100), &doubler{rows: 4}
		for range 3 {
			alone := count(6)
			alone.Rows = 0
			g.ask(t.Context(), d, alone)
			g.ask(t.Context(), d, count(1))
		}
		if errs := g.end(t); errs != nil {
			t.Error(errs)
		}
		if d.whole != 3 || !slices.Equal(d.runs, []int{1, 1, 1}) {
			t.Errorf("%d runs of whole requests, others of %v rows", d.whole, d.runs)
		}
	})
}

func TestWhoeverGivesUpWaitingNeverRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, d := newBench(1, 2), &doubler{rows: 4}
		gaveUp := errors.New("gave up")
		ctx, cancel := context.WithCancelCause(t.Context())
		g.ask(t.Context(), d, count(1))
		for range 2 {
			g.ask(ctx, d, count(1))
		}
		if _, err := g.Run(t.Context(), d, count(1)); !errors.Is(err, ErrFull) {
			t.Errorf("got %v", err)
		}
		cancel(gaveUp)
		synctest.Wait()
		if g.Waiting() != 0 {
			t.Errorf("%d rows wait for nobody", g.Waiting())
		}
		g.ask(t.Context(), d, count(2)) // there is room again
		if _, err := g.Run(ctx, d, count(1)); !errors.Is(err, gaveUp) {
			t.Errorf("who has given up already got %v", err)
		}
		errs := g.end(t)
		if len(errs) != 2 || !errors.Is(errs[0], gaveUp) || !errors.Is(errs[1], gaveUp) {
			t.Errorf("got %v", errs)
		}
		if !slices.Equal(d.runs, []int{1, 2}) {
			t.Errorf("runs of %v rows", d.runs)
		}
	})
}

func TestARunGoesOnForThoseWhoStayAndStopsWhenNobodyDoes(t *testing.T) {
	for name, stay := range map[string]bool{"one stays": true, "nobody does": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, d := newBench(1, 100), &doubler{rows: 4}
				ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond) // half of the second run
				defer cancel()
				third := ctx
				if stay {
					third = t.Context()
				}
				begin := time.Now()
				g.ask(t.Context(), d, count(1))
				left := rows(3, 4, 5)
				g.ask(ctx, d, left)
				g.ask(third, d, rows(7))
				time.Sleep(time.Until(begin.Add(1600 * time.Millisecond)))
				clear(left.Inputs[0].Float32s()) // the caller has its memory back
				wantErrs, wantEnd := 2, 1600*time.Millisecond
				if stay {
					wantErrs, wantEnd = 1, 2*time.Second
				}
				errs := g.end(t)
				if took := time.Since(begin); len(errs) != wantErrs || took != wantEnd {
					t.Errorf("after %s: %v", took, errs)
				}
				for _, err := range errs {
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
				}
			})
		})
	}
}

func TestNobodyFailsForTheRowsOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, d := newBench(1, 100), &doubler{rows: 4}
		g.ask(t.Context(), d, count(1))
		g.ask(t.Context(), d, rows(1))
		g.ask(t.Context(), d, rows(bad))
		g.ask(t.Context(), d, rows(3))
		wrong := rows(4)
		wrong.Inputs[0].Shape = []int64{2, 1}
		g.ask(t.Context(), d, wrong)
		g.ask(t.Context(), d, rows(5, 6, 7, 8, bad, 9, 10, 11, 12, 13, 14)) // in three runs
		errs := g.end(t)
		texts := fmt.Sprint(errs)
		if len(errs) != 3 || strings.Count(texts, "a bad value") != 2 || !strings.Contains(texts, "the shape [2, 1] where [4, 2] is expected") {
			t.Errorf("got %v", errs)
		}
		if d.lanes != 0 {
			t.Errorf("%d lanes are still out", d.lanes)
		}
	})
}

func TestAPanicGoesOnWhereTheRequestCameFrom(t *testing.T) {
	for name, whole := range map[string]bool{"of a run by itself": true, "of a run of several": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, d := newBench(1, 100), &doubler{rows: 4}
				g.ask(t.Context(), d, count(1))
				g.ask(t.Context(), d, rows(1))
				b := rows(worse)
				if whole {
					b.Rows = 0
				}
				func() {
					defer func() {
						text, _ := recover().(string)
						if !strings.HasPrefix(text, "a worse value\n") || !strings.Contains(text, "batch_test.go") {
							t.Errorf("recovered %q", text)
						}
					}()
					_, err := g.Run(t.Context(), d, b)
					t.Errorf("returned %v", err)
				}()
				g.ask(t.Context(), d, rows(2))
				if errs := g.end(t); errs != nil {
					t.Error(errs)
				}
			})
		})
	}
}

func TestTheObserverLearnsHowLongEachHasWaitedAndEachRunTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, d := newBench(1, 100), &doubler{rows: 4}
		g.ask(t.Context(), d, count(1))
		time.Sleep(400 * time.Millisecond)
		g.ask(t.Context(), d, count(1))
		time.Sleep(400 * time.Millisecond)
		g.ask(t.Context(), d, count(2))
		if errs := g.end(t); errs != nil {
			t.Error(errs)
		}
		want := []Report{{Rows: 1, Requests: 1, Took: time.Second}, {Rows: 3, Requests: 2, Took: time.Second}}
		if !slices.Equal(g.reports, want) {
			t.Errorf("got %+v", g.reports)
		}
		if want := []time.Duration{0, 600 * time.Millisecond, 200 * time.Millisecond}; !slices.Equal(g.waited, want) {
			t.Errorf("got %v", g.waited)
		}
	})
}

// TestManyAtOnce is for the race detector: callers give up at random, and use their
// memory again at once.
func TestManyAtOnce(t *testing.T) {
	g, d := newBench(3, 50), &swift{doubler{rows: 5}}
	var wait sync.WaitGroup
	for c := range 16 {
		wait.Go(func() {
			b := count(1 + c%7)
			if c%5 == 0 {
				b.Rows = 0
			}
			for i := range 300 {
				ctx, cancel := context.WithCancel(t.Context())
				if (i+c)%3 == 0 {
					time.AfterFunc(time.Duration(i%7)*10*time.Microsecond, cancel)
				}
				got, err := g.Run(ctx, d, b)
				cancel()
				if err := check(b, got, err); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, ErrFull) {
					t.Error(err)
				}
				data := b.Inputs[0].Float32s()
				for j := range data {
					data[j]++
				}
			}
		})
	}
	wait.Wait()
	for g.Running() > 0 { // runs that nobody waits for
		time.Sleep(time.Millisecond)
	}
	if g.Waiting() != 0 || len(g.queues) != 0 {
		t.Errorf("%d wait in %d queues", g.Waiting(), len(g.queues))
	}
}

// swift is a doubler whose runs take no time.
type swift struct{ doubler }

func (s *swift) Run(_ context.Context, b Batch) ([]tensor.Tensor, error) {
	return twice(b.Inputs[0].Float32s()), nil
}

func (s *swift) Lane() (Lane, error) {
	return &swiftLane{lane{&s.doubler, make([]float32, 2*s.rows)}}, nil
}

type swiftLane struct{ lane }

func (l *swiftLane) Free() {}

func (l *swiftLane) Run(_ context.Context, rows int) ([]tensor.Tensor, error) {
	return twice(l.room[:2*rows]), nil
}

func twice(values []float32) []tensor.Tensor {
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = 2 * v
	}
	return []tensor.Tensor{tensor.New(out, int64(len(values)/2), 2)}
}
