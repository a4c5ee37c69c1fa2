package ort

import (
	"context"
	"crypto/sha256"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// enough is how much of the best throughput a smaller batch must have to be
	// preferred: it is answered sooner and holds up others less.
	enough = 1 / 1.02
	// calibrateBudget bounds the processor time for trying out one model, but for one
	// run of a single row.
	calibrateBudget = 500 * time.Millisecond
	// slowest bounds the run of a single row, or two, of a model whose rows may share
	// a run. It also ends the warming of a model that never ends.
	slowest = time.Second
	// repeats is how often a number of rows is tried; the median counts.
	repeats = 7
	// maxCalibrated bounds how many structures are remembered.
	maxCalibrated = 1024
)

// candidates are the numbers of rows that are tried, ascending.
var candidates = []int{1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64}

// calibrated remembers the outcome by the structure of the model and the threads of a
// run: a new version of a model, or the next of a thousand alike, is not measured again.
var calibrated struct {
	sync.Mutex
	rows map[calibration]int
}

type calibration struct {
	structure [sha256.Size]byte
	threads   int
}

// calibrate returns the smallest number of rows whose runs have nearly the best
// throughput. It has run every number up to it at least once, for this model or for one
// of the same structure, with which it shares what a run of each number needs, and the
// largest for this one. 0: the model cannot run rows together, whatever it says of its
// first axis.
func (s *Session) calibrate(structure [sha256.Size]byte, opts Options) int {
	key := calibration{structure, max(1, opts.Threads)}
	calibrated.Lock()
	rows, known := calibrated.rows[key]
	calibrated.Unlock()
	l, err := s.Lane()
	if err != nil {
		return 0
	}
	defer l.Free()
	// The calling thread does the work of a run on one thread. Its processor time is
	// not that of what else runs on the machine.
	clock := wallTime
	if key.threads == 1 {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		clock = threadTime
	}
	run := func(n int) bool {
		ctx, cancel := context.WithTimeout(context.Background(), slowest)
		defer cancel()
		_, err := l.Run(ctx, n)
		return err == nil
	}
	if !run(1) || !run(2) {
		return 0 // it is too slow, or says that the length of its first axis is open, and it is not
	}
	began := clock()
	spent := func() bool { return clock()-began > calibrateBudget }
	if !known {
		times := try(min(s.rooms.rows, maxRows), spent, clock, run)
		rows = choose(min(s.rooms.rows, maxRows), func(n int) (time.Duration, bool) {
			t := times[n]
			if len(t) == 0 {
				return 0, false
			}
			slices.Sort(t)
			return t[len(t)/2], true
		})
		calibrated.Lock()
		if calibrated.rows == nil || len(calibrated.rows) >= maxCalibrated {
			calibrated.rows = map[calibration]int{}
		}
		calibrated.rows[key] = rows
		calibrated.Unlock()
	}
	for n := 3; n < rows && !known && !spent(); n++ {
		run(n)
	}
	if rows > 2 {
		run(rows)
	}
	return rows
}

// try runs each number of rows several times, and returns how long each took. It goes
// round by round, so that what else the machine does falls on all numbers, and stops
// when run fails or the time is spent.
func try(most int, spent func() bool, clock func() time.Duration, run func(rows int) bool) map[int][]time.Duration {
	times := map[int][]time.Duration{}
	for range repeats {
		for _, n := range candidates {
			if n > most {
				break
			}
			started := clock()
			if !run(n) {
				return times
			}
			times[n] = append(times[n], clock()-started)
			if spent() {
				return times
			}
		}
	}
	return times
}

// choose returns the smallest number of rows up to most that has nearly the best
// throughput of those for which measure returns a time. It is at least 1.
func choose(most int, measure func(rows int) (time.Duration, bool)) int {
	best := 0.0
	var tried []struct {
		rows int
		rate float64
	}
	for _, n := range candidates {
		if n > most {
			break
		}
		took, ok := measure(n)
		if !ok {
			break
		}
		rate := float64(n) / float64(max(1, took))
		best = max(best, rate)
		tried = append(tried, struct {
			rows int
			rate float64
		}{n, rate})
	}
	for _, t := range tried {
		if t.rate >= enough*best {
			return t.rows
		}
	}
	return 1
}

// start is where wallTime counts from.
var start = time.Now()

func wallTime() time.Duration { return time.Since(start) }

// threadTime returns the processor time of the calling thread.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return wallTime()
	}
	return time.Duration(t.Nano())
}
