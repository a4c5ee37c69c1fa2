package collector

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/dataset"
)

// The reasons for which a sample is not taken as it came. They are label values
// of the metrics.
const (
	dropNonFinite  = "non_finite"   // NaN or infinite
	dropInvalid    = "invalid"      // a name is missing, too long or no text (api.CheckName), or the statistic unknown
	dropOutOfRange = "out_of_range" // not asked for
	noteUnaligned  = "unaligned"    // kept, moved to the start of its slot
)

// accept returns the samples that may be stored, each at the start of its slot
// in UTC. The others are counted by reason, and the first of each reason is logged.
func (c *Collector) accept(s Source, samples []api.Sample, from, to time.Time) []api.Sample {
	counts := map[string]int{}
	kept := samples[:0:0]
	note := func(reason string, sample api.Sample, err error) {
		if counts[reason]++; counts[reason] == 1 {
			c.log.Warn("irregular sample", "source", s.Name(), "reason", reason, "group", sample.Group,
				"metric", sample.Metric, "time", sample.Time, "value", sample.Value, "err", err)
		}
	}
	for _, sample := range samples {
		if math.IsNaN(sample.Value) || math.IsInf(sample.Value, 0) {
			note(dropNonFinite, sample, nil)
			continue
		}
		if err := sample.Validate(); err != nil {
			note(dropInvalid, sample, err)
			continue
		}
		if sample.Value < 0 && sample.Stat == api.StatSum && api.DefaultStat(sample.Metric) == api.StatSum {
			note(dropNegative, sample, nil)
			continue
		}
		slot := sample.Time.UTC().Truncate(c.step)
		if slot.Before(from) || !slot.Before(to) {
			note(dropOutOfRange, sample, nil)
			continue
		}
		if !slot.Equal(sample.Time) {
			note(noteUnaligned, sample, nil)
		}
		sample.Time = slot
		kept = append(kept, sample)
	}
	c.meters.irregular(s.Name(), counts)
	return kept
}

// point identifies one value of the lake.
type point struct {
	series Series
	slot   int64 // Unix seconds of the slot's start
}

func pointOf(s api.Sample) point { return point{SeriesOf(s), s.Time.Unix()} }

// snapshot is what the lake holds of [from, to).
type snapshot struct {
	from, to time.Time
	values   map[point]float64
}

// put stores those of the samples of [from, to) that the lake lacks or holds
// with another value, and the calendar's flags beside them. It returns how many
// rows were written. A nil error means that all of the samples are in the lake.
func (c *Collector) put(ctx context.Context, samples []api.Sample, from, to time.Time) (int, error) {
	return c.putBeside(ctx, c.known(ctx, from, to), samples, to)
}

// putBeside is put for a caller that knows what the lake holds of the samples'
// range, which ends at to.
func (c *Collector) putBeside(ctx context.Context, known snapshot, samples []api.Sample, to time.Time) (int, error) {
	fresh, count := c.unknown(samples, known)
	if len(fresh) == 0 {
		c.meters.stored(0, count)
		return 0, nil
	}
	b := c.batch(fresh, to.Add(-c.step))
	if err := c.hand(ctx, b); err != nil {
		c.recent = nil // a part of it may be stored
		return 0, fmt.Errorf("store %d samples of slot %s: %w", len(fresh), b.slot.Format(time.RFC3339), err)
	}
	c.meters.stored(len(fresh), count)
	c.learn(fresh, known)
	return len(fresh), nil
}

// putLive is put for the tick at to: what the sources gave, and the cells, whose
// slots may be older than from. What the lake does not take goes to the spool; the
// error is then an ErrSpooled, and the snapshot is what the lake is going to hold.
func (c *Collector) putLive(ctx context.Context, outcomes []outcome, cells []dueCell, from, to time.Time, away error) (snapshot, error) {
	var samples, old []api.Sample
	for _, o := range outcomes {
		samples = append(samples, o.samples...)
	}
	for _, d := range cells {
		if d.key.slot < from.Unix() {
			old = append(old, d.samples...) // the cell knows what the lake has of it
		} else {
			samples = append(samples, d.samples...)
		}
	}
	known := snapshot{from, to, map[point]float64{}}
	if away == nil || c.remembers(from) {
		known = c.known(ctx, from, to)
	}
	fresh, count := c.unknown(samples, known)
	fresh = append(fresh, old...)
	fresh = append(fresh, c.flagSamples(old)...)
	if len(fresh) == 0 {
		c.meters.stored(0, count)
		return known, nil
	}
	stored, err := c.place(ctx, c.batch(fresh, to.Add(-c.step)), away)
	if err != nil && !errors.Is(err, ErrSpooled) {
		c.recent = nil // a part of it may be stored
		return known, err
	}
	if stored {
		c.meters.stored(len(fresh), count)
	}
	c.learn(fresh, known)
	return known, err
}

// learn notes in the snapshots what the lake holds now, or will.
func (c *Collector) learn(fresh []api.Sample, known snapshot) {
	for _, s := range fresh {
		known.values[pointOf(s)] = s.Value
		if r := c.recent; r != nil && !s.Time.Before(r.from) && s.Time.Before(r.to) {
			r.values[pointOf(s)] = s.Value // a chunk may overlap the live range
		}
	}
}

// batch returns the samples with the moment at which they are handed over. Of two
// revisions the one ingested later wins, so that a clock that is set back must not
// make a newer revision look older.
func (c *Collector) batch(samples []api.Sample, slot time.Time) batch {
	now := c.now()
	if !now.After(c.lastIngest) {
		now = c.lastIngest.Add(time.Millisecond)
	}
	c.lastIngest = now
	return batch{slot: slot, ingested: now, samples: samples}
}

// tally counts what was special about the rows of one put.
type tally struct{ late, revised, duplicates int }

// unknown returns the samples, and the flags beside them, that the snapshot
// lacks or holds with another value. Of several values for one slot the first
// one counts.
func (c *Collector) unknown(samples []api.Sample, known snapshot) (fresh []api.Sample, count tally) {
	seen := make(map[point]bool, len(samples))
	add := func(s api.Sample) {
		p := pointOf(s)
		if seen[p] {
			count.duplicates++
			return
		}
		seen[p] = true
		old, stored := known.values[p]
		switch {
		case stored && old == s.Value:
			return
		case stored:
			count.revised++
		case c.recent != nil && !s.Time.Before(c.recent.from) && s.Time.Before(c.recent.to): // the tick before asked for it
			count.late++
		}
		fresh = append(fresh, s)
	}
	for _, s := range samples {
		add(s)
	}
	for _, s := range c.flagSamples(samples) {
		if !seen[pointOf(s)] { // a source that measures the flag knows better
			add(s)
		}
	}
	return fresh, count
}

// flagSamples returns the calendar's flags at each slot for which a group has a
// sample.
func (c *Collector) flagSamples(samples []api.Sample) []api.Sample {
	if c.calendar == nil {
		return nil
	}
	flags := c.calendar.Flags()
	if len(flags) == 0 {
		return nil
	}
	type cell struct {
		group string
		slot  int64
	}
	seen := map[cell]bool{}
	var out []api.Sample
	for _, s := range samples {
		if at := (cell{s.Group, s.Time.Unix()}); seen[at] {
			continue
		} else {
			seen[at] = true
		}
		for _, flag := range flags {
			out = append(out, api.Sample{Group: s.Group, Metric: flag, Stat: api.StatAvg, Time: s.Time,
				Value: c.calendar.Flag(flag, s.Time)})
		}
	}
	return out
}

// known returns what the lake holds of [from, to). What cannot be read counts as
// missing: rows are then written again, which does no harm.
func (c *Collector) known(ctx context.Context, from, to time.Time) snapshot {
	if c.remembers(from) {
		// What others have stored after recent.to is not in it, and is written again.
		return snapshot{from, to, c.recent.values}
	}
	return c.readBack(ctx, dataset.Query{From: from, To: to})
}

// remembers reports whether recent tells what the lake holds from there on.
func (c *Collector) remembers(from time.Time) bool {
	return c.recent != nil && !from.Before(c.recent.from) && !from.After(c.recent.to)
}

// readBack returns what the lake holds of a query, as known does.
func (c *Collector) readBack(ctx context.Context, q dataset.Query) snapshot {
	snap := snapshot{q.From, q.To, map[point]float64{}}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.StoreTimeout)
	defer cancel()
	rows, err := c.lake.Scan(ctx, q)
	if err != nil {
		c.log.Warn("cannot read back all that the lake holds; storing it again", "from", q.From, "to", q.To, "err", err)
	}
	for _, s := range rows {
		snap.values[pointOf(s)] = s.Value
	}
	return snap
}

// keep makes the snapshot of the live range the one that the next tick compares
// with, so that the lake need not be read at each tick.
func (c *Collector) keep(snap snapshot) {
	for p := range snap.values {
		if p.slot < snap.from.Unix() {
			delete(snap.values, p)
		}
	}
	c.recent = &snap
}
