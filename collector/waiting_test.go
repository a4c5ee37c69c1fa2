package collector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/spool"
)

// away makes the store refuse everything, or not.
func (f *floor) away(away bool) {
	f.store.appendErr, f.store.scanErr, f.store.blobErr, f.store.appendsLeft = nil, nil, nil, 0
	if away {
		f.store.appendErr, f.store.scanErr, f.store.blobErr = errDown, errDown, errDown
	}
}

// mustSpool runs a tick whose samples must end up on the spool.
func (f *floor) mustSpool(i int) {
	f.t.Helper()
	if err := f.tick(i); !errors.Is(err, ErrSpooled) || !errors.Is(err, errDown) {
		f.t.Fatalf("tick %d: got %v", i, err)
	}
}

func TestTicksWaitForTheLake(t *testing.T) {
	t.Run("and are delivered when it is back, without asking the source again", func(t *testing.T) {
		f := newFloor(t)
		f.source.offer(ramp("web", -3, 20)...)
		f.mustTick(0)
		f.away(true)
		for i := 1; i <= 10; i++ {
			f.mustSend(temp("a", i-1, 0, float64(i)))
			f.mustSpool(i)
		}
		f.expect(ramp("web", -3, 0)...)
		if st := f.c.Stats(); st.Spools["ticks"].Records != 10 || !st.OldestWaiting.Equal(at(0)) {
			t.Errorf("%+v", st)
		}
		f.away(false)
		f.source.calls = nil
		f.mustTick(11)
		want := ramp("web", -3, 11)
		for i := 1; i <= 10; i++ {
			want = append(want, rows(i-1, 1, float64(i), float64(i), float64(i), float64(i))...)
		}
		f.expect(want...)
		if n := len(f.source.calls); n != 1 {
			t.Errorf("%d calls at the tick after", n)
		}
		if st := f.c.Stats(); st.Spools["ticks"].Records != 0 || st.Delivered != 10 || !st.OldestWaiting.IsZero() {
			t.Errorf("%+v", st)
		}
	})
	t.Run("asking it once a tick meanwhile", func(t *testing.T) {
		f := newFloor(t)
		f.source.offer(ramp("web", -3, 20)...)
		f.mustTick(0)
		f.away(true)
		f.mustSpool(1)
		sick := &sickRefresher{}
		f.c.refresher = sick
		for _, i := range []int{2, 3, 20} { // the last after ticks were missed
			f.store.appends, f.store.scans = 0, 0
			f.mustSpool(i)
			if f.store.appends != 1 || f.store.scans != 0 || len(sick.asked) != 0 {
				t.Errorf("tick %d: %d appends, %d scans, and recent/ refreshed at %v", i, f.store.appends, f.store.scans, sick.asked)
			}
		}
	})
	t.Run("over a restart, before which nothing was known to the lake", func(t *testing.T) {
		f := newFloor(t)
		f.source.offer(ramp("web", -10, 20)...)
		f.away(true)
		for i := range 10 {
			f.mustSend(temp("a", i-1, 0, 1))
			if i == 5 {
				f.kill()
				f.start()
			}
			f.mustSpool(i)
		}
		f.away(false)
		f.mustTick(10)
		f.mustTick(11) // readings of slots that were on the spool are compared once it is empty
		want := ramp("web", -3, 11)
		for i := range 10 {
			want = append(want, rows(i-1, 1, 1, 1, 1, 1)...)
		}
		f.expect(want...)
	})
	t.Run("and no mark rests on them in the lake, so that a lost disk loses nothing that can be asked for", func(t *testing.T) {
		f := newFloor(t)
		f.source.offer(ramp("web", -3, 20)...)
		f.mustTick(0)
		f.away(true)
		for i := 1; i <= 5; i++ {
			f.mustSpool(i)
		}
		f.away(false)
		f.store.appendsLeft = 2 // one tick of the spool, and the live one
		if err := f.tick(6); !errors.Is(err, errDown) {
			t.Fatalf("got %v", err)
		}
		f.kill()
		f.dir = t.TempDir()
		f.away(false)
		f.start()
		f.mustTick(7)
		f.expect(ramp("web", -3, 7)...)
	})
	for name, lookBack := range map[string]int{
		"when the spool is full the oldest are dropped, and the source is asked for them again":               3,
		"when the spool is full and the look-back is longer, the live range does not pass for what is stored": 40,
	} {
		t.Run(name, func(t *testing.T) { testFullSpool(t, lookBack) })
	}
	t.Run("a damaged one is left out, and the source is asked for it again", func(t *testing.T) {
		f := newFloor(t)
		f.source.offer(ramp("web", -3, 20)...)
		f.mustTick(0)
		f.away(true)
		f.mustSpool(1)
		if _, err := f.ticks.Append([]byte("nonsense")); err != nil {
			t.Fatal(err)
		}
		f.mustSpool(2)
		f.kill()
		f.start()
		f.away(false)
		_ = f.tick(3) // says what it found
		f.mustTick(4)
		f.expect(ramp("web", -3, 4)...)
		if st := f.ticks.Stats(); st.Records != 0 {
			t.Errorf("%+v", st)
		}
	})
	t.Run("a late delivery does not undo a newer revision", func(t *testing.T) {
		f := newFloor(t)
		f.source.offer(cpu("web", 0, 1))
		f.store.appendErr = errDown // the lake can be read
		f.mustSpool(1)
		f.store.appendErr = nil
		f.source.offers = nil
		f.source.offer(cpu("web", 0, 2))
		f.store.appendsLeft = 0
		f.mustTick(2)
		f.expect(cpu("web", 0, 2))
	})
	t.Run("a delivery that is repeated any number of times is the same object, even overruled", func(t *testing.T) {
		f := newFloor(t)
		b := batch{slot: at(0), ingested: at(1), samples: []api.Sample{cpu("web", 0, 1)}}
		for i := range 4 {
			if err := f.c.hand(t.Context(), b); err != nil {
				t.Fatalf("delivery %d: %v", i, err)
			}
			if i == 0 {
				newer := batch{slot: at(0), ingested: at(2), samples: []api.Sample{cpu("web", 0, 2)}}
				if err := f.c.hand(t.Context(), newer); err != nil {
					t.Fatal(err)
				}
			}
		}
		f.expect(cpu("web", 0, 2))
	})
	t.Run("a back-fill and an import say that the lake is away and use no spool", func(t *testing.T) {
		f := newFloor(t)
		f.source.offer(ramp("web", -10, 0)...)
		f.away(true)
		if err := f.c.Backfill(t.Context(), at(-10), at(0), nil); !errors.Is(err, errDown) || errors.Is(err, ErrSpooled) {
			t.Errorf("got %v", err)
		}
		if st := f.ticks.Stats(); st.Records != 0 {
			t.Errorf("%+v", st)
		}
	})
	t.Run("a spool that cannot be written is an error beside the lake's, and the source is asked again", func(t *testing.T) {
		f := newFloor(t)
		f.source.offer(ramp("web", -3, 20)...)
		f.mustTick(0)
		if err := f.ticks.Close(); err != nil {
			t.Fatal(err)
		}
		f.away(true)
		for i := 1; i < 6; i++ {
			if err := f.tick(i); !errors.Is(err, spool.ErrClosed) || !errors.Is(err, errDown) || errors.Is(err, ErrSpooled) {
				t.Fatalf("got %v", err)
			}
		}
		f.away(false)
		f.mustTick(6)
		f.expect(ramp("web", -3, 6)...)
	})
	t.Run("is cut short by the next tick and goes on after it", func(t *testing.T) {
		f := newFloor(t)
		f.source.offer(ramp("web", -3, 40)...)
		f.mustTick(0)
		f.away(true)
		for i := 1; i <= 10; i++ {
			f.mustSpool(i)
		}
		f.away(false)
		f.store.onAppend = func() { f.clock = f.clock.Add(time.Minute) }
		for i := 11; i <= 20; i++ {
			f.clock = at(i)
			f.store.appends = 0
			if err := f.c.once(t.Context(), at(i), at(i).Add(3*time.Minute)); err != nil {
				t.Fatal(err)
			}
			if f.store.appends > 4 {
				t.Fatalf("%d appends before the pause", f.store.appends)
			}
		}
		f.expect(ramp("web", -3, 20)...)
	})
}

// testFullSpool lets the lake be away for longer than the spool lasts.
func testFullSpool(t *testing.T, lookBack int) {
	t.Helper()
	f := newFloor(t)
	f.kill()
	f.cfg.CatchUp, f.cfg.LookBack = 1000*time.Hour, lookBack
	f.start()
	var want []api.Sample
	for i := -3; i < 40; i++ {
		for g := range 1000 {
			want = append(want, cpu(fmt.Sprintf("group-%s-%d", strings.Repeat("x", 100), g), i, float64(i)))
		}
	}
	f.source.offer(want...)
	f.mustTick(0)
	f.away(true)
	for i := 1; i <= 30; i++ {
		f.mustSpool(i)
	}
	st := f.c.Stats().Spools["ticks"]
	if st.Dropped == 0 || st.Records+st.Dropped != 30 {
		t.Errorf("%+v", st)
	}
	f.away(false)
	f.mustTick(31)
	f.expect(slices.DeleteFunc(want, func(s api.Sample) bool { return !s.Time.Before(at(31)) })...)
}

// Sources of different kinds, sensors, and a store that comes and goes: whatever
// fails when, and whenever the process dies, the lake ends up with what was sent.
func TestRandomFailuresWithSpoolsLoseNothing(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 5))
		f := newFloor(t)
		const ticks = 50
		var want []api.Sample
		for i := -3; i < ticks; i++ {
			if rng.IntN(10) == 0 {
				continue
			}
			s := cpu("web", i, rng.Float64())
			f.source.offers = append(f.source.offers, offer{s, at(i + 1 + rng.IntN(3))})
			want = append(want, s)
		}
		sent := map[int]map[string]float64{}
		f.mustTick(0)
		for i := 1; i < ticks; i++ {
			f.away(false)
			f.source.down = nil
			switch rng.IntN(6) {
			case 0:
				f.source.down = errDown
			case 1, 2:
				f.away(true)
			case 3:
				f.store.appendsLeft = 1 + rng.IntN(3)
			case 4:
				f.kill()
				f.start()
			}
			for range rng.IntN(4) {
				slot := i - 1 - min(rng.IntN(8), i-1)
				r := temp(fmt.Sprint("s", rng.IntN(3)), slot, rng.IntN(2), rng.Float64())
				f.clock = at(i)
				f.mustSend(r)
				if sent[slot] == nil {
					sent[slot] = map[string]float64{}
				}
				if id := r.Sensor + r.Time.String(); sent[slot][id] == 0 { // of duplicates the first counts
					sent[slot][id] = r.Value
				}
			}
			_ = f.tick(i)
		}
		f.away(false)
		f.source.down = nil
		f.kill()
		f.start()
		for i := ticks; i < ticks+3; i++ {
			f.mustTick(i)
		}
		for slot, readings := range sent {
			values := slices.Sorted(maps.Values(readings))
			n, sum := len(values), 0.0
			for _, v := range values {
				sum += v
			}
			want = append(want, rows(slot, float64(n), sum/float64(n), values[0], values[n-1], values[int(math.Ceil(0.95*float64(n)))-1])...)
		}
		if diff := differences(f.lake(), want); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
		f.kill()
	}
}

func TestASampleThatNoLakeTakesDoesNotHoldUpTheOthers(t *testing.T) {
	bad := cpu(strings.Repeat("x", 300), 0, 1)
	b, err := decodeBatch(encodeBatch(batch{slot: at(0), ingested: at(1), samples: []api.Sample{bad, cpu("web", 0, 1)}}))
	if err != nil || len(b.samples) != 1 || b.samples[0] != cpu("web", 0, 1) {
		t.Errorf("%v, %v", b.samples, err)
	}
}

func FuzzDecodeBatch(f *testing.F) {
	f.Add(encodeBatch(batch{slot: at(0), ingested: at(1), samples: ramp("web", 0, 3)}))
	f.Add([]byte{1})
	f.Add(append([]byte{1}, make([]byte, 40)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := decodeBatch(data)
		if err == nil && string(encodeBatch(b)) != string(data) {
			t.Errorf("%x became %v", data, b)
		}
	})
}

// The store's state goes away with its samples.
func (s *store) Get(ctx context.Context, key string) (blob.Object, error) {
	if s.blobErr != nil {
		return blob.Object{}, s.blobErr
	}
	return s.blob.Get(ctx, key)
}

func (s *store) Put(ctx context.Context, key string, data []byte, cond blob.Condition) (string, error) {
	if s.blobErr != nil {
		return "", s.blobErr
	}
	return s.blob.Put(ctx, key, data, cond)
}
