package mqtt

import (
	"context"
	"errors"
	"time"
)

// Delays before the next attempt. A connection that lived for stableAfter was a
// good one; shorter ones make the delays grow, because a broker that closes
// connections without a word may be evicting us for a client of the same id.
const (
	firstRetry   = 500 * time.Millisecond
	lastRetry    = time.Minute
	evictedRetry = 30 * time.Second
	stableAfter  = time.Minute
)

// backoff doubles the delay from attempt to attempt, and spreads it over its
// upper half, so that a fleet does not come back at the same moment.
type backoff struct {
	first, most time.Duration
	jitter      func() float64
	delay       time.Duration // of the attempt before; 0: there was none
}

// next returns the delay before the next attempt, after one that lived for so long
// and ended with err.
func (b *backoff) next(lived time.Duration, err error) time.Duration {
	switch {
	case lived >= stableAfter || b.delay == 0:
		b.delay = b.first
	default:
		b.delay = min(b.most, 2*b.delay)
	}
	if errors.Is(err, errTakenOver) {
		b.delay = min(b.most, max(b.delay, evictedRetry))
	}
	return b.delay/2 + time.Duration(b.jitter()*float64(b.delay/2))
}

// pause returns after d or when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
