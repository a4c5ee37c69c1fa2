package search

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
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
