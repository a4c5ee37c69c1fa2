package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/fleet"
)

// benchStep is the length of a slot of the benchmark's fleet.
const benchStep = 5 * time.Minute

// benchFleet is a fleet whose groups follow a few generated workloads, each at a
// size of its own: what it takes to write ten thousand different ones would
// change nothing of what is measured.
type benchFleet struct {
	groups int
	traces []*fleet.Trace
	start  time.Time
}

// newBenchFleet returns a fleet with so many days of history and a day after it.
func newBenchFleet(groups, days int) (*benchFleet, error) {
	f := &benchFleet{groups: groups}
	for i := range 16 {
		t, err := fleet.Generate(fleet.GenerateConfig{Seed: uint64(i + 1), Days: days + 1, Step: benchStep, PeakPerMinute: 18_000})
		if err != nil {
			return nil, err
		}
		f.traces = append(f.traces, t)
	}
	f.start = f.traces[0].Start
	return f, nil
}

func groupName(i int) string { return fmt.Sprintf("service-%05d", i) }

// demand returns the demand of group i in slot k, NaN where it was not observed.
func (f *benchFleet) demand(i, k int) float64 {
	size := 0.2 + 1.8*float64(i)/float64(f.groups)
	return size * f.traces[i%len(f.traces)].Requests[k] / (18_000 * 5) * 20
}

// instances is how many every group has.
const instances = 40

// samples returns what a collector would read of slot k: the CPU and the number
// of instances of each group.
func (f *benchFleet) samples(k int) []api.Sample {
	at := f.start.Add(time.Duration(k) * benchStep)
	out := make([]api.Sample, 0, 2*f.groups)
	for i := range f.groups {
		d := f.demand(i, k)
		if math.IsNaN(d) {
			continue
		}
		out = append(out,
			api.Sample{Group: groupName(i), Metric: api.MetricCPU, Stat: api.StatAvg, Time: at, Value: 100 * d / instances},
			api.Sample{Group: groupName(i), Metric: api.MetricInService, Stat: api.StatAvg, Time: at, Value: instances})
	}
	return out
}

// write stores the slots [from, to), in parts of so many slots.
func (f *benchFleet) write(ctx context.Context, lake *dataset.Dataset, from, to, each int) error {
	for k := from; k < to; k += each {
		var samples []api.Sample
		for i := k; i < min(to, k+each); i++ {
			samples = append(samples, f.samples(i)...)
		}
		at := f.time(k)
		if err := lake.Append(ctx, "collector", at, samples, at.Add(benchStep)); err != nil {
			return err
		}
	}
	return nil
}

// time returns the start of slot k.
func (f *benchFleet) time(k int) time.Time { return f.start.Add(time.Duration(k) * benchStep) }

// openLake returns the lake in dir, with the fleet's first slots in it. It is
// written where it is missing.
func openLake(ctx context.Context, dir string, f *benchFleet, slots, each int) (blob.Store, error) {
	store, err := blob.Open(ctx, "file://"+dir)
	if err != nil {
		return nil, err
	}
	complete := filepath.Join(dir, "complete")
	if _, err := os.Stat(complete); err == nil {
		return store, nil
	}
	if err := f.write(ctx, dataset.NewWithCache(store, 0), 0, slots, each); err != nil {
		return nil, err
	}
	return store, os.WriteFile(complete, nil, 0o600)
}
