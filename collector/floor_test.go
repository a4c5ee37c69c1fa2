package collector

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/spool"
)

// fakeStream hands out the Emit that it is run with.
type fakeStream struct {
	name string
	emit chan Emit
	err  error // returned at once, when set
	runs int
}

func (s *fakeStream) Name() string { return s.name }

func (s *fakeStream) Run(ctx context.Context, emit Emit) error {
	s.runs++
	if s.err != nil {
		return s.err
	}
	s.emit <- emit
	<-ctx.Done()
	return nil
}

// floor is a world with sensors: spools in a directory that outlives the process.
type floor struct {
	*world
	dir             string
	ticks, readings *spool.Spool
	stop            context.CancelFunc
	done            sync.WaitGroup
	send            Emit
	log             *slog.Logger
}

func newFloor(t *testing.T) *floor {
	t.Helper()
	f := &floor{world: newWorld(t), dir: t.TempDir(), stop: func() {}, log: slog.New(slog.DiscardHandler)}
	f.cfg.Stream.Keep = time.Hour // what is too late comes soon
	f.start()
	t.Cleanup(f.kill)
	return f
}

// start is a new process on the same disk.
func (f *floor) start() {
	f.t.Helper()
	f.ticks, f.readings = f.open("ticks"), f.open("readings")
	f.begin()
}

func (f *floor) open(name string) *spool.Spool {
	f.t.Helper()
	s, err := spool.Open(spool.Config{Dir: filepath.Join(f.dir, name), MaxBytes: spool.MinBytes})
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

func (f *floor) begin() {
	f.t.Helper()
	stream := &fakeStream{name: "sensors", emit: make(chan Emit, 1)}
	c, err := New(f.cfg, Deps{
		Sources: []Source{f.source}, Streams: []Stream{stream}, Ticks: f.ticks, Readings: f.readings,
		Lake: f.store, State: f.store, Calendar: f.cal, Step: step,
		Now: func() time.Time { return f.clock }, Log: f.log,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.c = c
	ctx, cancel := context.WithCancel(context.Background())
	f.stop = cancel
	f.done.Go(func() { c.RunStreams(ctx) })
	f.send = <-stream.emit
}

// kill ends the process; what is on the disk stays.
func (f *floor) kill() {
	f.stop()
	f.done.Wait()
	_ = f.ticks.Close()
	_ = f.readings.Close()
}

func (f *floor) mustSend(readings ...Reading) {
	f.t.Helper()
	if err := f.send(f.t.Context(), readings); err != nil {
		f.t.Fatal(err)
	}
}

// irregular returns how many readings were counted under the reason.
func (f *floor) irregular(reason string) int { return f.c.Stats().Sources["sensors"].Irregular[reason] }

func reading(group, sensor, metric string, at time.Time, value float64) Reading {
	return Reading{Group: group, Sensor: sensor, Metric: metric, Time: at, Value: value}
}

// temp is a reading of sensor in the slot, after some seconds of it.
func temp(sensor string, slot int, seconds int, value float64) Reading {
	return reading("hall", sensor, "temperature", at(slot).Add(time.Duration(seconds)*time.Second), value)
}

// rows returns the samples that a cell of the hall's temperature is to become.
func rows(slot int, count, avg, lowest, highest, p95 float64) []api.Sample {
	var out []api.Sample
	for stat, v := range map[api.Stat]float64{api.StatCount: count, api.StatAvg: avg, api.StatMin: lowest, api.StatMax: highest, api.StatP95: p95} {
		out = append(out, api.Sample{Group: "hall", Metric: "temperature", Stat: stat, Time: at(slot), Value: v})
	}
	return out
}
