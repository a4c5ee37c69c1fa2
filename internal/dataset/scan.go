package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

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
func (d *Dataset) Scan(ctx context.Context, q Query) ([]api.Sample, error) {
	parts, corrupt, err := d.parts(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	return merge(parts, q), errors.Join(corrupt...)
}

// Groups returns the names of the groups that have samples in [from, to),
// sorted. As with Scan, a zero time is no bound, and unreadable parts are
// reported beside the answer.
func (d *Dataset) Groups(ctx context.Context, from, to time.Time) ([]string, error) {
	parts, corrupt, err := d.parts(ctx, Query{From: from, To: to})
	if err != nil {
		return nil, fmt.Errorf("groups: %w", err)
	}
	lo, hi := micros(from, to)
	seen := map[string]bool{}
	for _, p := range parts {
		for _, r := range p.rows {
			if lo <= r.time && r.time < hi {
				seen[p.series[r.series].group] = true
			}
		}
	}
	names := make([]string, 0, len(seen))
	for name := range seen {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, errors.Join(corrupt...)
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

// parts returns the decoded parts that may hold rows of the query's time, in
// the order of their keys, and a *CorruptError for each one that is unreadable.
func (d *Dataset) parts(ctx context.Context, q Query) (parts []*part, corrupt []error, err error) {
	lo, hi := micros(q.From, q.To)
	if lo >= hi {
		return nil, nil, nil
	}
	// A part may be compacted away between the listing and the reading; what
	// replaced it is then in a new listing.
	for attempt := 0; attempt < 3; attempt++ {
		if parts, corrupt, err = d.readParts(ctx, q, lo, hi); !errors.Is(err, blob.ErrNotFound) {
			break
		}
	}
	return parts, corrupt, err
}

func (d *Dataset) readParts(ctx context.Context, q Query, lo, hi int64) ([]*part, []error, error) {
	infos, err := d.list(ctx, q, lo, hi)
	if err != nil {
		return nil, nil, err
	}
	found := make([]*part, len(infos))
	broken := make([]error, len(infos))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, info := range infos {
		if p := d.cache.get(info.Key); p != nil {
			found[i] = p
			continue
		}
		g.Go(func() error {
			p, err := d.read(ctx, info)
			if c := (*CorruptError)(nil); errors.As(err, &c) {
				broken[i] = c
				return nil
			}
			found[i] = p
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	isNil := func(p *part) bool { return p == nil }
	return slices.DeleteFunc(found, isNil), slices.DeleteFunc(broken, func(err error) bool { return err == nil }), nil
}

// list returns the parts of the days in question, except for those that are
// known to hold nothing of them.
func (d *Dataset) list(ctx context.Context, q Query, lo, hi int64) ([]blob.Info, error) {
	after, last := "", "\xff"
	if !q.From.IsZero() {
		after = datePrefix + q.From.UTC().Format(time.DateOnly) // less than any key of that day
	}
	if !q.To.IsZero() {
		last = datePrefix + time.UnixMicro(hi-1).UTC().Format(time.DateOnly) + "0" // "0" follows "/"
	}
	var infos []blob.Info
	for info, err := range d.store.List(ctx, datePrefix, after) {
		if err != nil {
			return nil, err
		}
		if info.Key >= last {
			break
		}
		if !strings.HasSuffix(info.Key, partSuffix) || d.cache.outside(info.Key, lo, hi) {
			continue
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// read returns the part from the store, checked against its key, and keeps it
// in the cache.
func (d *Dataset) read(ctx context.Context, info blob.Info) (*part, error) {
	if info.Size > maxPartBytes {
		return nil, &CorruptError{info.Key, fmt.Errorf("%d bytes are more than a part may have (%d)", info.Size, maxPartBytes)}
	}
	day, hash, ok := parseKey(info.Key)
	if !ok {
		return nil, &CorruptError{info.Key, errors.New("the key is not that of a part")}
	}
	o, err := d.store.Get(ctx, info.Key)
	if err != nil {
		return nil, err
	}
	p, err := decodeSafely(o.Data)
	switch {
	case err != nil:
		return nil, &CorruptError{info.Key, err}
	case p.hash() != hash:
		return nil, &CorruptError{info.Key, errors.New("the rows are not those that the key names")}
	case len(p.rows) > 0 && (p.min < day.UnixMicro() || p.max >= day.AddDate(0, 0, 1).UnixMicro()):
		return nil, &CorruptError{info.Key, errors.New("it holds rows of another day")}
	}
	d.cache.put(info.Key, p)
	return p, nil
}

// decodeSafely turns a panic into an error. None is known, and the decoder is
// fuzzed; but beneath it a library works by reflection on bytes from outside,
// and one bad part must not stop a scaler again after every restart.
func decodeSafely(b []byte) (p *part, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("decoder panicked: %v", r)
		}
	}()
	return decodePart(b)
}

// merge returns the rows of parts that the query selects, the winner of each
// (group, metric, stat, time) only. Parts are in the order of their keys.
func merge(parts []*part, q Query) []api.Sample {
	lo, hi := micros(q.From, q.To)
	groups, metrics := setOf(q.Groups), setOf(q.Metrics)
	index := map[series]int{}
	var names []series
	var found [][]row // by index of series; row.series holds the part's rank
	total := 0
	for rank, p := range parts {
		if p.max < lo || p.min >= hi {
			continue
		}
		local := make([]int, len(p.series)) // the part's series to ours, -1: not selected
		for i, s := range p.series {
			local[i] = -1
			if groups != nil && !groups[s.group] || metrics != nil && !metrics[s.metric] {
				continue
			}
			at, ok := index[s]
			if !ok {
				at = len(names)
				index[s] = at
				names = append(names, s)
				found = append(found, nil)
			}
			local[i] = at
		}
		for _, r := range p.rows {
			if at := local[r.series]; at >= 0 && lo <= r.time && r.time < hi {
				r.series = int32(rank)
				found[at] = append(found[at], r)
				total++
			}
		}
	}
	order := make([]int, len(names))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return compareSeries(names[a], names[b]) })
	out := make([]api.Sample, 0, total)
	for _, at := range order {
		out = appendWinners(out, names[at], found[at])
	}
	return out
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

func compareSeries(a, b series) int {
	return cmp.Or(strings.Compare(a.group, b.group), strings.Compare(a.metric, b.metric), strings.Compare(string(a.stat), string(b.stat)))
}

// appendWinners appends, for each time, the row that was ingested last.
func appendWinners(out []api.Sample, s series, rows []row) []api.Sample {
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.ingested, b.ingested), cmp.Compare(a.series, b.series))
	})
	for i, r := range rows {
		if i+1 < len(rows) && rows[i+1].time == r.time {
			continue
		}
		out = append(out, api.Sample{
			Group: s.group, Metric: s.metric, Stat: s.stat, Time: time.UnixMicro(r.time).UTC(), Value: r.value,
		})
	}
	return out
}
