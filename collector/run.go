package collector

import (
	"context"
	"sync"
	"time"
)

// maxWait bounds, on the process's clock, how long Run sleeps before it looks at
// the time again. A clock that was set, or a machine that slept, is noticed then.
const maxWait = 10 * time.Second

// Run ticks until ctx ends, and then returns nil. The first tick is at once, the
// others one Settle after each slot's end. A tick that fails is logged; a later
// one makes up for it. Streams are received meanwhile.
func (c *Collector) Run(ctx context.Context) error {
	var streams sync.WaitGroup
	streams.Go(func() { c.RunStreams(ctx) })
	c.runTicks(ctx)
	streams.Wait()
	return nil
}

func (c *Collector) runTicks(ctx context.Context) {
	var last time.Time
	for ctx.Err() == nil {
		now := c.now()
		tick := now.Add(-c.cfg.Settle).UTC().Truncate(c.step)
		if back := last.Sub(tick); back > c.step { // a step or less is a clock being adjusted
			c.log.Warn("the clock was set back", "tick", tick, "last", last)
			last = time.Time{}
		}
		if !tick.After(last) {
			wait(ctx, min(maxWait, last.Add(c.step+c.cfg.Settle).Sub(now)))
			continue
		}
		if !last.IsZero() && tick.Sub(last) > c.step {
			c.log.Warn("ticks were missed; fetching what they would have", "tick", tick, "last", last)
		}
		last = tick
		if err := c.once(ctx, tick, tick.Add(c.step+c.cfg.Settle)); err != nil && ctx.Err() == nil {
			c.log.Error("tick", "tick", tick, "err", err)
		} else if err == nil {
			c.log.Debug("tick", "tick", tick)
		}
	}
}

// wait returns after d or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
