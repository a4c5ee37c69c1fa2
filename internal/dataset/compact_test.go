package dataset_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
)

// hooked calls before ahead of every operation on the store, which fails with
// what it returns. before is not called for what it does itself.
type hooked struct {
	blob.Store
	before func() error
	busy   chan struct{} // holds a token while nobody is in before
}

func newHooked(s blob.Store, before func() error) *hooked {
	h := &hooked{Store: s, before: before, busy: make(chan struct{}, 1)}
	h.busy <- struct{}{}
	return h
}

func (h *hooked) call() error {
	<-h.busy
	defer func() { h.busy <- struct{}{} }()
	return h.before()
}

func (h *hooked) Get(ctx context.Context, key string) (blob.Object, error) {
	if err := h.call(); err != nil {
		return blob.Object{}, err
	}
	return h.Store.Get(ctx, key)
}

func (h *hooked) GetRange(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if err := h.call(); err != nil {
		return nil, err
	}
	return h.Store.GetRange(ctx, key, offset, length)
}

func (h *hooked) Put(ctx context.Context, key string, data []byte, cond blob.Condition) (string, error) {
	if err := h.call(); err != nil {
		return "", err
	}
	return h.Store.Put(ctx, key, data, cond)
}

func (h *hooked) Delete(ctx context.Context, key string) error {
	if err := h.call(); err != nil {
		return err
	}
	return h.Store.Delete(ctx, key)
}

func (h *hooked) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		if err := h.call(); err != nil {
			yield(blob.Info{}, err)
			return
		}
		h.Store.List(ctx, prefix, after)(yield)
	}
}

// truth is what a lake must say, kept in a plain map.
type truth map[identity]said

type identity struct {
	group, metric string
	stat          api.Stat
	at            int64 // microseconds
}

type said struct {
	value    float64
	ingested int64
}

func (tr truth) learn(samples []api.Sample, ingested time.Time) {
	for _, s := range samples {
		id := identity{s.Group, s.Metric, s.Stat, s.Time.UnixMicro()}
		now := said{s.Value, ingested.UnixMicro()}
		was, ok := tr[id]
		if !ok || was.ingested < now.ingested || was.ingested == now.ingested && was.value < now.value {
			tr[id] = now
		}
	}
}

// samples returns the truth about what the query asks for, as Scan sorts it.
func (tr truth) samples(q dataset.Query) (out []api.Sample) {
	for id, s := range tr {
		at := time.UnixMicro(id.at).UTC()
		if len(q.Groups) > 0 && !slices.Contains(q.Groups, id.group) || len(q.Metrics) > 0 && !slices.Contains(q.Metrics, id.metric) ||
			!q.From.IsZero() && at.Before(q.From) || !q.To.IsZero() && !at.Before(q.To) {
			continue
		}
		out = append(out, api.Sample{Group: id.group, Metric: id.metric, Stat: id.stat, Time: at, Value: s.value})
	}
	slices.SortFunc(out, func(a, b api.Sample) int {
		return cmpOr(strings.Compare(a.Group, b.Group), strings.Compare(a.Metric, b.Metric), strings.Compare(string(a.Stat), string(b.Stat)), a.Time.Compare(b.Time))
	})
	return out
}

func cmpOr(of ...int) int {
	for _, c := range of {
		if c != 0 {
			return c
		}
	}
	return 0
}

// glob reads closed/**/*.parquet as a stranger does: every file whole, nothing
// merged. Two rows of one identity are a fault of the lake.
func glob(t *testing.T, s blob.Store) truth {
	t.Helper()
	all := truth{}
	for info, err := range s.List(t.Context(), "closed/", "") {
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(info.Key, ".parquet") {
			continue
		}
		o, err := s.Get(t.Context(), info.Key)
		if err != nil {
			t.Fatal(err)
		}
		type record struct {
			Group      string  `parquet:"group"`
			Metric     string  `parquet:"metric"`
			Stat       string  `parquet:"stat"`
			Time       int64   `parquet:"time,timestamp(microsecond)"`
			Value      float64 `parquet:"value"`
			IngestedAt int64   `parquet:"ingested_at,timestamp(microsecond)"`
		}
		rows, err := parquet.Read[record](bytes.NewReader(o.Data), int64(len(o.Data)))
		if err != nil {
			t.Fatalf("%s: %v", info.Key, err)
		}
		for _, r := range rows {
			id := identity{r.Group, r.Metric, api.Stat(r.Stat), r.Time}
			if _, twice := all[id]; twice {
				t.Errorf("a reader of the closed files alone sees %+v twice", id)
			}
			all[id] = said{r.Value, r.IngestedAt}
		}
	}
	return all
}

// invent returns what a tick brings: newest slots, late ones and revisions, of a few
// days and groups.
func invent(r *rand.Rand) (samples []api.Sample) {
	slot := r.IntN(3 * 288)
	for range 1 + r.IntN(8) {
		s := sample(fmt.Sprint("g", r.IntN(6)), slot+r.IntN(4), float64(r.IntN(5)))
		s.Metric = fmt.Sprint("m", r.IntN(2))
		samples = append(samples, s)
	}
	return dedup(samples)
}

// dedup leaves the last of each identity, as Append does.
func dedup(samples []api.Sample) (out []api.Sample) {
	seen := map[identity]bool{}
	for _, s := range slices.Backward(samples) {
		id := identity{s.Group, s.Metric, s.Stat, s.Time.UnixMicro()}
		if !seen[id] {
			seen[id] = true
			out = append(out, s)
		}
	}
	return out
}

// lake is a store with a history, and the truth about it.
type lake struct {
	store blob.Store
	truth truth
	clock time.Time
}

// grow appends n times what is new.
func (l *lake) grow(t *testing.T, r *rand.Rand, n int) {
	t.Helper()
	for range n {
		samples := invent(r)
		l.clock = l.clock.Add(time.Duration(r.IntN(3)) * time.Minute) // sometimes not at all
		appendTo(t, dataset.New(l.store), fmt.Sprint("w", r.IntN(2)), at(r.IntN(1000)), l.clock, samples...)
		l.truth.learn(samples, l.clock)
	}
}

// queries are asked of every lake.
func queries(r *rand.Rand) []dataset.Query {
	a, b := r.IntN(900), r.IntN(900)
	return []dataset.Query{
		{},
		{Groups: []string{fmt.Sprint("g", r.IntN(7)), "g2"}},
		{From: at(min(a, b)), To: at(max(a, b))},
		{Groups: []string{"g1"}, Metrics: []string{"m0"}, From: at(a)},
	}
}

func (l *lake) check(t *testing.T, r *rand.Rand, d *dataset.Dataset, when string) {
	t.Helper()
	for _, q := range queries(r) {
		got, err := d.Scan(t.Context(), q)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if want := l.truth.samples(q); !slices.Equal(got, want) {
			t.Fatalf("%s: %+v\ngot  %v\nwant %v", when, q, got, want)
		}
	}
	for id, s := range glob(t, l.store) {
		if was, ok := l.truth[id]; !ok || was.ingested < s.ingested {
			t.Fatalf("%s: the closed files state %+v = %+v, which nobody said", when, id, s)
		}
	}
}

var errKilled = errors.New("killed")

// whole is a time before which every day of the invented lakes has ended.
var whole = dataset.CompactConfig{Before: day.AddDate(0, 0, 5)}

// The compaction is killed before each of its operations on the store in turn, and
// at each of them a reader asks for everything.
func TestReadersAreExactAtEveryMomentOfACompaction(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 7))
		l := &lake{store: blob.NewMemory(), truth: truth{}, clock: at(2000)}
		cfg := whole
		cfg.FileBytes = []int64{0, 4000}[seed%2] // one file a day, or several
		follow := follower{tail: dataset.New(l.store).Tail(5 * time.Minute), rows: map[place]float64{}}
		warm := dataset.New(l.store)
		for range 3 {
			l.grow(t, r, 12)
			for killAt := r.IntN(3); ; killAt += 1 + r.IntN(4) {
				n := 0
				hook := newHooked(l.store, func() error {
					if n++; n > killAt {
						return errKilled
					}
					reader := []*dataset.Dataset{warm, dataset.New(l.store)}[r.IntN(2)]
					l.check(t, r, reader, fmt.Sprintf("seed %d, operation %d", seed, n))
					return nil
				})
				_, err := dataset.New(hook).Compact(t.Context(), cfg)
				if err == nil {
					break
				}
				if !errors.Is(err, errKilled) {
					t.Fatal(err)
				}
			}
			l.check(t, r, dataset.New(l.store), "after it")
			if got := glob(t, l.store); len(got) != len(l.truth) {
				t.Fatalf("the closed files have %d rows, want %d", len(got), len(l.truth))
			}
			for id, s := range glob(t, l.store) {
				if l.truth[id].value != s.value { // the time is that of the first who said so
					t.Fatalf("the closed files say %+v = %+v, want %+v", id, s, l.truth[id])
				}
			}
			for _, key := range keys(t, l.store) {
				if strings.HasPrefix(key, "open/") {
					t.Fatalf("%s is left", key)
				}
			}
			if err := follow.next(t.Context(), at(0), at(900), nil); err != nil {
				t.Fatal(err)
			}
			want := l.truth.samples(dataset.Query{From: at(0), To: at(900)})
			if len(follow.rows) != len(want) {
				t.Fatalf("a tail has %d rows, want %d", len(follow.rows), len(want))
			}
			for _, s := range want {
				if v := follow.rows[place{s.Group, s.Metric, s.Time}]; v != s.Value {
					t.Fatalf("a tail says %v of %v", v, s)
				}
			}
		}
	}
}

// Now the other way round: between any two operations of a reader a whole
// compaction happens, and rows come in as well.
func TestACompactionBetweenAnyTwoOperationsOfAReader(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 8))
		l := &lake{store: blob.NewMemory(), truth: truth{}, clock: at(2000)}
		l.grow(t, r, 12)
		cfg := whole
		cfg.FileBytes = []int64{0, 4000}[seed%2]
		for strike := range 12 {
			if r.IntN(2) == 0 {
				l.grow(t, r, 3)
			}
			n := 0
			hook := newHooked(l.store, func() error {
				if n++; n == strike+1 || n == 2*strike+3 {
					if _, err := dataset.New(l.store).Compact(t.Context(), cfg); err != nil {
						t.Error(err)
					}
				}
				return nil
			})
			q := queries(r)[r.IntN(4)]
			got, err := dataset.New(hook).Scan(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if want := l.truth.samples(q); !slices.Equal(got, want) {
				t.Fatalf("seed %d, strike %d, %+v\ngot  %v\nwant %v", seed, strike, q, got, want)
			}
		}
	}
}

// Several compactors, writers and readers at once, over each kind of store.
func TestSeveralCompactorsAndAReaderAtOnce(t *testing.T) {
	for name, open := range stores(t) {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(9, 9))
			l := &lake{store: open(t), truth: truth{}, clock: at(2000)}
			cfg := whole
			cfg.FileBytes = 6000
			for range 3 {
				l.grow(t, r, 10)
				done := make(chan error, 3)
				for range 3 {
					go func() {
						_, err := dataset.New(l.store).Compact(t.Context(), cfg)
						done <- err
					}()
				}
				for left := 3; left > 0; {
					select {
					case err := <-done:
						if left--; err != nil {
							t.Error(err)
						}
					default:
						got, err := dataset.New(l.store).Scan(t.Context(), dataset.Query{})
						if want := l.truth.samples(dataset.Query{}); err != nil || !slices.Equal(got, want) {
							t.Errorf("%d rows, %v; want %d", len(got), err, len(want))
						}
					}
				}
				l.check(t, r, dataset.New(l.store), "after it")
				if got := glob(t, l.store); len(got) != len(l.truth) {
					t.Errorf("the closed files have %d rows, want %d", len(got), len(l.truth))
				}
			}
		})
	}
}
