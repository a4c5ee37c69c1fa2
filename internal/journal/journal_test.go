package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
)

var day = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

func record(tick time.Time, scaler string) api.TickRecord {
	return api.TickRecord{Tick: tick, Scaler: scaler, Decisions: []api.Decision{{Group: "web", Tick: tick, Desired: 3}}}
}

func fill(t *testing.T, j *Journal, ticks ...time.Time) {
	t.Helper()
	for _, tick := range ticks {
		if err := j.Append(context.Background(), record(tick, "a")); err != nil {
			t.Fatal(err)
		}
	}
}

func ticksOf(records []api.TickRecord) string {
	var s []string
	for _, r := range records {
		s = append(s, r.Tick.Format("02T15:04"))
	}
	return strings.Join(s, " ")
}

func TestATickIsRecordedOnce(t *testing.T) {
	ctx, j := context.Background(), New(blob.NewMemory())
	fill(t, j, day, day) // the same again is a no-op
	if err := j.Append(ctx, record(day, "b")); !errors.Is(err, ErrRecorded) {
		t.Errorf("another record of the tick: %v", err)
	}
	if got, err := j.Get(ctx, day); err != nil || got.Scaler != "a" {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := j.Append(ctx, api.TickRecord{}); err == nil {
		t.Error("a record without a tick was accepted")
	}
}

func TestOneOfManyRacingRecordsWins(t *testing.T) {
	j := New(blob.NewMemory())
	var wg sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		wg.Go(func() { errs[i] = j.Append(context.Background(), record(day, fmt.Sprint(i))) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, ErrRecorded) {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d records won", won)
	}
}

func TestScanIsHalfOpenAndInOrderOfTime(t *testing.T) {
	j := New(blob.NewMemory())
	h := func(n int) time.Time { return day.Add(time.Duration(n) * time.Hour) }
	fill(t, j, h(25), h(-1), h(0), h(48), h(23), h(24))
	for _, c := range []struct {
		name     string
		from, to time.Time
		want     string
	}{
		{"a range over two days", h(0), h(25), "02T00:00 02T23:00 03T00:00"},
		{"everything", h(-100), h(100), "01T23:00 02T00:00 02T23:00 03T00:00 03T01:00 04T00:00"},
		{"a range within a day", h(1), h(24), "02T23:00"},
		{"an end at midnight", h(25), h(48), "03T01:00"},
		{"an empty range", h(5), h(5), ""},
		{"a reversed range", h(9), h(5), ""},
		{"another time zone", h(0).In(time.FixedZone("", -7*3600)), h(1).In(time.FixedZone("", 5*3600)), "02T00:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := j.Scan(context.Background(), c.from, c.to)
			if err != nil || ticksOf(got) != c.want {
				t.Errorf("got %q, %v, want %q", ticksOf(got), err, c.want)
			}
		})
	}
}

func TestAnUnreadableRecordIsNamedAndTheOthersReturned(t *testing.T) {
	ctx, store := context.Background(), blob.NewMemory()
	j := New(store)
	fill(t, j, day, day.Add(10*time.Minute))
	for _, bad := range []string{`{"tick":`, `{"tick":"2026-03-02T07:00:00Z"}`, ``} {
		key := j.Key(day.Add(5 * time.Minute))
		if _, err := store.Put(ctx, key, []byte(bad), blob.Condition{}); err != nil {
			t.Fatal(err)
		}
		got, err := j.Scan(ctx, day, day.Add(time.Hour))
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("content %q: the error %v does not name the object", bad, err)
		}
		if ticksOf(got) != "02T00:00 02T00:10" {
			t.Errorf("content %q: got %q", bad, ticksOf(got))
		}
	}
}

func TestShardsAndForeignObjectsAreKeptApart(t *testing.T) {
	ctx, store := context.Background(), blob.NewMemory()
	j := New(store)
	fill(t, j, day)
	fill(t, j.Shard("../x"), day, day.Add(time.Minute))
	for _, key := range []string{"audit/date=2026-03-02/readme-all.json", "audit/date=2026-03-01/20260302T000000Z-all.json", "audit/date=2026-03-02/notes.txt"} {
		if _, err := store.Put(ctx, key, []byte("x"), blob.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := j.Scan(ctx, day.Add(-time.Hour), day.Add(time.Hour))
	if err != nil || len(got) != 1 {
		t.Errorf("got %q, %v", ticksOf(got), err)
	}
	got, err = j.Shard("../x").Scan(ctx, day, day.Add(time.Hour))
	if err != nil || len(got) != 2 {
		t.Errorf("shard: got %q, %v", ticksOf(got), err)
	}
	if err := blob.CheckKey(j.Shard("../x").Key(day)); err != nil {
		t.Error(err)
	}
}

func TestLatest(t *testing.T) {
	ctx, j := context.Background(), New(blob.NewMemory())
	if _, err := j.Latest(ctx, day); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("an empty journal: %v", err)
	}
	fill(t, j, day.Add(-30*24*time.Hour), day.Add(time.Hour))
	for _, c := range []struct {
		name   string
		before time.Time
		want   string
	}{
		{"the same day", day.Add(2 * time.Hour), "02T01:00"},
		{"the bound itself is excluded", day.Add(time.Hour), "31T00:00"},
		{"the day before", day.Add(26 * time.Hour), "02T01:00"},
		{"a month before", day.Add(60 * 24 * time.Hour), "02T01:00"},
	} {
		if got, err := j.Latest(ctx, c.before); err != nil || !slices.Equal([]string{got.Tick.Format("02T15:04")}, []string{c.want}) {
			t.Errorf("%s: got %v, %v, want %s", c.name, got.Tick, err, c.want)
		}
	}
}

// A store that fails while it lists must not look like an empty journal.
func TestAFailingStoreIsAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	j := New(blob.NewMemory())
	fill(t, j, day)
	cancel()
	if _, err := j.Scan(ctx, day, day.Add(time.Hour)); !errors.Is(err, context.Canceled) {
		t.Errorf("scan: %v", err)
	}
	if _, err := j.Latest(ctx, day.Add(time.Hour)); !errors.Is(err, context.Canceled) {
		t.Errorf("latest: %v", err)
	}
}
