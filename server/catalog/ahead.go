package catalog

import (
	"context"
	"slices"
	"time"

	"github.com/forescale/forescale/models"
)

// aheadPause is the least time between two loads that nobody waits for.
const aheadPause = 20 * time.Millisecond

// ahead loads the champions that the registry lists and nobody has asked for yet, one
// after the other while the server is idle, until the memory budget is used up. Each is
// tried once: what was dropped for others stays dropped until somebody asks. A signal on
// news says that the registry has been read. It ends with ctx.
func (c *Catalog) ahead(ctx context.Context, news <-chan struct{}) {
	tried := map[string]int{} // the version of each name
	for {
		select {
		case <-ctx.Done():
			return
		case <-news:
		}
		for c.next(ctx, tried) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(aheadPause):
			}
		}
	}
}

// next loads one more model, if there is one that has not been tried and that there is
// room for. It returns false when nothing is left to do.
func (c *Catalog) next(ctx context.Context, tried map[string]int) bool {
	ix := c.index.Load()
	for _, name := range ix.names {
		champion := ix.champions[name]
		if tried[name] == champion.Version {
			continue
		}
		if !c.deps.Idle() || c.isLeft() {
			return true
		}
		tried[name] = champion.Version
		if e := c.reserve(champion); e != nil {
			took := c.deps.Now()
			_ = c.load(ctx, e, champion) // it has logged and noted its error
			// As long again for whatever else the processors have to do.
			select {
			case <-ctx.Done():
			case <-time.After(c.deps.Now().Sub(took)):
			}
			return true
		}
	}
	return false
}

// reserve returns the entry of a model that may be loaded ahead, marked as loading; nil
// for one that is loaded, is being loaded, has failed or does not fit.
func (c *Catalog) reserve(champion models.Manifest) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[champion.Name]
	if c.closed || c.off[champion.Name] || c.held+max(c.latest, costOf(champion.SizeBytes)) > c.cfg.MemoryBudget {
		return nil
	}
	if e == nil {
		e = &entry{}
		c.entries[champion.Name] = e
	}
	if e.current != nil || e.loading != nil || e.failure != nil && e.failure.version == champion.Version {
		return nil
	}
	e.loading, e.ahead = make(chan struct{}), true
	return e
}

// sortedNames returns the names of champions in order.
func sortedNames(champions map[string]models.Manifest) []string {
	names := make([]string, 0, len(champions))
	for name := range champions {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
