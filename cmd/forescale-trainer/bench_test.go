package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/trainer/batch"
)

// What BenchmarkAllGroups trains. A fleet of the size that the project measures
// itself by, with its lake kept for other runs of the command:
//
//	go test ./cmd/forescale-trainer -run '^$' -bench AllGroups -benchtime 1x -timeout 1h \
//	    -groups 1000 -lake /tmp/lake1000
//
// and one model for all of it with -bench Shared instead.
var (
	benchGroups  = flag.Int("groups", 6, "`N` generated groups for BenchmarkAllGroups and BenchmarkShared")
	benchCompare = flag.Int("own", 0, "-compare for BenchmarkShared")
	benchPreset  = flag.String("preset", "fast", "preset for BenchmarkAllGroups")
	benchMemory  = flag.String("budget", "2GiB", "-memory for BenchmarkAllGroups")
	benchLake    = flag.String("lake", "", "`DIR` of the lake for BenchmarkAllGroups, generated where it is missing (default: a temporary one)")
)

const benchDays = 14

// writeFleet writes a lake with the requests of so many groups, two weeks of
// five-minute slots each, in parts of an hour, and returns the end of the data.
func writeFleet(ctx context.Context, dir string, groups int) (until time.Time, err error) {
	store, err := blob.Open(ctx, "file://"+dir)
	if err != nil {
		return until, err
	}
	lake := dataset.NewWithCache(store, 0)
	traces := make([]*fleet.Trace, groups)
	for i := range traces {
		// From a small group to one of ten times its size.
		peak := 6000 * math.Pow(10, float64(i)/float64(groups))
		if traces[i], err = fleet.Generate(fleet.GenerateConfig{Seed: uint64(i + 1), Days: benchDays, PeakPerMinute: peak}); err != nil {
			return until, err
		}
	}
	step := traces[0].Step
	perHour, slots := int(time.Hour/step), len(traces[0].Requests)
	for from := 0; from < slots; from += perHour {
		var samples []api.Sample
		hour := traces[0].Start.Add(time.Duration(from) * step)
		for i, t := range traces {
			for k, v := range t.Requests[from : from+perHour] {
				if !math.IsNaN(v) {
					samples = append(samples, api.Sample{Group: fmt.Sprintf("service-%04d", i), Metric: api.MetricRequests,
						Stat: api.DefaultStat(api.MetricRequests), Time: hour.Add(time.Duration(k) * step), Value: v})
				}
			}
		}
		if err := lake.Append(ctx, "generator", hour, samples, hour.Add(time.Hour)); err != nil {
			return until, err
		}
	}
	return traces[0].Start.Add(time.Duration(slots) * step), nil
}

// BenchmarkAllGroups trains a generated fleet with -all-groups, and reports how
// many groups a minute, how many samples a second and, at most, how much heap.
func BenchmarkAllGroups(b *testing.B) {
	dir, until := benchFleet(b)
	for b.Loop() {
		out := b.TempDir()
		peak, stop := watchHeap()
		code, _, stderr := execute(b.Context(), "-all-groups", "-data", "file://"+dir, "-out", out, "-preset", *benchPreset,
			"-memory", *benchMemory, "-until", until.Format(time.RFC3339))
		stop()
		if code != cli.ExitOK {
			b.Fatalf("exit code %d: %s", code, stderr)
		}
		raw, err := os.ReadFile(filepath.Join(out, "summary.json"))
		if err != nil {
			b.Fatal(err)
		}
		var s batch.Summary
		if err := json.Unmarshal(raw, &s); err != nil {
			b.Fatal(err)
		}
		took := s.Finished.Sub(s.Started)
		b.ReportMetric(float64(len(s.Results))/took.Minutes(), "groups/min")
		b.ReportMetric(float64(s.Samples())/took.Seconds(), "samples/s")
		b.ReportMetric(float64(*peak)/(1<<20), "heap-MB")
	}
}

// benchFleet returns the lake that is asked for and the end of its data.
func benchFleet(b *testing.B) (dir string, until time.Time) {
	if dir = *benchLake; dir == "" {
		dir = b.TempDir()
	}
	until = time.Date(2026, 1, 5+benchDays, 0, 0, 0, 0, time.UTC) // of a lake that is there
	if _, err := os.Stat(filepath.Join(dir, "open")); err != nil {
		if until, err = writeFleet(b.Context(), dir, *benchGroups); err != nil {
			b.Fatal(err)
		}
	}
	return dir, until
}

// BenchmarkShared trains one model for a generated fleet with -shared, and reports
// how long that takes, reading and scores included, how good the model is twelve
// steps ahead, and, at most, how much heap. With -compare also how good models of
// their own are.
func BenchmarkShared(b *testing.B) {
	dir, until := benchFleet(b)
	for b.Loop() {
		out := b.TempDir()
		peak, stop := watchHeap()
		began := time.Now()
		code, stdout, stderr := execute(b.Context(), "-shared", "-data", "file://"+dir, "-out", out, "-preset", *benchPreset,
			"-memory", *benchMemory, "-compare", fmt.Sprint(*benchCompare), "-until", until.Format(time.RFC3339))
		took := time.Since(began)
		stop()
		if code != cli.ExitOK {
			b.Fatalf("exit code %d: %s", code, stderr)
		}
		b.Log(stderr, stdout)
		raw, err := os.ReadFile(filepath.Join(out, "report.json"))
		if err != nil {
			b.Fatal(err)
		}
		var r score.SharedReport
		if err := json.Unmarshal(raw, &r); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(took.Minutes(), "min")
		b.ReportMetric(r.Horizons[len(r.Horizons)-1].Model.WAPE, "WAPE")
		if c := r.Comparison; c != nil {
			b.ReportMetric(c.Shared[len(c.Shared)-1].Model.WAPE/c.Own[len(c.Own)-1].Model.WAPE, "WAPE/own")
		}
		b.ReportMetric(float64(*peak)/(1<<20), "heap-MB")
	}
}

// BenchmarkMemory trains the reference network for one epoch on a CSV file of
// 100,000 windows of four inputs, in a process of its own, and reports the most
// memory that it had, as the kernel counts it.
func BenchmarkMemory(b *testing.B) {
	const windows, days = 100_000, 348
	trace, err := fleet.Generate(fleet.GenerateConfig{Seed: 1, Days: days})
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	var text strings.Builder
	text.WriteString("timestamp,request_count,network_in,cpu_utilization,is_sale_active\n")
	for i := range windows + 24 {
		v := trace.Requests[i]
		if math.IsNaN(v) {
			v = 0
		}
		fmt.Fprintf(&text, "%s,%g,%g,%g,%d\n", trace.Start.Add(time.Duration(i)*trace.Step).Format(time.RFC3339), v, 900*v, v/1e3, i/288%9/8)
	}
	history, config := filepath.Join(dir, "history.csv"), filepath.Join(dir, "forescale.yaml")
	if err := errors.Join(os.WriteFile(history, []byte(text.String()), 0o600),
		os.WriteFile(config, []byte("data: file://"+dir+"/lake\ntrainer: {epochs: 1}\n"), 0o600)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		cmd := itself(b, "-config", config, "-data", history, "-target", "request_count", "-inputs", "request_count,network_in,cpu_utilization",
			"-known", "is_sale_active", "-preset", "reference", "-out", filepath.Join(dir, "out"))
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		b.ReportMetric(float64(usage.Maxrss)*1024/1e6, "peak-MB")
	}
}

// watchHeap follows the heap, garbage included, until stop is called; peak is then
// the most that was seen.
func watchHeap() (peak *uint64, stop func()) {
	peak = new(uint64)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		for {
			metrics.Read(sample)
			*peak = max(*peak, sample[0].Value.Uint64())
			select {
			case <-done:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	return peak, func() { close(done); <-ended }
}
