package collector

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// runFor runs the collector on the bubble's clock, shifted by shift, and returns
// the ends of the live ranges that it asked for.
func runFor(t *testing.T, d time.Duration, shift func(elapsed time.Duration) time.Duration) []time.Time {
	var ticks []time.Time
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := newWorld(t)
		w.cfg.CatchUp = 0 // live calls only
		w.restart()
		w.c.now = func() time.Time {
			elapsed := time.Since(began)
			return t0.Add(30 * time.Second).Add(elapsed + shift(elapsed))
		}
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		if err := w.c.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
		for _, call := range w.source.calls {
			ticks = append(ticks, call[1])
		}
	})
	return ticks
}

func slots(list ...int) []time.Time {
	var out []time.Time
	for _, i := range list {
		out = append(out, at(i))
	}
	return out
}

func TestRun(t *testing.T) {
	for name, c := range map[string]struct {
		shift func(time.Duration) time.Duration
		want  []time.Time
	}{
		"ticks at once, and then a settle after each slot's end": {
			func(time.Duration) time.Duration { return 0 }, slots(-1, 0, 1, 2, 3)},
		"does not wait out the ticks that a jump ahead has skipped": {
			func(e time.Duration) time.Duration {
				if e > 7*time.Minute {
					return time.Hour
				}
				return 0
			}, slots(-1, 0, 1, 13, 14, 15)},
		"goes on at once when the clock is set back by an hour": {
			func(e time.Duration) time.Duration {
				if e > 7*time.Minute {
					return -time.Hour
				}
				return 0
			}, slots(-1, 0, 1, -11, -10, -9)},
		"repeats no tick when the clock is adjusted by a minute": {
			func(e time.Duration) time.Duration {
				if e > 6*time.Minute {
					return -time.Minute
				}
				return 0
			}, slots(-1, 0, 1, 2, 3)},
	} {
		t.Run(name, func(t *testing.T) {
			if got := runFor(t, 20*time.Minute, c.shift); !slices.Equal(got, c.want) {
				t.Errorf("ticks\n%v\nwant\n%v", got, c.want)
			}
		})
	}
}
