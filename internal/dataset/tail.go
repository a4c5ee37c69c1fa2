package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/forescale/forescale/api"
)

// Tail reads a dataset again and again, each time only where something is new.
// Whoever keeps what it hands out has what a Scan would return, late revisions
// included, without reading weeks of history for every new slot.
//
// It remembers the keys of the parts that it has been through, and no rows. It is
// not safe for concurrent use.
type Tail struct {
	d      *Dataset
	grain  int64                    // in microseconds
	lo, hi int64                    // all rows of [lo, hi) in the parts seen have been handed out
	seen   map[string]*CorruptError // by key; nil: the part is sound
}

// Tail returns a Tail that has read nothing yet. What it hands out begins and ends
// on multiples of grain since 1970: with the length of a slot, a slot is handed
// out with all of its rows or not at all. grain must be whole microseconds and
// divide a day.
func (d *Dataset) Tail(grain time.Duration) *Tail {
	if grain < time.Microsecond || 24*time.Hour%grain != 0 {
		panic("dataset: the grain of a tail must divide a day")
	}
	return &Tail{d: d, grain: grain.Microseconds(), seen: map[string]*CorruptError{}}
}

// Next hands out, group by group, all rows of every stretch of [from, to) in
// which rows may have appeared since the last call: everything at first, later
// the time since then and the span of each new part. put receives the samples of
// one group in [lo, hi), merged and sorted as Scan returns them; a group without
// any in that stretch is passed over. The slice is put's only until it returns.
//
// Parts that cannot be read are left out and named at every call, beside which
// the rest has been handed out (OnlyCorrupt). After any other error the next call
// begins with what this one has missed. A to before that of the last call, as
// after a clock that was wrong, starts from scratch. from and to are multiples of
// the grain.
func (t *Tail) Next(ctx context.Context, from, to time.Time, groups []string, put func(lo, hi time.Time, samples []api.Sample)) error {
	lo, hi := micros(from, to)
	if lo >= hi {
		return nil
	}
	if hi < t.hi {
		t.lo, t.hi = 0, 0
		clear(t.seen)
	}
	infos, err := t.d.list(ctx, Query{From: from, To: to}, lo, hi)
	if err != nil {
		return fmt.Errorf("read on: %w", err)
	}
	seen := make(map[string]*CorruptError, len(infos))
	var stretches []span
	first := t.hi <= t.lo
	for _, info := range infos {
		broken, known := t.seen[info.Key]
		if !known && !first {
			var s span
			if s, broken, err = t.d.spanOf(ctx, info); err != nil {
				return fmt.Errorf("read on: %w", err)
			}
			stretches = append(stretches, t.widen(s))
		}
		seen[info.Key] = broken
	}
	if first {
		stretches = append(stretches, span{lo, hi - 1})
	} else {
		stretches = append(stretches, span{lo, t.lo - 1}, span{t.hi, hi - 1})
	}
	for _, s := range coalesce(stretches, span{lo, hi - 1}) {
		if err := t.hand(ctx, s, groups, seen, put); err != nil {
			return fmt.Errorf("read on: %w", err)
		}
	}
	t.lo, t.hi, t.seen = lo, hi, seen
	var corrupt []error
	for _, key := range sortedKeys(seen) {
		if broken := seen[key]; broken != nil {
			corrupt = append(corrupt, broken)
		}
	}
	return errors.Join(corrupt...)
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
func (t *Tail) hand(ctx context.Context, s span, groups []string, seen map[string]*CorruptError, put func(lo, hi time.Time, samples []api.Sample)) error {
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
				seen[c.Key] = c
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

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
