// Package journal is the audit log: one immutable object for every tick, with
// every decision and all that led to it. Nothing here changes or removes a
// record, and a tick can be recorded only once.
//
// Keys, in the order of time:
//
//	audit/date=2026-03-02/20260302T120500Z-all.json
//
// The last part names the shard, the share of the groups that one scaler looks
// after. It is not the name of the scaler: two scalers that race for a tick must
// meet at one key, where the store lets one of them win.
//
// A record is JSON, compressed with zstd. Records of older versions are JSON as it
// stands, and are read as well. The key is the same for both, for the same reason:
// two scalers of different versions must meet there too. For people:
//
//	zstdcat -f 20260302T120500Z-all.json
package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
)

// ErrRecorded: the tick has a record already, with other content.
var ErrRecorded = errors.New("tick is already recorded")

const (
	prefix = "audit/"
	// Default is the shard that holds all groups.
	Default = "all"
	// readers is how many records are fetched at once.
	readers = 8
)

// Journal reads and writes the audit log of one shard. It is safe for concurrent use.
type Journal struct {
	store blob.Store
	shard string
}

// New returns the journal of the default shard.
func New(store blob.Store) *Journal { return &Journal{store: store, shard: Default} }

// Shard returns the journal of another shard in the same store.
func (j *Journal) Shard(name string) *Journal { return &Journal{store: j.store, shard: name} }

// Key returns where a tick is recorded.
func (j *Journal) Key(tick time.Time) string {
	return dayPrefix(tick) + tick.UTC().Format("20060102T150405Z") + "-" + blob.Escape(j.shard) + ".json"
}

func dayPrefix(t time.Time) string { return prefix + "date=" + t.UTC().Format(time.DateOnly) + "/" }

// Append records a tick. Recording the same again is a no-op. ErrRecorded means
// that the tick has another record, which stands.
func (j *Journal) Append(ctx context.Context, rec api.TickRecord) error {
	if rec.Tick.IsZero() {
		return errors.New("audit: the record has no tick")
	}
	data, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("audit record of %s: %w", rec.Tick.UTC().Format(time.RFC3339), err)
	}
	key := j.Key(rec.Tick)
	_, err = j.store.Put(ctx, key, Pack(data), blob.IfAbsent())
	if errors.Is(err, blob.ErrConflict) {
		return fmt.Errorf("audit %s: %w", key, ErrRecorded)
	}
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// Get returns the record of a tick; the error wraps blob.ErrNotFound when there
// is none.
func (j *Journal) Get(ctx context.Context, tick time.Time) (api.TickRecord, error) {
	return j.read(ctx, j.Key(tick))
}

// Scan returns the records of the ticks in [from, to), in order of time. An
// object that cannot be read is left out and named in the error, beside which
// all others are returned.
func (j *Journal) Scan(ctx context.Context, from, to time.Time) ([]api.TickRecord, error) {
	ticks, listErr := j.Ticks(ctx, from, to)
	keys := make([]string, len(ticks))
	for i, tick := range ticks {
		keys[i] = j.Key(tick)
	}
	records, err := j.readAll(ctx, keys)
	return records, errors.Join(listErr, err)
}

// Ticks returns the ticks in [from, to) that have a record, in order of time,
// without reading any. What was listed before an error is returned beside it.
func (j *Journal) Ticks(ctx context.Context, from, to time.Time) (ticks []time.Time, err error) {
	if !from.Before(to) {
		return nil, nil
	}
	// Keys are in order of time, so one listing that starts just before the first
	// day and stops after the last one sees each of them once.
	first, last := strings.TrimSuffix(dayPrefix(from), "/"), dayPrefix(to)+"~"
	for info, err := range j.store.List(ctx, prefix, first) {
		if err != nil {
			return ticks, fmt.Errorf("audit: %w", err)
		}
		if info.Key > last {
			break
		}
		if tick, ok := j.parse(info.Key); ok && !tick.Before(from) && tick.Before(to) {
			ticks = append(ticks, tick)
		}
	}
	return ticks, nil
}

// Latest returns the newest record of a tick before the given time; the error
// wraps blob.ErrNotFound when there is none. An unreadable newest record is an
// error too, because the one before it is not the latest.
func (j *Journal) Latest(ctx context.Context, before time.Time) (api.TickRecord, error) {
	// The newest record is nearly always of the same day or the day before.
	for _, day := range []string{dayPrefix(before), dayPrefix(before.Add(-24 * time.Hour)), prefix} {
		newest := ""
		for info, err := range j.store.List(ctx, day, "") {
			if err != nil {
				return api.TickRecord{}, fmt.Errorf("audit: %w", err)
			}
			if tick, ok := j.parse(info.Key); ok && tick.Before(before) {
				newest = info.Key
			}
		}
		if newest != "" {
			return j.read(ctx, newest)
		}
	}
	return api.TickRecord{}, fmt.Errorf("audit: no record before %s: %w", before.UTC().Format(time.RFC3339), blob.ErrNotFound)
}

// parse returns the tick of one of this shard's keys.
func (j *Journal) parse(key string) (time.Time, bool) {
	stamp, ok := strings.CutSuffix(key[strings.LastIndexByte(key, '/')+1:], "-"+blob.Escape(j.shard)+".json")
	if !ok {
		return time.Time{}, false
	}
	tick, err := time.Parse("20060102T150405Z", stamp)
	return tick, err == nil && j.Key(tick) == key
}

func (j *Journal) readAll(ctx context.Context, keys []string) ([]api.TickRecord, error) {
	records := make([]api.TickRecord, len(keys))
	var mu sync.Mutex
	var faults []error // guarded by mu
	var g errgroup.Group
	g.SetLimit(readers)
	for i, key := range keys {
		g.Go(func() error {
			rec, err := j.read(ctx, key)
			if err != nil {
				mu.Lock()
				faults = append(faults, err)
				mu.Unlock()
				return nil // the others shall still be read
			}
			records[i] = rec
			return nil
		})
	}
	_ = g.Wait() // the goroutines return nil; their faults are in faults
	records = slices.DeleteFunc(records, func(r api.TickRecord) bool { return r.Tick.IsZero() })
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return records, errors.Join(faults...)
}

func (j *Journal) read(ctx context.Context, key string) (api.TickRecord, error) {
	o, err := j.store.Get(ctx, key)
	if err != nil {
		return api.TickRecord{}, fmt.Errorf("audit %s: %w", key, err)
	}
	data, err := Unpack(o.Data)
	if err != nil {
		return api.TickRecord{}, fmt.Errorf("audit %s: %w", key, err)
	}
	var rec api.TickRecord
	if err := json.Unmarshal(data, &rec); err != nil {
		return api.TickRecord{}, fmt.Errorf("audit %s: %w", key, err)
	}
	if j.Key(rec.Tick) != key {
		return api.TickRecord{}, fmt.Errorf("audit %s: the object is the record of %s", key, rec.Tick.UTC().Format(time.RFC3339))
	}
	return rec, nil
}
