package scaler

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/scaler/control"
)

// orders are what people have ordered, as known at one tick.
type orders struct {
	byGroup map[string][]api.Control // api.AllGroups is one of the keys
	// unknown is why they have never been read; nil: they have been.
	unknown error
	by      string        // who freezes then
	until   time.Duration // until the next tick
}

func newOrders(cs []api.Control) orders {
	o := orders{byGroup: map[string][]api.Control{}}
	for _, c := range cs {
		o.byGroup[c.Group] = append(o.byGroup[c.Group], c)
	}
	return o
}

// inForce returns the order that a group is under (control.InForce), nil for none.
//
// As long as orders have never been read, every group is frozen: one of them may
// say so, and staying too large for a while does no harm.
func (o orders) inForce(group string, at time.Time) *api.Control {
	if o.unknown != nil {
		return &api.Control{Kind: api.ControlFreeze, Group: api.AllGroups, Until: at.Add(o.until), By: o.by, At: at,
			Reason: fmt.Sprintf("the orders in force are not known: %v", o.unknown)}
	}
	own, all := o.byGroup[group], o.byGroup[api.AllGroups]
	if len(own)+len(all) == 0 {
		return nil
	}
	return control.InForce(slices.Concat(own, all), group, at)
}

// readOrders reads what people have ordered, once a tick. While that fails, what
// was known before goes on to hold, to its end.
func (t *tick) readOrders(ctx context.Context) {
	if t.deps.Controls == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Deadlines.Store)
	defer cancel()
	cs, err := t.deps.Controls.List(ctx)
	if err == nil {
		t.orders = newOrders(cs)
		return
	}
	if t.orders.byGroup == nil {
		t.orders = orders{unknown: err, by: t.cfg.ID, until: t.step}
		err = fmt.Errorf("orders: %w; none have been read since the start, so every group is frozen", err)
	} else {
		err = fmt.Errorf("orders: %w; the last known are used", err)
	}
	t.faults = append(t.faults, err)
}
