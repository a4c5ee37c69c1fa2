package collector

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

func TestBackfill(t *testing.T) {
	t.Run("fetches a range in chunks of at most a day that end with the day", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -2000, 10)...)
		var seen []Progress
		if err := w.c.Backfill(t.Context(), at(-1500), at(-100), func(p Progress) { seen = append(seen, p) }); err != nil {
			t.Fatal(err)
		}
		w.expect(ramp("web", -1500, -100)...)
		for _, c := range w.source.calls {
			if c[1].Sub(c[0]) > 24*time.Hour || c[0].Truncate(24*time.Hour) != c[1].Add(-1).Truncate(24*time.Hour) {
				t.Errorf("chunk %v crosses a day", c)
			}
		}
		last := seen[len(seen)-1]
		if last.Done != last.Total || last.Total != 1400*step || last.Samples != 1400 || last.At != at(-100) {
			t.Errorf("last progress %+v", last)
		}
	})
	t.Run("cancelled and run again ends with the same lake", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -2000, 10)...)
		ctx, cancel := context.WithCancel(t.Context())
		chunks := 0
		err := w.c.Backfill(ctx, at(-1500), at(0), func(Progress) {
			if chunks++; chunks == 3 {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "stopped at") {
			t.Fatalf("got %v", err)
		}
		first := w.c.Stats().Stored
		w.restart()
		if err := w.c.Backfill(t.Context(), at(-1500), at(0), nil); err != nil {
			t.Fatal(err)
		}
		w.expect(ramp("web", -1500, 0)...)
		if second := w.c.Stats().Stored; first+second != 1500 {
			t.Errorf("%d rows were written for 1500 samples", first+second)
		}
	})
	t.Run("a tick after it fills the time between", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -2000, 100)...)
		if err := w.c.Backfill(t.Context(), at(-500), at(0), nil); err != nil {
			t.Fatal(err)
		}
		w.restart()
		w.mustTick(30)
		w.expect(ramp("web", -500, 30)...)
	})
	t.Run("of an older range does not hide a hole before the present", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -2000, 100)...)
		w.mustTick(0)
		w.clock = at(50)
		if err := w.c.Backfill(t.Context(), at(-100), at(-50), nil); err != nil {
			t.Fatal(err)
		}
		w.mustTick(50)
		w.expect(append(ramp("web", -100, -50), ramp("web", -3, 50)...)...)
	})
	t.Run("does not ask for the future", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -20, 100)...)
		if err := w.c.Backfill(t.Context(), at(-10), at(1000), nil); err != nil {
			t.Fatal(err)
		}
		for _, c := range w.source.calls {
			if c[1].After(w.clock) {
				t.Errorf("asked for %v", c)
			}
		}
		w.mustTick(20)
		w.expect(ramp("web", -10, 20)...)
	})
	t.Run("begins where the provider's memory does", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -2000, 100)...)
		w.source.oldest = at(-50).Add(time.Second)
		if err := w.c.Backfill(t.Context(), at(-500), at(0), nil); err != nil {
			t.Fatal(err)
		}
		if first := w.source.calls[0][0]; first != at(-49) {
			t.Errorf("the first call is for %s", first)
		}
		if err := w.c.Backfill(t.Context(), at(-500), at(-400), nil); err == nil {
			t.Error("a range that nobody remembers is no error")
		}
	})
	t.Run("skips a series that fails and reports it once", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -2000, 100)...)
		w.source.broken = map[Series]error{{"secret", api.MetricCPU, api.StatAvg}: errors.New("Forbidden")}
		err := w.c.Backfill(t.Context(), at(-1500), at(0), nil)
		if err == nil || strings.Count(err.Error(), "secret/cpu_utilization") != 1 {
			t.Errorf("got %v", err)
		}
		w.expect(ramp("web", -1500, 0)...)
	})
	t.Run("stops with the place when the store fails", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -2000, 100)...)
		w.store.appendErr = errDown
		err := w.c.Backfill(t.Context(), at(-1500), at(0), nil)
		if !errors.Is(err, errDown) || !strings.Contains(err.Error(), at(-1500).Format(time.RFC3339)) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("refuses an empty range", func(t *testing.T) {
		w := newWorld(t)
		if err := w.c.Backfill(t.Context(), at(0), at(0), nil); err == nil {
			t.Error("no error")
		}
	})
}

func TestChunksGrowAndShrinkWithTheRows(t *testing.T) {
	k := newChunks(t0.Truncate(24*time.Hour), t0.Add(240*time.Hour), step)
	length := func(rows int) time.Duration {
		from, to := k.next()
		k.saw(rows)
		return to.Sub(from)
	}
	if got := length(10); got != 3*time.Hour {
		t.Errorf("first chunk %s", got)
	}
	if got := length(10); got != 6*time.Hour {
		t.Errorf("second chunk %s", got)
	}
	length(maxChunkRows + 1)                                 // 12 h
	if got := length(maxChunkRows + 1); got != 3*time.Hour { // 6 h, cut by midnight
		t.Errorf("after too many rows %s", got)
	}
	for range 20 {
		length(maxChunkRows + 1)
	}
	if got := length(0); got != step {
		t.Errorf("smallest chunk %s", got)
	}
}
