package scaler

import (
	"context"
	"errors"
	"time"
)

// retryAfter is how long Run waits before it tries a failed tick again. What the
// tick had begun is completed then.
const retryAfter = 10 * time.Second

// Run runs a tick at every step, Settle after the end of its slot, until ctx
// ends. It starts with the present one, so that a restart loses none. A tick
// that fails, or that another scaler is at work on, is tried again until it is
// recorded or the next one is due.
func (s *Scaler) Run(ctx context.Context) error {
	s.mu.Lock()
	s.idle = true
	s.mu.Unlock()
	for {
		now := s.deps.Now().UTC()
		at := now.Add(-s.cfg.Settle).Truncate(s.step)
		s.runTick(ctx, at)
		next := at.Add(s.step + s.cfg.Settle)
		s.deepen(ctx, next)
		if !sleep(ctx, next.Sub(s.deps.Now())) {
			return ctx.Err()
		}
	}
}

// runTick tries a tick until it is recorded, or the next one is due.
func (s *Scaler) runTick(ctx context.Context, at time.Time) {
	due := at.Add(s.step + s.cfg.Settle)
	for {
		now := s.deps.Now().UTC()
		if now.Before(at) || !now.Before(due) {
			return // due, or the clock went back
		}
		rec, err := s.once(ctx, at, now)
		var held *LeaseHeldError
		switch {
		case err == nil:
			s.deps.Log.Info("tick recorded", "tick", rec.Tick, "scaler", rec.Scaler, "groups", len(rec.Decisions), "errors", len(rec.Errors))
			if s.deps.OnTick != nil {
				s.deps.OnTick(rec)
			}
			return
		case ctx.Err() != nil:
			return
		case errors.As(err, &held):
			s.deps.Log.Info("another scaler is at work", "tick", at, "holder", held.Holder, "until", held.Until)
		default:
			s.deps.Log.Error("tick not completed", "tick", at, "err", err)
		}
		if !sleep(ctx, min(retryAfter, due.Sub(s.deps.Now()))) {
			return
		}
	}
}

// sleep waits for d and reports whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}
