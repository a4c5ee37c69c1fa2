package search

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestATrialThatFailsDropsOut(t *testing.T) {
	c := bowl()
	c.Brackets = 1
	third := c.Candidates()[3]
	for _, tt := range []struct {
		name string
		o    func() (float64, error)
		want string
	}{
		{"an error", func() (float64, error) { return 0, errors.New("the loss exploded") }, "the loss exploded"},
		{"NaN", func() (float64, error) { return math.NaN(), nil }, "the loss is NaN"},
		{"infinity", func() (float64, error) { return math.Inf(-1), nil }, "the loss is -Inf"},
		{"a panic", func() (float64, error) { panic("shape") }, "panic: shape (fail_test.go:"},
		{"a panic of the runtime", func() (float64, error) { var none []float64; return none[len(third)], nil }, "index out of range [2] with length 0 (fail_test.go:"},
		{"an end of the goroutine", func() (float64, error) { runtime.Goexit(); return 0, nil }, "did not return"},
		{"its own deadline", func() (float64, error) { return 0, context.DeadlineExceeded }, "deadline exceeded"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res := mustRun(t, c, func(ctx context.Context, p Params, budget int) (float64, error) {
				if reflect.DeepEqual(p, third) {
					return tt.o()
				}
				return bowlLoss(ctx, p, budget)
			}, nil)
			n := 0
			for _, tr := range res.Trials {
				if tr.ID == 3 {
					n++
					if tr.State != Failed || !strings.Contains(tr.Err, tt.want) || !math.IsNaN(tr.Loss) {
						t.Errorf("got %+v", tr)
					}
				}
			}
			if n != 1 || res.Best.State != Done || res.Complete != 4 {
				t.Errorf("%d evaluations of the trial, best %+v", n, res.Best)
			}
		})
	}
}

func TestASearchWhoseEveryTrialFailsSaysWhy(t *testing.T) {
	res, err := Run(context.Background(), bowl(), func(context.Context, Params, int) (float64, error) { return 0, errors.New("no data") }, nil)
	if !errors.Is(err, ErrAllFailed) || !strings.Contains(err.Error(), "39 evaluations, the first with: no data") || len(res.Trials) != 39 {
		t.Errorf("%v, %d trials", err, len(res.Trials))
	}
}

func TestTrialsThatAllFailInALaterRungLeaveTheBestOfTheOneBefore(t *testing.T) {
	res := mustRun(t, bowl(), func(ctx context.Context, p Params, budget int) (float64, error) {
		if budget > 3 {
			return 0, errors.New("out of memory")
		}
		return bowlLoss(ctx, p, budget)
	}, nil)
	if res.Best.Rung != 1 || res.Best.State != Done || res.TimedOut {
		t.Errorf("best %+v", res.Best)
	}
}

func TestAnAbortEndsTheSearchAndIsNotRecorded(t *testing.T) {
	j := open(t, t.TempDir())
	full := errors.New("no space left")
	res, err := Run(context.Background(), bowl(), func(ctx context.Context, p Params, budget int) (float64, error) {
		if budget > 1 {
			return 0, fmt.Errorf("%w: %w", ErrAbort, full)
		}
		return bowlLoss(ctx, p, budget)
	}, j)
	if !errors.Is(err, ErrAbort) || !errors.Is(err, full) || !strings.Contains(err.Error(), "in rung 1") {
		t.Errorf("got %v", err)
	}
	if res.Complete != 1 || res.Best.State != Done || len(j.entries) != 27 {
		t.Errorf("%d rungs, best %+v, %d entries", res.Complete, res.Best, len(j.entries))
	}
	if got := mustRun(t, bowl(), bowlLoss, j); !equal(got, mustRun(t, bowl(), bowlLoss, nil)) {
		t.Error("what followed the abort differs from an undisturbed search")
	}
}

func TestCancellingWaitsForTheRunningTrialsAndKeepsNoneOfThem(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := bowl()
		c.Workers = 4
		j := open(t, dir)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		running := 0
		var mu sync.Mutex
		time.AfterFunc(30*time.Second, cancel)
		res, err := Run(ctx, c, func(ctx context.Context, p Params, budget int) (float64, error) {
			mu.Lock()
			running++
			mu.Unlock()
			defer func() { mu.Lock(); running--; mu.Unlock() }()
			select {
			case <-time.After(7 * time.Second):
				return bowlLoss(ctx, p, budget)
			case <-ctx.Done():
				time.Sleep(time.Second) // it has to tidy up
				return 0, nil           // half-way, and it claims to be perfect
			}
		}, j)
		if !errors.Is(err, context.Canceled) || running != 0 {
			t.Errorf("got %v with %d running", err, running)
		}
		if len(res.Trials) != 16 || res.Complete != 0 || res.Best.State != Done || !strings.Contains(res.Summary(), "0 of 4 rungs are complete: the search was stopped") {
			t.Errorf("%d trials, %s", len(res.Trials), res.Summary())
		}
		if len(j.entries) != 16 {
			t.Errorf("%d entries", len(j.entries))
		}
		if got := mustRun(t, c, bowlLoss, j); !equal(got, mustRun(t, c, bowlLoss, nil)) {
			t.Error("the resumed search differs")
		}
	})
}

func TestACancelledSearchBeginsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Run(ctx, bowl(), func(context.Context, Params, int) (float64, error) { t.Error("called"); return 0, nil }, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestACutShortRungHasTheWinnerWhenAllBeforeItFailed(t *testing.T) {
	c, now := bowl(), &clock{now: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}
	c.TimeBudget, c.Now = 32*time.Second, now.Now // 27 trials of the first rung and two of the second
	res := mustRun(t, c, now.spend(func(ctx context.Context, p Params, budget int) (float64, error) {
		if budget == 1 {
			return 0, errors.New("too short to tell")
		}
		return bowlLoss(ctx, p, budget)
	}), nil)
	if res.Best.State != Done || res.Best.Rung != 1 || res.Complete != 1 || !res.TimedOut || len(res.Trials) != 29 {
		t.Errorf("best %+v; %s", res.Best, res.Summary())
	}
}
