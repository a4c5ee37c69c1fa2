package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
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
}

func newFloor(t *testing.T) *floor {
	t.Helper()
	f := &floor{world: newWorld(t), dir: t.TempDir(), stop: func() {}}
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
		Now: func() time.Time { return f.clock }, Log: slog.New(slog.DiscardHandler),
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

func TestReadingsBecomeSamples(t *testing.T) {
	t.Run("count, mean, minimum, maximum and 95th percentile over the sensors of a group", func(t *testing.T) {
		f := newFloor(t)
		for i := range 100 { // 1 to 100, over four sensors, in some order
			f.mustSend(temp(fmt.Sprint("s", i%4), 0, i, float64((i*37)%100+1)))
		}
		f.mustTick(1)
		f.expect(rows(0, 100, 50.5, 1, 100, 95)...)
	})
	t.Run("a metric that is a sum has the sum too", func(t *testing.T) {
		f := newFloor(t)
		f.mustSend(reading("web", "a", api.MetricRequests, at(0), 3), reading("web", "b", api.MetricRequests, at(0), 4))
		f.mustTick(1)
		for _, s := range f.lake() {
			if s.Stat == api.StatSum && s.Value == 7 {
				return
			}
		}
		t.Errorf("no sum of 7 in %v", f.lake())
	})
	t.Run("one reading is its own mean and percentile", func(t *testing.T) {
		f := newFloor(t)
		f.mustSend(temp("a", 0, 0, -3.5))
		f.mustTick(1)
		f.expect(rows(0, 1, -3.5, -3.5, -3.5, -3.5)...)
	})
	t.Run("a slot without readings has no row", func(t *testing.T) {
		f := newFloor(t)
		f.mustSend(temp("a", 0, 0, 1), temp("a", 0, 1, 1))
		f.mustTick(1)
		f.mustTick(2)
		f.mustSend(temp("a", 2, 0, 2))
		f.mustTick(3)
		f.expect(append(rows(0, 2, 1, 1, 1, 1), rows(2, 1, 2, 2, 2, 2)...)...)
	})
	t.Run("a slot is stored when it has ended, not before", func(t *testing.T) {
		f := newFloor(t)
		f.mustSend(temp("a", 0, 0, 1))
		f.clock = at(0).Add(4 * time.Minute)
		if err := f.c.Once(t.Context(), f.clock); err != nil {
			t.Fatal(err)
		}
		f.expect()
	})
	t.Run("values whose sum no float64 holds have no mean", func(t *testing.T) {
		f := newFloor(t)
		f.mustSend(temp("a", 0, 0, math.MaxFloat64), temp("a", 0, 1, math.MaxFloat64))
		f.mustTick(1)
		if n := len(f.lake()); n != 4 {
			t.Errorf("%d rows: %v", n, f.lake())
		}
	})
	t.Run("flags stand beside them", func(t *testing.T) {
		f := newFloor(t)
		f.kill()
		f.cal = fixedFlags{"is_sale_active": func(time.Time) float64 { return 1 }}
		f.start()
		f.mustSend(temp("a", 0, 0, 1))
		f.mustTick(1)
		f.expect(append(rows(0, 1, 1, 1, 1, 1), flag("hall", 0, 1))...)
	})
}

func TestReadingsThatAreNotAsTheyShouldBe(t *testing.T) {
	t.Run("a duplicate counts once, in any batch and over a restart, whatever its value", func(t *testing.T) {
		f := newFloor(t)
		f.mustSend(temp("a", 0, 0, 1), temp("a", 0, 0, 1))
		f.mustSend(temp("a", 0, 0, 99))
		f.kill()
		f.start()
		f.mustSend(temp("a", 0, 0, 1), temp("b", 0, 0, 2))
		f.mustTick(1)
		f.mustTick(2)
		f.mustSend(temp("a", 0, 0, 1)) // its slot is stored already
		f.mustTick(3)
		f.expect(rows(0, 2, 1.5, 1, 2, 2)...)
		if n := f.irregular(dropDuplicate); n != 2 {
			t.Errorf("%d duplicates counted since the restart", n)
		}
	})
	t.Run("out of order, they come to the same", func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 1))
		var all []Reading
		for i := range 300 {
			all = append(all, temp(fmt.Sprint("s", i%7), i%3, i%300, rng.NormFloat64()))
		}
		var first []api.Sample
		for range 5 {
			f := newFloor(t)
			f.clock = at(3)
			rng.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
			for i := 0; i < len(all); i += 50 {
				f.mustSend(all[i : i+50]...)
			}
			f.mustTick(3)
			if first == nil {
				first = f.lake()
			}
			f.expect(first...)
		}
		if len(first) != 15 {
			t.Errorf("%d rows", len(first))
		}
	})
	t.Run("late ones revise the stored slot, as long as it is kept", func(t *testing.T) {
		f := newFloor(t)
		f.mustSend(temp("a", 0, 0, 1))
		f.mustTick(1)
		for i := 2; i < 10; i++ {
			f.mustTick(i)
		}
		f.mustSend(temp("b", 0, 10, 3)) // 45 minutes late, far behind the look-back
		f.mustTick(10)
		f.expect(rows(0, 2, 2, 1, 3, 3)...)
		if n := f.irregular(noteLate); n != 1 {
			t.Errorf("%d late readings counted", n)
		}
		f.clock = at(13)
		f.mustSend(temp("c", 0, 20, 100))
		f.mustTick(13)
		f.expect(rows(0, 2, 2, 1, 3, 3)...)
		if n := f.irregular(dropTooLate); n != 1 {
			t.Errorf("%d readings counted as too late", n)
		}
	})
	t.Run("two sensors whose clocks differ by minutes are told by their own time", func(t *testing.T) {
		f := newFloor(t)
		for i := range 6 {
			f.clock = at(i).Add(time.Minute)
			right, fast, slow := f.clock, f.clock.Add(4*time.Minute+30*time.Second), f.clock.Add(-7*time.Minute)
			f.mustSend(reading("hall", "right", "temperature", right, 20),
				reading("hall", "fast", "temperature", fast, 30), reading("hall", "slow", "temperature", slow, 10))
			f.clock = at(i + 1)
			f.mustTick(i + 1)
		}
		for i := 7; i < 10; i++ {
			f.mustTick(i)
		}
		var want []api.Sample
		for slot := -2; slot <= 6; slot++ {
			var in []float64
			if slot <= 3 {
				in = append(in, 10)
			}
			if slot >= 0 && slot <= 5 {
				in = append(in, 20)
			}
			if slot >= 1 {
				in = append(in, 30)
			}
			sum := 0.0
			for _, v := range in {
				sum += v
			}
			want = append(want, rows(slot, float64(len(in)), sum/float64(len(in)), in[0], in[len(in)-1], in[len(in)-1])...)
		}
		f.expect(want...)
	})
	t.Run("from the future beyond the bound, without a number, a name or a place, they are dropped and acknowledged", func(t *testing.T) {
		f := newFloor(t)
		long := strings.Repeat("x", 256)
		f.mustSend(temp("a", 0, 0, 1),
			temp("a", 2, 1, 5), // 10 minutes ahead
			temp("a", 0, 1, math.NaN()), temp("a", 0, 2, math.Inf(1)),
			reading("", "s", "m", at(0), 1), reading("g", "", "m", at(0), 1), reading("g", "s", "", at(0), 1),
			reading(long, "s", "m", at(0), 1), reading("g", long, "m", at(0), 1), reading("g", "s", long, at(0), 1),
			reading("g", "s", "m", time.Time{}, 1), reading("g", "s", "m", time.Unix(1<<60, 0), 1))
		f.mustTick(1)
		f.expect(rows(0, 1, 1, 1, 1, 1)...)
		for reason, n := range map[string]int{dropFuture: 2, dropNonFinite: 2, dropInvalid: 7} {
			if got := f.irregular(reason); got != n {
				t.Errorf("%s: %d counted, want %d", reason, got, n)
			}
		}
	})
	t.Run("a counter that was reset takes nothing off a sum", func(t *testing.T) {
		f := newFloor(t)
		f.mustSend(reading("web", "a", api.MetricRequests, at(0), 5), reading("web", "a", api.MetricRequests, at(0).Add(time.Second), -4000))
		f.mustTick(1)
		for _, s := range f.lake() {
			if s.Value < 0 {
				t.Errorf("%v is in the lake", s)
			}
		}
		if n := f.irregular(dropNegative); n != 1 {
			t.Errorf("%d counted", n)
		}
	})
	t.Run("retained ones count by their own time, once", func(t *testing.T) {
		f := newFloor(t)
		old, fresh := temp("a", -100, 0, 1), temp("a", 0, 0, 2)
		old.Retained, fresh.Retained = true, true
		f.mustSend(old, fresh, fresh)
		f.mustTick(1)
		f.expect(rows(0, 1, 2, 2, 2, 2)...)
		if f.irregular(noteRetained) != 1 || f.irregular(dropTooLate) != 1 || f.irregular(dropDuplicate) != 1 {
			t.Errorf("%v", f.c.Stats().Sources["sensors"].Irregular)
		}
	})
	t.Run("more names and readings than are allowed are dropped, and the known ones go on", func(t *testing.T) {
		f := newFloor(t)
		f.kill()
		f.cfg.Stream.MaxGroups, f.cfg.Stream.MaxSensors, f.cfg.Stream.MaxMetrics, f.cfg.Stream.MaxReadings = 2, 2, 2, 6
		f.start()
		send := func(group, sensor, metric string, second int) {
			f.mustSend(reading(group, sensor, metric, at(0).Add(time.Duration(second)*time.Second), 1))
		}
		send("g1", "s1", "m1", 0)
		send("g1", "s2", "m2", 0)
		send("g1", "s3", "m1", 0) // a third sensor
		send("g1", "s1", "m3", 0) // a third metric
		send("g2", "s1", "m1", 0)
		send("g3", "s1", "m1", 0) // a third group
		send("g1", "s1", "m1", 1)
		send("g2", "s1", "m1", 1)
		send("g2", "s1", "m1", 2)
		send("g2", "s1", "m1", 3) // a seventh reading
		for _, reason := range []string{dropGroups, dropSensors, dropMetrics, dropReadings} {
			if n := f.irregular(reason); n != 1 {
				t.Errorf("%s: %d counted, want 1", reason, n)
			}
		}
		f.mustTick(1)
		f.clock = at(14) // the names are free again when their slots are let go
		f.mustTick(14)
		send2 := reading("g3", "s9", "m9", at(13), 1)
		f.mustSend(send2)
		if n := f.irregular(dropGroups); n != 1 {
			t.Errorf("a name is refused although there is room")
		}
	})
}

func TestReadingsSurviveTheProcess(t *testing.T) {
	t.Run("before and after their slot is stored", func(t *testing.T) {
		f := newFloor(t)
		f.mustSend(temp("a", 0, 0, 1))
		f.kill()
		f.start()
		f.mustTick(1)
		f.expect(rows(0, 1, 1, 1, 1, 1)...)
		f.kill()
		f.start()
		f.mustSend(temp("b", 0, 0, 3))
		f.mustTick(2)
		f.expect(rows(0, 2, 2, 1, 3, 3)...)
	})
	t.Run("and are not written again when the lake has them", func(t *testing.T) {
		f := newFloor(t)
		f.mustSend(temp("a", 0, 0, 1))
		f.mustTick(1)
		f.kill()
		f.start()
		f.store.appends = 0
		f.mustTick(2)
		if f.store.appends != 0 {
			t.Errorf("%d appends", f.store.appends)
		}
	})
	t.Run("for as long as their slot is not stored, even past the time to keep it", func(t *testing.T) {
		f := newFloor(t)
		f.kill() // without a spool of ticks
		f.readings = f.open("readings")
		f.ticks = nil
		f.begin()
		f.mustSend(temp("a", 0, 0, 1))
		f.store.appendErr, f.store.scanErr = errDown, errDown
		for i := 1; i < 40; i++ {
			if err := f.tick(i); !errors.Is(err, errDown) {
				t.Fatalf("got %v", err)
			}
		}
		f.stop()
		f.done.Wait()
		_ = f.readings.Close()
		f.readings = f.open("readings")
		f.begin()
		f.ticks = f.open("ticks") // for kill
		f.store.appendErr, f.store.scanErr = nil, nil
		f.mustTick(40)
		f.expect(rows(0, 1, 1, 1, 1, 1)...)
	})
	t.Run("and leave the disk when their slot is stored and old", func(t *testing.T) {
		f := newFloor(t)
		for i := range 40 {
			f.clock = at(i)
			f.mustSend(temp("a", i, 0, 1))
			f.mustTick(i + 1)
		}
		f.clock = at(60)
		f.mustTick(60)
		if st := f.readings.Stats(); st.Records != 0 || f.c.inbox.size() != 0 || len(f.c.inbox.groups) != 0 {
			t.Errorf("%+v on disk, %d in memory", st, f.c.inbox.size())
		}
	})
	t.Run("a poorer cell never replaces what the lake has, when the disk was lost", func(t *testing.T) {
		f := newFloor(t)
		f.mustSend(temp("a", 0, 0, 1), temp("b", 0, 0, 2), temp("c", 0, 0, 3))
		f.mustTick(1)
		f.kill()
		f.dir = t.TempDir()
		f.start()
		f.mustSend(temp("d", 0, 0, 100)) // late, to a process that knows nothing of the others
		f.mustTick(2)
		f.expect(rows(0, 3, 2, 1, 3, 3)...)
	})
	t.Run("a clock that is set back reopens no slot that was let go", func(t *testing.T) {
		f := newFloor(t)
		f.mustSend(temp("a", 0, 0, 1), temp("b", 0, 0, 3))
		f.mustTick(1)
		f.mustTick(20) // the cell is let go
		f.clock = at(2)
		f.mustSend(temp("c", 0, 0, 100))
		f.mustTick(21)
		f.expect(rows(0, 2, 2, 1, 3, 3)...)
	})
}

func TestEmitIsNilOnlyWhenTheReadingsAreOnDisk(t *testing.T) {
	f := newFloor(t)
	if err := f.readings.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.send(t.Context(), []Reading{temp("a", 0, 0, 1)}); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("got %v", err)
	}
	f.mustTick(1)
	f.expect() // what was not acknowledged will come again, and must not count before
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.send(ctx, []Reading{temp("a", 0, 0, 1)}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

func TestAStreamThatFailsIsStartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newWorld(t)
		stream := &fakeStream{name: "s", err: errDown}
		f.c.streams = []Stream{stream}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		f.c.RunStreams(ctx)
		if stream.runs != 4 { // at 0, 1, 3 and 7 s
			t.Errorf("%d runs in ten seconds", stream.runs)
		}
		if n := f.c.Stats().Sources["s"].Errors; n < 3 {
			t.Errorf("%d errors counted", n)
		}
	})
}

func TestStreamsNeedASpool(t *testing.T) {
	_, err := New(DefaultConfig(), Deps{Streams: []Stream{&fakeStream{name: "s"}}, Lake: newStore(), Step: step,
		Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "spool.dir") {
		t.Errorf("got %v", err)
	}
}

func TestManyStreamsAtOnce(t *testing.T) {
	f := newFloor(t)
	var wg sync.WaitGroup
	for k := range 8 {
		wg.Go(func() {
			for i := range 50 {
				if err := f.send(t.Context(), []Reading{temp(fmt.Sprint("s", k), 0, i, float64(k))}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 20 {
		if err := f.c.Once(t.Context(), at(1)); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	f.mustTick(1)
	f.expect(rows(0, 400, 3.5, 0, 7, 7)...)
}

func FuzzDecodeReadings(f *testing.F) {
	f.Add(encodeReadings([]Reading{reading("g", "s", "m", t0, 1)}))
	f.Add([]byte{1, 0xff, 0xff})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		readings, err := decodeReadings(data)
		if err == nil && string(encodeReadings(readings)) != string(data) {
			t.Errorf("%x became %v", data, readings)
		}
	})
}
