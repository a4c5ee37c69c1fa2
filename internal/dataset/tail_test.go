package dataset_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
)

// slot is where a sample of the follower's picture stands.
type place struct {
	group, metric string
	at            time.Time
}

// follower keeps what a tail hands out, as its reader is meant to: what is handed
// out of a stretch is all that there is of it.
type follower struct {
	tail   *dataset.Tail
	rows   map[place]float64
	handed int
}

func (f *follower) next(ctx context.Context, from, to time.Time, groups []string) error {
	for p := range f.rows {
		if p.at.Before(from) || !p.at.Before(to) {
			delete(f.rows, p)
		}
	}
	return f.tail.Next(ctx, from, to, groups, func(lo, hi time.Time, samples []api.Sample) {
		for p := range f.rows {
			if p.group == samples[0].Group && !p.at.Before(lo) && p.at.Before(hi) {
				delete(f.rows, p)
			}
		}
		for _, s := range samples {
			f.rows[place{s.Group, s.Metric, s.Time}] = s.Value
			f.handed++
		}
	})
}

// A long story of new slots, late ones and revisions, over midnight, with faults of
// the store in between: whoever follows the tail knows what a scan returns.
func TestATailHandsOutWhatAScanReturns(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 5))
		store := &flaky{Store: blob.NewMemory()}
		writer, d := dataset.New(store.Store), dataset.NewWithCache(store, int64(r.IntN(2))*1<<20)
		f := follower{tail: d.Tail(5 * time.Minute), rows: map[place]float64{}}
		now := r.IntN(288)
		for range 40 {
			now += r.IntN(3)
			for range r.IntN(4) { // what is new, what comes late, and now and then what lies ahead
				n := now - r.IntN(2)*r.IntN(30) + r.IntN(10)/9*3
				rows := []api.Sample{sample("a", n, float64(r.IntN(5))), sample("b", n-r.IntN(2), float64(r.IntN(5))), sample("c", n, 1)}
				rows[0].Time = rows[0].Time.Add(time.Duration(r.IntN(5)) * time.Minute) // several in a slot
				if err := writer.Append(t.Context(), "w", at(now), rows[r.IntN(3):], at(now+r.IntN(3))); err != nil {
					t.Fatal(err)
				}
			}
			from, to := at(now-12-r.IntN(3)), at(now)
			store.fail = r.IntN(6) == 0
			err := f.next(t.Context(), from, to, []string{"a", "b"})
			if store.fail {
				store.fail = false
				if err != nil && !errors.Is(err, errFlaky) {
					t.Fatal(err)
				}
				err = f.next(t.Context(), from, to, []string{"a", "b"})
			}
			if err != nil {
				t.Fatal(err)
			}
			want := scan(t, dataset.New(store.Store), dataset.Query{Groups: []string{"a", "b"}, From: from, To: to})
			if len(want) != len(f.rows) {
				t.Fatalf("seed %d at slot %d: %d rows are known, a scan returns %d", seed, now, len(f.rows), len(want))
			}
			for _, s := range want {
				if v, ok := f.rows[place{s.Group, s.Metric, s.Time}]; !ok || v != s.Value {
					t.Fatalf("seed %d at slot %d: %s at %s is %v, a scan says %v", seed, now, s.Group, s.Time, v, s.Value)
				}
			}
			if r.IntN(15) == 0 {
				now -= r.IntN(20) // the clock goes back
			}
		}
	}
}

var errFlaky = errors.New("the store is away")

// flaky is a store that fails to hand out objects now and then.
type flaky struct {
	blob.Store
	fail bool
}

func (f *flaky) Get(ctx context.Context, key string) (blob.Object, error) {
	if f.fail {
		return blob.Object{}, errFlaky
	}
	return f.Store.Get(ctx, key)
}

func TestATailReadsOnlyWhatIsNew(t *testing.T) {
	store := &counting{Store: blob.NewMemory()}
	d := dataset.NewWithCache(store, 1<<20)
	for n := range 600 {
		appendTo(t, d, "w", at(n), at(n+1), sample("a", n, 1))
	}
	f := follower{tail: d.Tail(5 * time.Minute), rows: map[place]float64{}}
	if err := f.next(t.Context(), at(0), at(600), nil); err != nil || f.handed != 600 {
		t.Fatalf("%d rows, %v", f.handed, err)
	}
	store.gets, f.handed = nil, 0
	appendTo(t, d, "w", at(600), at(601), sample("a", 600, 1))
	appendTo(t, d, "late", at(600), at(601), sample("a", 300, 2))
	if err := f.next(t.Context(), at(1), at(601), nil); err != nil || f.handed != 2 || len(store.gets) != 2 {
		t.Errorf("%d rows, %d readings of %v, %v", f.handed, len(store.gets), store.gets, err)
	}
	store.gets, f.handed = nil, 0
	if err := f.next(t.Context(), at(2), at(602), nil); err != nil || f.handed != 0 || len(store.gets) != 0 {
		t.Errorf("nothing is new: %d rows, readings of %v, %v", f.handed, store.gets, err)
	}
}

func TestATailNamesWhatCannotBeReadAtEveryCall(t *testing.T) {
	store := blob.NewMemory()
	d := dataset.New(store)
	appendTo(t, d, "w", at(0), at(1), sample("a", 0, 1))
	bad := strings.Replace(keys(t, store)[0], "w-", "x-", 1)
	f := follower{tail: d.Tail(5 * time.Minute), rows: map[place]float64{}}
	for n := range 3 {
		if n == 1 {
			if _, err := store.Put(t.Context(), bad, []byte("PAR1"), blob.Condition{}); err != nil {
				t.Fatal(err)
			}
		}
		err := f.next(t.Context(), at(0), at(1), nil)
		if (err != nil) != (n > 0) || err != nil && (!dataset.OnlyCorrupt(err) || !strings.Contains(err.Error(), bad)) {
			t.Errorf("call %d: %v", n, err)
		}
	}
	if len(f.rows) != 1 {
		t.Errorf("rows %v", f.rows)
	}
	if !slices.Contains(keys(t, store), bad) {
		t.Error("the bad part is gone")
	}
}

// A first reading that is cut short again and again comes to its end: the newest
// days are there after the first attempt.
func TestATailThatIsCutShortGoesOn(t *testing.T) {
	store := &counting{Store: blob.NewMemory()}
	writer := dataset.New(store.Store)
	const slots = 5 * 288
	for n := 0; n < slots; n += 12 {
		appendTo(t, writer, "w", at(n), at(n+1), sample("a", n, 1), sample("a", n+6, 2))
	}
	d := dataset.NewWithCache(store, 0)
	f := follower{tail: d.Tail(5 * time.Minute), rows: map[place]float64{}}
	for attempt := 0; ; attempt++ {
		ctx, cancel := context.WithCancel(t.Context())
		store.gets, store.limit, store.cut = nil, 40, cancel // more than the parts of a day, fewer than those of two
		err := f.next(ctx, at(0), at(slots), nil)
		cancel()
		if err == nil {
			if attempt < 3 {
				t.Errorf("it took %d attempts: they were not cut short", attempt)
			}
			break
		}
		if want := (attempt + 1) * 48; !errors.Is(err, context.Canceled) || len(f.rows) != want {
			t.Fatalf("after attempt %d there are %d rows, want %d: %v", attempt, len(f.rows), want, err)
		}
		if _, newest := f.rows[place{"a", "cpu_utilization", at(slots - 6)}]; !newest {
			t.Error("the newest rows are not the first")
		}
	}
	if len(f.rows) != 2*slots/12 {
		t.Errorf("%d rows", len(f.rows))
	}
}
