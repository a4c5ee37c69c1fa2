package catalog

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/forescale/forescale/models"
)

// Versions are kept loaded beside the champion so that they answer at once: those
// that are pinned, and of a loaded model the newest and the shadow. Whatever else is
// asked for by its number is loaded then, and is the first to make room.

// kept returns the versions of a model to keep loaded; loaded says whether its
// champion is.
func (ix *index) kept(name string, latest int, loaded bool) []int {
	s := ix.stands[name]
	var versions []int
	for _, p := range s.Orders.Pinned {
		if slices.Contains(s.Versions, p.Version) {
			versions = append(versions, p.Version)
		}
	}
	if !loaded {
		return versions
	}
	if shadow := s.Orders.Shadow; shadow != nil {
		versions = append(versions, shadow.Version)
	}
	return append(versions, s.Versions[max(0, len(s.Versions)-latest):]...)
}

// isKept reports whether a version is kept while its model is loaded.
func (c *Catalog) isKept(m models.Manifest) bool {
	s := c.index.Load().stands[m.Name]
	return s.Orders.IsPinned(m.Version) || s.Orders.Shadow != nil && s.Orders.Shadow.Version == m.Version ||
		slices.Contains(s.Versions[max(0, len(s.Versions)-c.cfg.Latest):], m.Version)
}

// goesBefore reports whether a makes room before b: what is kept goes last, and
// before that the least recently used. Something serves in both. c.mu is held.
func (c *Catalog) goesBefore(a, b *entry) bool {
	if x, y := c.isKept(a.current.Manifest), c.isKept(b.current.Manifest); x != y {
		return y
	}
	return a.usedAt < b.usedAt
}

// keep loads the versions that are kept and gives up those that no longer are. One
// that had to make room is not loaded again before it is asked for.
func (c *Catalog) keep(ctx context.Context) {
	ix, loaded := c.index.Load(), c.loadedNames()
	for _, name := range slices.Sorted(maps.Keys(ix.stands)) {
		_, known := slices.BinarySearch(loaded, name)
		for _, version := range ix.kept(name, c.cfg.Latest, known) {
			if ctx.Err() != nil {
				return
			}
			c.keepOne(ctx, name, version)
		}
	}
	var gone []*Version
	c.mu.Lock()
	for at, e := range c.others {
		if e.current == nil || !e.kept || c.isKept(e.current.Manifest) {
			continue
		}
		gone = append(gone, e.current)
		c.held -= e.current.cost
		e.current = nil
		delete(c.others, at)
	}
	c.mu.Unlock()
	for _, v := range gone {
		c.drop(v)
		c.deps.Log.Info("model version is no longer kept", "model", v.Manifest.Name, "version", v.Manifest.Version)
	}
}

// keepOne loads a version unless it is loaded, was loaded before, or failed.
func (c *Catalog) keepOne(ctx context.Context, name string, version int) {
	c.mu.Lock()
	if c.closed || c.off[name] {
		c.mu.Unlock()
		return
	}
	if e := c.entries[name]; e != nil && e.current != nil && c.index.Load().champions[name].Version == version {
		c.mu.Unlock()
		return // renewOne sees to it
	}
	e, target, _ := c.find(name, version, true) // with create it always finds one
	due := e.current == nil && e.usedAt == 0 && e.loading == nil && !e.rests(version, c.deps.Now())
	if due {
		e.loading = make(chan struct{})
	}
	c.mu.Unlock()
	if !due || c.load(ctx, e, target) != nil { // it has logged and noted its error
		return
	}
	c.mu.Lock()
	e.kept = e.current != nil && e.current.Manifest.Version == version
	c.mu.Unlock()
}

// ErrNotLoaded says that a version is not loaded and has not failed: its turn has not
// come yet, or it has made room for others.
var ErrNotLoaded = errors.New("not loaded: its turn has not come yet, or it made room for others within server.memory_budget")

// Kept returns a version that is loaded. Unlike At it loads nothing, so that nothing
// that serves makes room for it. The error is a *LoadError, of why it failed or of
// ErrNotLoaded.
func (c *Catalog) Kept(name string, version int) (*Version, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	failed := ErrNotLoaded
	for _, e := range []*entry{c.entries[name], c.others[key{name, version}]} {
		switch {
		case e == nil:
		case e.current != nil && e.current.Manifest.Version == version && e.current.session.Retain():
			return e.current, nil
		case e.failure != nil && e.failure.version == version:
			failed = e.failure.err
		}
	}
	return nil, &LoadError{name, version, failed}
}

// Shadow returns the version that gets a copy of a model's traffic; 0: none does, or
// it is the champion.
func (c *Catalog) Shadow(name string) int {
	ix := c.index.Load()
	if shadow := ix.stands[name].Orders.Shadow; shadow != nil && shadow.Version != ix.champions[name].Version {
		return shadow.Version
	}
	return 0
}
