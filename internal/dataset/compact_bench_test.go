package dataset

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
)

// BenchmarkCompactDay measures the compaction of a day of 288 ticks of 1,000
// groups with 5 metrics, 1.44 million rows: CPU time of the process, and what it
// allocates.
func BenchmarkCompactDay(b *testing.B) {
	const groups, metrics, ticks = 1000, 5, 288
	lake := blob.NewMemory()
	r := rand.New(rand.NewPCG(1, 2))
	for n := range ticks {
		at := someDay.Add(time.Duration(n) * 5 * time.Minute)
		var tick []api.Sample
		for g := range groups {
			for m := range metrics {
				tick = append(tick, api.Sample{Group: fmt.Sprintf("service-%05d", g), Metric: fmt.Sprint("metric_", m), Stat: api.StatAvg, Time: at, Value: 50 + 10*r.NormFloat64()})
			}
		}
		if err := New(lake).Append(b.Context(), "collector", at, tick, at.Add(6*time.Minute)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	var spent time.Duration
	for b.Loop() {
		b.StopTimer()
		store := blob.NewMemory()
		for info := range lake.List(b.Context(), "", "") {
			o, err := lake.Get(b.Context(), info.Key)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := store.Put(b.Context(), info.Key, o.Data, blob.IfAbsent()); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		begin := cpuTime(b)
		report, err := NewWithCache(store, 0).Compact(b.Context(), CompactConfig{Before: someDay.AddDate(0, 0, 1)})
		spent += cpuTime(b) - begin
		if err != nil || report.Rows != groups*metrics*ticks {
			b.Fatal(report, err)
		}
	}
	b.ReportMetric(spent.Seconds()*1000/float64(b.N), "cpu-ms/op")
}
