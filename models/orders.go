package models

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/forescale/forescale/internal/blob"
)

// ordersFile holds what people have ordered of a name's versions.
const ordersFile = "orders.json"

// ErrPinned: the champion is pinned, and nothing takes its place until it no longer
// is.
var ErrPinned = errors.New("the champion is pinned")

// Order is what somebody has said of one version: that it is pinned, or the shadow.
type Order struct {
	Version int       `json:"version"`
	At      time.Time `json:"at"`
	By      string    `json:"by,omitempty"`  // a person, or a program
	Why     string    `json:"why,omitempty"` // one sentence
}

// Orders are what people have ordered of a name's versions, beside which of them is
// champion. They lie in NAME/orders.json, which is moved by compare-and-swap.
type Orders struct {
	// Pinned are the versions to keep at hand, ascending. A champion among them stays
	// champion: Move and RollBack return ErrPinned.
	Pinned []Order `json:"pinned,omitempty"`
	// Shadow is the version that gets a copy of the champion's traffic, nil: none does.
	Shadow *Order `json:"shadow,omitempty"`
}

// pin returns the index of a version among the pinned.
func (o Orders) pin(version int) (int, bool) {
	return slices.BinarySearchFunc(o.Pinned, version, func(p Order, v int) int { return p.Version - v })
}

// IsPinned reports whether a version is pinned.
func (o Orders) IsPinned(version int) bool {
	_, found := o.pin(version)
	return found
}

// check returns what is wrong with orders that somebody else may have written.
func (o Orders) check() error {
	for i, p := range o.Pinned {
		if p.Version < 1 || i > 0 && p.Version <= o.Pinned[i-1].Version {
			return fmt.Errorf("pinned[%d]: version %d, must be at least 1 and greater than the one before", i, p.Version)
		}
	}
	if o.Shadow != nil && o.Shadow.Version < 1 {
		return fmt.Errorf("shadow: version %d, must be at least 1", o.Shadow.Version)
	}
	return nil
}

func ordersKey(name string) string { return blob.Escape(name) + "/" + ordersFile }

// Orders returns the orders for a name; none is no error.
func (r *Registry) Orders(ctx context.Context, name string) (Orders, error) {
	orders, _, err := r.orders(ctx, name)
	return orders, err
}

func (r *Registry) orders(ctx context.Context, name string) (Orders, blob.Condition, error) {
	o, err := r.store.Get(ctx, ordersKey(name))
	if errors.Is(err, blob.ErrNotFound) {
		return Orders{}, blob.IfAbsent(), nil
	}
	if err != nil {
		return Orders{}, blob.Condition{}, err
	}
	var orders Orders
	if err := decode(o.Data, &orders); err != nil {
		return Orders{}, blob.Condition{}, fmt.Errorf("%s: %w", ordersKey(name), err)
	}
	if err := orders.check(); err != nil {
		return Orders{}, blob.Condition{}, fmt.Errorf("%s: %w", ordersKey(name), err)
	}
	return orders, blob.IfMatch(o.ETag), nil
}

// Pin pins a version, or renews who did so and why. ErrNoModel: there is no such
// version; ErrConflict: somebody else gives orders for the name at the same time.
func (r *Registry) Pin(ctx context.Context, name string, o Order) error {
	if err := r.exists(ctx, name, o.Version); err != nil {
		return err
	}
	return r.order(ctx, name, func(orders *Orders) {
		i, found := orders.pin(o.Version)
		if found {
			orders.Pinned[i] = o
			return
		}
		orders.Pinned = slices.Insert(orders.Pinned, i, o)
	})
}

// Unpin takes a pin back. ErrNoModel: the version is not pinned; ErrConflict as for
// Pin.
func (r *Registry) Unpin(ctx context.Context, name string, version int) error {
	orders, err := r.Orders(ctx, name)
	if err != nil {
		return err
	}
	if !orders.IsPinned(version) {
		return fmt.Errorf("model %q: version %d is not pinned: %w", name, version, ErrNoModel)
	}
	return r.order(ctx, name, func(orders *Orders) {
		if i, found := orders.pin(version); found {
			orders.Pinned = slices.Delete(orders.Pinned, i, i+1)
		}
	})
}

// SetShadow makes a version the shadow; nil ends that. ErrNoModel and ErrConflict
// are as for Pin.
func (r *Registry) SetShadow(ctx context.Context, name string, shadow *Order) error {
	version := 0
	if shadow != nil {
		version = shadow.Version
	}
	if err := r.exists(ctx, name, version); err != nil {
		return err
	}
	return r.order(ctx, name, func(orders *Orders) { orders.Shadow = shadow })
}

// exists returns ErrNoModel unless a version may serve; version 0 asks for any.
func (r *Registry) exists(ctx context.Context, name string, version int) error {
	versions, err := r.Versions(ctx, name)
	switch {
	case err != nil:
		return err
	case len(versions) == 0:
		return fmt.Errorf("model %q: %w", name, ErrNoModel)
	case version != 0 && !slices.Contains(versions, version):
		return fmt.Errorf("model %q version %d: %w; there is %v", name, version, ErrNoModel, versions)
	}
	return nil
}

// order changes the orders for a name by compare-and-swap. Pins and the shadow are
// independent of each other, so whoever was overtaken reads again.
func (r *Registry) order(ctx context.Context, name string, change func(*Orders)) error {
	for range 5 {
		orders, unchanged, err := r.orders(ctx, name)
		if err != nil {
			return err
		}
		change(&orders)
		raw, err := json.Marshal(orders)
		if err != nil {
			return err
		}
		if _, err = r.store.Put(ctx, ordersKey(name), raw, unchanged); !errors.Is(err, blob.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("model %q: its orders are changed by others all the time: %w", name, ErrConflict)
}

// mayMove returns ErrPinned when the champion is pinned.
func (r *Registry) mayMove(ctx context.Context, name string, champion int) error {
	orders, err := r.Orders(ctx, name)
	if err != nil {
		return err
	}
	if i, pinned := orders.pin(champion); pinned {
		by := orders.Pinned[i]
		return fmt.Errorf("model %q: version %d, by %q: %q: %w; unpin it first", name, champion, by.By, by.Why, ErrPinned)
	}
	return nil
}
