package dataset

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

// someTile returns a tile of so many groups with a hole in it.
func someTile(start int64, groups int) *tile {
	o := newOverlay(newTile(start, time.Minute.Microseconds(), maxTileSlots), false)
	for i := range groups {
		for _, metric := range []string{api.MetricCPU, api.MetricRequests} {
			col, first := o.place(series{string(rune('a' + i)), metric, api.DefaultStat(metric)})
			for slot := range maxTileSlots - 1 {
				o.put(col, first, row{time: start + int64(slot)*o.step, ingested: int64(slot), value: float64(slot * i)})
			}
		}
	}
	return o.finish().named([]partID{3, 5, 9})
}

func TestATileIsReadAsItWasWritten(t *testing.T) {
	for name, c := range map[string]*tile{
		"a tile of some groups":                 someTile(0, 5),
		"a tile of one group, before 1970":      someTile(-720_000_000, 1),
		"a tile without any row":                newTile(0, 1, 3),
		"a tile with rows between the slots":    {start: 60, step: 60, slots: 1, newest: []int64{7}, groups: newGroupList(nil), irregular: true},
		"a tile of a group with a name of 255B": someTile(0, 1).named(nil),
	} {
		t.Run(name, func(t *testing.T) {
			if c.cols != nil && len(c.parts) == 0 {
				c.groups = newGroupList([]string{string(bytes.Repeat([]byte{'x'}, api.MaxNameLen))})
			}
			r := frameReader{budget: maxUnpackedBytes}
			got, err := r.decode(c.encode())
			if err != nil {
				t.Fatal(err)
			}
			if got.start != c.start || got.step != c.step || got.slots != c.slots || got.irregular != c.irregular || len(got.parts) != len(c.parts) ||
				!reflect.DeepEqual(got.newest, c.newest) || !reflect.DeepEqual(got.groups.names, c.groups.names) || len(got.cols) != len(c.cols) {
				t.Fatalf("%+v instead of %+v", got, c)
			}
			for i, col := range c.cols {
				for k, v := range col.values {
					if w := got.cols[i].values[k]; got.cols[i].metric != col.metric || w != v && !(math.IsNaN(v) && math.IsNaN(w)) {
						t.Fatalf("%s %d: %v instead of %v", got.cols[i].metric, k, w, v)
					}
				}
			}
		})
	}
}

// bounded calls decode and fails when it takes much more memory than its input
// justifies: zstd unfolds a byte to some thousands at most.
func bounded(t *testing.T, b []byte, decode func() error) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := decode()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > maxUnpackedBytes/64+uint64(len(b))<<16 {
		t.Fatalf("%d bytes of input took %d bytes of memory", len(b), n)
	}
	if err != nil && !errors.Is(err, errRecent) {
		t.Fatalf("error %v", err)
	}
}

// The fuzzer would not find its way past the checksum, so it is put right.
func FuzzDecodeRecent(f *testing.F) {
	frame := someTile(0, 4).encode()
	index := (&recentIndex{step: 300_000_000, slots: 12, shards: 2, spans: map[partID]span{7: {1, 2}},
		closed: map[int64]closedParts{0: {4, []partID{1, 2}}}}).encode()
	for _, b := range [][]byte{{}, frame, index, someTile(60, 1).encode(), newTile(0, 1, 3).encode()} {
		f.Add(b[:max(0, len(b)-4)])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = seal(bytes.Clone(b))
		bounded(t, b, func() error {
			r := frameReader{budget: 8 << 20}
			got, err := r.decode(b)
			if err == nil {
				for _, c := range got.cols {
					if len(c.values) != len(got.groups.names)*got.slots {
						t.Fatalf("%d values", len(c.values))
					}
				}
			}
			return err
		})
		bounded(t, b, func() error { _, err := decodeIndex(b); return err })
	})
}

func FuzzDecodeBase(f *testing.F) {
	f.Add(encodeBase(nil))
	f.Add(encodeBase(map[int64][]byte{0: someTile(0, 2).encode(), 720_000_000: {1, 2, 3}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, cut := range []int{len(b), min(len(b), 9), min(len(b), 21), min(len(b), 33)} { // a head of 0, 1, 2 frames
			whole := append(seal(bytes.Clone(b[:cut])), b[cut:]...)
			bounded(t, whole, func() error { _, err := decodeBase(whole); return err })
		}
	})
}
