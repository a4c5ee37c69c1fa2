package dataset

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
)

// BenchmarkAppendTick measures the ingestion of a tick of 10,000 groups with 5
// metrics into a directory: CPU time of the process, and what it allocates. The
// samples are in the order of their source, metric by metric.
func BenchmarkAppendTick(b *testing.B) {
	store, err := blob.NewDir(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	d := New(store)
	r := rand.New(rand.NewPCG(1, 2))
	var samples []api.Sample
	for m := range 5 {
		for g := range 10_000 {
			samples = append(samples, api.Sample{Group: fmt.Sprintf("service-%05d-production", g), Metric: fmt.Sprint("metric_", m), Stat: api.StatAvg, Value: 50 + 10*r.NormFloat64()})
		}
	}
	begin := cpuTime(b)
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		b.StopTimer()
		at := someDay.Add(time.Duration(n) * 5 * time.Minute)
		tick := slices.Clone(samples)
		for i := range tick {
			tick[i].Time = at
		}
		b.StartTimer()
		if err := d.Append(b.Context(), "collector", at, tick, at.Add(6*time.Minute)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpuTime(b)-begin)/1e6/float64(b.N), "cpu-ms/op")
}

// cpuTime returns the user and system time that the process has taken.
func cpuTime(b *testing.B) time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
