package dataset_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/blob/s3test"
	"github.com/forescale/forescale/internal/dataset"
)

var day = time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)

// at returns the time of slot n of the day.
func at(n int) time.Time { return day.Add(time.Duration(n) * 5 * time.Minute) }

func sample(group string, n int, value float64) api.Sample {
	return api.Sample{Group: group, Metric: api.MetricCPU, Stat: api.StatAvg, Time: at(n), Value: value}
}

func appendTo(t *testing.T, d *dataset.Dataset, writer string, interval, ingested time.Time, samples ...api.Sample) {
	t.Helper()
	if err := d.Append(t.Context(), writer, interval, samples, ingested); err != nil {
		t.Fatal(err)
	}
}

func scan(t *testing.T, d *dataset.Dataset, q dataset.Query) []api.Sample {
	t.Helper()
	got, err := d.Scan(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func keys(t *testing.T, s blob.Store) (keys []string) {
	t.Helper()
	for info, err := range s.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func wantSamples(t *testing.T, got []api.Sample, want ...api.Sample) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// stores returns each kind of store, empty.
func stores(t *testing.T) map[string]func(t *testing.T) blob.Store {
	return map[string]func(t *testing.T) blob.Store{
		"memory": func(*testing.T) blob.Store { return blob.NewMemory() },
		"directory": func(t *testing.T) blob.Store {
			s, err := blob.NewDir(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		"S3": func(t *testing.T) blob.Store {
			s, err := blob.Open(t.Context(), s3test.Start(t))
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	}
}

func TestSamplesComeBackSortedAndExact(t *testing.T) {
	for name, open := range stores(t) {
		t.Run(name, func(t *testing.T) {
			store := open(t)
			d := dataset.New(store)
			in := []api.Sample{
				{Group: "web", Metric: "response_time", Stat: api.StatP95, Time: at(3), Value: 0.1},
				{Group: "web", Metric: "response_time", Stat: api.StatAvg, Time: at(3), Value: -0.25},
				{Group: "../../x", Metric: "a/b", Stat: api.StatSum, Time: at(2).In(time.FixedZone("", 3600)), Value: math.MaxFloat64},
				{Group: "ünïcode #", Metric: "%", Stat: api.StatMax, Time: at(0).Add(time.Microsecond), Value: math.SmallestNonzeroFloat64},
				{Group: "web", Metric: "response_time", Stat: api.StatAvg, Time: at(1), Value: 0},
			}
			appendTo(t, d, "../writer", at(3), at(4), in...)
			want := []api.Sample{in[2], in[4], in[1], in[0], in[3]}
			want[0].Time = want[0].Time.UTC()
			wantSamples(t, scan(t, d, dataset.Query{}), want...)
			wantSamples(t, scan(t, dataset.New(store), dataset.Query{}), want...)
			for _, key := range keys(t, store) {
				if !strings.HasPrefix(key, "open/date=2026-03-14/20260314T001500Z/%2E%2E%2Fwriter-") {
					t.Errorf("key %s", key)
				}
			}
			groups, err := d.Groups(t.Context(), day, at(3))
			if err != nil || !slices.Equal(groups, []string{"../../x", "web", "ünïcode #"}) {
				t.Errorf("groups %q, %v", groups, err)
			}
			groups, err = d.Groups(t.Context(), at(3), time.Time{})
			if err != nil || !slices.Equal(groups, []string{"web"}) {
				t.Errorf("groups from slot 3: %q, %v", groups, err)
			}
		})
	}
}

func TestAQuerySelectsByGroupMetricAndHalfOpenTime(t *testing.T) {
	d := dataset.New(blob.NewMemory())
	var all []api.Sample
	for _, g := range []string{"a", "b"} {
		for n := range 600 { // crosses two midnights
			all = append(all, sample(g, n, float64(n)))
		}
	}
	appendTo(t, d, "w", at(0), at(600), all...)
	for name, tc := range map[string]struct {
		q    dataset.Query
		want []api.Sample
	}{
		"everything":                   {dataset.Query{}, all},
		"a group":                      {dataset.Query{Groups: []string{"b"}}, all[600:]},
		"an unknown group":             {dataset.Query{Groups: []string{"c"}}, nil},
		"an unknown metric":            {dataset.Query{Metrics: []string{"power"}}, nil},
		"group and metric":             {dataset.Query{Groups: []string{"a", "c"}, Metrics: []string{api.MetricCPU}}, all[:600]},
		"to is left out":               {dataset.Query{Groups: []string{"a"}, From: at(5), To: at(7)}, all[5:7]},
		"a bound within a slot":        {dataset.Query{Groups: []string{"a"}, From: at(5).Add(1), To: at(7).Add(1)}, all[6:8]},
		"up to midnight":               {dataset.Query{Groups: []string{"a"}, From: at(286), To: at(288)}, all[286:288]},
		"from midnight":                {dataset.Query{Groups: []string{"a"}, From: at(288), To: at(289)}, all[288:289]},
		"over midnight":                {dataset.Query{Groups: []string{"a"}, From: at(287), To: at(290)}, all[287:290]},
		"a moment past midnight":       {dataset.Query{Groups: []string{"a"}, From: at(287), To: at(288).Add(1)}, all[287:289]},
		"only from":                    {dataset.Query{Groups: []string{"a"}, From: at(598)}, all[598:600]},
		"only to":                      {dataset.Query{Groups: []string{"a"}, To: at(2)}, all[:2]},
		"an empty range":               {dataset.Query{From: at(5), To: at(5)}, nil},
		"a range the wrong way around": {dataset.Query{From: at(9), To: at(5)}, nil},
		"a day without parts":          {dataset.Query{From: at(6000), To: at(6300)}, nil},
		"another zone":                 {dataset.Query{Groups: []string{"a"}, From: at(287).In(time.FixedZone("", -9*3600)), To: at(289).In(time.FixedZone("", 14*3600))}, all[287:289]},
	} {
		t.Run(name, func(t *testing.T) { wantSamples(t, scan(t, d, tc.q), tc.want...) })
	}
}

func TestTheRowIngestedLastWins(t *testing.T) {
	d := dataset.New(blob.NewMemory())
	appendTo(t, d, "w", at(1), at(2), sample("g", 0, 1), sample("g", 1, 1))
	appendTo(t, d, "w", at(2), at(3), sample("g", 1, 2), sample("g", 2, 2)) // looks back
	appendTo(t, d, "w", at(0), at(1), sample("g", 2, 0), sample("g", 3, 0)) // ingested before
	wantSamples(t, scan(t, d, dataset.Query{}), sample("g", 0, 1), sample("g", 1, 2), sample("g", 2, 2), sample("g", 3, 0))
}

func TestOnATieTheGreaterValueWinsWhateverTheKeys(t *testing.T) {
	for _, order := range [][]string{{"a", "b"}, {"b", "a"}, {"b", "0"}} {
		d := dataset.New(blob.NewMemory())
		for _, w := range order {
			appendTo(t, d, w, at(1), at(2), sample("g", 0, float64(w[0])))
		}
		wantSamples(t, scan(t, d, dataset.Query{}), sample("g", 0, float64(max(order[0][0], order[1][0]))))
	}
}

func TestOfARepetitionInOneAppendTheLaterIsMeant(t *testing.T) {
	d := dataset.New(blob.NewMemory())
	appendTo(t, d, "w", at(1), at(2), sample("g", 0, 1), sample("g", 1, 7), sample("g", 0, 3), sample("g", 0, 2))
	wantSamples(t, scan(t, d, dataset.Query{}), sample("g", 0, 2), sample("g", 1, 7))
}

func TestAppendingAgain(t *testing.T) {
	a, b := sample("g", 0, 1), sample("g", 0, 2)
	t.Run("the same rows later is a no-op, in any order", func(t *testing.T) {
		store := blob.NewMemory()
		d := dataset.New(store)
		appendTo(t, d, "w", at(1), at(2), a, sample("g", 1, 5))
		before := keys(t, store)
		appendTo(t, d, "w", at(1), at(3), sample("g", 1, 5), a)
		appendTo(t, dataset.New(store), "w", at(1), at(4), a, sample("g", 1, 5))
		if after := keys(t, store); !slices.Equal(before, after) {
			t.Errorf("parts %q became %q", before, after)
		}
	})
	t.Run("the first ingestion time stands", func(t *testing.T) {
		d := dataset.New(blob.NewMemory())
		appendTo(t, d, "w", at(1), at(2), a)
		appendTo(t, d, "w", at(1), at(9), a)
		appendTo(t, d, "w", at(2), at(5), b) // later than the first write of a
		wantSamples(t, scan(t, d, dataset.Query{}), b)
	})
	t.Run("rows that were overruled are stated anew", func(t *testing.T) {
		store := blob.NewMemory()
		d := dataset.New(store)
		appendTo(t, d, "import", at(1), at(2), a)
		appendTo(t, d, "import", at(1), at(3), b)
		appendTo(t, d, "import", at(1), at(4), a)
		wantSamples(t, scan(t, d, dataset.Query{}), a)
		before := keys(t, store)
		appendTo(t, d, "import", at(1), at(5), a)
		if after := keys(t, store); len(before) != 3 || !slices.Equal(before, after) {
			t.Errorf("parts %q became %q", before, after)
		}
	})
	t.Run("rows whose part is damaged are stored anew", func(t *testing.T) {
		store := blob.NewMemory()
		appendTo(t, dataset.New(store), "w", at(1), at(2), a)
		corrupt(t, store, keys(t, store)[0], []byte("x"))
		d := dataset.New(store)
		appendTo(t, d, "w", at(1), at(3), a)
		got, err := d.Scan(t.Context(), dataset.Query{})
		if !dataset.OnlyCorrupt(err) {
			t.Errorf("scan: %v", err)
		}
		wantSamples(t, got, a)
	})
}

func TestTheSameRowsGiveTheSameBytes(t *testing.T) {
	var objects [2][]byte
	for i := range objects {
		store := blob.NewMemory()
		var in []api.Sample
		for n := range 288 {
			in = append(in, sample("g", n, float64(n)/7), sample("h", n, float64(n)/3))
		}
		if i == 1 {
			slices.Reverse(in)
		}
		appendTo(t, dataset.New(store), "w", at(1), at(2), in...)
		o, err := store.Get(t.Context(), keys(t, store)[0])
		if err != nil {
			t.Fatal(err)
		}
		objects[i] = o.Data
	}
	if !bytes.Equal(objects[0], objects[1]) {
		t.Errorf("the files differ: %d and %d bytes", len(objects[0]), len(objects[1]))
	}
}

func TestInvalidSamplesAreNamedAndLoseNoOther(t *testing.T) {
	d := dataset.New(blob.NewMemory())
	good := []api.Sample{sample("g", 0, 1), sample("g", 1, 2)}
	bad := []api.Sample{
		good[0],
		sample("nan", 0, math.NaN()),
		sample("inf", 0, math.Inf(-1)),
		sample("", 0, 1),
		{Group: "nostat", Metric: "m", Time: at(0)},
		{Group: "notime", Metric: "m", Stat: api.StatAvg},
		{Group: "far", Metric: "m", Stat: api.StatAvg, Time: time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)},
		{Group: strings.Repeat("long", 100), Metric: "m", Stat: api.StatAvg, Time: at(0)},
		good[1],
	}
	err := d.Append(t.Context(), "w", at(1), bad, at(2))
	var invalid *dataset.InvalidError
	if !errors.As(err, &invalid) || invalid.Count != 7 {
		t.Fatalf("append: %v", err)
	}
	for _, want := range []string{"samples[1]", "nan/", "inf/", "group is empty", "nostat", "notime", "far", "longer than"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not mention %q: %v", want, err)
		}
	}
	wantSamples(t, scan(t, d, dataset.Query{}), good...)

	many := slices.Repeat([]api.Sample{sample("nan", 0, math.NaN())}, 5000)
	if err := d.Append(t.Context(), "w", at(1), many, at(2)); err == nil || len(err.Error()) > 4000 || !strings.Contains(err.Error(), "4990 more") {
		t.Errorf("five thousand bad samples: %.200v", err)
	}
	for name, err := range map[string]error{
		"no writer":      d.Append(t.Context(), "", at(1), good, at(2)),
		"long writer":    d.Append(t.Context(), strings.Repeat("w", 200), at(1), good, at(2)),
		"no interval":    d.Append(t.Context(), "w", time.Time{}, good, at(2)),
		"never ingested": d.Append(t.Context(), "w", at(1), good, time.Time{}),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// counting counts the reads that reach a store.
type counting struct {
	blob.Store
	mu   sync.Mutex
	gets []string // guarded by mu
	fail error    // returned by Get when set
	// limit, when set, is the number of reads after which cut is called.
	limit int
	cut   context.CancelFunc
}

func (c *counting) Get(ctx context.Context, key string) (blob.Object, error) {
	c.mu.Lock()
	c.gets = append(c.gets, key)
	fail := c.fail
	if c.limit > 0 && len(c.gets) == c.limit {
		c.cut()
	}
	c.mu.Unlock()
	if fail != nil {
		return blob.Object{}, fail
	}
	return c.Store.Get(ctx, key)
}

func TestALiveScanReadsOnlyWhatIsNew(t *testing.T) {
	store := &counting{Store: blob.NewMemory()}
	writer, reader := dataset.New(store.Store), dataset.New(store)
	var window []api.Sample
	for n := range 100 {
		window = append(window, sample("g", n, float64(n)))
		appendTo(t, writer, "w", at(n), at(n+1), sample("g", n, float64(n)))
		got := scan(t, reader, dataset.Query{From: at(n - 23), To: at(n + 1)})
		wantSamples(t, got, window[max(0, n-23):]...)
	}
	if len(store.gets) != 100 {
		t.Errorf("%d reads for 100 parts", len(store.gets))
	}

	// A cache too small for the day still need not read what lies outside.
	store.gets = nil
	small := dataset.NewWithCache(store, 24*1024)
	scan(t, small, dataset.Query{})
	store.gets = nil
	for range 3 {
		scan(t, small, dataset.Query{From: at(90)})
	}
	if len(store.gets) > 30 {
		t.Errorf("%d reads for ten parts, three times", len(store.gets))
	}
}

func TestAFailureOfTheStoreIsNotCorruption(t *testing.T) {
	store := &counting{Store: blob.NewMemory()}
	d := dataset.New(store)
	appendTo(t, d, "w", at(1), at(2), sample("g", 0, 1))
	for _, fail := range []error{errors.New("connection reset"), fmt.Errorf("get: %w", blob.ErrNotFound)} {
		store.fail = fail
		got, err := d.Scan(t.Context(), dataset.Query{})
		if !errors.Is(err, fail) || dataset.OnlyCorrupt(err) || got != nil {
			t.Errorf("scan: %v, %v", got, err)
		}
	}
	store.fail = nil
	wantSamples(t, scan(t, d, dataset.Query{}), sample("g", 0, 1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Scan(ctx, dataset.Query{}); !errors.Is(err, context.Canceled) {
		t.Errorf("scan after the end of ctx: %v", err)
	}
	if dataset.OnlyCorrupt(nil) {
		t.Error("no error speaks of corrupt parts")
	}
}
