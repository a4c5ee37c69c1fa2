package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
)

// stopAfter runs a back-fill and stops it after so many steps of its progress.
func (w *world) stopAfter(steps, from, to int) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	err := w.c.Backfill(ctx, at(from), at(to), func(Progress) {
		if steps--; steps == 0 {
			cancel()
		}
	})
	if err == nil {
		w.t.Fatal("the back-fill was not stopped")
	}
	w.restart()
	w.source.calls = nil
}

func TestABackfillGoesOnWhereItWasStopped(t *testing.T) {
	for name, c := range map[string]struct {
		between  func(w *world) // what happens before the second run
		from, to int            // of the second run
		first    int            // slot at which it begins to ask
	}{
		"with the first chunk that was not done":      {nil, -1500, 0, -1500 + 36 + 72}, // after 3 h and 6 h
		"also when the range has moved on":            {nil, -1490, 10, -1500 + 36 + 72},
		"not when the range begins earlier":           {nil, -1600, 0, -1600},
		"not when the range begins later":             {nil, -1000, 0, -1000},
		"not when the source is configured otherwise": {func(w *world) { w.configured = map[string]string{"fake": "other"}; w.restart() }, -1500, 0, -1500},
		"not when what was noted makes no sense": {func(w *world) {
			if _, err := w.store.blob.Put(w.t.Context(), "collector/backfill/collector/fake.json", []byte("{"), blob.Condition{}); err != nil {
				w.t.Fatal(err)
			}
		}, -1500, 0, -1500},
		"not when what was noted is of a later version": {func(w *world) {
			if _, err := w.store.blob.Put(w.t.Context(), "collector/backfill/collector/fake.json", []byte(`{"version":2}`), blob.Condition{}); err != nil {
				w.t.Fatal(err)
			}
		}, -1500, 0, -1500},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.clock = at(20)
			w.source.offer(ramp("web", -2000, 20)...)
			w.stopAfter(3, -1500, 0)
			if c.between != nil {
				c.between(w)
			}
			var last Progress
			if err := w.c.Backfill(t.Context(), at(c.from), at(c.to), func(p Progress) { last = p }); err != nil {
				t.Fatal(err)
			}
			if first := w.source.calls[0][0]; !first.Equal(at(c.first)) {
				t.Errorf("the second run begins at slot %d, want %d", int(first.Sub(t0)/step), c.first)
			}
			if first := w.source.calls[0]; c.first == -1500+36+72 && first[1].Sub(first[0]) < 6*time.Hour {
				t.Errorf("the chunks begin small again: %v", first)
			}
			if last.Done != last.Total || last.Total != time.Duration(c.to-c.first)*step {
				t.Errorf("last progress %+v", last)
			}
			begin := min(-1500, c.from)
			want := ramp("web", begin, c.to)
			if c.from > -1400 { // what the first run has stored, and a hole
				want = append(ramp("web", -1500, -1500+36+72+96), ramp("web", c.from, c.to)...)
			}
			w.expect(want...)
		})
	}
	t.Run("and a complete one is a new one the next time", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -2000, 20)...)
		for range 2 {
			w.source.calls = nil
			if err := w.c.Backfill(t.Context(), at(-1500), at(0), nil); err != nil {
				t.Fatal(err)
			}
			if first := w.source.calls[0][0]; !first.Equal(at(-1500)) {
				t.Errorf("begins at %s", first)
			}
			w.restart()
		}
	})
	t.Run("and still knows what it had skipped", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -2000, 20)...)
		w.source.broken = map[Series]error{{"secret", api.MetricCPU, api.StatAvg}: errors.New("Forbidden")}
		w.stopAfter(3, -1500, 0)
		w.source.broken = nil
		err := w.c.Backfill(t.Context(), at(-1500), at(0), nil)
		if err == nil || !strings.Contains(err.Error(), "secret/cpu_utilization") || !strings.Contains(err.Error(), "skipped before") {
			t.Errorf("got %v", err)
		}
		w.expect(ramp("web", -1500, 0)...)
	})
	t.Run("and a store that does not tell how far it came is an error, not a new beginning", func(t *testing.T) {
		w := newWorld(t)
		w.source.offer(ramp("web", -2000, 20)...)
		w.c.state = silent{w.store.blob}
		if err := w.c.Backfill(t.Context(), at(-1500), at(0), nil); !errors.Is(err, errDown) || len(w.source.calls) > 0 {
			t.Errorf("got %v after %d calls", err, len(w.source.calls))
		}
	})
}

// silent is a State that does not answer.
type silent struct{ State }

func (silent) Get(context.Context, string) (blob.Object, error) { return blob.Object{}, errDown }

// manyFold is a source that is divided, and notes of which part what was asked.
type manyFold struct {
	*fakeSource
	parts []*fakeSource
	asked []int // series a part may have
}

func (s *manyFold) Divide(_ context.Context, series int) ([]Source, error) {
	s.asked = append(s.asked, series)
	var out []Source
	for _, p := range s.parts {
		out = append(out, p)
	}
	return out, nil
}

func TestASourceOfManySeriesIsAskedPartByPart(t *testing.T) {
	w := newWorld(t)
	many := &manyFold{fakeSource: w.source}
	for i := range 3 {
		group := fmt.Sprintf("g%d", i)
		part := &fakeSource{name: "fake", now: func() time.Time { return w.clock }}
		part.offer(ramp(group, -2000, 0)...)
		w.source.offer(ramp(group, -2000, 0)...)
		many.parts = append(many.parts, part)
	}
	c, err := New(w.cfg, Deps{Sources: []Source{many}, Lake: w.store, State: w.store.blob, Step: step,
		Now: func() time.Time { return w.clock }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var done time.Duration
	var last Progress
	err = c.Backfill(t.Context(), at(-1500), at(0), func(p Progress) {
		if p.Done <= done {
			t.Errorf("progress from %s to %s", done, p.Done)
		}
		done, last = p.Done, p
	})
	if err != nil {
		t.Fatal(err)
	}
	if last.Done != last.Total || last.Samples != 4500 {
		t.Errorf("last progress %+v", last)
	}
	if len(many.asked) != 1 || many.asked[0]*288 > maxChunkRows || many.asked[0] < 500 {
		t.Errorf("divided into parts of %v series", many.asked)
	}
	for i, p := range many.parts {
		if len(p.calls) != 6 { // the days that the range touches: the chunks are as long as can be
			t.Errorf("part %d was asked %d times: %v", i, len(p.calls), p.calls)
		}
	}
	if len(w.source.calls) > 0 {
		t.Error("the whole was asked too")
	}
	w.expect(append(append(ramp("g0", -1500, 0), ramp("g1", -1500, 0)...), ramp("g2", -1500, 0)...)...)
}
