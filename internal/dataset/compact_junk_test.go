package dataset_test

import (
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
)

// The number of a day's files is for good, so that an object which is no part must
// have no say in it.
func TestAnObjectTooLargeToBeAPartDoesNotSplitTheDay(t *testing.T) {
	store, err := blob.NewDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	row := api.Sample{Group: "web", Metric: api.MetricCPU, Stat: api.StatAvg, Time: day, Value: 1}
	lake := dataset.New(store)
	if err := lake.Append(t.Context(), "w", day, []api.Sample{row}, day); err != nil {
		t.Fatal(err)
	}
	junk := "open/date=2026-03-01/20260301T000000Z/x-" + strings.Repeat("0", 64) + ".parquet"
	if _, err := store.Put(t.Context(), junk, make([]byte, 64<<20+1), blob.Condition{}); err != nil {
		t.Fatal(err)
	}
	report, err := lake.Compact(t.Context(), dataset.CompactConfig{Before: day.AddDate(0, 0, 1), FileBytes: 1 << 20})
	if !dataset.OnlyCorrupt(err) || err == nil {
		t.Errorf("the object is not named: %v", err)
	}
	if report.Files != 1 {
		t.Errorf("the day has %d files, want 1", report.Files)
	}
}
