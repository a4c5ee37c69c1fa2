package dataset

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
)

// lakeOf returns a lake with the parts of hours ticks of an hour, each with one
// row of every group.
func lakeOf(tb testing.TB, groups, hours int) (*Dataset, time.Time) {
	tb.Helper()
	d := NewWithCache(blob.NewMemory(), 0)
	start := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	for hour := range hours {
		at := start.Add(time.Duration(hour) * time.Hour)
		var rows []api.Sample
		for g := range groups {
			rows = append(rows, api.Sample{Group: fmt.Sprintf("group-%03d", g), Metric: "m", Stat: api.StatAvg, Time: at, Value: float64(g)})
		}
		if err := d.Append(context.Background(), "w", at, rows, at); err != nil {
			tb.Fatal(err)
		}
	}
	return d, start
}

func TestRowsAreCountedByGroupInTheTimeAskedFor(t *testing.T) {
	d, start := lakeOf(t, 2, 5)
	again := api.Sample{Group: "group-001", Metric: "m", Stat: api.StatAvg, Time: start.Add(time.Hour), Value: 7}
	if err := d.Append(t.Context(), "other", start, []api.Sample{again}, start.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		from, to time.Time
		want     map[string]int
	}{
		"all, a revision counted apart": {want: map[string]int{"group-000": 5, "group-001": 6}},
		"half-open":                     {from: start.Add(2 * time.Hour), to: start.Add(4 * time.Hour), want: map[string]int{"group-000": 2, "group-001": 2}},
		"none":                          {from: start.Add(9 * time.Hour), want: map[string]int{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := d.Rows(t.Context(), c.from, c.to); err != nil || !maps.Equal(got, c.want) {
				t.Errorf("%v, %v, want %v", got, err, c.want)
			}
		})
	}
}

// A scan of one group of many must not hold the rows of them all.
func TestAScanHoldsWhatItSelectsOnly(t *testing.T) {
	const groups, hours = 400, 24 * 20
	d, _ := lakeOf(t, groups, hours)
	held := func(q Query) int64 {
		parts, _, err := each(t.Context(), d, q, q.selection())
		if err != nil {
			t.Fatal(err)
		}
		var n int64
		for _, p := range parts {
			n += p.size()
		}
		return n
	}
	one, all := held(Query{Groups: []string{"group-007"}}), held(Query{})
	if one*20 > all {
		t.Errorf("%d bytes for one group of %d, %d for all", one, groups, all)
	}
	rows, err := d.Scan(t.Context(), Query{Groups: []string{"group-007"}})
	if err != nil || len(rows) != hours || rows[0].Value != 7 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}
