package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/api"
)

// Tail reads a dataset again and again, each time only where something is new.
// Whoever keeps what it hands out has what a Scan would return, late revisions
// included, without reading weeks of history for every new slot.
//
// It remembers which parts it has been through, and no rows. It is
// not safe for concurrent use.
type Tail struct {
	d      *Dataset
	grain  int64 // in microseconds
	lo, hi int64 // all rows of [lo, hi) in the parts seen have been handed out
	seen   seen
}

// Tail returns a Tail that has read nothing yet. What it hands out begins and ends
// on multiples of grain since 1970: with the length of a slot, a slot is handed
// out with all of its rows or not at all. grain must be whole microseconds and
// divide a day.
func (d *Dataset) Tail(grain time.Duration) *Tail {
	if grain < time.Microsecond || 24*time.Hour%grain != 0 {
		panic("dataset: the grain of a tail must divide a day")
	}
	return &Tail{d: d, grain: grain.Microseconds(), seen: nothingSeen()}
}

// Next hands out, group by group, all rows of every stretch of [from, to) in
// which rows may have appeared since the last call: everything at first, later
// the time since then and the span of each new part. put receives the samples of
// one group in [lo, hi), merged and sorted as Scan returns them; a group without
// any in that stretch is passed over. The slice is put's only until it returns.
//
// Parts that cannot be read are left out and named at every call, beside which
// the rest has been handed out (OnlyCorrupt). After any other error the next call
// begins with what this one has missed; what lies furthest back comes last, so
// that a reader whose time is short has the newest first, and the rest by and by.
// A to before that of the last call, as after a clock that was wrong, starts from
// scratch. from and to are multiples of the grain.
func (t *Tail) Next(ctx context.Context, from, to time.Time, groups []string, put func(lo, hi time.Time, samples []api.Sample)) error {
	lo, hi := micros(from, to)
	if lo >= hi {
		return nil
	}
	if hi < t.hi || t.hi <= t.lo || lo >= t.hi { // nothing of what has been handed out is of use
		t.lo, t.hi, t.seen = hi, hi, nothingSeen()
	}
	if err := t.next(ctx, lo, hi, groups, put); err != nil {
		return fmt.Errorf("read on: %w", err)
	}
	var corrupt []error
	for _, key := range slices.Sorted(maps.Keys(t.seen.broken)) {
		corrupt = append(corrupt, t.seen.broken[key])
	}
	return errors.Join(corrupt...)
}

func (t *Tail) next(ctx context.Context, lo, hi int64, groups []string, put func(lo, hi time.Time, samples []api.Sample)) error {
	plan, err := t.d.plan(ctx, Query{}, lo, hi)
	if err != nil {
		return err
	}
	seen, stretches, err := t.news(ctx, plan)
	if err != nil {
		return err
	}
	// What is new within what has been read, and what has come after it.
	for _, s := range coalesce(append(stretches, span{t.hi, hi - 1}), span{max(lo, t.lo), hi - 1}) {
		if err := t.hand(ctx, s, groups, seen, put); err != nil {
			return err
		}
	}
	t.lo, t.hi, t.seen = max(lo, t.lo), hi, seen
	// Then what lies before it, day by day.
	for t.lo > lo {
		day := time.UnixMicro(t.lo - 1).UTC().Truncate(24 * time.Hour).UnixMicro()
		s := span{max(lo, day), t.lo - 1}
		if err := t.hand(ctx, s, groups, seen, put); err != nil {
			return err
		}
		t.lo = s.min
	}
	return nil
}

// seen is what a Tail has been through.
type seen struct {
	ids    map[partID]bool          // parts, closed files, and what these stand for
	broken map[string]*CorruptError // by key
}

func nothingSeen() seen { return seen{map[partID]bool{}, map[string]*CorruptError{}} }

// news returns all that is there, and the spans of what is new. A closed file whose
// parts have all been seen is not: its rows are theirs. The first reading goes
// through everything anyway.
func (t *Tail) news(ctx context.Context, plan *plan) (now seen, stretches []span, err error) {
	now = nothingSeen()
	first := t.hi <= t.lo
	for _, c := range plan.broken {
		now.broken[c.Key] = c
	}
	for _, c := range plan.closed {
		now.ids[idOf(c.info)] = true
		for _, id := range c.file.parts {
			now.ids[id] = true
		}
		if !first && slices.ContainsFunc(c.file.parts, func(id partID) bool { return !t.seen.ids[id] }) {
			stretches = append(stretches, daySpan(c.file.key.day))
		}
	}
	for _, day := range plan.stale { // whatever it is now, it may be news; the next call knows
		stretches = append(stretches, daySpan(day))
	}
	spans := make([]span, len(plan.open))
	broken := make([]*CorruptError, len(plan.open))
	var reads errgroup.Group
	reads.SetLimit(readers)
	for i, info := range plan.open {
		now.ids[idOf(info)] = true
		spans[i] = span{0, -1}
		if first || t.seen.ids[idOf(info)] {
			broken[i] = t.seen.broken[info.Key]
			continue
		}
		reads.Go(func() (err error) {
			spans[i], broken[i], err = t.d.spanOf(ctx, info)
			if errors.Is(err, errStale) { // compacted away: where its rows are now is read below
				spans[i], err = daySpan(dayOf(info.Key)), nil
			}
			spans[i] = t.widen(spans[i])
			return err
		})
	}
	if err := reads.Wait(); err != nil {
		return seen{}, nil, err
	}
	for i, info := range plan.open {
		if broken[i] != nil {
			now.broken[info.Key] = broken[i]
		}
	}
	return now, append(stretches, spans...), nil
}

// daySpan returns the span of a UTC day.
func daySpan(day time.Time) span {
	return span{day.UnixMicro(), day.AddDate(0, 0, 1).UnixMicro() - 1}
}

// widen returns the least span of whole grains that holds s, which may be empty.
func (t *Tail) widen(s span) span {
	if s.min > s.max {
		return s
	}
	floor := func(v int64) int64 {
		if r := v % t.grain; r < 0 {
			return v - r - t.grain
		} else {
			return v - r
		}
	}
	return span{floor(s.min), floor(s.max) + t.grain - 1}
}

// hand hands out the rows of one stretch, a UTC day at a time: the parts of a day
// fit into memory, and each is read once.
func (t *Tail) hand(ctx context.Context, s span, groups []string, seen seen, put func(lo, hi time.Time, samples []api.Sample)) error {
	for lo := s.min; lo <= s.max; {
		from := time.UnixMicro(lo).UTC()
		hi := min(s.max+1, from.Truncate(24*time.Hour).AddDate(0, 0, 1).UnixMicro())
		q := Query{Groups: groups, From: from, To: time.UnixMicro(hi).UTC()}
		parts, corrupt, err := each(ctx, t.d, q, q.selection())
		if err != nil {
			return err
		}
		for _, err := range corrupt {
			var c *CorruptError
			if errors.As(err, &c) {
				seen.broken[c.Key] = c
			}
		}
		eachGroup(parts, func(samples []api.Sample) { put(q.From, q.To, samples) })
		lo = hi
	}
	return nil
}

// coalesce returns the parts of the stretches that lie within the bounds, as
// disjoint ones in order.
func coalesce(stretches []span, within span) []span {
	slices.SortFunc(stretches, func(a, b span) int { return cmp.Compare(a.min, b.min) })
	var out []span
	for _, s := range stretches {
		s.min, s.max = max(s.min, within.min), min(s.max, within.max)
		switch n := len(out); {
		case s.min > s.max:
		case n > 0 && s.min <= out[n-1].max+1:
			out[n-1].max = max(out[n-1].max, s.max)
		default:
			out = append(out, s)
		}
	}
	return out
}
