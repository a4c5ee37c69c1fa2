package batch

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// jobs returns n jobs of so many bytes, g0 … g(n-1).
func jobs(n int, bytes int64) (all []Job) {
	for i := range n {
		all = append(all, Job{Group: fmt.Sprintf("g%d", i), Bytes: bytes})
	}
	return all
}

// statuses returns "g0 trained, g1 failed, …".
func statuses(s Summary) string {
	var words []string
	for _, r := range s.Results {
		words = append(words, r.Group+" "+string(r.Status))
	}
	return strings.Join(words, ", ")
}

func TestAGroupThatFailsOrPanicsStopsNoOther(t *testing.T) {
	s, err := Run(t.Context(), Config{Parallel: 2}, jobs(5, 1), func(_ context.Context, job Job) (Outcome, error) {
		switch job.Group {
		case "g1":
			return Outcome{Version: 9}, errors.New("too short\nby far")
		case "g2":
			var grid []float64
			return Outcome{Version: int(grid[3])}, nil
		}
		return Outcome{Version: 1, Samples: 10}, nil
	})
	if got, want := statuses(s), "g0 trained, g1 failed, g2 failed, g3 trained, g4 trained"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	var failed *FailedError
	if !errors.As(err, &failed) || failed.Failed != 2 || failed.Total != 5 {
		t.Fatalf("%v", err)
	}
	want := "2 of 5 groups failed\n  g1: too short\n  g2: panic: runtime error: index out of range [3] with length 0"
	if err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	if s.Results[1].Version != 0 || !strings.Contains(s.Results[2].Stack, "run_test.go") || s.Samples() != 30 {
		t.Errorf("%+v", s.Results)
	}
}

func TestOnlyTheFirstFailuresAreShown(t *testing.T) {
	_, err := Run(t.Context(), Config{}, jobs(9, 0), func(context.Context, Job) (Outcome, error) { return Outcome{}, errors.New("no") })
	if err == nil || strings.Count(err.Error(), ": no") != 5 || !strings.HasSuffix(err.Error(), "and 4 more") {
		t.Errorf("%v", err)
	}
}

// In a bubble a job that waits for another one that never runs is a deadlock,
// which fails the test.
func TestJobsRunSideBySideWithinTheirMemory(t *testing.T) {
	for name, c := range map[string]struct {
		memory, each int64
		parallel     int
		most         int64 // jobs at a time
	}{
		"no budget":                          {0, 100, 3, 3},
		"a budget for two of four":           {250, 100, 4, 2},
		"a budget for exactly three":         {300, 100, 4, 3},
		"one that needs more than all of it": {50, 100, 4, 1},
		"jobs that need nothing":             {50, 0, 2, 2},
		"one at a time":                      {1000, 1, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var running, most atomic.Int64
				_, err := Run(t.Context(), Config{Parallel: c.parallel, Memory: c.memory}, jobs(12, c.each), func(context.Context, Job) (Outcome, error) {
					for n := running.Add(1); ; {
						seen := most.Load()
						if n <= seen || most.CompareAndSwap(seen, n) {
							break
						}
					}
					time.Sleep(time.Minute) // all that may run have begun by then
					running.Add(-1)
					return Outcome{}, nil
				})
				if err != nil || most.Load() != c.most {
					t.Errorf("%d at a time, want %d; %v", most.Load(), c.most, err)
				}
			})
		})
	}
}

func TestJobsShareTheProcessors(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8))
	for name, c := range map[string]struct {
		parallel, jobs int
		memory         int64
		want           int
	}{
		"as many jobs as processors":      {8, 20, 0, 1},
		"more jobs than processors":       {16, 20, 0, 1},
		"a job alone":                     {8, 1, 0, 8},
		"one at a time":                   {1, 3, 0, 8},
		"two at a time":                   {2, 2, 0, 4},
		"memory for two of eight":         {8, 20, 25, 4},
		"memory for less than one of all": {8, 20, 5, 8},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var first []int
				_, err := Run(t.Context(), Config{Parallel: c.parallel, Memory: c.memory}, jobs(c.jobs, 10), func(_ context.Context, job Job) (Outcome, error) {
					mu.Lock()
					first = append(first, job.Threads)
					mu.Unlock()
					time.Sleep(time.Minute)
					return Outcome{}, nil
				})
				if err != nil || first[0] != c.want || slices.Min(first) < 1 {
					t.Errorf("threads %v, want %d at first; %v", first, c.want, err)
				}
			})
		})
	}
}

func TestStoppingEndsJobsBetweenAndInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), 90*time.Second)
		defer stop()
		s, err := Run(ctx, Config{Parallel: 1}, jobs(4, 1), func(ctx context.Context, job Job) (Outcome, error) {
			select {
			case <-ctx.Done():
				return Outcome{}, fmt.Errorf("half-way: %w", ctx.Err())
			case <-time.After(time.Minute):
				return Outcome{}, nil
			}
		})
		if got, want := statuses(s), "g0 trained, g1 stopped, g2 stopped, g3 stopped"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		var stopped *StoppedError
		if !errors.As(err, &stopped) || stopped.Done != 1 || stopped.Total != 4 || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}

// A job that waits for memory must see the end of the run, too.
func TestStoppingReachesAJobThatWaitsForMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		s, err := Run(ctx, Config{Parallel: 2, Memory: 10}, jobs(2, 10), func(context.Context, Job) (Outcome, error) {
			stop()
			time.Sleep(time.Second)
			return Outcome{}, nil // delivered all the same
		})
		trained := s.Count(Trained)
		var stopped *StoppedError
		if trained != 1 || s.Count(Stopped) != 1 || !errors.As(err, &stopped) {
			t.Errorf("%s, %v", statuses(s), err)
		}
	})
}

func TestAFullDiskEndsTheRun(t *testing.T) {
	full := errors.New("write g1: no space left on device")
	s, err := Run(t.Context(), Config{Parallel: 1, Fatal: func(err error) bool { return errors.Is(err, full) }}, jobs(4, 1),
		func(_ context.Context, job Job) (Outcome, error) {
			if job.Group == "g1" {
				return Outcome{}, fmt.Errorf("deliver: %w", full)
			}
			return Outcome{}, nil
		})
	if got, want := statuses(s), "g0 trained, g1 failed, g2 stopped, g3 stopped"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	var stopped *StoppedError
	if !errors.As(err, &stopped) || !strings.Contains(err.Error(), "stopped after 2 of 4 groups: deliver: write g1: no space") {
		t.Errorf("%v", err)
	}
}

func TestProgressCountsAndEstimates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		_, err := Run(t.Context(), Config{Parallel: 1, Now: time.Now, Progress: func(p Progress) {
			seen = append(seen, fmt.Sprintf("%s %d/%d, %d failed, %.1f/min, %s", p.Last.Group, p.Done(), p.Total, p.Failed, p.Rate, p.Left))
		}}, jobs(3, 1), func(_ context.Context, job Job) (Outcome, error) {
			time.Sleep(30 * time.Second)
			if job.Group == "g1" {
				return Outcome{}, errors.New("no")
			}
			return Outcome{}, nil
		})
		want := []string{"g0 1/3, 0 failed, 2.0/min, 1m0s", "g1 2/3, 1 failed, 2.0/min, 30s", "g2 3/3, 1 failed, 2.0/min, 0s"}
		if err == nil || !slices.Equal(seen, want) {
			t.Errorf("%q, want %q; %v", seen, want, err)
		}
	})
}

func TestAWrongConfigurationTrainsNothing(t *testing.T) {
	for want, c := range map[string]struct {
		config Config
		jobs   []Job
	}{
		"jobs: -1":              {Config{Parallel: -1}, jobs(1, 1)},
		"memory: -5":            {Config{Memory: -5}, jobs(1, 1)},
		`group "g0" is there`:   {Config{}, append(jobs(1, 1), jobs(1, 1)...)},
		"jobs: 99999 must be 1": {Config{Parallel: 99999}, nil},
	} {
		_, err := Run(t.Context(), c.config, c.jobs, func(context.Context, Job) (Outcome, error) {
			t.Errorf("%s: something was trained", want)
			return Outcome{}, nil
		})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if s, err := Run(t.Context(), Config{}, nil, nil); err != nil || len(s.Results) != 0 {
		t.Errorf("no jobs: %v", err)
	}
}
