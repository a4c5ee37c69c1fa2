package dataset_test

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
)

func TestAnInventoryNamesRangesGapsAndRevisions(t *testing.T) {
	store := blob.NewMemory()
	d := dataset.New(store)
	appendTo(t, d, "w", at(0), at(1), sample("g", 0, 1), sample("g", 1, 1), sample("h", 5, 1))
	appendTo(t, d, "w", at(1), at(2), sample("g", 1, 2), sample("g", 4, 1)) // slot 1 again, 2 and 3 missing
	appendTo(t, d, "w", at(290), at(291), sample("g", 290, 1))              // the next day
	g := dataset.SeriesInventory{
		Group: "g", Metric: api.MetricCPU, Stat: api.StatAvg, Rows: 4, Revisions: 1, First: at(0), Last: at(290),
		Missing: 2 + 285, Gaps: []dataset.Gap{{From: at(2), To: at(4)}, {From: at(5), To: at(290)}},
	}
	h := dataset.SeriesInventory{Group: "h", Metric: api.MetricCPU, Stat: api.StatAvg, Rows: 1, First: at(5), Last: at(5)}
	check := func(t *testing.T, q dataset.Query, open, closed, days int, want ...dataset.SeriesInventory) {
		t.Helper()
		inv, err := dataset.New(store).Inspect(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if inv.Open.Count != open || inv.Closed.Count != closed || inv.Days != days || (inv.Closed.Bytes > 0) != (closed > 0) {
			t.Errorf("%+v; want %d open, %d closed, %d days", inv, open, closed, days)
		}
		if !reflect.DeepEqual(inv.Series, want) {
			t.Errorf("got  %+v\nwant %+v", inv.Series, want)
		}
	}
	step := 5 * time.Minute
	check(t, dataset.Query{Step: step}, 3, 0, 2, g, h)
	check(t, dataset.Query{Groups: []string{"h"}, Step: step}, 3, 0, 1, h)
	noGaps := g
	noGaps.Missing, noGaps.Gaps = 0, nil
	check(t, dataset.Query{Groups: []string{"g"}}, 3, 0, 2, noGaps)
	if _, err := d.Compact(t.Context(), dataset.CompactConfig{Before: day.AddDate(0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	g.Revisions = 0 // compaction keeps the winners
	check(t, dataset.Query{Step: step}, 1, 1, 2, g, h)
	if _, err := d.Inspect(t.Context(), dataset.Query{Step: -1}); err == nil {
		t.Error("a negative step is taken")
	}
}

func TestVerifyNamesWhatCannotBeTrusted(t *testing.T) {
	for name, tc := range map[string]struct {
		find   string // in the key of the victim
		damage func([]byte) []byte
		why    string
	}{
		"nothing":                      {},
		"a part cut short":             {find: "open/", damage: func(b []byte) []byte { return b[:len(b)/2] }, why: "cut short"},
		"a page of a closed file":      {find: "part-", damage: func(b []byte) []byte { b[40] ^= 1; return b }, why: "row group 0"},
		"the footer of a closed file":  {find: "part-", damage: func(b []byte) []byte { b[bytes.Index(b, []byte("forescale.parts"))+20] ^= 1; return b }, why: "part-"},
		"the shape of a day":           {find: "_shape", damage: func([]byte) []byte { return []byte(`{"schema":"1","files":0}`) }, why: "restore it"},
		"the shape of a newer release": {find: "_shape", damage: func([]byte) []byte { return []byte(`{"schema":"7","files":1}`) }, why: "newer release"},
	} {
		t.Run(name, func(t *testing.T) {
			store := blob.NewMemory()
			d := dataset.New(store)
			appendTo(t, d, "w", at(0), at(1), sample("g", 0, 1), sample("h", 1, 1))
			if _, err := d.Compact(t.Context(), whole); err != nil {
				t.Fatal(err)
			}
			appendTo(t, d, "w", at(1), at(2), sample("g", 2, 1))
			appendTo(t, d, "w", at(300), at(301), sample("g", 300, 1))
			all := keys(t, store)
			victim := ""
			if tc.find != "" {
				victim = all[slices.IndexFunc(all, func(key string) bool { return strings.Contains(key, tc.find) })]
				o, err := store.Get(t.Context(), victim)
				if err != nil {
					t.Fatal(err)
				}
				corrupt(t, store, victim, tc.damage(o.Data))
			}
			var told []string
			r, err := d.Verify(t.Context(), func(key string, size int64) { told = append(told, key) })
			if err != nil || !slices.Equal(told, all) {
				t.Errorf("told of %q, %v; want %q", told, err, all)
			}
			if victim == "" {
				if len(r.Corrupt) != 0 || r.Open.Count != 2 || r.Closed.Count != 2 || r.Open.Rows != 2 || r.Closed.Rows != 2 {
					t.Errorf("%+v", r)
				}
				return
			}
			if len(r.Corrupt) != 1 || r.Corrupt[0].Key != victim || !strings.Contains(r.Corrupt[0].Error(), tc.why) {
				t.Errorf("%v; want %s: %s", r.Corrupt, victim, tc.why)
			}
		})
	}
}

// A compaction must not make damage worse: what it cannot read it leaves alone.
func TestACompactionLeavesAloneWhatItCannotRead(t *testing.T) {
	for _, find := range []string{"open/", "part-", "_shape"} {
		t.Run(find, func(t *testing.T) {
			store := blob.NewMemory()
			d := dataset.New(store)
			appendTo(t, d, "w", at(0), at(1), sample("g", 0, 1))
			if find != "open/" {
				if _, err := d.Compact(t.Context(), whole); err != nil {
					t.Fatal(err)
				}
			}
			all := keys(t, store)
			victim := all[slices.IndexFunc(all, func(key string) bool { return strings.Contains(key, find) })]
			corrupt(t, store, victim, []byte("rubbish"))
			appendTo(t, d, "w", at(1), at(2), sample("g", 1, 1))
			appendTo(t, d, "w", at(300), at(301), sample("g", 300, 1)) // another day
			before := len(keys(t, store))
			_, err := dataset.New(store).Compact(t.Context(), whole)
			var c *dataset.CorruptError
			if !dataset.OnlyCorrupt(err) || !errors.As(err, &c) || c.Key != victim {
				t.Errorf("%v; want %s named", err, victim)
			}
			if o, err := store.Get(t.Context(), victim); err != nil || string(o.Data) != "rubbish" {
				t.Errorf("the damaged object: %q, %v", o.Data, err)
			}
			got, err := dataset.New(store).Scan(t.Context(), dataset.Query{From: at(1)})
			if find != "_shape" && !dataset.OnlyCorrupt(err) || find == "_shape" && err != nil {
				t.Errorf("scan: %v", err)
			}
			wantSamples(t, got, sample("g", 1, 1), sample("g", 300, 1))
			if after := len(keys(t, store)); find != "open/" && after != before+1 { // the other day has a shape beside its file now
				t.Errorf("%d objects became %d", before, after)
			}
		})
	}
}

func TestRetainRemovesWholeDaysByAge(t *testing.T) {
	store := blob.NewMemory()
	d := dataset.New(store)
	for n := range 4 {
		appendTo(t, d, "w", at(n*288), at(n*288+1), sample("g", n*288, float64(n)))
	}
	if _, err := d.Compact(t.Context(), dataset.CompactConfig{Before: day.AddDate(0, 0, 3)}); err != nil {
		t.Fatal(err)
	}
	appendTo(t, d, "late", at(1), day.AddDate(0, 0, 4), sample("g", 1, 9))
	r, err := d.Retain(t.Context(), day.AddDate(0, 0, 2).Add(time.Hour)) // the third day has not ended by then
	if err != nil || r.Days != 2 || r.Deleted != 5 || r.Bytes == 0 {
		t.Errorf("%+v, %v; want 2 days: 2 files, 2 shapes and a part", r, err)
	}
	wantSamples(t, scan(t, d, dataset.Query{}), sample("g", 2*288, 2), sample("g", 3*288, 3))
	if r, err = d.Retain(t.Context(), day.AddDate(0, 0, 2)); err != nil || r.Deleted != 0 {
		t.Errorf("again: %+v, %v", r, err)
	}
	if _, err := d.Retain(t.Context(), time.Time{}); err == nil {
		t.Error("the zero time is taken")
	}
}

// A compacted tick that a restarted collector stores again is there already; said
// again after somebody overruled it, it is a new statement.
func TestAppendingAgainToACompactedDay(t *testing.T) {
	store := blob.NewMemory()
	d := dataset.New(store)
	later := day.AddDate(0, 0, 3)
	appendTo(t, d, "w", at(0), at(1), sample("g", 0, 1))
	compact := func() {
		t.Helper()
		if _, err := d.Compact(t.Context(), whole); err != nil {
			t.Fatal(err)
		}
	}
	compact()
	appendTo(t, d, "w", at(0), later, sample("g", 0, 1))
	if all := keys(t, store); len(all) != 2 {
		t.Errorf("a repetition was stored: %q", all)
	}
	appendTo(t, d, "w", at(0), later.Add(1*time.Minute), sample("g", 0, 2))
	compact()
	appendTo(t, d, "w", at(0), later.Add(2*time.Minute), sample("g", 0, 1))
	wantSamples(t, scan(t, d, dataset.Query{}), sample("g", 0, 1))
	compact()
	wantSamples(t, scan(t, d, dataset.Query{}), sample("g", 0, 1))
}
