package catalog

import (
	"errors"
	"maps"
	"slices"

	"github.com/forescale/forescale/models"
)

// tellFaults logs of which models champion or orders cannot be told any more, and of
// which they can be again.
// c.reading is held.
func (c *Catalog) tellFaults(before, now *index) {
	for _, name := range slices.Sorted(maps.Keys(now.faults)) {
		fault, old := now.faults[name], before.faults[name]
		// A store's error reads differently each time. That a signature is missing is
		// worth a line of its own.
		if old != nil && errors.Is(old, models.ErrUntrusted) == errors.Is(fault, models.ErrUntrusted) {
			continue
		}
		attrs := []any{"model", name, "err", fault}
		if m, ok := now.champions[name]; ok {
			attrs = append(attrs, "serving", m.Version)
		}
		c.deps.Log.Error("what the registry says of a model is refused", attrs...)
	}
	for _, name := range slices.Sorted(maps.Keys(before.faults)) {
		if now.faults[name] == nil {
			c.deps.Log.Info("model can be told again", "model", name)
		}
	}
}
