package models

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Standing is how one name of the registry stands: what a server has to know of it.
type Standing struct {
	Name     string
	Versions []int    // those that may serve, ascending; never empty
	Champion Manifest // of the version that serves; when Err says why it cannot be told, the latest that could
	Orders   Orders   // the latest that could be read
	Err      error    // why the champion or the orders cannot be told now
}

// Watch reads how all names of a registry stand, again and again, at the cost of one
// listing each time: what did not change since the last reading is not read again.
// It is safe for concurrent use.
//
// Standings share the memory of manifests and of versions; nobody may change them.
type Watch struct {
	*Registry
	mu   sync.Mutex
	last map[string]seen // by name; guarded by mu
}

// seen is a standing with what it was made from. Manifests never change, so two
// equal contents make the same standing.
type seen struct {
	from     contents
	standing Standing
}

// NewWatch returns a watch that has read nothing yet.
func NewWatch(r *Registry) *Watch { return &Watch{Registry: r, last: map[string]seen{}} }

// Standings returns how each name with a version that may serve stands, by name. A
// name that cannot be read has its error in its standing and does not hide the
// others.
func (w *Watch) Standings(ctx context.Context) ([]Standing, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all, err := w.Registry.scanPrefix(ctx, "")
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(all, func(_ string, c contents) bool { return len(c.visible()) == 0 })
	names := slices.Sorted(maps.Keys(all))
	list := make([]Standing, len(names))
	var reads errgroup.Group
	reads.SetLimit(readers)
	for i, name := range names {
		old, known := w.last[name]
		if known && old.standing.Err == nil && old.from.same(all[name]) {
			list[i] = old.standing
			continue
		}
		reads.Go(func() error {
			list[i] = w.Registry.standing(ctx, name, all[name], old.standing)
			return nil
		})
	}
	_ = reads.Wait() // the goroutines return nil; their errors are in the standings
	if ctx.Err() != nil {
		return nil, fmt.Errorf("read the model registry: %w", context.Cause(ctx))
	}
	last := make(map[string]seen, len(names))
	for i, name := range names {
		last[name] = seen{all[name], list[i]}
	}
	w.last = last
	return list, nil
}

// standing reads how a name stands; old is how it stood.
func (r *Registry) standing(ctx context.Context, name string, c contents, old Standing) Standing {
	s := Standing{Name: name, Versions: c.visible(), Champion: old.Champion, Orders: old.Orders}
	known := func(_ string, version int) (Manifest, bool) {
		return old.Champion, version > 0 && old.Champion.Version == version
	}
	champion, errChampion := Manifest{Name: name, Version: c.serving(0), SizeBytes: c.size}, error(nil)
	if !c.foreign() { // there is nothing to read of one
		champion, errChampion = r.champion(ctx, name, known)
	}
	if errChampion == nil {
		s.Champion = champion
	}
	var errOrders error
	if c.orders != "" {
		var orders Orders
		if orders, errOrders = r.Orders(ctx, name); errOrders == nil {
			s.Orders = orders
		}
	} else {
		s.Orders = Orders{}
	}
	s.Err = errors.Join(errChampion, errOrders)
	return s
}

// same reports whether two listings of a name say the same.
func (c contents) same(other contents) bool {
	return c.champion == other.champion && c.pointer == other.pointer && c.orders == other.orders &&
		slices.Equal(c.models, other.models) && slices.Equal(c.manifests, other.manifests)
}
