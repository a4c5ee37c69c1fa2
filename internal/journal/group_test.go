package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
)

func TestOneGroupsDecisionsAreReadOutOfTheRecords(t *testing.T) {
	ctx, store := context.Background(), blob.NewMemory()
	j := New(store)
	var ticks []time.Time
	for i := range 20 {
		tick := day.Add(time.Duration(i) * 5 * time.Minute)
		rec := api.TickRecord{Tick: tick}
		for _, name := range []string{"we", "web", "web2", `w"eb`, "<a&b>"} {
			if name != "web" || i%2 == 0 {
				rec.Decisions = append(rec.Decisions, api.Decision{Group: name, Tick: tick, Desired: i, Reasons: []api.Reason{{Detail: `{"group":"web"`}}})
			}
		}
		if err := j.Append(ctx, rec); err != nil {
			t.Fatal(err)
		}
		ticks = append(ticks, tick)
	}
	got, err := j.Group(ctx, "web", ticks)
	if err != nil || len(got) != 10 {
		t.Fatalf("%d decisions, %v", len(got), err)
	}
	for i, d := range got {
		if d.Group != "web" || d.Desired != 2*i || !d.Tick.Equal(ticks[2*i]) {
			t.Errorf("decision %d is %+v", i, d)
		}
	}
	if got, err := j.Group(ctx, "<a&b>", ticks); err != nil || len(got) != 20 {
		t.Errorf("a name that JSON spells in another way: %d, %v", len(got), err)
	}
	if got, err := j.Group(ctx, "nobody", ticks); err != nil || got != nil {
		t.Errorf("of nobody: %v, %v", got, err)
	}
	key := j.Key(ticks[4])
	for _, bad := range []string{`{"tick":`, `{"tick":"2026-03-02T07:00:00Z"}`, `{"tick":"2026-03-02T00:20:00Z","decisions":[1]}`} {
		if _, err := store.Put(ctx, key, []byte(bad), blob.Condition{}); err != nil {
			t.Fatal(err)
		}
		got, err := j.Group(ctx, "web", ticks)
		if len(got) != 9 || err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %d decisions, %v", bad, len(got), err)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	if got, err := j.Group(ctx, "web", ticks); !errors.Is(err, context.Canceled) || got != nil {
		t.Errorf("a reader that has gone: %v, %v", got, err)
	}
}

// Whatever order and spacing the fields have, the answer is that of decoding it all.
func FuzzDecisionOn(f *testing.F) {
	for _, seed := range []string{`{"tick":"2026-03-02T00:00:00Z","decisions":[{"group":"web","desired":3}]}`,
		`{"decisions":[{"desired":3, "group" : "web"}, {"group":"\u0077eb"}]}`, `{"decisions":[null,{}]}`, `[]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		got, tick, err := decisionOn("web", record)
		var whole api.TickRecord
		if json.Unmarshal(record, &whole) != nil {
			return // it may have been in what was passed over
		}
		if bytes.Count(bytes.ToLower(record), []byte("group")) > len(whole.Decisions) {
			return // a field twice
		}
		if err != nil {
			t.Fatalf("%s: %v", record, err)
		}
		if !tick.Equal(whole.Tick) {
			t.Errorf("%s: tick %s", record, tick)
		}
		for _, d := range whole.Decisions {
			if d.Group == "web" {
				if got == nil || got.Desired != d.Desired {
					t.Errorf("%s: got %+v", record, got)
				}
				return
			}
		}
		if got != nil {
			t.Errorf("%s: got %+v", record, got)
		}
	})
}
