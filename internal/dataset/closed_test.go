package dataset

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
)

var someDay = time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)

// goodClosed returns a closed file of groups groups with rows rows each.
func goodClosed(tb testing.TB, groups, rows int) []byte {
	tb.Helper()
	w := newClosedWriter(groups * rows)
	for g := range groups {
		var all []row
		for i := range rows {
			all = append(all, row{time: someDay.Add(time.Duration(i) * time.Second).UnixMicro(), ingested: int64(i), value: float64(g) + float64(i)/7})
		}
		if err := w.add(series{fmt.Sprintf("group-%04d", g), "m", api.StatAvg}, all); err != nil {
			tb.Fatal(err)
		}
	}
	b, err := w.finish([]partID{7, 3, 7})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// decodeAll returns the footer and the rows of a closed file.
func decodeAll(b []byte) (*closedFile, []*part, error) {
	f, err := parseClosedFile(b, closedKey{someDay, 0, 1})
	if err != nil {
		return nil, nil, err
	}
	var parts []*part
	for i := range f.blocks {
		p, err := f.block(i, b, 0)
		if err != nil {
			return nil, nil, err
		}
		parts = append(parts, p)
	}
	return f, parts, nil
}

func TestAClosedFileOfAnySizeSurvivesEncodingAndDecoding(t *testing.T) {
	for _, size := range [][2]int{{0, 0}, {1, 1}, {3, 2}, {1, maxBlockRows + 5}, {9, 20_000}, {6000, 3}} {
		groups, rows := size[0], size[1]
		f, parts, err := decodeAll(goodClosed(t, groups, rows))
		if err != nil {
			t.Fatalf("%d groups of %d rows: %v", groups, rows, err)
		}
		total, names := 0, map[string]bool{}
		for _, p := range parts {
			total += len(p.rows)
			for _, r := range p.rows {
				names[p.series[r.series].group] = true
			}
		}
		if total != groups*rows || f.rows != int64(total) || len(names) != groups || !reflect.DeepEqual(f.parts, []partID{3, 7}) {
			t.Errorf("%d groups of %d rows: %d rows of %d groups, parts %v", groups, rows, total, len(names), f.parts)
		}
	}
}

func TestLongNamesSurviveCompaction(t *testing.T) {
	d := New(blob.NewMemory())
	var rows []api.Sample
	for i := range 20 {
		name := strings.Repeat("é", api.MaxNameLen/2) + string(rune('a'+i)) // they differ at their ends
		rows = append(rows, api.Sample{Group: name, Metric: name, Stat: api.StatAvg, Time: someDay, Value: float64(i)})
	}
	if err := d.Append(t.Context(), "w", someDay, rows, someDay); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Compact(t.Context(), CompactConfig{Before: someDay.AddDate(0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	for i, want := range rows {
		got, err := d.Scan(t.Context(), Query{Groups: []string{want.Group}})
		if err != nil || len(got) != 1 || got[0] != want {
			t.Fatalf("group %d: %v, %v", i, got, err)
		}
	}
}

func TestEveryCutAndEveryFlippedBitOfAClosedFileIsAnErrorOrHarmless(t *testing.T) {
	good := goodClosed(t, 3, 4)
	wantFile, want, err := decodeAll(good)
	if err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if _, _, err := decodeAll(good[:n]); err == nil {
			t.Errorf("the first %d of %d bytes decode", n, len(good))
		}
	}
	for i := range 8 * len(good) {
		b := bytes.Clone(good)
		b[i/8] ^= 1 << (i % 8)
		f, parts, err := decodeAll(b)
		if err == nil && (!reflect.DeepEqual(parts, want) || !reflect.DeepEqual(f.parts, wantFile.parts) || !reflect.DeepEqual(f.selects(nil, 0, 1<<60), wantFile.selects(nil, 0, 1<<60))) {
			t.Errorf("flipping bit %d changed the file without an error", i)
		}
	}
}

func FuzzDecodeClosed(f *testing.F) {
	f.Add([]byte("PAR1\x00\x00\x00\x00PAR1"))
	f.Add(goodClosed(f, 1, 1))
	f.Add(goodClosed(f, 5, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, parts, err := decodeAll(b)
		runtime.ReadMemStats(&after)
		if n, most := after.TotalAlloc-before.TotalAlloc, uint64(8<<20+3000*len(b)); n > most {
			t.Fatalf("%d bytes of input took %d bytes of memory, more than %d", len(b), n, most)
		}
		if err != nil {
			return
		}
		for _, p := range parts {
			for _, r := range p.rows {
				if r.time < p.min || r.time > p.max || int(r.series) >= len(p.series) {
					t.Fatalf("row %+v outside of the row group", r)
				}
			}
		}
	})
}

// The pages lie behind a hash, which the fuzzer above does not find its way
// through: here they are fuzzed by themselves.
func FuzzDecodePages(f *testing.F) {
	good := goodClosed(f, 5, 3)
	file, err := parseClosedFile(good, closedKey{someDay, 0, 1})
	if err != nil {
		f.Fatal(err)
	}
	b := file.blocks[0]
	for i, c := range b.columns {
		at := b.offset + c.offset
		f.Add(i < 3, good[at:at+c.length])
	}
	f.Fuzz(func(t *testing.T, name bool, data []byte) {
		r := blockReader{data: data, rows: 15, budget: 1 << 20}
		c := chunk{length: int64(len(data)), codec: b.columns[0].codec}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if name {
			column, err := r.names(c)
			if err == nil && len(column.indexes) != 15 {
				t.Fatalf("%d names", len(column.indexes))
			}
		} else if numbers, err := r.numbers(c); err == nil && len(numbers) != 8*15 {
			t.Fatalf("%d bytes", len(numbers))
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > uint64(8<<20+3000*len(data)) {
			t.Fatalf("%d bytes of input took %d bytes of memory", len(data), n)
		}
	})
}

// metered counts the bytes and the requests that readers cause.
type metered struct {
	blob.Store
	bytes, requests atomic.Int64
}

func (m *metered) Get(ctx context.Context, key string) (blob.Object, error) {
	o, err := m.Store.Get(ctx, key)
	m.bytes.Add(int64(len(o.Data)))
	m.requests.Add(1)
	return o, err
}

func (m *metered) GetRange(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	b, err := m.Store.GetRange(ctx, key, offset, length)
	m.bytes.Add(int64(len(b)))
	m.requests.Add(1)
	return b, err
}

// fleetDay puts one closed day of 10,000 groups with slots of 5 minutes into the
// store, and returns its size in bytes. Values are full-length doubles, the least
// that compression can do.
func fleetDay(tb testing.TB, store blob.Store, day time.Time, seed uint64) int64 {
	tb.Helper()
	const groups, slots = 10_000, 288
	r := rand.New(rand.NewPCG(seed, 1))
	w := newClosedWriter(groups * slots)
	rows := make([]row, slots)
	for g := range groups {
		for i := range rows {
			at := day.Add(time.Duration(i) * 5 * time.Minute)
			rows[i] = row{time: at.UnixMicro(), ingested: at.UnixMicro() + int64(i*7919%1000)*1000, value: 50 + 10*r.NormFloat64()}
		}
		if err := w.add(series{fmt.Sprintf("service-%05d", g), "m", api.StatAvg}, rows); err != nil {
			tb.Fatal(err)
		}
	}
	ids := make([]partID, slots)
	for i := range ids {
		ids[i] = partID(r.Uint64())
	}
	b, err := w.finish(ids)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := store.Put(tb.Context(), closedKey{day, 0, 1}.String(), b, blob.IfAbsent()); err != nil {
		tb.Fatal(err)
	}
	return int64(len(b))
}

// One group of 10,000 reads at most 2 % of the bytes of a closed day. Days are
// alike and are read one by one, so that one of them says what thirty would.
func TestOneGroupOfTenThousandReadsTwoPercentOfTheBytes(t *testing.T) {
	store := &metered{Store: blob.NewMemory()}
	total := fleetDay(t, store, someDay, 1)
	for _, group := range []string{"service-00000", "service-04711", "service-09999"} {
		store.bytes.Store(0)
		store.requests.Store(0)
		d := New(store)
		for _, asked := range []string{"the first time", "again"} {
			got, err := d.Scan(t.Context(), Query{Groups: []string{group}})
			if err != nil || len(got) != 288 {
				t.Fatalf("%s: %d rows, %v", group, len(got), err)
			}
			bytes, requests := store.bytes.Load(), store.requests.Load()
			t.Logf("%s, asked %s: %d of %d bytes (%.2f %%) in %d requests", group, asked, bytes, total, 100*float64(bytes)/float64(total), requests)
			if bytes*50 > total || requests > 2 {
				t.Errorf("%s, asked %s: %d bytes read of %d in %d requests; want at most 2 %% in two", group, asked, bytes, total, requests)
			}
		}
	}
}

func TestRowsOfOneGroupAreComparedWithThatGroupOfACompactedDay(t *testing.T) {
	store := &metered{Store: blob.NewMemory()}
	total := fleetDay(t, store, someDay, 1)
	d := New(store)
	day, err := d.Scan(t.Context(), Query{Groups: []string{"service-04711"}})
	if err != nil {
		t.Fatal(err)
	}
	changed := slices.Clone(day)
	changed[7].Value++
	for name, rows := range map[string][]api.Sample{"as they are": day, "one of them revised": changed} {
		store.bytes.Store(0)
		if err := New(store).Append(t.Context(), "import", someDay, rows, someDay.AddDate(0, 0, 9)); err != nil {
			t.Fatal(err)
		}
		if bytes := store.bytes.Load(); bytes*50 > total {
			t.Errorf("%s: %d bytes read of %d", name, bytes, total)
		}
	}
	got, err := d.Scan(t.Context(), Query{Groups: []string{"service-04711"}})
	if err != nil || !slices.Equal(got, changed) {
		t.Errorf("%d rows, %v", len(got), err)
	}
}

func TestAMissingGroupReadsFootersOnly(t *testing.T) {
	store := &metered{Store: blob.NewMemory()}
	if _, err := store.Put(t.Context(), closedKey{someDay, 0, 1}.String(), goodClosed(t, 10, 3), blob.IfAbsent()); err != nil {
		t.Fatal(err)
	}
	got, err := New(store).Scan(t.Context(), Query{Groups: []string{"group-9"}})
	if err != nil || len(got) != 0 || store.requests.Load() != 1 {
		t.Errorf("%d rows, %v, %d requests", len(got), err, store.requests.Load())
	}
}
