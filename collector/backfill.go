package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/forescale/forescale/internal/dataset"
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
	At          time.Time     // end of the range that is done, or being done, for Source
	Done, Total time.Duration // of the ranges of all sources together, without what an earlier run has done
	Samples     int           // offered so far
}

// Backfill fetches [from, to), as far as it is past, from each source, in chunks
// of at most a day, and stores what the lake lacks. It may be stopped at any
// moment and run again: nothing is doubled, and with a State it goes on with the
// first chunk that was not done. Progress, unless nil, is called as the work goes on.
//
// A source that forgets (see Bounded) is asked for what it still has. Older samples
// that a provider keeps in longer steps only are not asked for: a slot would have
// to be invented from them.
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
	var jobs []*backfillJob
	var errs []error
	for _, s := range c.sources {
		start := c.oldestOf(s, from, now)
		if !start.Before(to) {
			continue
		}
		job, err := c.backfillJob(ctx, s, start, to)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		jobs = append(jobs, job)
		p.Total += to.Sub(job.done)
	}
	if len(jobs) == 0 && len(errs) == 0 && len(c.sources) > 0 {
		return fmt.Errorf("back-fill: no source keeps samples in steps of %s as old as %s", c.step, interval(from, to))
	}
	for _, job := range jobs {
		report := func(at time.Time, done time.Duration, samples int) {
			p.Source, p.At, p.Done, p.Samples = job.source.Name(), at, p.Done+done, p.Samples+samples
			if progress != nil {
				progress(p)
			}
		}
		errs = append(errs, c.backfill(ctx, job, report))
	}
	return errors.Join(errs...)
}

// oldestOf returns the start of the range that the source can be asked for.
func (c *Collector) oldestOf(s Source, from, now time.Time) time.Time {
	b, ok := s.(Bounded)
	if !ok {
		return from
	}
	oldest := b.Oldest(now)
	if !from.Before(oldest) {
		return from
	}
	c.log.Warn("the provider keeps samples of this step for a shorter time; what is older stays missing",
		"source", s.Name(), "from", from, "oldest", oldest, "step", c.step.String())
	return oldest.UTC().Add(c.step - 1).Truncate(c.step)
}

// backfill does what is left of one job. The series that failed come back as one
// error each, with the first cause.
func (c *Collector) backfill(ctx context.Context, job *backfillJob, report func(time.Time, time.Duration, int)) error {
	name := job.source.Name()
	var errs []error
	if len(job.skipped) > 0 {
		errs = append(errs, &SeriesError{Series: job.skipped, Err: fmt.Errorf("back-fill of %s: skipped before it was stopped", name)})
	}
	stopped := func(at time.Time, err error) error {
		return errors.Join(append(errs, fmt.Errorf("back-fill of %s stopped at %s: %w", name, at.Format(time.RFC3339), err))...)
	}
	parts, err := job.parts(ctx, c.step, c.cfg.FetchTimeout)
	if err != nil {
		return stopped(job.done, err)
	}
	k := newChunks(job.done, job.to, c.step)
	switch {
	case len(parts) > 1: // whose rows of a day are known to fit
		k.size = maxChunk
	case job.chunk > 0:
		k.size = job.chunk
	}
	for k.more() {
		if err := ctx.Err(); err != nil {
			return stopped(k.at, err)
		}
		start, end := k.next()
		most, length := 0, end.Sub(start)
		for i, part := range parts {
			o, err := c.backfillChunk(ctx, part, start, end)
			if err == nil && o.whole {
				err = o.err
			}
			if err != nil {
				return stopped(start, err)
			}
			if job.skip(o.failed) { // the same series fail in each chunk; say it once
				errs = append(errs, o.err)
			}
			most = max(most, len(o.samples))
			// Each part is its share of the chunk; together they are the chunk, rounding or not.
			share := func(n int) time.Duration { return length * time.Duration(n) / time.Duration(len(parts)) }
			report(end, share(i+1)-share(i), len(o.samples))
		}
		k.saw(most)
		job.done, job.chunk = end, k.size
		if err := c.saveJob(ctx, job); err != nil {
			return stopped(end, err)
		}
	}
	errs = append(errs, c.backfilled(ctx, job))
	return errors.Join(append(errs, c.finishJob(ctx, job))...)
}

// parts returns the source, or what it is divided into for chunks of a day.
func (j *backfillJob) parts(ctx context.Context, step, timeout time.Duration) ([]Source, error) {
	d, ok := j.source.(Divisible)
	if !ok {
		return []Source{j.source}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	parts, err := d.Divide(ctx, max(1, maxChunkRows*3/4/int(maxChunk/step))) // a quarter to spare, for flags
	if err == nil && len(parts) == 0 {
		parts = []Source{j.source} // that has no series at present
	}
	return parts, err
}

// backfillChunk holds the lock for one chunk of one part only, so that live ticks of
// the same collector run in between. What came is compared with what the lake holds
// of its groups: those of other parts are none of its business.
func (c *Collector) backfillChunk(ctx context.Context, src Source, from, to time.Time) (outcome, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.fetch(ctx, src, from, to)
	if len(o.samples) == 0 {
		return o, nil
	}
	seen := map[string]bool{}
	q := dataset.Query{From: from, To: to}
	for _, s := range o.samples {
		if !seen[s.Group] {
			seen[s.Group] = true
			q.Groups = append(q.Groups, s.Group)
		}
	}
	slices.Sort(q.Groups)
	if _, err := c.putBeside(ctx, c.readBack(ctx, q), o.samples, to); err != nil {
		return outcome{}, errors.Join(o.err, err)
	}
	return o, nil
}

// backfilled moves the source's mark when the range that is now stored joins or
// starts what was asked for before.
func (c *Collector) backfilled(ctx context.Context, job *backfillJob) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.loadState(ctx); err != nil {
		return err
	}
	m := c.marksOf(job.source)
	if m.through.IsZero() || !m.through.Before(job.from) && m.through.Before(job.to) {
		m.through, m.unknown = job.to, time.Time{}
		for _, s := range job.skipped {
			m.owe(s, job.from)
		}
	}
	return c.saveState(ctx)
}
