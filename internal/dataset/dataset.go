package dataset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
)

// Dataset is the samples on one store. It is safe for concurrent use, and so
// are any number of them, in any number of processes, on the same store.
type Dataset struct {
	store blob.Store
	cache *cache
	// newest is the series of the part that was read last: a hint for the next one.
	newest atomic.Pointer[[]series]
}

// DefaultCacheBytes bounds the memory that a Dataset spends on decoded parts.
// It holds some four million rows.
const DefaultCacheBytes = 128 << 20

// New returns the dataset on store, with a cache of DefaultCacheBytes.
func New(store blob.Store) *Dataset { return NewWithCache(store, DefaultCacheBytes) }

// NewWithCache returns the dataset on store with a cache of the given size. A
// scan that needs more than the cache holds reads the rest from the store.
func NewWithCache(store blob.Store, cacheBytes int64) *Dataset {
	return &Dataset{store: store, cache: newCache(cacheBytes)}
}

// InvalidError reports samples that Append left out because they cannot be
// stored. All others were stored if it is the whole error.
type InvalidError struct {
	Count int     // samples left out
	First []error // why, for the first few of them; each names its sample
}

// Error names the samples.
func (e *InvalidError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d invalid samples were left out", e.Count)
	for _, err := range e.First {
		b.WriteString("; ")
		b.WriteString(err.Error())
	}
	if n := e.Count - len(e.First); n > 0 {
		fmt.Fprintf(&b, "; and %d more", n)
	}
	return b.String()
}

const maxInvalidNamed = 10

// maxWriterLen bounds an escaped writer, in bytes, so that the file name of a
// part stays below the 255 that file systems allow.
const maxWriterLen = 150

// Append stores the samples as what writer learned in the interval that starts
// at interval: one part for each UTC day that they fall on, several where one
// would be too large. Repeating an Append,
// wholly or after a failure in the middle, stores nothing twice.
//
// Samples that are not valid are left out and named in an *InvalidError, alone
// or joined with the errors of the store; the valid ones are stored all the
// same. After an error of the store some days may be missing: append again.
// Times are stored to the microsecond. Of two samples with the same group,
// metric, stat and time, the later in the slice is meant.
func (d *Dataset) Append(ctx context.Context, writer string, interval time.Time, samples []api.Sample, ingestedAt time.Time) error {
	name := blob.Escape(writer)
	switch {
	case writer == "" || len(name) > maxWriterLen:
		return fmt.Errorf("append: writer %.40q must be 1 to %d bytes long when escaped", writer, maxWriterLen)
	case !storable(interval):
		return fmt.Errorf("append: interval start %v is not set or out of range", interval)
	case !storable(ingestedAt):
		return fmt.Errorf("append: ingestion time %v is not set or out of range", ingestedAt)
	}
	days, invalid := splitDays(samples)
	var failed []error
	if invalid != nil {
		failed = append(failed, fmt.Errorf("append: %w", invalid))
	}
	for _, day := range days {
		rows := sortRows(day)
		told, err := d.told(ctx, rows, ingestedAt)
		if err != nil {
			failed = append(failed, fmt.Errorf("append: %w", err))
		}
		if told {
			continue
		}
		for chunk := range partsOf(rows) {
			prefix := partPrefix(chunk[0].Time, interval, name)
			if err := d.appendPart(ctx, prefix, chunk, ingestedAt.UnixMicro()); err != nil {
				failed = append(failed, fmt.Errorf("append: %w", err))
			}
		}
	}
	return errors.Join(failed...)
}

// storable reports whether t is set and lies within the years that a key can
// name in order.
func storable(t time.Time) bool {
	return !t.IsZero() && t.UTC().Year() >= 1 && t.UTC().Year() <= 9999
}

// splitDays returns the valid samples by UTC day, days ascending and samples in
// the order given, their times cut to the microsecond.
func splitDays(samples []api.Sample) (days [][]api.Sample, invalid *InvalidError) {
	byDay := map[string][]api.Sample{}
	for i, s := range samples {
		err := s.Validate()
		if err == nil && !storable(s.Time) {
			err = fmt.Errorf("sample %s/%s: time %v is out of range", s.Group, s.Metric, s.Time)
		}
		if err != nil {
			if invalid == nil {
				invalid = new(InvalidError)
			}
			if invalid.Count++; invalid.Count <= maxInvalidNamed {
				invalid.First = append(invalid.First, fmt.Errorf("samples[%d]: %w", i, err))
			}
			continue
		}
		s.Time = time.UnixMicro(s.Time.UnixMicro()).UTC()
		day := s.Time.Format(time.DateOnly)
		byDay[day] = append(byDay[day], s)
	}
	names := make([]string, 0, len(byDay))
	for day := range byDay {
		names = append(names, day)
	}
	slices.Sort(names)
	for _, day := range names {
		days = append(days, byDay[day])
	}
	return days, invalid
}

// told reports whether the day of the rows is compacted and says what they say. Its
// parts are gone, so that the key of a part no longer tells. An error is no reason
// not to store the rows: they are then stored twice at worst, which readers merge.
func (d *Dataset) told(ctx context.Context, rows []api.Sample, ingestedAt time.Time) (bool, error) {
	day := rows[0].Time.Truncate(24 * time.Hour)
	if ingestedAt.Before(day.AddDate(0, 0, 1)) { // it goes on: the live path asks nothing
		return false, nil
	}
	closed, err := d.list(ctx, closedPrefix, day.UnixMicro(), day.AddDate(0, 0, 1).UnixMicro())
	if err != nil || len(closed) == 0 {
		return false, err
	}
	return d.stand(ctx, rows)
}

// appendPart writes one part, unless it stands already.
func (d *Dataset) appendPart(ctx context.Context, prefix string, rows []api.Sample, ingested int64) error {
	data, err := encodePart(rows, ingested)
	if err != nil {
		return err
	}
	name := prefix + hashSamples(rows)
	_, err = d.store.Put(ctx, name+partSuffix, data, blob.IfAbsent())
	if !errors.Is(err, blob.ErrConflict) {
		return err
	}
	// The same rows are there, with another ingested_at.
	stand, err := d.stand(ctx, rows)
	if err != nil || stand {
		return err
	}
	_, err = d.store.Put(ctx, fmt.Sprintf("%s-%d%s", name, ingested, partSuffix), data, blob.IfAbsent())
	return err
}

// stand reports whether a reader sees all these rows of one day as they are. A
// part that cannot be read states nothing; its rows are then stored anew.
func (d *Dataset) stand(ctx context.Context, rows []api.Sample) (bool, error) {
	q := Query{From: rows[0].Time, To: rows[0].Time}
	for _, s := range rows { // sorted by group
		if n := len(q.Groups); n == 0 || q.Groups[n-1] != s.Group {
			q.Groups = append(q.Groups, s.Group)
		}
		if s.Time.Before(q.From) {
			q.From = s.Time
		}
		if s.Time.After(q.To) {
			q.To = s.Time
		}
	}
	q.To = q.To.Add(time.Microsecond)
	seen, err := d.Scan(ctx, q)
	if err != nil && !OnlyCorrupt(err) {
		return false, err
	}
	// Both are sorted by identity, and what is seen may hold more.
	for _, s := range rows {
		i, found := slices.BinarySearchFunc(seen, s, compareIdentity)
		if !found || seen[i].Value != s.Value {
			return false, nil
		}
		seen = seen[i+1:]
	}
	return true, nil
}
