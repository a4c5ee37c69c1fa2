package collector

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Divisible is implemented by a Source of so many series that a day of all of them
// is too much at a time. A back-fill then asks part by part for long ranges instead
// of for short ranges of everything: where each series of each call is billed, that
// is a fraction of the price.
type Divisible interface {
	// Divide returns sources of the same name that together offer what the source
	// does: each whole groups, with at most that many series unless one group has more.
	Divide(ctx context.Context, series int) ([]Source, error)
}

// Progress tells how far a Backfill has come.
type Progress struct {
	Source      string
	At          time.Time     // end of the range that is done for Source
	Done, Total time.Duration // of the ranges of all sources together
	Samples     int           // offered so far
}

// Backfill fetches [from, to), as far as it is past, from each source, in chunks
// of at most a day, and stores what the lake lacks. It may be stopped at any
// moment and run again: nothing is doubled. Progress, unless nil, is called after
// each chunk.
//
// A source that fails as a whole ends its own back-fill, the others go on; series
// that fail on their own are skipped. The error names both, with the place.
func (c *Collector) Backfill(ctx context.Context, from, to time.Time, progress func(Progress)) error {
	now := c.now().UTC()
	if to.After(now) {
		to = now
	}
	from, to = from.UTC().Truncate(c.step), to.UTC().Truncate(c.step)
	if !from.Before(to) {
		return fmt.Errorf("back-fill: %s is not before %s", from.Format(time.RFC3339), to.Format(time.RFC3339))
	}
	p := Progress{}
	starts := make([]time.Time, len(c.sources))
	for i, s := range c.sources {
		starts[i] = from
		if b, ok := s.(Bounded); ok {
			if oldest := b.Oldest(now); from.Before(oldest) {
				c.log.Warn("the provider has forgotten the start of the range", "source", s.Name(), "from", from, "oldest", oldest)
				starts[i] = oldest.UTC().Add(c.step - 1).Truncate(c.step)
			}
		}
		if starts[i].Before(to) {
			p.Total += to.Sub(starts[i])
		}
	}
	if p.Total == 0 && len(c.sources) > 0 {
		return fmt.Errorf("back-fill: no source keeps samples as old as %s", interval(from, to))
	}
	var errs []error
	for i, s := range c.sources {
		report := func(at time.Time, chunk time.Duration, samples int) {
			p.Source, p.At, p.Done, p.Samples = s.Name(), at, p.Done+chunk, p.Samples+samples
			if progress != nil {
				progress(p)
			}
		}
		errs = append(errs, c.backfill(ctx, s, starts[i], to, report))
	}
	return errors.Join(errs...)
}

// backfill does one source. The series that failed come back as one error each,
// with the first cause.
func (c *Collector) backfill(ctx context.Context, src Source, from, to time.Time, report func(time.Time, time.Duration, int)) error {
	skipped := map[Series]bool{}
	var errs []error
	for k := newChunks(from, to, c.step); k.more(); {
		if err := ctx.Err(); err != nil {
			return errors.Join(append(errs, fmt.Errorf("back-fill of %s stopped at %s: %w", src.Name(), k.at.Format(time.RFC3339), err))...)
		}
		start, end := k.next()
		o, err := c.backfillChunk(ctx, src, start, end)
		if err == nil && o.whole {
			err = o.err
		}
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("back-fill of %s stopped at %s: %w", src.Name(), start.Format(time.RFC3339), err))...)
		}
		news := false
		for _, s := range o.failed {
			news = news || !skipped[s]
			skipped[s] = true
		}
		if news { // the same series fail in each chunk; say it once
			errs = append(errs, o.err)
		}
		k.saw(len(o.samples))
		report(end, end.Sub(start), len(o.samples))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(append(errs, c.backfilled(ctx, src, from, to, skipped))...)
}

// backfillChunk holds the lock for one chunk only, so that live ticks of the same
// collector run in between.
func (c *Collector) backfillChunk(ctx context.Context, src Source, from, to time.Time) (outcome, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	outcomes, _, err := c.collect(ctx, []Source{src}, from, to)
	if err != nil {
		return outcome{}, err
	}
	return outcomes[0], nil
}

// backfilled moves the source's mark when the range that is now stored joins or
// starts what was asked for before.
func (c *Collector) backfilled(ctx context.Context, src Source, from, to time.Time, skipped map[Series]bool) error {
	if err := c.loadState(ctx); err != nil {
		return err
	}
	m := c.marksOf(src)
	if m.through.IsZero() || !m.through.Before(from) && m.through.Before(to) {
		m.through, m.unknown = to, time.Time{}
		for s := range skipped {
			m.owe(s, from)
		}
	}
	return c.saveState(ctx)
}
