package catalog

import (
	"context"
	"fmt"
	"time"

	"github.com/forescale/forescale/models"
)

// index is what the registry said when it was last read. It is immutable.
type index struct {
	names     []string                   // of the champions, in order
	champions map[string]models.Manifest // by model name
	faults    map[string]error           // by model name: why its champion cannot be told
	byGroup   map[string]string          // group to the name of the model that serves it
	anyGroup  string                     // the model that serves every other group; empty: none
	stands    map[string]models.Standing // by model name
	readAt    time.Time                  // when it was read; zero: never yet
}

// newIndex resolves groups as models.Registry.ForGroup does: a model with the
// group's own name that serves it goes first, then the first name in order that
// lists the group, then the first with AnyGroup.
func newIndex(champions map[string]models.Manifest, faults map[string]error, readAt time.Time) *index {
	ix := &index{names: sortedNames(champions), champions: champions, faults: faults, byGroup: map[string]string{}, readAt: readAt}
	for _, name := range ix.names {
		for _, group := range champions[name].Groups {
			if _, taken := ix.byGroup[group]; !taken || name == group {
				ix.byGroup[group] = name
			}
			if group == models.AnyGroup {
				ix.byGroup[name] = name
				if ix.anyGroup == "" {
					ix.anyGroup = name
				}
			}
		}
	}
	delete(ix.byGroup, models.AnyGroup)
	return ix
}

// nameFor returns the name of the model that serves a group.
func (ix *index) nameFor(group string) (string, bool) {
	if name, ok := ix.byGroup[group]; ok {
		return name, true
	}
	return ix.anyGroup, ix.anyGroup != ""
}

// readTimeout bounds one reading of the whole registry.
const readTimeout = 30 * time.Second

// refresh reads the registry, unless that was tried less than maxAge ago, and
// returns the error of the latest attempt. Of several callers one reads and the
// others wait for it: wait bounds the waiting, work the reading. An attempt that
// ends with work is as good as none.
func (c *Catalog) refresh(wait, work context.Context, maxAge time.Duration) error {
	select {
	case c.reading <- struct{}{}:
	case <-wait.Done():
		return context.Cause(wait)
	}
	if now := c.deps.Now(); !c.triedAt.IsZero() && now.Sub(c.triedAt) < maxAge {
		defer func() { <-c.reading }()
		return c.readErr
	}
	done := make(chan error, 1)
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		<-c.reading
		return ErrClosed
	}
	c.tasks.Go(func() {
		defer func() { <-c.reading }()
		done <- c.readIndex(work)
	})
	c.mu.Unlock()
	select {
	case err := <-done:
		return err
	case <-wait.Done():
		return context.Cause(wait)
	}
}

// readIndex reads the registry and notes the outcome. c.reading is held.
func (c *Catalog) readIndex(work context.Context) error {
	ctx, cancel := context.WithTimeout(work, readTimeout)
	defer cancel()
	ix, err := c.read(ctx)
	if err != nil && work.Err() != nil {
		return context.Cause(work)
	}
	c.triedAt = c.deps.Now()
	if wasAway := c.readErr != nil; err != nil && !wasAway {
		c.deps.Log.Warn("registry cannot be read; what is loaded serves on", "err", err)
	} else if err == nil && wasAway {
		c.deps.Log.Info("registry can be read again")
	}
	c.readErr = err
	c.deps.Observer.RegistryRead(err)
	if err != nil {
		return err
	}
	c.tellFaults(c.index.Load(), ix)
	c.index.Store(ix)
	return nil
}

// read builds an index from the registry. One model whose champion cannot be told
// does not hide the others: it keeps the champion that it had. So do the loaded
// models that the registry no longer lists, because a directory that is not
// mounted looks like an empty registry.
func (c *Catalog) read(ctx context.Context) (*index, error) {
	standings, err := c.deps.Registry.Standings(ctx)
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	champions, faults := map[string]models.Manifest{}, map[string]error{}
	stands := map[string]models.Standing{}
	old := c.index.Load()
	for _, name := range c.loadedNames() {
		if m, ok := old.champions[name]; ok {
			champions[name], stands[name] = m, old.stands[name]
		}
	}
	for _, s := range standings {
		switch {
		case s.Champion.Version > 0:
			champions[s.Name] = s.Champion
		case old.champions[s.Name].Version > 0:
			champions[s.Name] = old.champions[s.Name]
		}
		if s.Err != nil {
			faults[s.Name] = s.Err
		}
		stands[s.Name] = s
	}
	ix := newIndex(champions, faults, c.deps.Now())
	ix.stands = stands
	return ix, nil
}
