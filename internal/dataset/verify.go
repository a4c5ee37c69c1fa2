package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/forescale/forescale/internal/blob"
)

// VerifyReport is what Verify found.
type VerifyReport struct {
	Open, Closed Files
	Corrupt      []*CorruptError // what cannot be trusted, in the order of the keys
}

// Files counts objects.
type Files struct {
	Count int
	Bytes int64
	Rows  int64 // in those that can be read; revisions counted apart
}

// Verify reads every object of the lake and checks it: its key, the schema, every
// page's checksum, the hash of the rows (parts) or of the row groups (closed
// files), that rows are of the object's day and of its groups, sorted and without
// repetitions. What fails is in the report; an error means that the store failed.
//
// progress, if not nil, is told of each object after it was looked at. Nothing is
// kept in the cache.
func (d *Dataset) Verify(ctx context.Context, progress func(key string, size int64)) (VerifyReport, error) {
	var r VerifyReport
	v := NewWithCache(d.store, 0)
	for _, area := range []struct {
		prefix string
		into   *Files
		check  func(context.Context, blob.Info) (int64, error)
	}{{closedRoot, &r.Closed, v.verifyClosed}, {root, &r.Open, v.verifyPart}} {
		for info, err := range d.store.List(ctx, area.prefix, "") {
			if err != nil {
				return r, fmt.Errorf("verify: %w", err)
			}
			rows, err := area.check(ctx, info)
			c := (*CorruptError)(nil)
			switch {
			case errors.As(err, &c):
				r.Corrupt = append(r.Corrupt, c)
			case errors.Is(err, errStale), errors.Is(err, blob.ErrNotFound):
				continue // compacted or replaced meanwhile
			case err != nil:
				return r, fmt.Errorf("verify: %w", err)
			}
			area.into.Count++
			area.into.Bytes += info.Size
			area.into.Rows += rows
			if progress != nil {
				progress(info.Key, info.Size)
			}
		}
	}
	return r, nil
}

// verifyPart returns the number of rows of a part.
func (d *Dataset) verifyPart(ctx context.Context, info blob.Info) (int64, error) {
	p, err := d.read(ctx, info)
	if err != nil {
		return 0, err
	}
	for i := 1; i < len(p.rows); i++ {
		a, b := p.rows[i-1], p.rows[i]
		if a.series > b.series || a.series == b.series && a.time >= b.time {
			return 0, &CorruptError{info.Key, fmt.Errorf("row %d is out of order or a repetition", i)}
		}
	}
	if !slices.IsSortedFunc(p.series, compareSeries) {
		return 0, &CorruptError{info.Key, errors.New("its series are out of order")}
	}
	return int64(len(p.rows)), nil
}

// verifyClosed returns the number of rows of a closed file.
func (d *Dataset) verifyClosed(ctx context.Context, info blob.Info) (int64, error) {
	key, ok := parseClosed(info.Key)
	if !ok {
		if day := dayOf(info.Key); info.Key == shapeKey(day) {
			_, err := d.readShape(ctx, day)
			return 0, err
		}
		return 0, &CorruptError{info.Key, errors.New("the key is not that of a closed file")}
	}
	f, err := d.footer(ctx, info, key)
	if err != nil {
		return 0, err
	}
	all := make([]int, len(f.blocks))
	for i := range all {
		all[i] = i
	}
	// Within a row group the decoder sees to the order, and the statistics do
	// between groups; what is left is a group that goes on in the next row group.
	var before *part
	var disorder error
	err = d.readBlocks(ctx, closedSource{info, f}, all, func(p *part) {
		if before != nil {
			a, b := before.rows[len(before.rows)-1], p.rows[0]
			if c := compareSeries(before.series[a.series], p.series[b.series]); c > 0 || c == 0 && a.time >= b.time {
				disorder = &CorruptError{info.Key, errors.New("its row groups are out of order or repeat rows")}
			}
		}
		before = p
	})
	return f.rows, cmp.Or(err, disorder)
}

// RetainReport is what Retain removed.
type RetainReport struct {
	Days, Deleted int
	Bytes         int64
}

// Retain removes the days that ended by olderThan, parts and closed files, the
// oldest first. It may be killed and repeated.
func (d *Dataset) Retain(ctx context.Context, olderThan time.Time) (RetainReport, error) {
	var r RetainReport
	if !storable(olderThan) {
		return r, fmt.Errorf("retain: the time %v is not set or out of range", olderThan)
	}
	days := map[string]bool{}
	for _, prefix := range []string{datePrefix, closedPrefix} {
		last := prefix + olderThan.UTC().Format(time.DateOnly)
		var keys []blob.Info
		for info, err := range d.store.List(ctx, prefix, "") {
			if err != nil {
				return r, fmt.Errorf("retain: %w", err)
			}
			if info.Key >= last {
				break
			}
			keys = append(keys, info)
		}
		for _, info := range keys {
			if dayOf(info.Key).IsZero() {
				continue // not ours
			}
			if err := d.store.Delete(ctx, info.Key); err != nil {
				return r, fmt.Errorf("retain: %w", err)
			}
			days[dayOf(info.Key).Format(time.DateOnly)] = true
			r.Days = len(days)
			r.Deleted++
			r.Bytes += info.Size
		}
	}
	return r, nil
}
