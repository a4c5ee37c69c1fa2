package dataset_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/feature"
)

// benchSpec is what the trainer's default preset makes of a month of history.
func benchSpec() models.Spec {
	spec := models.Spec{Target: api.SeriesDemand, StepSeconds: 300, Lookback: 36, Horizon: 12, MaxGap: 6,
		Series: []string{api.SeriesDemand, "is_holiday"}, Future: []string{"is_holiday"}}
	spec.Lags = feature.Lags(spec, 28*288+12)
	return spec
}

// wantOf returns what the windows of a spec are cut from.
func wantOf(spec models.Spec, at time.Time) dataset.Want {
	w := dataset.Want{At: at, Step: spec.Step(), Newest: spec.Lookback, Ahead: spec.Horizon,
		Metrics: []string{api.MetricCPU, api.MetricInService, "is_holiday"}}
	for _, lag := range spec.Lags {
		w.Lags = append(w.Lags, lag.Offsets...)
	}
	return w
}

// counted counts the requests to a store; a listing of more than a thousand keys
// is several, as S3 answers it.
type counted struct {
	blob.Store
	requests, bytes atomic.Int64
}

func (s *counted) Get(ctx context.Context, key string) (blob.Object, error) {
	o, err := s.Store.Get(ctx, key)
	s.requests.Add(1)
	s.bytes.Add(int64(len(o.Data)))
	return o, err
}

func (s *counted) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		n := 0
		for info, err := range s.Store.List(ctx, prefix, after) {
			if n%1000 == 0 {
				s.requests.Add(1)
			}
			n++
			if !yield(info, err) {
				return
			}
		}
		if n == 0 {
			s.requests.Add(1)
		}
	}
}

// recentFleet is a lake of many groups with five metrics. Of the past it holds the
// slots around the lags, an hour a part, and of every other slot a part with one
// row; the newest hours are there tick by tick.
type recentFleet struct {
	r      *rand.Rand
	store  blob.Store
	lake   *dataset.Dataset
	groups int
	now    time.Time
}

func (f *recentFleet) rows(from, to time.Time) []api.Sample {
	var rows []api.Sample
	for i := range f.groups {
		group := fmt.Sprintf("service-%05d", i)
		for at := from; at.Before(to); at = at.Add(5 * time.Minute) {
			for _, s := range []api.Sample{
				{Metric: api.MetricCPU, Value: float64(f.r.IntN(10_000)) / 100}, {Metric: api.MetricInService, Value: 4 + float64(i%40)},
				{Metric: api.MetricRequests, Value: float64(f.r.IntN(100_000))}, {Metric: api.MetricResponse, Value: f.r.Float64()}, {Metric: "is_holiday"},
			} {
				s.Group, s.Stat, s.Time = group, api.DefaultStat(s.Metric), at
				rows = append(rows, s)
			}
		}
	}
	return rows
}

func (f *recentFleet) append(tb testing.TB, interval time.Time, rows []api.Sample) {
	tb.Helper()
	if err := f.lake.Append(tb.Context(), "collector", interval, rows, interval.Add(6*time.Minute)); err != nil {
		tb.Fatal(err)
	}
}

// tick appends the slot that ends with the next tick.
func (f *recentFleet) tick(tb testing.TB) {
	tb.Helper()
	f.append(tb, f.now, f.rows(f.now, f.now.Add(5*time.Minute)))
	f.now = f.now.Add(5 * time.Minute)
}

func newRecentFleet(tb testing.TB, store blob.Store, groups int) *recentFleet {
	tb.Helper()
	f := &recentFleet{r: rand.New(rand.NewPCG(1, 1)), store: store, lake: dataset.NewWithCache(store, 0), groups: groups,
		now: time.Date(2026, 3, 29, 10, 0, 0, 0, time.UTC)}
	var wanted []time.Duration // before now
	for age := range 32 {
		wanted = append(wanted, time.Duration(age)*time.Hour)
	}
	for _, days := range []int{1, 2, 3, 4, 5, 6, 7, 14, 21, 28} {
		for around := -5; around <= 1; around++ {
			if age := time.Duration(24*days+around) * time.Hour; !slices.Contains(wanted, age) {
				wanted = append(wanted, age)
			}
		}
	}
	first := f.now.Add(-29 * 24 * time.Hour)
	for at := first; at.Before(f.now); at = at.Add(time.Hour) {
		if slices.Contains(wanted, f.now.Sub(at)) && f.now.Sub(at) > 2*time.Hour {
			f.append(tb, at, f.rows(at, at.Add(time.Hour)))
		}
		for slot := at; slot.Before(at.Add(time.Hour)); slot = slot.Add(5 * time.Minute) {
			rows := []api.Sample{{Group: "other", Metric: api.MetricCPU, Stat: api.StatAvg, Time: slot, Value: 1}}
			if f.now.Sub(at) <= 2*time.Hour {
				rows = f.rows(slot, slot.Add(5*time.Minute))
			}
			f.append(tb, slot, rows)
		}
	}
	return f
}

func newRecentRefresher(tb testing.TB, store blob.Store) *dataset.Refresher {
	tb.Helper()
	r, err := dataset.New(store).Refresher(dataset.RefreshConfig{Step: 5 * time.Minute})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// windows cuts the newest window of each group, as a scaler that has just started
// does, and returns how many there are.
func windows(tb testing.TB, store blob.Store, spec models.Spec, now time.Time, groups int) int {
	tb.Helper()
	r, err := dataset.New(store).Recent(tb.Context(), wantOf(spec, now))
	if err != nil {
		tb.Fatal(err)
	}
	if len(r.Notes) > 0 {
		tb.Fatal(r.Notes)
	}
	depth := spec.Lookback
	for _, lag := range spec.Lags {
		depth = max(depth, slices.Max(lag.Offsets)+1)
	}
	sketch := window.NewSketch(spec.Step(), depth, now)
	n := 0
	for i := range groups {
		group := fmt.Sprintf("service-%05d", i)
		sketch.Begin(group)
		r.Each(group, func(c dataset.Column) { sketch.Put(c.Metric, c.Stat, c.From, c.Values) })
		w, err := window.Latest(spec, sketch.Grid(), nil, now)
		if err != nil {
			tb.Fatal(err)
		}
		if len(w.Series[spec.Target]) == spec.Lookback {
			n++
		}
	}
	return n
}

// The newest windows of a fleet cost a few requests a shard, whatever the length of
// the history and wherever the bases stand in their turns.
func TestRecentTakesFewRequests(t *testing.T) {
	if len(benchSpec().Lags) == 0 {
		t.Fatal("the spec has no lags")
	}
	const groups, shards = 200, 16
	store := &counted{Store: blob.NewMemory()}
	f := newRecentFleet(t, store, groups)
	r, err := dataset.New(store).Refresher(dataset.RefreshConfig{Step: 5 * time.Minute, Shards: shards})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Rebuild(t.Context(), f.now); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		f.tick(t)
		if _, err := r.Refresh(t.Context(), f.now); err != nil {
			t.Fatal(err)
		}
		store.requests.Store(0)
		if n := windows(t, store, benchSpec(), f.now, groups); n != groups {
			t.Fatalf("%d windows", n)
		}
		if n := store.requests.Load(); n > 4*shards {
			t.Errorf("at %s: %d requests for %d shards", f.now, n, shards)
		}
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRecent is from opening a store to the newest windows of 10,000 groups
// with five metrics, and what keeping recent/ up to date costs a tick beside
// appending it. Making the lake takes minutes.
func BenchmarkRecent(b *testing.B) {
	const groups = 10_000
	dir := b.TempDir()
	open := func() *counted {
		store, err := blob.Open(context.Background(), "file://"+dir)
		if err != nil {
			b.Fatal(err)
		}
		return &counted{Store: store}
	}
	f := newRecentFleet(b, open(), groups)
	store := open()
	r := newRecentRefresher(b, store)
	began := time.Now()
	report, err := r.Rebuild(b.Context(), f.now)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("rebuilt in %s: %+v", time.Since(began), report)
	b.Run("refresh", func(b *testing.B) {
		cpu, bytes, ticks := time.Duration(0), 0, 0
		var most time.Duration
		for b.Loop() {
			b.StopTimer()
			f.tick(b)
			begin := cpuTime()
			b.StartTimer()
			report, err := r.Refresh(b.Context(), f.now)
			if err != nil {
				b.Fatal(err)
			}
			took := cpuTime() - begin
			cpu, bytes, ticks, most = cpu+took, bytes+report.Bytes, ticks+1, max(most, took)
		}
		b.ReportMetric(cpu.Seconds()*1000/float64(ticks), "cpu-ms/tick")
		b.ReportMetric(most.Seconds()*1000, "cpu-ms-at-most")
		b.ReportMetric(float64(bytes)/float64(ticks)/(1<<20), "MB-written/tick")
	})
	b.Run("windows", func(b *testing.B) {
		var requests, bytes, n int64
		begin := cpuTime()
		for b.Loop() {
			store := open()
			if n := windows(b, store, benchSpec(), f.now, groups); n != groups {
				b.Fatalf("%d windows", n)
			}
			requests, bytes, n = requests+store.requests.Load(), bytes+store.bytes.Load(), n+1
		}
		b.ReportMetric((cpuTime()-begin).Seconds()/float64(n), "cpu-s/op")
		b.ReportMetric(float64(requests)/float64(n), "requests/op")
		b.ReportMetric(float64(bytes)/float64(n)/(1<<20), "MB-read/op")
	})
}
