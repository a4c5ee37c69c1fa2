package dataset

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
)

// Query selects samples.
type Query struct {
	Groups  []string // empty: all
	Metrics []string // empty: all
	// From and To bound the start of the slots, half-open: [From, To). The zero
	// time means that there is no bound on that side.
	From, To time.Time
	// Step is the length of a slot, for the gaps that Inspect looks for.
	Step time.Duration
}

// CorruptError reports a part that is left out of an answer because it cannot
// be read. It stays where it is, for somebody to look at.
type CorruptError struct {
	Key string
	Err error
}

// Error names the part.
func (e *CorruptError) Error() string { return fmt.Sprintf("part %s: %v", e.Key, e.Err) }

// Unwrap returns the reason.
func (e *CorruptError) Unwrap() error { return e.Err }

// OnlyCorrupt reports whether err, from Scan or Groups, speaks of nothing but
// parts that cannot be read, so that the answer that came with it is good as far
// as it goes.
func OnlyCorrupt(err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(joined.Unwrap(), func(err error) bool { return !OnlyCorrupt(err) })
	}
	_, ok := err.(*CorruptError)
	return ok
}

// readers is how many parts are read at the same time: enough to hide the
// latency of an object store.
const readers = 8

// Scan returns the samples that the query selects, merged, and sorted by group,
// metric, stat and time. Nothing to return is not an error.
//
// Parts that cannot be read do not hide the others: the rows of all readable
// parts are returned together with the joined *CorruptErrors, and OnlyCorrupt
// tells this from a failure, after which there are no rows.
//
// Each part is read once and cut down to what is selected before the next ones
// are: the memory that a scan takes follows from its answer, not from the size of
// the lake.
func (d *Dataset) Scan(ctx context.Context, q Query) ([]api.Sample, error) {
	parts, corrupt, err := each(ctx, d, q, q.selection())
	if err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	return merge(parts), errors.Join(corrupt...)
}

// Groups returns the names of the groups that have samples in [from, to),
// sorted. As with Scan, a zero time is no bound, and unreadable parts are
// reported beside the answer.
func (d *Dataset) Groups(ctx context.Context, from, to time.Time) ([]string, error) {
	rows, err := d.Rows(ctx, from, to)
	return slices.Sorted(maps.Keys(rows)), err
}

// Rows returns how many rows each group has in [from, to), revisions counted
// apart: a Scan of the group returns at most so many samples. Zero times and
// unreadable parts are treated as by Groups.
func (d *Dataset) Rows(ctx context.Context, from, to time.Time) (map[string]int, error) {
	lo, hi := micros(from, to)
	parts, corrupt, err := each(ctx, d, Query{From: from, To: to}, func(p *part) map[string]int {
		rows := map[string]int{}
		for _, r := range p.rows {
			if lo <= r.time && r.time < hi {
				rows[p.series[r.series].group]++
			}
		}
		return rows
	})
	if err != nil {
		return nil, fmt.Errorf("count rows: %w", err)
	}
	total := map[string]int{}
	for _, rows := range parts {
		for group, n := range rows {
			total[group] += n
		}
	}
	return total, errors.Join(corrupt...)
}

// micros returns the bounds in microseconds.
func micros(from, to time.Time) (lo, hi int64) {
	lo, hi = math.MinInt64, math.MaxInt64
	if !from.IsZero() {
		lo = ceilMicro(from)
	}
	if !to.IsZero() {
		hi = ceilMicro(to)
	}
	return lo, hi
}

// ceilMicro rounds up: stored times are whole microseconds, so t <= x holds for
// them exactly when ceil(t) <= x does.
func ceilMicro(t time.Time) int64 {
	m := t.UnixMicro()
	if t.Nanosecond()%1000 != 0 {
		m++
	}
	return m
}

// list returns the Parquet objects of the days in question, in the order of their
// keys. The prefix ends where the date begins.
func (d *Dataset) list(ctx context.Context, prefix string, lo, hi int64) ([]blob.Info, error) {
	after, last := "", "\xff"
	if lo != math.MinInt64 {
		after = prefix + time.UnixMicro(lo).UTC().Format(time.DateOnly) // less than any key of that day
	}
	if hi != math.MaxInt64 {
		last = prefix + time.UnixMicro(hi-1).UTC().Format(time.DateOnly) + "0" // "0" follows "/"
	}
	var infos []blob.Info
	for info, err := range d.store.List(ctx, prefix, after) {
		if err != nil {
			return nil, err
		}
		if info.Key >= last {
			break
		}
		if strings.HasSuffix(info.Key, partSuffix) {
			infos = append(infos, info)
		}
	}
	return infos, nil
}

// read returns the part from the store, checked against its key, and keeps it
// in the cache; errStale when it is gone.
func (d *Dataset) read(ctx context.Context, info blob.Info) (*part, error) {
	if info.Size > maxPartBytes {
		return nil, &CorruptError{info.Key, fmt.Errorf("%d bytes are more than a part may have (%d)", info.Size, maxPartBytes)}
	}
	day, hash, ok := parseKey(info.Key)
	if !ok {
		return nil, &CorruptError{info.Key, errors.New("the key is not that of a part")}
	}
	o, err := d.store.Get(ctx, info.Key)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, fmt.Errorf("%w: %w", errStale, err)
	}
	if err != nil {
		return nil, err
	}
	p, err := decodeSafely(o.Data, d.names())
	switch {
	case err != nil:
		return nil, &CorruptError{info.Key, err}
	case p.hash() != hash:
		return nil, &CorruptError{info.Key, errors.New("the rows are not those that the key names")}
	case len(p.rows) > 0 && (p.min < day.UnixMicro() || p.max >= day.AddDate(0, 0, 1).UnixMicro()):
		return nil, &CorruptError{info.Key, errors.New("it holds rows of another day")}
	}
	d.cache.put(versioned(info), p)
	d.newest.Store(&p.series)
	return p, nil
}

// names returns the series of the part that was read last.
func (d *Dataset) names() []series {
	if names := d.newest.Load(); names != nil {
		return *names
	}
	return nil
}

func decodeSafely(b []byte, like []series) (p *part, err error) {
	err = safely(func() (err error) {
		p, err = decodePart(b, like)
		return err
	})
	return p, err
}

// safely turns a panic into an error. None is known, and the decoders are fuzzed;
// but beneath them a library works by reflection on bytes from outside, and one bad
// part must not stop a scaler again after every restart.
func safely(decode func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("decoder panicked: %v", r)
		}
	}()
	return decode()
}

// selection returns a function that cuts a part down to what the query selects,
// and returns the part itself where that is all of it.
func (q Query) selection() func(*part) *part {
	lo, hi := micros(q.From, q.To)
	groups, metrics := setOf(q.Groups), setOf(q.Metrics)
	return func(p *part) *part {
		var group string // the series of a group follow one another
		var in, looked bool
		wanted := func(s series) bool {
			if !looked || s.group != group {
				group, looked, in = s.group, true, groups == nil || groups[s.group]
			}
			return in && (metrics == nil || metrics[s.metric])
		}
		if lo <= p.min && p.max < hi && (groups == nil && metrics == nil || !slices.ContainsFunc(p.series, func(s series) bool { return !wanted(s) })) {
			return p
		}
		return p.cut(lo, hi, wanted)
	}
}

// cut returns a part with the wanted series and the rows of [lo, hi) only.
func (p *part) cut(lo, hi int64, wanted func(series) bool) *part {
	cut := &part{min: p.min, max: p.max}
	local := make([]int32, len(p.series)) // the part's series to those of cut, -1: not selected
	for i, s := range p.series {
		local[i] = -1
		if wanted(s) {
			local[i] = int32(len(cut.series))
			cut.series = append(cut.series, s)
		}
	}
	if len(cut.series) == 0 {
		return cut
	}
	for _, r := range p.rows {
		if at := local[r.series]; at >= 0 && lo <= r.time && r.time < hi {
			r.series = at
			cut.rows = append(cut.rows, r)
		}
	}
	return cut
}

// spanOf returns the span of a part's rows, empty (min > max) for one that cannot
// be read.
func (d *Dataset) spanOf(ctx context.Context, info blob.Info) (span, *CorruptError, error) {
	if s, known := d.cache.span(versioned(info)); known {
		return s, nil, nil
	}
	p, err := d.read(ctx, info)
	if c := (*CorruptError)(nil); errors.As(err, &c) {
		return span{0, -1}, c, nil
	}
	if err != nil {
		return span{}, nil, err
	}
	return span{p.min, p.max}, nil, nil
}

// setOf returns the names as a set, or nil for none, which selects all.
func setOf(names []string) map[string]bool {
	if len(names) == 0 {
		return nil
	}
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}
