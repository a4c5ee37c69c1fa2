package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
)

func TestARecordOfAnOlderVersionIsReadAndStands(t *testing.T) {
	ctx, store := context.Background(), blob.NewMemory()
	j := New(store)
	old := record(day, "old")
	plain, err := json.Marshal(old)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Put(ctx, j.Key(day), plain, blob.IfAbsent()); err != nil {
		t.Fatal(err)
	}
	fill(t, j, day.Add(time.Hour))
	if err := j.Append(ctx, record(day, "new")); err == nil {
		t.Error("a record of an older version was replaced")
	}
	got, err := j.Scan(ctx, day, day.Add(2*time.Hour))
	if err != nil || len(got) != 2 || !reflect.DeepEqual(got[0], old) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestARecordIsStoredCompressed(t *testing.T) {
	ctx, store := context.Background(), blob.NewMemory()
	rec := record(day, "a")
	for range 1000 {
		rec.Decisions = append(rec.Decisions, rec.Decisions[0])
	}
	if err := New(store).Append(ctx, rec); err != nil {
		t.Fatal(err)
	}
	o, err := store.Get(ctx, New(store).Key(day))
	if err != nil || len(o.Data) > 10_000 {
		t.Errorf("%d bytes, %v", len(o.Data), err)
	}
	// A bit that flipped on the way must not become another decision.
	for _, at := range []int{0, 5, len(o.Data) / 2, len(o.Data) - 1} {
		bad := bytes.Clone(o.Data)
		bad[at] ^= 1
		if _, err := store.Put(ctx, New(store).Key(day), bad, blob.Condition{}); err != nil {
			t.Fatal(err)
		}
		if _, err := New(store).Get(ctx, day); err == nil || !strings.Contains(err.Error(), "20260302T000000Z") {
			t.Errorf("byte %d is damaged: %v", at, err)
		}
	}
}

func TestWhatIsPackedIsUnpacked(t *testing.T) {
	for _, plain := range []string{"{}", `{"tick":"2026-03-02T00:00:00Z"}`, strings.Repeat("[1,2,3]", 100_000)} {
		packed := Pack([]byte(plain))
		if got, err := Unpack(packed); err != nil || string(got) != plain {
			t.Errorf("%.40q: %d bytes, %v", plain, len(got), err)
		}
		if !bytes.Equal(packed, Pack([]byte(plain))) {
			t.Errorf("%.40q: packed twice it is not the same", plain)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte(`{"tick":"2026-03-02T00:00:00Z"}`))
	f.Add(Pack([]byte(`{"tick":"2026-03-02T00:00:00Z"}`)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if plain, err := Unpack(b); err == nil {
			var rec api.TickRecord
			_ = json.Unmarshal(plain, &rec)
		}
		if got, err := Unpack(Pack(append([]byte("{"), b...))); err != nil || !bytes.Equal(got[1:], b) {
			t.Errorf("%q: %q, %v", b, got, err)
		}
	})
}
