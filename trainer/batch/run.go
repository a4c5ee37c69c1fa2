package batch

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// run is a run under way. Its results are each owned by the goroutine that took
// the job, until they are counted.
type run struct {
	config  Config
	jobs    []Job
	train   func(context.Context, Job) (Outcome, error)
	memory  *semaphore.Weighted // nil: no budget
	started time.Time
	results []Result

	mu       sync.Mutex
	next     int      // guarded by mu: the first job that nobody has taken
	progress Progress // guarded by mu
	fatal    error    // guarded by mu: why no further job is begun
}

func newRun(c Config, jobs []Job, train func(context.Context, Job) (Outcome, error)) *run {
	r := &run{config: c, jobs: jobs, train: train, started: c.Now(), results: make([]Result, len(jobs))}
	r.progress.Total = len(jobs)
	for i, job := range jobs {
		r.results[i] = Result{Group: job.Group, Status: Stopped}
	}
	if c.Memory > 0 {
		r.memory = semaphore.NewWeighted(c.Memory)
	}
	return r
}

// all runs the jobs until they are done, ctx ends or none can be delivered.
func (r *run) all(ctx context.Context) {
	var wg sync.WaitGroup
	for range min(r.config.Parallel, len(r.jobs)) {
		wg.Go(func() {
			for {
				i, ok := r.take(ctx)
				if !ok {
					return
				}
				r.one(ctx, i)
			}
		})
	}
	wg.Wait()
}

// take returns the next job.
func (r *run) take(ctx context.Context) (i int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == len(r.jobs) || r.fatal != nil || ctx.Err() != nil {
		return 0, false
	}
	r.next++
	return r.next - 1, true
}

// threads returns how many goroutines job i may compute with: the processors,
// shared by the jobs that can run beside it.
func (r *run) threads(i int) int {
	beside := min(r.config.Parallel, len(r.jobs))
	if left := len(r.jobs) - i; left < beside { // the last jobs run beside those that began before
		r.mu.Lock()
		beside = min(beside, len(r.jobs)-r.progress.Done())
		r.mu.Unlock()
	}
	if r.config.Memory > 0 && r.jobs[i].Bytes > 0 {
		beside = min(beside, int(max(1, r.config.Memory/r.jobs[i].Bytes)))
	}
	return max(1, runtime.GOMAXPROCS(0)/max(1, beside))
}

// one runs job i when there is memory for it.
func (r *run) one(ctx context.Context, i int) {
	job, result := r.jobs[i], &r.results[i]
	if r.memory != nil {
		need := max(0, min(job.Bytes, r.config.Memory)) // one that needs more runs alone
		if r.memory.Acquire(ctx, need) != nil {
			return // ctx has ended
		}
		defer r.memory.Release(need)
	}
	r.mu.Lock()
	fatal := r.fatal
	r.mu.Unlock()
	if fatal != nil { // while this one waited for memory
		return
	}
	job.Threads = r.threads(i)
	began := r.config.Now()
	err := r.attempt(ctx, job, result)
	result.Seconds = r.config.Now().Sub(began).Seconds()
	if err == nil && result.Status == Trained && r.config.Ledger != nil {
		err = r.config.Ledger.put(*result, r.config.Now())
	}
	if err != nil {
		result.Status, result.Error, result.Outcome = Failed, err.Error(), Outcome{}
	}
	if err != nil && ctx.Err() != nil { // it ended because the run did, whatever it says
		result.Status = Stopped
		return
	}
	r.count(*result, err)
}

// attempt trains a job, unless the ledger has it, and turns a panic into an error.
func (r *run) attempt(ctx context.Context, job Job, result *Result) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
			result.Stack = string(debug.Stack())
		}
	}()
	if job.Fingerprint != nil {
		if result.fingerprint, err = job.Fingerprint(ctx); err != nil {
			return err
		}
		if earlier, ok := r.known(job, result.fingerprint); ok {
			result.Status, result.Outcome = Skipped, earlier
			return nil
		}
	}
	if result.Outcome, err = r.train(ctx, job); err == nil {
		result.Status = Trained
	}
	return err
}

// known returns the outcome of an earlier run that still holds.
func (r *run) known(job Job, fingerprint string) (Outcome, bool) {
	if !r.config.Resume || r.config.Ledger == nil {
		return Outcome{}, false
	}
	e, ok := r.config.Ledger.get(job.Group)
	return e.Outcome, ok && e.Fingerprint == fingerprint && (job.Delivered == nil || job.Delivered())
}

// count adds a group that has ended and reports progress.
func (r *run) count(result Result, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &r.progress
	p.Last = result
	switch result.Status {
	case Trained:
		p.Trained++
	case Skipped:
		p.Skipped++
	case Failed:
		p.Failed++
		if r.fatal == nil && r.config.Fatal != nil && r.config.Fatal(err) {
			r.fatal = err
		}
	}
	if worked, elapsed := p.Trained+p.Failed, r.config.Now().Sub(r.started); worked > 0 && elapsed > 0 {
		p.Rate = float64(worked) / elapsed.Minutes()
		p.Left = time.Duration(float64(elapsed) * float64(p.Total-p.Done()) / float64(worked))
	}
	if r.config.Progress != nil {
		r.config.Progress(*p)
	}
}
