package scaler

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

// order returns an order that ends so many hours after t0.
func order(kind api.ControlKind, group string, hours int) api.Control {
	return api.Control{Kind: kind, Group: group, Until: t0.Add(time.Duration(hours) * time.Hour), Reason: "test", By: "somebody", At: t0.Add(-time.Hour)}
}

func TestTheOrderInForce(t *testing.T) {
	freeze, pause := api.ControlFreeze, api.ControlPause
	for _, c := range []struct {
		name string
		all  []api.Control
		want int // index into all, -1: none
	}{
		{"there are none", nil, -1},
		{"one for another group", []api.Control{order(freeze, "down", 1)}, -1},
		{"one for the group", []api.Control{order(freeze, "up", 1)}, 0},
		{"one for all groups", []api.Control{order(pause, api.AllGroups, 1)}, 0},
		{"an expired one", []api.Control{order(freeze, "up", -1)}, -1},
		{"one that ends at this very tick", []api.Control{order(freeze, "up", 0)}, -1},
		{"a pause before a freeze", []api.Control{order(freeze, "up", 5), order(pause, api.AllGroups, 1)}, 1},
		{"an expired pause behind a freeze", []api.Control{order(pause, "up", -1), order(freeze, "up", 1)}, 1},
		{"the group's own before one for all", []api.Control{order(freeze, api.AllGroups, 5), order(freeze, "up", 1)}, 1},
		{"the later end", []api.Control{order(freeze, "up", 2), order(freeze, "up", 3), order(freeze, "up", 1)}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := newOrders(c.all).inForce("up", t0)
			switch {
			case c.want < 0 && got != nil:
				t.Errorf("got %+v", got)
			case c.want >= 0 && (got == nil || *got != c.all[c.want]):
				t.Errorf("got %+v, want %+v", got, c.all[c.want])
			}
		})
	}
}

// clerk gives out orders, or fails.
type clerk struct {
	orders []api.Control
	err    error
}

func (c *clerk) List(context.Context) ([]api.Control, error) { return c.orders, c.err }

func TestOrdersReachTheDecisionAndItsRecord(t *testing.T) {
	w := newWorld(t)
	s := w.scaler()
	c := &clerk{orders: []api.Control{order(api.ControlFreeze, "down", 1)}}
	s.deps.Controls = c
	rec, err := w.once(s, t0)
	if d := decisionOf(rec, "down"); err != nil || d.Control == nil || *d.Control != c.orders[0] {
		t.Errorf("%v, order %+v", err, d.Control)
	}
	if d := decisionOf(rec, "up"); d.Control != nil {
		t.Errorf("another group is under %+v", d.Control)
	}
}

func TestUnreadableOrders(t *testing.T) {
	w := newWorld(t)
	s := w.scaler()
	c := &clerk{orders: []api.Control{order(api.ControlFreeze, "down", 1)}}
	s.deps.Controls = c
	if _, err := w.once(s, t0); err != nil {
		t.Fatal(err)
	}
	c.err = errors.New("store is away")
	rec, err := w.once(s, t0.Add(step))
	if d := decisionOf(rec, "down"); err != nil || d.Control == nil || *d.Control != c.orders[0] {
		t.Errorf("the last known order is not used: %v, %+v", err, d.Control)
	}
	if len(rec.Errors) != 1 || !strings.Contains(rec.Errors[0], "store is away; the last known are used") {
		t.Errorf("errors %q", rec.Errors)
	}
	rec, err = w.once(s, t0.Add(time.Hour))
	if d := decisionOf(rec, "down"); err != nil || d.Control != nil {
		t.Errorf("the last known order holds beyond its end: %v, %+v", err, d.Control)
	}

	fresh := w.scaler()
	fresh.deps.Controls = c
	rec, err = w.once(fresh, t0.Add(time.Hour+step))
	if err != nil || len(rec.Errors) != 1 || !strings.Contains(rec.Errors[0], "every group is frozen") {
		t.Fatalf("%v, errors %q", err, rec.Errors)
	}
	for _, d := range rec.Decisions {
		if d.Control == nil || d.Control.Kind != api.ControlFreeze || !strings.Contains(d.Control.Reason, "store is away") {
			t.Errorf("%s is under %+v", d.Group, d.Control)
		}
	}
	c.err, c.orders = nil, nil
	rec, err = w.once(fresh, t0.Add(time.Hour+2*step))
	if d := decisionOf(rec, "up"); err != nil || d.Control != nil || len(rec.Errors) != 0 {
		t.Errorf("with the orders readable again: %v, %+v, %q", err, d.Control, rec.Errors)
	}
}

// A scaler died before it acted, and until another one goes on somebody has given
// an order.
func TestAnOrderGivenMeanwhileStopsAnInterruptedTick(t *testing.T) {
	for _, c := range []struct {
		name     string
		order    api.Control
		up, down int
	}{
		{"a pause stops everything", order(api.ControlPause, api.AllGroups, 1), 4, 6},
		{"a freeze stops what shrinks", order(api.ControlFreeze, api.AllGroups, 1), 5, 6},
		{"one for another group stops nothing", order(api.ControlPause, "same", 1), 5, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.bad = &saboteur{op: "scale up", nth: 1, mode: diesBefore, seen: map[string]int{}}
			_, _ = w.once(w.scaler(), t0)
			w.bad = nil
			s := w.scaler()
			s.deps.Controls = &clerk{orders: []api.Control{c.order}}
			rec, err := w.once(s, t0.Add(time.Minute))
			if err != nil || w.desired("up") != c.up || w.desired("down") != c.down {
				t.Errorf("%v, up %d, down %d", err, w.desired("up"), w.desired("down"))
			}
			if d := decisionOf(rec, "down"); c.down == 6 && (d.Outcome.Status != api.OutcomeSkipped || !strings.Contains(d.Outcome.Detail, "by somebody")) {
				t.Errorf("outcome %+v", d.Outcome)
			}
			w.check(c.name)
		})
	}
}
