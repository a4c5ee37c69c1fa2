package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/journal"
)

// auditLog says which records are meant, and reads them.
type auditLog struct {
	place
	shard, at string
	moment    time.Time // of -at; zero: the newest record
}

func (l *auditLog) flags(fs *flag.FlagSet) {
	l.place.flags(fs)
	fs.StringVar(&l.shard, "shard", journal.Default, "`SHARD` of the audit log; dry-run: what 'forescale-scaler -dry-run' recorded beside a live one")
	fs.StringVar(&l.at, "at", "", "the decision in force at this `TIME` (2026-03-02T12:05Z), instead of the newest")
}

func (l *auditLog) check() error {
	faults := []error{l.place.check()}
	if l.shard == "" {
		faults = append(faults, errors.New("-shard is empty"))
	}
	if l.at != "" {
		var err error
		if l.moment, err = parseTime(l.at); err != nil {
			faults = append(faults, fmt.Errorf("-at: %w", err))
		}
	}
	return errors.Join(faults...)
}

func (l *auditLog) open(ctx context.Context) (*journal.Journal, error) {
	store, err := l.place.open(ctx)
	if err != nil {
		return nil, err
	}
	return journal.New(store).Shard(l.shard), nil
}

// skew is how far ahead of this machine's clock a record may be.
const skew = time.Hour

// record returns the newest record, or that which was in force at the moment.
func (l *auditLog) record(ctx context.Context, j *journal.Journal) (api.TickRecord, error) {
	before := time.Now().Add(skew)
	if !l.moment.IsZero() {
		before = l.moment.Add(1) // a tick at the very moment counts
	}
	rec, err := j.Latest(ctx, before)
	if errors.Is(err, blob.ErrNotFound) {
		if !l.moment.IsZero() {
			return rec, fmt.Errorf("the audit log of %s has no record of %s or before", l.url, stamp(l.moment))
		}
		return rec, fmt.Errorf("the audit log of %s has no record (shard %s): no scaler has decided anything there", l.url, l.shard)
	}
	return rec, err
}

// chunk is how much of the audit log is held in memory at once.
const chunk = time.Hour

// backwards calls visit with the records of ticks in [from, to), the newest first,
// until it returns false. What cannot be read is passed over and in the error.
func backwards(ctx context.Context, j *journal.Journal, from, to time.Time, visit func(api.TickRecord) bool) error {
	// The range may be of years, and have records on few days of them.
	ticks, err := j.Ticks(ctx, from, to)
	faults := []error{err}
	for len(ticks) > 0 && ctx.Err() == nil {
		newest := ticks[len(ticks)-1]
		n, _ := slices.BinarySearchFunc(ticks, newest.Add(-chunk).Add(1), time.Time.Compare)
		records, err := j.Scan(ctx, ticks[n], newest.Add(1))
		faults, ticks = append(faults, err), ticks[:n]
		for _, rec := range slices.Backward(records) {
			if !visit(rec) {
				return errors.Join(faults...)
			}
		}
	}
	return errors.Join(append(faults, ctx.Err())...)
}

// decisionOf returns a group's decision in a record.
func decisionOf(rec api.TickRecord, group string) (api.Decision, bool) {
	i := slices.IndexFunc(rec.Decisions, func(d api.Decision) bool { return d.Group == group })
	if i < 0 {
		return api.Decision{}, false
	}
	return rec.Decisions[i], true
}
