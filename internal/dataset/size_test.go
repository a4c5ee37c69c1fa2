package dataset

import (
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
)

// What Append accepts, Scan returns: a part must not grow past what a reader
// takes for honest. Names of the greatest length make that soonest happen.
func TestRowsWithLongNamesAreReadBack(t *testing.T) {
	const n = maxPartPlainBytes/(2*api.MaxNameLen) + 1000
	name := strings.Repeat("x", api.MaxNameLen)
	day := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	rows := make([]api.Sample, n)
	for i := range rows {
		rows[i] = api.Sample{Group: name, Metric: name, Stat: api.StatAvg, Time: day.Add(time.Duration(i) * time.Millisecond), Value: 1}
	}
	d := New(blob.NewMemory())
	if err := d.Append(t.Context(), "w", day, rows, day); err != nil {
		t.Fatal(err)
	}
	parts, _, err := each(t.Context(), d, Query{}, func(p *part) *part { return p })
	if err != nil || len(parts) != 2 {
		t.Errorf("%d parts, want 2; %v", len(parts), err)
	}
	got, err := d.Scan(t.Context(), Query{})
	if err != nil || len(got) != n {
		t.Errorf("%d rows of %d, %v", len(got), n, err)
	}
}

// A clock that stands before 1970 must not make parts that no reader knows.
func TestRevisionsOfAnEarlyClockAreReadBack(t *testing.T) {
	d := New(blob.NewMemory())
	day := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	clock := time.Date(1969, 12, 31, 23, 0, 0, 0, time.UTC)
	for i, v := range []float64{1, 2, 1} { // the third states again what the second overruled
		row := api.Sample{Group: "g", Metric: "m", Stat: api.StatAvg, Time: day, Value: v}
		if err := d.Append(t.Context(), "w", day, []api.Sample{row}, clock.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if rows, err := d.Scan(t.Context(), Query{}); err != nil || len(rows) != 1 || rows[0].Value != 1 {
		t.Errorf("%v, %v", rows, err)
	}
}
