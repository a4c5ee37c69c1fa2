package models

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/forescale/forescale/internal/blob"
)

func TestAPinnedChampionStaysUntilItIsUnpinned(t *testing.T) {
	r, _ := three(t)
	move(t, r, 2, 1, 1, "gate")
	if err := r.Pin(ctx, "web", Order{Version: 2, At: hour(2), By: "ana", Why: "audit"}); err != nil {
		t.Fatal(err)
	}
	err := r.Move(ctx, "web", Change{Version: 3, From: 2, At: hour(3)})
	if !errors.Is(err, ErrPinned) || !strings.Contains(err.Error(), "ana") || !strings.Contains(err.Error(), "audit") {
		t.Errorf("moved: %v", err)
	}
	if _, err := r.RollBack(ctx, "web", Change{From: 2, At: hour(3)}); !errors.Is(err, ErrPinned) {
		t.Errorf("rolled back: %v", err)
	}
	if m, err := r.Champion(ctx, "web"); err != nil || m.Version != 2 {
		t.Errorf("champion %d, %v", m.Version, err)
	}
	if err := r.Unpin(ctx, "web", 2); err != nil {
		t.Fatal(err)
	}
	if err := r.Unpin(ctx, "web", 2); !errors.Is(err, ErrNoModel) {
		t.Errorf("unpinned twice: %v", err)
	}
	move(t, r, 3, 2, 3, "gate")
}

func TestAPinOfAnotherVersionHoldsNothingUp(t *testing.T) {
	r, _ := three(t)
	if err := r.Pin(ctx, "web", Order{Version: 3, At: hour(1)}); err != nil {
		t.Fatal(err)
	}
	move(t, r, 2, 1, 1, "gate")
}

func TestOrdersAreForVersionsThatExistAndAreTold(t *testing.T) {
	r, store := three(t)
	for name, err := range map[string]error{
		"a pin of no version":   r.Pin(ctx, "web", Order{Version: 4}),
		"a pin of no name":      r.Pin(ctx, "shop", Order{Version: 1}),
		"a shadow of no name":   r.SetShadow(ctx, "shop", nil),
		"a shadow of no number": r.SetShadow(ctx, "web", &Order{Version: 9}),
	} {
		if !errors.Is(err, ErrNoModel) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, v := range []int{3, 1, 3} {
		if err := r.Pin(ctx, "web", Order{Version: v, By: fmt.Sprint("by ", v)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.SetShadow(ctx, "web", &Order{Version: 2}); err != nil {
		t.Fatal(err)
	}
	o, err := r.Orders(ctx, "web")
	if err != nil || len(o.Pinned) != 2 || !o.IsPinned(1) || !o.IsPinned(3) || o.IsPinned(2) || o.Shadow == nil || o.Shadow.Version != 2 {
		t.Errorf("orders %+v, %v", o, err)
	}
	for name, raw := range map[string]string{
		"rubbish": "{", "versions out of order": `{"pinned":[{"version":2},{"version":1}]}`, "a shadow of nothing": `{"shadow":{}}`, "another field": `{"x":1}`,
	} {
		if _, err := store.Put(ctx, "web/orders.json", []byte(raw), blob.Condition{}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Orders(ctx, "web"); err == nil || !strings.Contains(err.Error(), "web/orders.json") {
			t.Errorf("%s: %v", name, err)
		}
		// Nobody knows whether the champion is pinned: it stays.
		if err := r.Move(ctx, "web", Change{Version: 2, From: 1, At: hour(1)}); err == nil {
			t.Errorf("%s: moved", name)
		}
	}
}

func TestOrdersOfSeveralAtOnceAreAllKept(t *testing.T) {
	r, _ := three(t)
	var wg sync.WaitGroup
	for v := 1; v <= 3; v++ {
		wg.Go(func() {
			if err := r.Pin(ctx, "web", Order{Version: v}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if o, err := r.Orders(ctx, "web"); err != nil || len(o.Pinned) != 3 {
		t.Errorf("orders %+v, %v", o, err)
	}
}

func FuzzOrders(f *testing.F) {
	for _, seed := range []string{`{}`, `{"pinned":[{"version":1,"at":"2026-03-02T12:00:00Z","by":"ana","why":"audit"}],"shadow":{"version":2,"at":"2026-03-02T12:00:00Z"}}`,
		`{"pinned":[{"version":-1}]}`, `{"shadow":{"version":99999999999999999999}}`, `[`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		store := blob.NewMemory()
		if _, err := store.Put(ctx, "web/orders.json", raw, blob.IfAbsent()); err != nil {
			t.Fatal(err)
		}
		o, err := NewRegistry(store).Orders(ctx, "web")
		if err != nil {
			return
		}
		for _, p := range o.Pinned { // what is read is found again
			if p.Version < 1 || !o.IsPinned(p.Version) {
				t.Errorf("%s: %+v", raw, o)
			}
		}
	})
}
