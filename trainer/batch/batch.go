package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/forescale/forescale/models"
)

// Job is one group to train.
type Job struct {
	Group string
	// Bytes estimates the memory that training takes, with its data.
	Bytes int64
	// Fingerprint returns what the ledger compares: a hash of all that the model
	// follows from. It is called once, by the goroutine that then trains, and may
	// read the data. Nil: the group is always trained.
	Fingerprint func(ctx context.Context) (string, error)
	// Delivered reports whether what the ledger says was delivered is still there.
	// Nil: it is.
	Delivered func() bool
	// Threads is the number of goroutines that training should compute with. Run
	// sets it: one each while jobs fill the processors.
	Threads int
}

// Outcome is what became of a group that was trained and delivered.
type Outcome struct {
	Model   string `json:"model"`
	Version int    `json:"version"` // in the registry; 0: not registered
	Samples int    `json:"samples"` // windows learned from, repetitions included
	// First and Last are the errors on the test part at the first and the last
	// horizon, with persistence as the one baseline. Nil: not measured.
	First *models.HorizonScore `json:"first,omitempty"`
	Last  *models.HorizonScore `json:"last,omitempty"`
	Note  string               `json:"note,omitempty"` // for people
}

// Status says what a run did with a group.
type Status string

// The statuses.
const (
	Trained Status = "trained"
	Skipped Status = "skipped" // it is in the ledger, and nothing has changed
	Failed  Status = "failed"
	Stopped Status = "stopped" // the run ended before the group did
)

// Result is what a run did with one group.
type Result struct {
	Group  string `json:"group"`
	Status Status `json:"status"`
	// Outcome is that of an earlier run where Status is Skipped, and empty where
	// the group has not been delivered.
	Outcome
	Seconds float64 `json:"seconds"`         // wall clock
	Error   string  `json:"error,omitempty"` // why it failed
	Stack   string  `json:"stack,omitempty"` // where it panicked

	fingerprint string
}

// Label returns the group's name for people: quoted where it holds what a terminal
// must not be sent. Names come from outside.
func (r Result) Label() string {
	if strings.ContainsFunc(r.Group, func(c rune) bool { return !strconv.IsPrint(c) || c == utf8.RuneError }) {
		return strconv.QuoteToASCII(r.Group)
	}
	return r.Group
}

// Config says how to run.
type Config struct {
	// Parallel is the number of jobs at a time; 0: one per processor.
	Parallel int
	// Memory is the budget, in bytes, for the jobs that run at the same time; 0: none.
	Memory int64
	// Ledger remembers what is delivered. Nil: nothing is remembered.
	Ledger *Ledger
	// Resume leaves out what the ledger knows; without it, everything is trained.
	Resume bool
	// Fatal reports an error after which no other group can be delivered either. Nil:
	// there is none.
	Fatal func(error) bool
	// Progress, when set, is called after every group, by one goroutine at a time.
	Progress func(Progress)
	// Now is the clock of what is reported. Nothing else depends on the time.
	Now func() time.Time
}

// Progress says how far a run is.
type Progress struct {
	Last    Result // the group that has just ended
	Total   int
	Trained int
	Skipped int
	Failed  int
	Rate    float64       // groups a minute, those skipped left out; 0 while unknown
	Left    time.Duration // estimate, if none of the rest is skipped; 0 while unknown
}

// Done returns the number of groups that have ended.
func (p Progress) Done() int { return p.Trained + p.Skipped + p.Failed }

// FailedError says how many groups failed, and why the first of them did.
type FailedError struct {
	Failed, Total int
	First         []string // "group: why", of the first few in the order of the jobs
}

// Error lists the first failures, a line each.
func (e *FailedError) Error() string {
	s := fmt.Sprintf("%d of %d groups failed", e.Failed, e.Total)
	for _, line := range e.First {
		s += "\n  " + line
	}
	if more := e.Failed - len(e.First); more > 0 {
		s += fmt.Sprintf("\n  and %d more", more)
	}
	return s
}

// StoppedError says that a run ended before all groups were trained. It does not
// wrap ctx.Err(): a stopped run must not pass for a completed one, on whatever
// signal it stopped.
type StoppedError struct {
	Done, Total int
	Why         error // the context's error, or the fatal one
}

// Error says how far the run came.
func (e *StoppedError) Error() string {
	s := fmt.Sprintf("stopped after %d of %d groups", e.Done, e.Total)
	if !errors.Is(e.Why, context.Canceled) {
		s += ": " + e.Why.Error()
	}
	return s
}

// Run trains the jobs, in their order, with train, which also delivers the model
// and must be safe for concurrent use. The summary has a result for every job, in
// the order of the jobs, whatever the error says.
//
// The error is a *StoppedError when ctx ended or nothing more could be delivered,
// joined with a *FailedError when groups failed; any other one is of the
// configuration, and nothing was trained.
func Run(ctx context.Context, c Config, jobs []Job, train func(context.Context, Job) (Outcome, error)) (Summary, error) {
	if err := c.check(jobs); err != nil {
		return Summary{}, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Parallel = cmp.Or(c.Parallel, runtime.GOMAXPROCS(0))
	r := newRun(c, jobs, train)
	r.all(ctx)
	s := Summary{Started: r.started, Finished: c.Now(), Results: r.results}
	var faults []error
	if done := s.Count(Trained) + s.Count(Skipped) + s.Count(Failed); done < len(jobs) {
		why := r.fatal
		if why == nil {
			why = context.Cause(ctx)
		}
		faults = append(faults, &StoppedError{Done: done, Total: len(jobs), Why: why})
	}
	if n := s.Count(Failed); n > 0 {
		faults = append(faults, &FailedError{Failed: n, Total: len(jobs), First: s.firstFailures()})
	}
	return s, errors.Join(faults...)
}

func (c Config) check(jobs []Job) error {
	var faults []error
	if c.Parallel < 0 || c.Parallel > maxParallel {
		faults = append(faults, fmt.Errorf("jobs: %d must be 1 to %d, or 0 for one per processor", c.Parallel, maxParallel))
	}
	if c.Memory < 0 {
		faults = append(faults, fmt.Errorf("memory: %d bytes must not be negative", c.Memory))
	}
	seen := make(map[string]bool, len(jobs))
	for _, job := range jobs {
		if seen[job.Group] {
			faults = append(faults, fmt.Errorf("group %q is there twice", job.Group))
		}
		seen[job.Group] = true
	}
	return errors.Join(faults...)
}

// maxParallel bounds the jobs at a time: beyond it is a typing error.
const maxParallel = 1024
