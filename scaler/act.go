package scaler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/scaler/plan"
)

// act carries the intents of a tick out, or judges those that a stopped scaler
// left behind (resumed): both read the group first and go by what they find.
// Every decision of rec has an outcome afterwards. A provider that hangs can hold
// a tick up until its end and no longer, however many groups there are.
func (t *tick) act(ctx context.Context, rec *api.TickRecord, resumed bool) {
	ctx, cancel := context.WithTimeout(ctx, t.left())
	defer cancel()
	var calls errgroup.Group
	calls.SetLimit(t.cfg.Parallel)
	intents := t.urgent(rec.Decisions)
	for _, i := range intents {
		d := &rec.Decisions[i]
		calls.Go(func() error {
			d.Outcome = t.carryOut(ctx, *d, resumed)
			d.Outcome.At = t.clock()
			t.report(*d)
			return nil
		})
	}
	_ = calls.Wait() // failures are outcomes
	for _, i := range intents {
		if d := rec.Decisions[i]; d.Outcome.Status == api.OutcomeFailed {
			t.failed[d.Group] = true
		} else {
			delete(t.failed, d.Group)
		}
	}
}

// urgent returns the indexes of the intents in the order in which they are to be
// carried out: what grows before what shrinks, and last those groups whose change
// failed when it was tried before. They may hang again, and shall not keep the
// others waiting.
func (t *tick) urgent(ds []api.Decision) []int {
	var intents []int
	for i, d := range ds {
		if d.Outcome.Status == "" {
			intents = append(intents, i)
		}
	}
	rank := func(i int) int {
		switch d := ds[i]; {
		case t.failed[d.Group]:
			return 2
		case d.Desired < d.Capacity.Desired:
			return 1
		}
		return 0
	}
	slices.SortStableFunc(intents, func(a, b int) int { return cmp.Compare(rank(a), rank(b)) })
	return intents
}

// left returns how long it is until the tick is over, and the next one due.
func (t *tick) left() time.Duration {
	return t.at.Add(t.step + t.cfg.Settle).Sub(t.clock())
}

func (t *tick) report(d api.Decision) {
	log := t.deps.Log.With("group", d.Group, "tick", d.Tick, "from", d.Capacity.Desired, "to", d.Desired, "detail", d.Outcome.Detail)
	switch d.Outcome.Status {
	case api.OutcomeAccepted:
		log.Info("capacity changed")
	case api.OutcomeSkipped:
		log.Warn("capacity change skipped")
	default:
		log.Error("capacity change failed")
	}
}

func outcome(status api.OutcomeStatus, format string, args ...any) api.Outcome {
	return api.Outcome{Status: status, Detail: fmt.Sprintf(format, args...)}
}

// carryOut makes one change, unless the world is not as it was when it was
// decided. A resumed one may have been made already, by whoever began it.
func (t *tick) carryOut(ctx context.Context, d api.Decision, resumed bool) api.Outcome {
	c, err := t.capacity(ctx, d.Group)
	switch {
	case err != nil:
		return outcome(api.OutcomeFailed, "the group could not be read just before: %v", err)
	case resumed && c.Desired == d.Desired:
		return outcome(api.OutcomeAccepted, "found carried out after an interruption")
	case c.Desired != d.Capacity.Desired:
		return outcome(api.OutcomeSkipped, "somebody else set the desired capacity to %d meanwhile", c.Desired)
	case !d.Tick.Equal(t.at), t.left() <= 0:
		return outcome(api.OutcomeSkipped, "not carried out before the tick was over")
	}
	if why := t.forbidden(d, c); why != "" {
		return outcome(api.OutcomeSkipped, "%s", why)
	}
	left, err := t.lease.confirm(ctx)
	switch {
	case errors.Is(err, ErrLeaseLost):
		return outcome(api.OutcomeSkipped, "%v", err)
	case err != nil:
		return outcome(api.OutcomeSkipped, "the lease could not be confirmed: %v", err)
	}
	// The call must be over before the lease is, with a margin for the clocks.
	ctx, cancel := context.WithTimeout(ctx, min(t.cfg.Deadlines.Act, left*3/4))
	defer cancel()
	err = t.deps.Target.Scale(ctx, d.Group, d.Desired)
	if err == nil {
		return api.Outcome{Status: api.OutcomeAccepted}
	}
	t.meters.providerError(errorKind(err))
	switch {
	case errors.Is(err, ErrRefused):
		return outcome(api.OutcomeFailed, "%v", err)
	default:
		return outcome(api.OutcomeFailed, "%v; whether it took effect will be seen at the next tick", err)
	}
}

// forbidden returns why today's configuration, the orders in force and the
// provider's bounds rule an intent out, which they may have come to do since it
// was decided.
func (t *tick) forbidden(d api.Decision, c api.Capacity) string {
	i, known := t.byName[d.Group]
	switch {
	case !known:
		return "the group is no longer configured"
	case t.groups[i].Mode != api.ModeLive:
		return "the group is no longer in live mode"
	}
	if o := t.orders.inForce(d.Group, t.at); o != nil && (o.Kind == api.ControlPause || d.Desired < c.Desired) {
		return fmt.Sprintf("%s of %s by %s until %s: %s", o.Kind, o.Group, o.By, stamp(o.Until), o.Reason)
	}
	low, high := plan.Bounds(t.groups[i], c)
	if d.Desired > max(high, c.Desired) || d.Desired < min(low, c.Desired) {
		return fmt.Sprintf("the bounds have become %d to %d", low, high)
	}
	return ""
}

// capacity reads one group.
func (t *tick) capacity(ctx context.Context, group string) (api.Capacity, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Deadlines.Capacity)
	defer cancel()
	found, err := t.deps.Target.Capacities(ctx, []string{group})
	if c, ok := found[group]; ok {
		return c, nil
	}
	if err == nil {
		err = ErrUnknownGroup
	}
	t.meters.providerError(errorRead)
	return api.Capacity{}, err
}
