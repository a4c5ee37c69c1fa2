package dataset_test

import (
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
)

func TestTheMarkMovesWithWhatIsNewAndWithNothingElse(t *testing.T) {
	ctx, store := t.Context(), blob.NewMemory()
	d := dataset.New(store)
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	mark := func() uint64 {
		t.Helper()
		m, err := d.Mark(ctx, noon)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	put := func(at time.Time, value float64) {
		t.Helper()
		s := []api.Sample{{Group: "web", Metric: api.MetricCPU, Stat: api.StatAvg, Time: at, Value: value}}
		if err := d.Append(ctx, "w", at, s, at.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	last := mark()
	for name, c := range map[string]struct {
		do    func()
		moves bool
	}{
		"a slot of the day":     {func() { put(noon, 1) }, true},
		"a slot of a later day": {func() { put(noon.Add(24*time.Hour), 1) }, true},
		"a slot of long ago":    {func() { put(noon.Add(-72*time.Hour), 1) }, false},
		"an object of others":   {func() { _, _ = store.Put(ctx, "audit/x", []byte("x"), blob.Condition{}) }, false},
		"recent/ is written": {func() {
			r, err := d.Refresher(dataset.RefreshConfig{Step: 5 * time.Minute})
			if err == nil {
				_, err = r.Rebuild(ctx, noon.Add(5*time.Minute))
			}
			if err != nil {
				t.Fatal(err)
			}
		}, true},
		"nothing": {func() {}, false},
	} {
		c.do()
		if now := mark(); (now != last) != c.moves {
			t.Errorf("%s: the mark has moved: %v", name, now != last)
		} else {
			last = now
		}
	}
	put(noon, 1) // the same again
	if mark() != last {
		t.Error("what is not stored again has moved the mark")
	}
	put(noon, 2)
	if mark() == last {
		t.Error("a revision has not moved the mark")
	}
}
