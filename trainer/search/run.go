package search

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Objective returns the loss that parameters reach with a budget: the less the
// better. It is called by several goroutines at once, must depend on its
// arguments alone, must never see the test part of the data, and returns soon
// after ctx is done.
//
// An error, a panic and a loss that is not finite are recorded, and the trial
// drops out. An error that wraps ErrAbort ends the whole search instead.
type Objective func(ctx context.Context, p Params, budget int) (loss float64, err error)

// ErrAbort says that not the trial failed but what it runs on: a full disk, data
// that cannot be read. Nothing is recorded, so that a resumed search tries again.
var ErrAbort = errors.New("search aborted")

// ErrAllFailed says that not a single evaluation ended with a loss.
var ErrAllFailed = errors.New("every trial failed")

var errNoReturn = errors.New("the objective did not return")

// Run searches, and returns the best trial with all others. A nil journal keeps
// nothing. What the journal has of this search is not evaluated again.
//
// The error is the configuration's, the journal's (see Journal), ErrAllFailed with
// the first reason, what wraps ErrAbort, or ctx.Err(): when ctx ends, Run waits for
// the running evaluations, whose losses no longer count. Beside an error the result
// holds the trials so far, and the best of them if there is one.
func Run(ctx context.Context, c Config, objective Objective, j *Journal) (Result, error) {
	if err := c.Validate(); err != nil {
		return Result{}, err
	}
	if c.TimeBudget > 0 && c.Now == nil {
		return Result{}, errors.New("time_budget: there is no clock to measure it")
	}
	r := &run{config: c, plan: c.plan(), objective: objective, journal: j}
	r.params = c.Candidates()
	r.done = make([]map[int]Trial, len(r.plan.budgets))
	for i := range r.done {
		r.done[i] = map[int]Trial{}
	}
	if err := r.recall(); err != nil {
		return Result{}, err
	}
	r.started = r.now()
	for rung := range r.plan.budgets {
		whole, err := r.climb(ctx, rung)
		if err != nil {
			return r.result(), err
		}
		if !whole {
			r.timedOut = true
			break
		}
		r.complete++
	}
	result := r.result()
	if result.Best.State != Done {
		return result, r.noneDone(result)
	}
	return result, nil
}

// run is a search under way. Its fields belong to Run's goroutine.
type run struct {
	config    Config
	plan      plan
	objective Objective
	journal   *Journal
	params    []Params        // by trial
	recalled  map[place]Trial // what the journal has
	done      []map[int]Trial // by rung, then trial
	complete  int             // rungs of which every evaluation has ended
	timedOut  bool
	count     int // evaluations ended

	started time.Time
	earlier time.Duration // spent by the earlier runs of the journal
	elapsed time.Duration // spent in all when the latest evaluation ended
}

// place is where an evaluation stands.
type place struct{ rung, trial int }

// recall takes over the evaluations of the journal.
func (r *run) recall() error {
	r.recalled = map[place]Trial{}
	if r.journal == nil {
		return nil
	}
	entries, err := r.journal.begin(r.config.settings())
	if err != nil {
		return err
	}
	for i, e := range entries {
		t, at := e.Trial, place{e.Rung, e.ID}
		if _, twice := r.recalled[at]; twice || !r.belongs(t) {
			return fmt.Errorf("search journal %s, line %d: trial %d with budget %d in rung %d is no part of this search; remove the file to begin anew",
				r.journal.path, i+2, t.ID, t.Budget, t.Rung)
		}
		r.recalled[at] = t
		r.earlier = max(r.earlier, e.Elapsed)
	}
	r.elapsed = r.earlier
	return nil
}

// belongs reports whether a trial of the journal is one that this search may hold:
// a program that draws in another way must not go on with what it finds.
func (r *run) belongs(t Trial) bool {
	return t.ID >= 0 && t.ID < len(r.params) && t.Rung >= 0 && t.Rung < len(r.plan.budgets) &&
		t.Budget == r.plan.budgets[t.Rung] && t.Params.json() == r.params[t.ID].json()
}

func (r *run) now() time.Time {
	if r.config.Now == nil {
		return time.Time{}
	}
	return r.config.Now()
}

// climb completes a rung: it returns false when the time budget ran out before.
func (r *run) climb(ctx context.Context, rung int) (whole bool, err error) {
	var jobs []Trial
	for b, bracket := range r.plan.brackets {
		for _, id := range r.entrants(bracket, rung) {
			if t, ok := r.recalled[place{rung, id}]; ok {
				// JSON has forgotten which numbers were whole.
				t.Bracket, t.Params = b, r.params[id]
				r.keep(t, true)
				continue
			}
			jobs = append(jobs, Trial{ID: id, Bracket: b, Params: r.params[id], Rung: rung, Budget: r.plan.budgets[rung]})
		}
	}
	return r.evaluate(ctx, jobs)
}

// entrants returns the trials of a bracket that take part in a rung, in the order
// in which they begin: by number in its first rung; in a later one those that are
// given, which never drop out, and then the best of the others.
func (r *run) entrants(b bracket, rung int) []int {
	if rung < b.start {
		return nil
	}
	ids := make([]int, 0, b.sizes[0])
	if rung == b.start {
		for i := range b.sizes[0] {
			ids = append(ids, b.first+i)
		}
		return ids
	}
	given := len(r.config.Given)
	for id := b.first; id < given; id++ { // all of them in the first bracket
		if r.done[rung-1][id].State == Done {
			ids = append(ids, id)
		}
	}
	var ranked []Trial
	for id, t := range r.done[rung-1] {
		if t.State == Done && id >= max(b.first, given) && id < b.first+b.sizes[0] {
			ranked = append(ranked, t)
		}
	}
	slices.SortFunc(ranked, better)
	for _, t := range ranked[:min(len(ranked), b.sizes[rung-b.start])] {
		ids = append(ids, t.ID)
	}
	return ids
}

// better orders trials of one budget: the lesser loss first, failures last, and of
// equals the one with the lesser number, so that no order depends on the time.
func better(a, b Trial) int {
	if a.State != b.State {
		if a.State == Done {
			return -1
		}
		return 1
	}
	if a.State == Done {
		return cmp.Or(cmp.Compare(a.Loss, b.Loss), cmp.Compare(a.ID, b.ID))
	}
	return cmp.Compare(a.ID, b.ID)
}

// outcome is what a worker hands back.
type outcome struct {
	trial Trial
	began time.Time
	loss  float64
	err   error
}

// evaluate runs the jobs on the workers. It returns false when the time budget ran
// out before all were begun.
func (r *run) evaluate(ctx context.Context, jobs []Trial) (whole bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	finished := make(chan outcome)
	running := 0
	for {
		for err == nil && len(jobs) > 0 && running < r.config.Workers && !r.timeIsUp() {
			if err = ctx.Err(); err != nil {
				break
			}
			o := outcome{trial: jobs[0], began: r.now()}
			go func() {
				// Deferred, so that an objective that ends its goroutine is noticed.
				defer func() { finished <- o }()
				o.err = errNoReturn
				o.loss, o.err = call(ctx, r.objective, o.trial)
			}()
			jobs = jobs[1:]
			running++
		}
		if running == 0 {
			return len(jobs) == 0, err
		}
		// No select on ctx: the evaluations end by themselves when it does, and
		// none may outlive Run.
		o := <-finished
		running--
		if takeErr := r.take(ctx, o); takeErr != nil && err == nil {
			err = takeErr
			cancel()
		}
	}
}

// total returns the number of evaluations, if no trial fails.
func (r *run) total() int {
	return r.plan.evaluations() + len(r.config.Given)*(len(r.plan.budgets)-1)
}

// timeIsUp reports whether the time budget ran out. It goes by the moment that the
// latest evaluation ended, which is in the journal, so that a search that ran out
// of time runs out again when it is resumed.
func (r *run) timeIsUp() bool {
	return r.config.TimeBudget > 0 && r.elapsed >= r.config.TimeBudget
}

// call evaluates, and makes an error of a panic.
func call(ctx context.Context, objective Objective, t Trial) (loss float64, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v%s", p, panicPlace())
		}
	}()
	// A copy, so that an objective that changes its parameters changes no table.
	return objective(ctx, maps.Clone(t.Params), t.Budget)
}

// panicPlace says where the panic that is being recovered happened, as
// " (file.go:12)": a whole stack has no room in a table, none at all is no help.
func panicPlace() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	panicked := false
	for {
		frame, more := frames.Next()
		inRuntime := strings.HasPrefix(frame.Function, "runtime.")
		panicked = panicked || frame.Function == "runtime.gopanic"
		if panicked && !inRuntime {
			return fmt.Sprintf(" (%s:%d)", filepath.Base(frame.File), frame.Line)
		}
		if !more {
			return ""
		}
	}
}

// take records an evaluation that has ended.
func (r *run) take(ctx context.Context, o outcome) error {
	t := o.trial
	switch {
	case errors.Is(o.err, ErrAbort):
		return fmt.Errorf("trial %d in rung %d: %w", t.ID, t.Rung, o.err)
	case ctx.Err() != nil:
		// Whether it finished or gave up half-way cannot be told from outside.
		return ctx.Err()
	case o.err != nil:
		t.State, t.Loss, t.Err = Failed, math.NaN(), o.err.Error()
	case math.IsNaN(o.loss) || math.IsInf(o.loss, 0):
		t.State, t.Loss, t.Err = Failed, math.NaN(), fmt.Sprintf("the loss is %v", o.loss)
	default:
		t.State, t.Loss = Done, o.loss
	}
	now := r.now()
	t.Seconds = now.Sub(o.began).Seconds()
	r.elapsed = r.earlier + now.Sub(r.started)
	if r.journal != nil {
		if err := r.journal.append(entry{Trial: t, Elapsed: r.elapsed}); err != nil {
			return err
		}
	}
	r.keep(t, false)
	return nil
}

func (r *run) keep(t Trial, reused bool) {
	r.done[t.Rung][t.ID] = t
	r.count++
	if r.config.Progress != nil {
		r.config.Progress(Progress{Trial: t, Reused: reused, Done: r.count, Total: r.total()})
	}
}

// result gathers what is known. The best trial is that of the greatest budget
// whose rung is complete. Where none of those has a loss, it is the best so far of
// the rung that was cut short, since all in it had the same budget.
func (r *run) result() Result {
	res := Result{Budgets: r.plan.budgets, Complete: r.complete, TimedOut: r.timedOut}
	for rung := range r.plan.budgets {
		var trials []Trial
		for _, t := range r.done[rung] {
			trials = append(trials, t)
		}
		slices.SortFunc(trials, func(a, b Trial) int { return cmp.Compare(a.ID, b.ID) })
		res.Trials = append(res.Trials, trials...)
		if len(trials) == 0 || rung >= r.complete && res.Best.State == Done {
			continue
		}
		if best := slices.MinFunc(trials, better); best.State == Done {
			res.Best = best
		}
	}
	return res
}

// noneDone explains a result without a loss.
func (r *run) noneDone(result Result) error {
	if len(result.Trials) == 0 {
		return fmt.Errorf("time_budget: %s ran out before a single evaluation", r.config.TimeBudget)
	}
	return fmt.Errorf("%w: %d evaluations, the first with: %s", ErrAllFailed, len(result.Trials), result.Trials[0].Err)
}
