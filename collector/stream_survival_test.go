package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/forescale/forescale/internal/spool"
)

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
	t.Run("nor what the spool of ticks has, which is delivered after the live range", func(t *testing.T) {
		f := newFloor(t)
		f.source.offer(ramp("web", -3, 20)...)
		f.mustTick(0)
		f.away(true)
		f.mustSpool(1)
		f.mustSend(temp("a", 1, 0, 1), temp("b", 1, 0, 2), temp("c", 1, 0, 3))
		f.mustSpool(2)
		f.kill()
		if err := os.RemoveAll(filepath.Join(f.dir, "readings")); err != nil {
			t.Fatal(err)
		}
		f.start()
		f.mustSend(temp("d", 1, 0, 100))
		f.away(false)
		f.mustTick(3)
		f.mustTick(4)
		f.expect(append(ramp("web", -3, 4), rows(1, 3, 2, 1, 3, 3)...)...)
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
