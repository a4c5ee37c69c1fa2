package scaler

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
)

// The lease is lost while a scaler is about to act: it must not, and the one
// that took over completes what was intended.
func TestALostLeaseStopsTheAction(t *testing.T) {
	w := newWorld(t)
	var other api.TickRecord
	w.bad = &saboteur{seen: map[string]int{}}
	taken := false
	s := w.scaler(func(c *Config) { c.ID = "a" })
	s.deps.Target = &hooked{w, func(groups []string) {
		if len(groups) == 1 && !taken { // just before the first action
			taken = true
			other = w.mustOnce(t0.Add(2*time.Minute), func(c *Config) { c.ID = "b" }) // a's lease has run out by then
		}
	}}
	rec, err := w.once(s, t0)
	if !errors.Is(err, ErrLeaseLost) {
		t.Fatalf("got %v, %+v", err, rec)
	}
	if d := decisionOf(other, "up"); d.Outcome.Status != api.OutcomeAccepted {
		t.Errorf("the scaler that took over: %+v", d.Outcome)
	}
	if len(w.calls) != 2 {
		t.Errorf("calls %v", w.calls)
	}
	w.check("lost lease")
}

// The lease changes hands, and the new holder has not done anything yet.
func TestNothingIsDoneUnderALostLease(t *testing.T) {
	w := newWorld(t)
	s := w.scaler()
	s.deps.Target = &hooked{w, func(groups []string) {
		if len(groups) == 1 && groups[0] == "up" {
			b := &lease{store: w.store, key: leaseKey, clock: func() time.Time { return t0.Add(2 * time.Minute) }, ttl: time.Minute,
				deadline: time.Second, self: holding{Holder: "b", Instance: "b"}}
			if err := b.acquire(context.Background()); err != nil {
				t.Error(err)
			}
		}
	}}
	if _, err := w.once(s, t0); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("got %v", err)
	}
	if len(w.calls) != 0 || len(w.records()) != 0 {
		t.Errorf("calls %v, records %v", w.calls, w.records())
	}
	w.mustOnce(t0.Add(4 * time.Minute)) // b's lease has run out without a trace of b
	w.check("lease lost before the action")
	if len(w.changes) != 2 {
		t.Errorf("changes %v", w.changes)
	}
}

func TestTheLease(t *testing.T) {
	ctx := context.Background()
	now := t0
	store := blob.NewMemory()
	of := func(id, instance string) *lease {
		return &lease{store: store, key: leaseKey, clock: func() time.Time { return now }, ttl: time.Minute, deadline: time.Second,
			self: holding{Holder: id, Instance: instance}}
	}
	a, b := of("a", "1"), of("b", "2")
	if err := a.acquire(ctx); err != nil {
		t.Fatal(err)
	}
	var held *LeaseHeldError
	if err := b.acquire(ctx); !errors.As(err, &held) || held.Holder != "a" || !held.Until.Equal(t0.Add(time.Minute)) {
		t.Fatalf("a held lease: %v", err)
	}
	now = t0.Add(40 * time.Second)
	if left, err := a.confirm(ctx); err != nil || left != time.Minute {
		t.Fatalf("confirming renews when less than half is left: %v, %v", left, err)
	}
	now = t0.Add(99 * time.Second)
	if err := b.acquire(ctx); !errors.As(err, &held) {
		t.Fatalf("a renewed lease: %v", err)
	}
	now = t0.Add(101 * time.Second)
	if err := b.acquire(ctx); err != nil {
		t.Fatalf("an expired lease: %v", err)
	}
	if _, err := a.confirm(ctx); !errors.Is(err, ErrLeaseLost) {
		t.Fatalf("the former holder: %v", err)
	}
	successor := of("b", "3")
	if err := successor.acquire(ctx); err != nil {
		t.Fatalf("a restart under the same id: %v", err)
	}
	if _, err := b.confirm(ctx); !errors.Is(err, ErrLeaseLost) {
		t.Fatalf("the former process: %v", err)
	}
	now = t0.Add(-24 * time.Hour) // the clock that wrote the lease was a day ahead
	if err := a.acquire(ctx); err != nil {
		t.Fatalf("a lease from a wrong clock: %v", err)
	}
	if _, err := store.Put(ctx, leaseKey, []byte("{"), blob.Condition{}); err != nil {
		t.Fatal(err)
	}
	if err := b.acquire(ctx); err != nil {
		t.Fatalf("an unreadable lease: %v", err)
	}
}
