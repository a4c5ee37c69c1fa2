package search

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// bowl is a search of a smooth function; its loss falls with the budget.
func bowl() Config {
	c := DefaultConfig()
	c.Space = Space{"x": Uniform(-1, 1), "rate": Log(1e-4, 1)}
	c.Brackets = 2
	return c
}

func bowlLoss(_ context.Context, p Params, budget int) (float64, error) {
	x, r := p.Float("x")-0.3, math.Log10(p.Float("rate"))+2
	return x*x + r*r + math.Abs(x)/float64(budget), nil
}

// equal compares results; NaN, which failed trials have for a loss, equals itself.
func equal(a, b Result) bool { return fmt.Sprintf("%#v", a) == fmt.Sprintf("%#v", b) }

func mustRun(t *testing.T, c Config, o Objective, j *Journal) Result {
	t.Helper()
	r, err := Run(context.Background(), c, o, j)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheResultDoesNotDependOnTheWorkers(t *testing.T) {
	want := mustRun(t, bowl(), bowlLoss, nil)
	if len(want.Trials) != 27+9+3+1+12+4+1 || want.Complete != 4 || want.TimedOut {
		t.Errorf("%d evaluations, %d rungs complete, timed out %v", len(want.Trials), want.Complete, want.TimedOut)
	}
	for _, workers := range []int{2, 3, 16} {
		c := bowl()
		c.Workers = workers
		// The later the number, the sooner it ends: the order of ending is turned round.
		jumbled := func(ctx context.Context, p Params, budget int) (float64, error) {
			for range int(10 * (p.Float("x") + 1)) {
				runtime.Gosched()
			}
			return bowlLoss(ctx, p, budget)
		}
		if got := mustRun(t, c, jumbled, nil); !equal(got, want) {
			t.Errorf("%d workers: best %+v, one has %+v", workers, got.Best, want.Best)
		}
	}
}

func TestNoMoreEvaluationsRunAtOnceThanThereAreWorkers(t *testing.T) {
	c := bowl()
	c.Workers = 3
	var mu sync.Mutex
	running, most := 0, 0
	synctest.Test(t, func(t *testing.T) {
		mustRun(t, c, func(ctx context.Context, p Params, budget int) (float64, error) {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(time.Duration(budget) * time.Second)
			mu.Lock()
			running--
			mu.Unlock()
			return bowlLoss(ctx, p, budget)
		}, nil)
	})
	if most != 3 {
		t.Errorf("%d ran at once, want 3", most)
	}
}

// Random searches with random failures, judged by the definition of successive
// halving instead of the code.
func TestEveryRungHoldsTheBestOfTheOneBefore(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for round := range 200 {
		c := bowl()
		c.Trials, c.Eta, c.MaxBudget, c.Seed, c.Workers = 1+rng.IntN(60), 2+rng.IntN(3), 1+rng.IntN(100), rng.Uint64(), 1+rng.IntN(4)
		c.Brackets = 1 + rng.IntN(c.rungs())
		var mu sync.Mutex
		calls := map[string]int{}
		res, err := Run(context.Background(), c, func(ctx context.Context, p Params, budget int) (float64, error) {
			mu.Lock()
			calls[fmt.Sprint(p, budget)]++
			mu.Unlock()
			loss, _ := bowlLoss(ctx, p, budget)
			switch int(1e4*loss) % 7 {
			case 0:
				return 0, errors.New("seven")
			case 1:
				return math.Floor(loss), nil // ties
			}
			return loss, nil
		}, nil)
		if err != nil {
			if !errors.Is(err, ErrAllFailed) || res.Best.State == Done {
				t.Fatalf("round %d: %v, best %+v", round, err, res.Best)
			}
			continue
		}
		for key, n := range calls {
			if n != 1 {
				t.Fatalf("round %d: %s was evaluated %d times", round, key, n)
			}
		}
		if len(calls) != len(res.Trials) {
			t.Fatalf("round %d: %d evaluations, %d in the result", round, len(calls), len(res.Trials))
		}
		checkHalving(t, c, res)
	}
}

func checkHalving(t *testing.T, c Config, res Result) {
	t.Helper()
	at := map[place]Trial{}
	for _, tr := range res.Trials {
		at[place{tr.Rung, tr.ID}] = tr
		if tr.Budget != res.Budgets[tr.Rung] || (tr.State == Failed) != math.IsNaN(tr.Loss) || (tr.State == Failed) != (tr.Err != "") {
			t.Fatalf("%+v", tr)
		}
	}
	for b, br := range c.plan().brackets {
		for rung := br.start; rung < len(res.Budgets); rung++ {
			in, finished, wanted := 0, 0, br.sizes[rung-br.start]
			for id := br.first; id < br.first+br.sizes[0]; id++ {
				tr, ok := at[place{rung, id}]
				if rung > br.start && at[place{rung - 1, id}].State == Done {
					finished++
				}
				if !ok {
					continue
				}
				in++
				if tr.Bracket != b {
					t.Fatalf("trial %d is of bracket %d, not %d", id, b, tr.Bracket)
				}
				if rung == br.start {
					continue
				}
				mine, better := at[place{rung - 1, id}], 0
				for other := br.first; other < br.first+br.sizes[0]; other++ {
					o := at[place{rung - 1, other}]
					if o.State == Done && (o.Loss < mine.Loss || o.Loss == mine.Loss && other < id) {
						better++
					}
				}
				if mine.State != Done || better >= wanted {
					t.Fatalf("trial %d got into rung %d, where %d were better and %d places", id, rung, better, wanted)
				}
			}
			if rung > br.start {
				wanted = min(wanted, finished)
			}
			if in != wanted {
				t.Fatalf("bracket %d has %d trials in rung %d, want %d", b, in, rung, wanted)
			}
		}
	}
	last := -1
	for _, tr := range res.Trials {
		if tr.State == Done {
			last = max(last, tr.Rung)
		}
	}
	for _, tr := range res.Trials {
		if tr.State == Done && tr.Rung == last && (tr.Loss < res.Best.Loss || tr.Loss == res.Best.Loss && tr.ID < res.Best.ID) || res.Best.Rung != last {
			t.Fatalf("%+v is better than the best, %+v", tr, res.Best)
		}
	}
}

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
		{"a panic", func() (float64, error) { panic("shape") }, "panic: shape (run_test.go:"},
		{"a panic of the runtime", func() (float64, error) { var none []float64; return none[len(third)], nil }, "index out of range [2] with length 0 (run_test.go:"},
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

// clock is a time that evaluations move on.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) spend(o Objective) Objective {
	return func(ctx context.Context, p Params, budget int) (float64, error) {
		c.mu.Lock()
		c.now = c.now.Add(time.Duration(budget) * time.Second)
		c.mu.Unlock()
		return o(ctx, p, budget)
	}
}

func TestTheTimeBudget(t *testing.T) {
	start := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	whole := mustRun(t, bowl(), bowlLoss, nil)
	for _, tt := range []struct {
		name     string
		seconds  int
		trials   int
		complete int
		bestRung int
	}{
		{"runs out in the first rung: the best so far wins", 10, 10, 0, 0},
		{"runs out as the first rung ends", 27, 27, 1, 0},
		{"runs out in the second rung: the first rung's best wins", 40, 27 + 5, 1, 0},
		{"runs out in the last rung", 27 + 21*3 + 7*9 + 1, 27 + 21 + 7 + 1, 3, 2},
		{"is enough", 27 + 21*3 + 7*9 + 2*27, 57, 4, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, now := bowl(), &clock{now: start}
			c.TimeBudget, c.Now = time.Duration(tt.seconds)*time.Second, now.Now
			j := open(t, t.TempDir())
			res := mustRun(t, c, now.spend(bowlLoss), j)
			if len(res.Trials) != tt.trials || res.Complete != tt.complete || res.Best.Rung != tt.bestRung || res.Best.State != Done {
				t.Errorf("%d trials, %d complete, best %+v", len(res.Trials), res.Complete, res.Best)
			}
			cut := tt.complete < 4
			if res.TimedOut != cut || strings.Contains(res.Summary(), "the time budget ran out") != cut {
				t.Errorf("timed out %v; %s", res.TimedOut, res.Summary())
			}
			if got := res.Trials[0].Seconds; got != 1 {
				t.Errorf("the first took %v s", got)
			}
			now.now = now.now.Add(time.Hour) // nothing runs, so nothing is spent
			if again := mustRun(t, c, now.spend(bowlLoss), j); !equal(again, res) {
				t.Errorf("resumed without more time: %s", again.Summary())
			}
			c.TimeBudget *= 1000
			if all := mustRun(t, c, now.spend(bowlLoss), j); all.TimedOut || all.Best.ID != whole.Best.ID || all.Best.Loss != whole.Best.Loss {
				t.Errorf("resumed with more time: %s", all.Summary())
			}
		})
	}
	c := bowl()
	c.TimeBudget = time.Second
	if _, err := Run(context.Background(), c, bowlLoss, nil); err == nil || !strings.Contains(err.Error(), "no clock") {
		t.Errorf("got %v", err)
	}
}

func TestTheTimeBudgetIsThatOfAllRunsTogether(t *testing.T) {
	c, now, j := bowl(), &clock{now: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}, open(t, t.TempDir())
	c.TimeBudget, c.Now = 40*time.Second, now.Now
	want := mustRun(t, c, now.spend(bowlLoss), nil)
	for _, stop := range []int{5, 20, 30, 100} {
		ctx, cancel := context.WithCancel(context.Background())
		c.Progress = func(p Progress) {
			if p.Done == stop {
				cancel()
			}
		}
		res, err := Run(ctx, c, now.spend(bowlLoss), j)
		if cancel(); stop < 100 && !errors.Is(err, context.Canceled) || stop == 100 && (err != nil || !equal(res, want)) {
			t.Errorf("stopped after %d: %v, %s; want %s", stop, err, res.Summary(), want.Summary())
		}
		now.now = now.now.Add(time.Hour)
	}
}

func TestProgressCountsEveryEvaluation(t *testing.T) {
	c, j := bowl(), open(t, t.TempDir())
	var got []Progress
	c.Progress = func(p Progress) { got = append(got, p) }
	mustRun(t, c, bowlLoss, j)
	mustRun(t, c, bowlLoss, j)
	if len(got) != 2*57 {
		t.Fatalf("%d calls", len(got))
	}
	for i, p := range got {
		if p.Done != i%57+1 || p.Total != 57 || p.Reused != (i >= 57) || p.Trial.State != Done {
			t.Fatalf("call %d: %+v", i, p)
		}
	}
}

func TestAnObjectiveThatChangesItsParametersChangesNoOthers(t *testing.T) {
	got := mustRun(t, bowl(), func(ctx context.Context, p Params, budget int) (float64, error) {
		loss, err := bowlLoss(ctx, p, budget)
		clear(p)
		return loss, err
	}, nil)
	if !equal(got, mustRun(t, bowl(), bowlLoss, nil)) {
		t.Errorf("best %+v", got.Best)
	}
}

func TestRunRefusesAFaultyConfiguration(t *testing.T) {
	if _, err := Run(context.Background(), Config{}, bowlLoss, nil); err == nil || !strings.Contains(err.Error(), "trials: 0") {
		t.Errorf("got %v", err)
	}
}
