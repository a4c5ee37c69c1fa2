package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/models"
)

// At returns a version of a model by its number, loading it beside the champion if
// necessary. It counts against the memory budget as a champion does. The error is
// as that of Named; ErrNoModel also says that there is no such version.
func (c *Catalog) At(ctx context.Context, name string, version int) (*Version, error) {
	v, err := c.hold(ctx, name, func() (*entry, models.Manifest, error) { return c.find(name, version, false) })
	if v != nil || !errors.Is(err, models.ErrNoModel) {
		return v, err
	}
	versions, err := c.Versions(ctx, name)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(versions, version) {
		return nil, fmt.Errorf("model %q version %d: %w", name, version, models.ErrNoModel)
	}
	return c.hold(ctx, name, func() (*entry, models.Manifest, error) { return c.find(name, version, true) })
}

// find returns the entry for a version by its number, and what to load into it. It
// is that of the champion if that is, or will be, the same version. Without create,
// it is an error that nobody has asked for the version before. c.mu is held.
func (c *Catalog) find(name string, version int, create bool) (*entry, models.Manifest, error) {
	champion, known := c.index.Load().champions[name]
	e := c.entries[name]
	switch {
	case e != nil && e.current != nil && e.current.Manifest.Version == version:
		return e, e.current.Manifest, nil
	case known && champion.Version == version && (e == nil || e.current == nil):
		if e == nil {
			e = &entry{}
			c.entries[name] = e
		}
		return e, champion, nil
	}
	at, target := key{name, version}, models.Manifest{Name: name, Version: version}
	if e = c.others[at]; e == nil {
		if !create {
			return nil, target, models.ErrNoModel
		}
		e = &entry{}
		c.others[at] = e
	}
	return e, target, nil
}

// listing is what the registry said of the versions of a model.
type listing struct {
	versions []int
	at       time.Time
}

// Versions returns the versions of a model that may serve, ascending. The error is
// models.ErrNoModel, a *RegistryError or the context's. It reads the registry unless
// that was done less than missMaxAge ago.
func (c *Catalog) Versions(ctx context.Context, name string) ([]int, error) {
	if _, known := c.index.Load().champions[name]; !known {
		if err := c.refreshOnMiss(ctx); err != nil {
			return nil, err
		}
		if _, known = c.index.Load().champions[name]; !known {
			return nil, fmt.Errorf("model %q: %w", name, models.ErrNoModel)
		}
	}
	now := c.deps.Now()
	c.mu.Lock()
	known := c.listings[name]
	c.mu.Unlock()
	if !known.at.IsZero() && now.Sub(known.at) < missMaxAge {
		return known.versions, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	versions, err := c.deps.Registry.Versions(ctx, name)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &RegistryError{err}
	}
	c.mu.Lock()
	c.listings[name] = listing{versions, now}
	c.mu.Unlock()
	return versions, nil
}

// Refresh reads the registry now, for who has just changed it.
func (c *Catalog) Refresh(ctx context.Context) error { return c.refresh(ctx, c.life, 0) }

// Load puts the champion of a model into service, after Unload too: the registry is
// read and a version that failed is tried again, now. The error is as that of Named.
func (c *Catalog) Load(ctx context.Context, name string) error {
	if err := c.refresh(ctx, c.life, 0); err != nil {
		if ctx.Err() != nil || errors.Is(err, ErrClosed) {
			return err
		}
		return &RegistryError{err}
	}
	c.mu.Lock()
	delete(c.off, name)
	if e := c.entries[name]; e != nil && e.failure != nil {
		e.failure.retryAt = time.Time{}
	}
	c.mu.Unlock()
	v, err := c.Named(ctx, name)
	if err != nil {
		return err
	}
	v.Release()
	if err := c.renewOne(ctx, name); err != nil {
		return err
	}
	return c.settled(ctx, name)
}

// settled waits for a load of a model's champion that somebody else has begun, and
// returns a *LoadError when it has failed.
func (c *Catalog) settled(ctx context.Context, name string) error {
	for {
		champion := c.index.Load().champions[name].Version
		c.mu.Lock()
		e := c.entries[name]
		loading, failed := e.loading, e.failure
		c.mu.Unlock()
		switch {
		case loading != nil:
			select {
			case <-loading:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		case failed != nil && failed.version == champion:
			return &LoadError{name, champion, failed.err}
		default:
			return nil
		}
	}
}

// Unload takes a model out of service, all of its versions, until Load: requests
// for it get ErrUnloaded. What goes on with it ends well. The error is
// models.ErrNoModel or ErrClosed. It is not remembered across a restart.
func (c *Catalog) Unload(name string) error {
	_, known := c.index.Load().champions[name]
	c.mu.Lock()
	switch {
	case c.closed:
		c.mu.Unlock()
		return ErrClosed
	case !known && c.entries[name] == nil:
		c.mu.Unlock()
		return fmt.Errorf("model %q: %w", name, models.ErrNoModel)
	}
	c.off[name] = true
	var all []*Version
	for _, e := range c.loaded() {
		if v := e.current; v.Manifest.Name == name {
			all = append(all, v)
			c.held -= v.cost
			e.current, e.usedAt = nil, 0 // so that Load finds it as it was at the start
		}
	}
	c.mu.Unlock()
	for _, v := range all {
		c.drop(v)
	}
	c.deps.Log.Info("model unloaded by request", "model", name)
	return nil
}

// Item is one version of the repository index.
type Item struct {
	Name    string
	Version int // 0: the registry cannot tell
	Ready   bool
	Reason  string // why it is not ready, or not loaded
}

// Index lists, by name and version, the champions and every other version that is
// loaded or could not be. It does no I/O.
func (c *Catalog) Index() []Item {
	var items []Item
	list, _ := c.Status()
	for _, s := range list {
		items = append(items, s.items()...)
	}
	c.mu.Lock()
	for at, e := range c.others {
		switch {
		case e.current != nil:
			items = append(items, Item{Name: at.name, Version: at.version, Ready: true})
		case e.failure != nil:
			items = append(items, Item{Name: at.name, Version: at.version, Reason: e.failure.err.Error()})
		}
	}
	c.mu.Unlock()
	slices.SortFunc(items, func(a, b Item) int {
		if order := strings.Compare(a.Name, b.Name); order != 0 {
			return order
		}
		return a.Version - b.Version
	})
	// A champion that failed may have been asked for by its number, too.
	return slices.CompactFunc(items, func(a, b Item) bool { return a.Name == b.Name && a.Version == b.Version })
}

// items returns the champion and, where that is another one, the version that
// serves in its place.
func (s Status) items() []Item {
	champion := Item{Name: s.Name, Version: s.Champion}
	if s.Failure != nil {
		champion.Reason = s.Failure.Reason
	}
	switch s.State {
	case StateServing:
		serving := Item{Name: s.Name, Version: s.Serving, Ready: true}
		if s.Failure != nil && s.Failure.Version == 0 { // the registry cannot tell which version should
			serving.Reason = "serves on; what the registry says of the model is refused: " + s.Failure.Reason
		}
		return []Item{serving}
	case StateAvailable:
		return []Item{{Name: s.Name, Version: s.Champion, Ready: true, Reason: "not loaded yet; the first request loads it"}}
	case StateStale:
		if champion.Reason == "" {
			champion.Reason = "not loaded yet"
		}
		return []Item{{Name: s.Name, Version: s.Serving, Ready: true}, champion}
	case StateLoading:
		champion.Reason = "being loaded"
	}
	return []Item{champion}
}
