package collector

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
)

var errDown = errors.New("connection refused")

func TestCatchingUp(t *testing.T) {
	t.Run("a hole left by a stopped process is filled at the next start", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -10, 500)...)
		w.mustTick(0)
		w.restart()
		w.mustTick(300) // 25 hours later
		w.expect(ramp("web", -3, 300)...)
		if late := w.c.Stats().Late; late != 0 {
			t.Errorf("%d rows of the hole were counted as late", late)
		}
		if n := len(w.source.calls); n > 12 {
			t.Errorf("filling a day took %d calls", n)
		}
		calls := len(w.source.calls)
		w.mustTick(301)
		if got := len(w.source.calls) - calls; got != 1 {
			t.Errorf("a tick after the hole was filled made %d calls, want 1", got)
		}
	})
	t.Run("a point that comes late around the stop is not missed", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -10, 100)...)
		w.source.offers = append(w.source.offers, offer{cpu("late", -1, 5), at(2)})
		w.mustTick(0)
		w.restart()
		w.mustTick(50)
		w.expect(append(ramp("web", -3, 50), cpu("late", -1, 5))...)
	})
	t.Run("without a state the lake tells where to go on", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -10, 500)...)
		w.mustTick(0)
		if err := w.store.blob.Delete(t.Context(), w.c.stateKey()); err != nil {
			t.Fatal(err)
		}
		w.restart()
		w.mustTick(100)
		w.expect(ramp("web", -3, 100)...)
	})
	t.Run("a state that makes no sense is ignored", func(t *testing.T) {
		for _, text := range []string{"{", `{"version":2}`, `[]`, "\x00"} {
			w := newWorld(t)
			w.source.offer(ramp("web", -10, 500)...)
			w.mustTick(0)
			if _, err := w.store.blob.Put(t.Context(), w.c.stateKey(), []byte(text), blob.Condition{}); err != nil {
				t.Fatal(err)
			}
			w.restart()
			w.mustTick(100)
			w.expect(ramp("web", -3, 100)...)
		}
	})
	t.Run("a hole is filled up to the bound only", func(t *testing.T) {
		w := newWorld(t)
		w.cfg.CatchUp = 10 * step
		w.restart()
		w.source.offer(ramp("web", -10, 500)...)
		w.mustTick(0)
		w.mustTick(300)
		w.expect(append(ramp("web", -3, 0), ramp("web", 290, 300)...)...)
	})
	t.Run("a store that fails for some ticks loses nothing", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -10, 100)...)
		for i := range 40 {
			w.store.appendErr, w.store.scanErr = nil, nil
			if i < 3 || i > 10 && i < 20 {
				w.store.appendErr, w.store.scanErr = errDown, errDown
			}
			if err := w.tick(i); (err != nil) != (w.store.appendErr != nil) {
				t.Fatalf("tick %d: %v", i, err)
			}
		}
		w.expect(ramp("web", -3, 39)...)
	})
	t.Run("a lake that cannot be read back is written to all the same", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -10, 100)...)
		w.store.scanErr = errDown
		for i := range 5 {
			if err := w.tick(i); err == nil {
				t.Fatal("the fault is not reported")
			}
		}
		w.store.scanErr = nil
		w.mustTick(5)
		w.expect(ramp("web", -3, 5)...)
	})
	t.Run("a source that is away for hours is asked again, from the very first tick on", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -10, 100)...)
		w.source.down = errDown
		for i := range 30 {
			if err := w.tick(i); !errors.Is(err, errDown) {
				t.Fatalf("got %v", err)
			}
			if i == 15 {
				w.restart()
			}
		}
		w.source.down = nil
		w.mustTick(30)
		w.expect(ramp("web", -3, 30)...)
	})
	t.Run("a series that is forbidden for hours costs one call a tick and is fetched when it comes back", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -10, 100)...)
		w.source.offer(ramp("secret", -10, 100)...)
		w.mustTick(0)
		w.source.broken = map[Series]error{{"secret", api.MetricCPU, api.StatAvg}: errors.New("Forbidden")}
		w.source.calls = nil
		for i := 1; i < 30; i++ {
			if i == 20 {
				w.restart()
			}
			if err := w.tick(i); err == nil {
				t.Fatal("the fault is not reported")
			}
		}
		if n := len(w.source.calls); n != 29 {
			t.Errorf("%d calls in 29 ticks", n)
		}
		w.source.broken = nil
		w.mustTick(30)
		w.expect(append(ramp("web", -3, 30), ramp("secret", -3, 30)...)...)
	})
	t.Run("a failed source stops no other", func(t *testing.T) {
		w := newWorld(t)
		other := &fakeSource{name: "other", now: w.source.now}
		other.offer(ramp("api", -10, 100)...)
		w.source.down = errDown
		w.c.sources = append(w.c.sources, other)
		if err := w.tick(0); !errors.Is(err, errDown) {
			t.Fatalf("got %v", err)
		}
		w.expect(ramp("api", -3, 0)...)
	})
	t.Run("racing collectors of one name double nothing and lose nothing", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -10, 100)...)
		first := w.c
		w.restart()
		second := w.c
		for i := range 40 {
			w.clock = at(i)
			for k, c := range []*Collector{first, second} {
				if i%7 == 3*k { // each misses some ticks
					continue
				}
				if err := c.Once(t.Context(), w.clock); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.expect(ramp("web", -3, 39)...)
	})
	t.Run("a clock that jumps a day ahead and back leaves no hole", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -10, 100)...)
		truth := at(0)
		w.source.now = func() time.Time { return truth }
		tick := func(real, shown int) {
			t.Helper()
			truth, w.clock = at(real), at(shown)
			if err := w.c.Once(t.Context(), w.clock); err != nil {
				t.Fatal(err)
			}
		}
		tick(0, 0)
		tick(1, 289) // the hole between is in the future: nothing comes
		tick(2, 290)
		w.restart()
		tick(20, 20)
		tick(21, 21)
		w.expect(ramp("web", -3, 21)...)
	})
	t.Run("is paused by the next tick and goes on after it", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -2000, 100)...)
		w.mustTick(-1500)
		w.source.onCall = func() { w.clock = w.clock.Add(time.Minute) }
		for i := range 30 {
			w.clock = at(i)
			w.source.calls = nil
			if err := w.c.once(t.Context(), at(i), at(i).Add(3*time.Minute)); err != nil {
				t.Fatal(err)
			}
			if n := len(w.source.calls); n > 3 {
				t.Fatalf("%d calls before the pause", n)
			}
		}
		w.expect(ramp("web", -1503, 29)...)
	})
}

func TestTheEndOfTheLakeIsLookedForInLittleSteps(t *testing.T) {
	for name, tt := range map[string]struct{ gap, most time.Duration }{
		"after a restart, an hour is enough":  {step, time.Hour},
		"after a weekend, a day at a time is": {60 * time.Hour, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.source.offer(ramp("web", -3000, 0)...)
			w.mustTick(-int(tt.gap / step))
			want := at(-int(tt.gap / step))
			w.store.asked = nil
			got, err := w.c.storedThrough(t.Context(), at(0))
			if err != nil || !got.Equal(want) {
				t.Errorf("got %v, %v; want %v", got, err, want)
			}
			end := at(0)
			for _, q := range w.store.asked {
				if !q.To.Equal(end) || q.To.Sub(q.From) > tt.most {
					t.Errorf("asked for %v to %v after %v", q.From, q.To, end)
				}
				end = q.From
			}
		})
	}
}

// The heart of the promise: whatever fails when, and whenever the process dies,
// the lake ends up with what was offered, each sample once.
func TestRandomFailuresLoseNothing(t *testing.T) {
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t)
		const ticks = 80
		var want []api.Sample
		for i := -3; i < ticks; i++ {
			for _, g := range []string{"a", "b"} {
				if rng.IntN(10) == 0 {
					continue // a gap
				}
				s := cpu(g, i, rng.Float64())
				w.source.offers = append(w.source.offers, offer{s, at(i + 1 + rng.IntN(3))}) // up to two ticks late
				want = append(want, s)
			}
		}
		w.mustTick(0) // from now on nothing may be lost
		secret := Series{"b", api.MetricCPU, api.StatAvg}
		for i := 1; i < ticks; i++ {
			w.source.down, w.source.broken, w.store.appendErr, w.store.scanErr = nil, nil, nil, nil
			switch rng.IntN(8) {
			case 0:
				w.source.down = errDown
			case 1:
				w.source.broken = map[Series]error{secret: errDown}
			case 2:
				w.store.appendErr = errDown
			case 3:
				w.store.scanErr = errDown
			case 4:
				w.restart()
			case 5:
				continue // the process is down
			}
			_ = w.tick(i) // what fails now must be made up for later
		}
		w.source.down, w.source.broken, w.store.appendErr, w.store.scanErr = nil, nil, nil, nil
		w.restart()
		for i := ticks; i < ticks+3; i++ {
			w.mustTick(i)
		}
		if diff := differences(w.lake(), want); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
}

// cutAppend is a lake that dies in an Append, before or after it took effect.
type cutAppend struct {
	*store
	after bool
	armed bool
}

func (s *cutAppend) Append(ctx context.Context, writer string, interval time.Time, samples []api.Sample, ingested time.Time) error {
	if !s.armed {
		return s.store.Append(ctx, writer, interval, samples, ingested)
	}
	s.armed = false
	if s.after {
		if err := s.store.Append(ctx, writer, interval, samples, ingested); err != nil {
			return err
		}
	}
	return errDown
}

func TestADeathAroundAppendIsMadeUpFor(t *testing.T) {
	for name, after := range map[string]bool{"before it took effect": false, "after it took effect": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.source.offer(ramp("web", -10, 100)...)
			w.mustTick(0)
			cut := &cutAppend{store: w.store, after: after, armed: true}
			w.c.lake = cut
			if err := w.tick(1); !errors.Is(err, errDown) {
				t.Fatalf("got %v", err)
			}
			w.restart() // the marks of the dead process are as tick 0 left them
			w.mustTick(20)
			w.expect(ramp("web", -3, 20)...)
		})
	}
}

// A debt that is too long to be kept by series becomes one of the whole source.
// It must outlive the round that it arose in: that round was paying another one.
func TestADebtTooLongToListIsStillPaid(t *testing.T) {
	w := newWorld(t)
	var want []api.Sample
	broken := map[Series]error{}
	for g := range maxOwed { // with the debt being paid, one more than are kept
		name := fmt.Sprintf("g%d", g)
		broken[Series{name, api.MetricCPU, api.StatAvg}] = errDown
		w.source.offer(cpu(name, 8, 1))
		want = append(want, cpu(name, 8, 1))
	}
	w.mustTick(0)
	// Slots 8 and 9 are missed. The tick after them answers; the hole's chunk does not.
	calls := 0
	w.source.onCall = func() {
		w.source.broken = nil
		if calls++; calls == 2 {
			w.source.broken = broken
		}
	}
	if err := w.tick(20); err == nil {
		t.Fatal("the fault is not reported")
	}
	w.restart()
	w.mustTick(21)
	w.mustTick(22)
	w.expect(want...)
}
