package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
)

const step = 5 * time.Minute

// t0 is a tick in the middle of a day.
var t0 = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// at returns the start of slot i, counted from t0.
func at(i int) time.Time { return t0.Add(time.Duration(i) * step) }

func cpu(group string, slot int, value float64) api.Sample {
	return api.Sample{Group: group, Metric: api.MetricCPU, Stat: api.StatAvg, Time: at(slot), Value: value}
}

// offer is what a fake source holds: a sample, and the tick from which on it is
// published.
type offer struct {
	api.Sample
	published time.Time
}

// fakeSource offers samples as of a clock, and fails on demand.
type fakeSource struct {
	name string
	now  func() time.Time

	mu     sync.Mutex
	offers []offer
	down   error            // the whole source fails
	broken map[Series]error // these series fail
	calls  [][2]time.Time   // ranges asked for
	raw    []api.Sample     // returned whatever is asked for
	oldest time.Time        // zero: keeps all
	onCall func()
}

func (s *fakeSource) Name() string { return s.name }

func (s *fakeSource) Oldest(time.Time) time.Time { return s.oldest }

func (s *fakeSource) Fetch(ctx context.Context, from, to time.Time) ([]api.Sample, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, [2]time.Time{from, to})
	if s.onCall != nil {
		s.onCall()
	}
	if s.down != nil {
		return nil, s.down
	}
	out := slices.Clone(s.raw)
	for _, o := range s.offers {
		if !o.Time.Before(from) && o.Time.Before(to) && !o.published.After(s.now()) && s.broken[SeriesOf(o.Sample)] == nil {
			out = append(out, o.Sample)
		}
	}
	var errs []error
	for series, err := range s.broken {
		errs = append(errs, &SeriesError{Series: []Series{series}, Err: err})
	}
	return out, errors.Join(errs...)
}

// offer adds samples that are published when their slot ends.
func (s *fakeSource) offer(samples ...api.Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range samples {
		s.offers = append(s.offers, offer{x, x.Time.Add(step)})
	}
}

// store is a lake that fails on demand.
type store struct {
	*dataset.Dataset
	blob      *blob.Memory
	appendErr error
	scanErr   error
	blobErr   error // of the state
	scans     int
	asked     []dataset.Query // by Scan
	appends   int
	onAppend  func()
	// appendsLeft, unless 0, is how many appends work before the store goes away.
	appendsLeft int
}

func newStore() *store {
	m := blob.NewMemory()
	return &store{Dataset: dataset.New(m), blob: m}
}

func (s *store) Append(ctx context.Context, writer string, interval time.Time, samples []api.Sample, ingested time.Time) error {
	s.appends++
	if s.onAppend != nil {
		s.onAppend()
	}
	if s.appendErr != nil {
		return s.appendErr
	}
	if s.appendsLeft > 0 {
		if s.appendsLeft--; s.appendsLeft == 0 {
			s.appendErr, s.scanErr, s.blobErr = errDown, errDown, errDown
		}
	}
	return s.Dataset.Append(ctx, writer, interval, samples, ingested)
}

func (s *store) Scan(ctx context.Context, q dataset.Query) ([]api.Sample, error) {
	s.scans++
	s.asked = append(s.asked, q)
	if s.scanErr != nil {
		return nil, s.scanErr
	}
	return s.Dataset.Scan(ctx, q)
}

// world is a collector with its fakes and a clock.
type world struct {
	t      *testing.T
	clock  time.Time
	source *fakeSource
	store  *store
	cal    Calendar
	cfg    Config
	c      *Collector

	configured map[string]string // hashes of the sources' configuration
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, clock: t0, store: newStore(), cfg: DefaultConfig()}
	w.source = &fakeSource{name: "fake", now: func() time.Time { return w.clock }}
	w.restart()
	return w
}

// restart replaces the collector by a new one, as a new process would.
func (w *world) restart() {
	w.t.Helper()
	var err error
	w.c, err = New(w.cfg, Deps{
		Sources: []Source{w.source}, Lake: w.store, State: w.store.blob, Calendar: w.cal, Step: step,
		Now: func() time.Time { return w.clock }, Log: slog.New(slog.DiscardHandler), Configured: w.configured,
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// tick moves the clock to the end of slot i-1 and runs the tick.
func (w *world) tick(i int) error {
	w.clock = at(i)
	return w.c.Once(w.t.Context(), w.clock)
}

func (w *world) mustTick(i int) {
	w.t.Helper()
	if err := w.tick(i); err != nil {
		w.t.Fatalf("tick %d: %v", i, err)
	}
}

// lake returns all that the lake holds, sorted.
func (w *world) lake() []api.Sample {
	w.t.Helper()
	rows, err := w.store.Dataset.Scan(w.t.Context(), dataset.Query{From: at(-100_000), To: at(100_000)})
	if err != nil {
		w.t.Fatal(err)
	}
	return rows
}

// expect compares the lake with what it should hold and reports the differences.
func (w *world) expect(want ...api.Sample) {
	w.t.Helper()
	if diff := differences(w.lake(), want); diff != "" {
		w.t.Error(diff)
	}
}

// differences returns what one list of samples has and the other lacks, or "".
func differences(got, want []api.Sample) string {
	count := map[api.Sample]int{}
	for _, s := range got {
		count[s]++
	}
	for _, s := range want {
		count[s]--
	}
	var lost, invented []api.Sample
	for s, n := range count {
		switch {
		case n < 0:
			lost = append(lost, s)
		case n > 0:
			invented = append(invented, s)
		}
	}
	if len(lost)+len(invented) == 0 {
		return ""
	}
	slices.SortFunc(lost, bySeries)
	slices.SortFunc(invented, bySeries)
	return fmt.Sprintf("of %d samples wanted, %d are missing: %.500v\nof %d in the lake, %d should not be: %.500v",
		len(want), len(lost), fmt.Sprint(lost), len(got), len(invented), fmt.Sprint(invented))
}

func bySeries(a, b api.Sample) int {
	for _, c := range []int{cmp(a.Group, b.Group), cmp(a.Metric, b.Metric), cmp(string(a.Stat), string(b.Stat))} {
		if c != 0 {
			return c
		}
	}
	return a.Time.Compare(b.Time)
}

func cmp(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
