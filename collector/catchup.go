package collector

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/window"
)

// trustMarks gives every source a mark that lies before the tick. A source
// without one, or with one in the future (the clock was wrong, or the tick is
// replayed), starts where the lake's samples end. After an error some sources
// have no mark; the next tick tries again. When the lake is known to be away it is
// not asked.
func (c *Collector) trustMarks(ctx context.Context, tick time.Time, away error) error {
	loadErr := away
	if away == nil {
		loadErr = c.loadState(ctx)
	}
	for _, s := range c.sources {
		m := c.marksOf(s)
		if m.unknown.IsZero() && (m.through.IsZero() || m.through.After(tick)) || tick.Before(m.unknown) {
			m.through, m.unknown = time.Time{}, tick
		}
	}
	if away != nil {
		return nil // it is in the tick's error
	}
	if loadErr != nil {
		return loadErr
	}
	for _, s := range c.sources {
		m := c.marksOf(s)
		if m.unknown.IsZero() {
			continue
		}
		// What has been stored since then tells nothing of the time before.
		through, err := c.storedThrough(ctx, m.unknown)
		if err != nil {
			return err
		}
		m.through, m.unknown = through, time.Time{}
	}
	return nil
}

// storedThrough returns the end of the newest slot before the tick for which the
// lake has a measured value. A lake without any within the catch-up bound
// counts as stored up to the last tick: there is no hole to fill. It looks at an
// hour, then at one as long as all before together, up to a day: the rows of a whole
// day of 10,000 groups take more than a gigabyte.
func (c *Collector) storedThrough(ctx context.Context, tick time.Time) (time.Time, error) {
	oldest := tick.Add(-c.cfg.CatchUp)
	for to := tick; to.After(oldest); {
		from := to.Add(-min(24*time.Hour, max(time.Hour, c.lookBack(), tick.Sub(to))))
		ctx, cancel := context.WithTimeout(ctx, c.cfg.StoreTimeout)
		rows, err := c.lake.Scan(ctx, dataset.Query{From: from, To: to})
		cancel()
		if err != nil && !dataset.OnlyCorrupt(err) { // without a corrupt part, the end is found too early at worst
			return time.Time{}, fmt.Errorf("find where the lake's samples end: %w", err)
		}
		var newest time.Time
		for _, s := range rows {
			if s.Time.After(newest) && !strings.HasPrefix(s.Metric, window.FlagPrefix) {
				newest = s.Time
			}
		}
		if !newest.IsZero() {
			return newest.Add(c.step), nil
		}
		to = from
	}
	return tick.Add(-c.step), nil
}

// catchUp fills, for each source that answered at this tick, what it owes. The
// live range starts at live. From pause on (unless zero) it stops between two
// chunks; the next tick goes on from there.
func (c *Collector) catchUp(ctx context.Context, outcomes []outcome, live, tick, pause time.Time) error {
	var errs []error
	for _, o := range outcomes {
		if o.whole {
			continue
		}
		m := c.marksOf(o.source)
		failing := seriesSet(o.failed)
		due := map[Series]bool{}
		for s := range m.owed {
			if !failing[s] {
				due[s] = true
			}
		}
		if len(due) > 0 {
			errs = append(errs, c.payOff(ctx, o.source, due, live, tick, pause))
		}
	}
	return errors.Join(errs...)
}

// payOff asks the source again for all that the due series lack before the live
// range. What fails once more stays owed.
func (c *Collector) payOff(ctx context.Context, src Source, due map[Series]bool, live, tick, pause time.Time) error {
	m := c.marksOf(src)
	since := live
	for s := range due {
		if m.owed[s].Before(since) {
			since = m.owed[s]
		}
	}
	if oldest := tick.Add(-c.cfg.CatchUp); since.Before(oldest) {
		c.log.Warn("a hole reaches past the catch-up bound; fill the rest with a back-fill",
			"source", src.Name(), "from", since, "to", oldest)
		since = oldest
	}
	var errs []error
	for k := newChunks(since, live, c.step); k.more() && len(due) > 0; {
		if !pause.IsZero() && !c.now().Before(pause) {
			return errors.Join(append(errs, c.saveState(ctx))...)
		}
		from, to := k.next()
		o, err := c.collect(ctx, src, from, to)
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		errs = append(errs, o.err)
		if o.whole {
			return errors.Join(errs...)
		}
		k.saw(len(o.samples))
		failing := seriesSet(o.failed)
		for s := range due {
			switch {
			case failing[s]:
				delete(due, s) // owed still, from where it failed first
			case m.owed[s].Before(to):
				m.owed[s] = to
			}
		}
		merged := false
		for s := range failing {
			merged = m.owe(s, from) || merged
		}
		if merged { // what is due now reaches back to from again; the next tick pays it
			return errors.Join(append(errs, c.saveState(ctx))...)
		}
		c.log.Info("filled a hole", "source", src.Name(), "from", from, "to", to, "samples", len(o.samples))
		if err := c.saveState(ctx); err != nil {
			return errors.Join(append(errs, err)...)
		}
	}
	for s := range due {
		delete(m.owed, s)
	}
	return errors.Join(append(errs, c.saveState(ctx))...)
}

func seriesSet(list []Series) map[Series]bool {
	set := make(map[Series]bool, len(list))
	for _, s := range list {
		set[s] = true
	}
	return set
}

// The bounds of a chunk. maxChunkRows keeps the memory of a chunk near 100 MB.
const (
	firstChunk   = 3 * time.Hour
	maxChunk     = 24 * time.Hour
	maxChunkRows = 400_000
)

// chunks cuts [at, end) into pieces that do not cross a day's end, so that each
// becomes one part of the lake, and that grow or shrink with the rows that come.
type chunks struct {
	at, end    time.Time
	size, step time.Duration
}

func newChunks(from, to time.Time, step time.Duration) *chunks {
	return &chunks{at: from.UTC().Truncate(step), end: to, size: max(firstChunk, step), step: step}
}

func (k *chunks) more() bool { return k.at.Before(k.end) }

// next returns the next piece.
func (k *chunks) next() (from, to time.Time) {
	from = k.at
	to = from.Add(k.size)
	if midnight := from.Truncate(24 * time.Hour).Add(24 * time.Hour); to.After(midnight) {
		to = midnight
	}
	if to.After(k.end) {
		to = k.end
	}
	k.at = to
	return from, to
}

// saw adapts the length of the following pieces to the rows of the last one.
func (k *chunks) saw(rows int) {
	switch {
	case rows > maxChunkRows:
		k.size = max(k.step, (k.size / 2).Truncate(k.step))
	case rows < maxChunkRows/4:
		k.size = min(maxChunk, 2*k.size)
	}
}
