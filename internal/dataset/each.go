package dataset

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// each returns what take makes of everything that may hold rows of the query's
// time and groups, day by day, and a *CorruptError for each part that is
// unreadable. take is called from several goroutines at once, and must have no
// effects: a day that is compacted while it is read is read again. No more than
// readers parts beside the cache are in memory at a time, unless take returns them.
func each[T any](ctx context.Context, d *Dataset, q Query, take func(*part) T) (taken []T, corrupt []error, err error) {
	lo, hi := micros(q.From, q.To)
	if lo >= hi {
		return nil, nil, nil
	}
	q.Groups = slices.Sorted(slices.Values(q.Groups))
	byDay := map[int64]*answers[T]{}
	todo := []span{{lo, hi}} // half-open here
	var cause error
	for attempt := 0; len(todo) > 0; attempt++ {
		if attempt == maxAttempts {
			return nil, nil, fmt.Errorf("%s, tried %d times: %w", time.UnixMicro(todo[0].min).UTC().Format(time.DateOnly), attempt, cause)
		}
		var again []span
		for _, s := range todo {
			stale, err := eachListed(ctx, d, q, s.min, s.max, take, byDay)
			if err != nil {
				return nil, nil, err
			}
			for day, why := range stale {
				cause = why
				again = append(again, span{max(s.min, day.UnixMicro()), min(s.max, day.AddDate(0, 0, 1).UnixMicro())})
			}
		}
		todo = again
	}
	for _, day := range slices.Sorted(maps.Keys(byDay)) {
		taken = append(taken, byDay[day].taken...)
		slices.SortFunc(byDay[day].corrupt, func(a, b *CorruptError) int { return strings.Compare(a.Key, b.Key) })
		for _, c := range byDay[day].corrupt {
			corrupt = append(corrupt, c)
		}
	}
	return taken, corrupt, nil
}

// maxAttempts bounds how often a day is read again because it changes meanwhile. A
// compaction changes it once or twice.
const maxAttempts = 10

// answers is what came of the parts of one day.
type answers[T any] struct {
	taken   []T
	corrupt []*CorruptError
	stale   error // why the day must be read again; nil: it need not
}

// eachListed adds to byDay what take makes of what is there in [lo, hi), but for
// the days that it returns as stale.
func eachListed[T any](ctx context.Context, d *Dataset, q Query, lo, hi int64, take func(*part) T, byDay map[int64]*answers[T]) (stale map[time.Time]error, err error) {
	plan, err := d.plan(ctx, q, lo, hi)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex // guards byDay and what is in it
	of := func(key string) *answers[T] {
		day := dayOf(key).UnixMicro()
		if byDay[day] == nil {
			byDay[day] = new(answers[T])
		}
		return byDay[day]
	}
	note := func(key string, taken []T, err error) error {
		mu.Lock()
		defer mu.Unlock()
		c := (*CorruptError)(nil)
		switch a := of(key); {
		case err == nil:
			a.taken = append(a.taken, taken...)
		case errors.As(err, &c):
			a.corrupt = append(a.corrupt, c)
		case errors.Is(err, errStale):
			a.stale = err
		default:
			return err
		}
		return nil
	}
	for _, c := range plan.broken {
		_ = note(c.Key, nil, c) // returns other errors only
	}
	for _, day := range plan.stale {
		_ = note("date="+day.Format(time.DateOnly), nil, errStale)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for _, info := range plan.open {
		if p, ok := d.cache.get(versioned(info)).(*part); ok {
			_ = note(info.Key, []T{take(p)}, nil)
			continue
		}
		g.Go(func() error {
			p, err := d.read(gctx, info)
			if err != nil {
				return note(info.Key, nil, err)
			}
			return note(info.Key, []T{take(p)}, nil)
		})
	}
	for _, c := range plan.closed {
		g.Go(func() error {
			var taken []T
			err := d.readBlocks(gctx, c, c.file.selects(q.Groups, lo, hi), func(p *part) { taken = append(taken, take(p)) })
			if err != nil {
				taken = nil
			}
			return note(c.info.Key, taken, err)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	stale = map[time.Time]error{}
	for day, a := range byDay {
		if a.stale != nil {
			stale[time.UnixMicro(day).UTC()] = a.stale
			delete(byDay, day)
		}
	}
	return stale, nil
}
