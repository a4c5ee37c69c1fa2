package prometheus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
)

const (
	// maxPoints bounds the evaluations of a call. Prometheus refuses a range of more
	// than 11,000 steps.
	maxPoints = 10_000
	// parallelCalls bounds the calls under way at a time; a Prometheus evaluates 20
	// queries at once by default, and people look at dashboards too.
	parallelCalls = 4
	// maxGroups bounds the result series of an answer.
	maxGroups = 50_000
)

// Source asks one server. It implements collector.Source and collector.Metered.
type Source struct {
	name    string
	queries []query
	client  *client
	step    time.Duration
	log     *slog.Logger
}

// Open returns a source of that name. Slots are step long, whole minutes. The
// server is not spoken to; the files that the configuration names are read.
func Open(name string, c Config, step time.Duration, log *slog.Logger) (*Source, error) {
	if step <= 0 || step%time.Minute != 0 {
		return nil, fmt.Errorf("prometheus: a step of %s is not whole minutes", step)
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	queries, err := c.queries(step)
	if err != nil {
		return nil, err
	}
	client, err := newClient(c, log)
	if err != nil {
		return nil, err
	}
	return &Source{name: name, queries: queries, client: client, step: step, log: log}, nil
}

// Name implements collector.Source.
func (s *Source) Name() string { return s.name }

// Calls implements collector.Metered.
func (s *Source) Calls() collector.Calls {
	return collector.Calls{Made: int(s.client.made.Load()), Throttled: int(s.client.throttled.Load())}
}

// Fetch implements collector.Source. A query that fails is named by its metric and
// statistic with collector.AllGroups, because its groups are not known.
func (s *Source) Fetch(ctx context.Context, from, to time.Time) ([]api.Sample, error) {
	first := from.Truncate(s.step)
	if first.Before(from) {
		first = first.Add(s.step)
	}
	if !first.Before(to) {
		return nil, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	tables := make([]table, len(s.queries))
	errs := make([]error, len(s.queries))
	var g errgroup.Group
	g.SetLimit(parallelCalls)
	for i, q := range s.queries {
		g.Go(func() error {
			tables[i], errs[i] = s.read(ctx, q, first, to)
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	failed := 0
	var all []error
	for i, err := range errs {
		if err != nil {
			failed++
			q := s.queries[i]
			all = append(all, &collector.SeriesError{
				Series: []collector.Series{{Group: collector.AllGroups, Metric: q.Metric, Stat: q.Stat}},
				Err:    fmt.Errorf("prometheus.%s: %w", q.where, err),
			})
		}
	}
	samples, clashes := s.join(tables)
	if failed == len(errs) && len(samples) == 0 {
		return nil, fmt.Errorf("all %d queries: prometheus.%s: %w", failed, s.queries[0].where, errs[0])
	}
	return samples, errors.Join(append(all, clashes...)...)
}

// read reads the slots from first (aligned) that start before end. What was read
// before an error is returned with it.
func (s *Source) read(ctx context.Context, q query, first, end time.Time) (table, error) {
	t := newTable(q, first, int((end.Sub(first)+s.step-1)/s.step), s.step)
	for first.Before(end) {
		slots := min(maxPoints, int((end.Sub(first)+s.step-1)/s.step))
		if err := s.readPart(ctx, &t, first, slots); err != nil {
			return t, err
		}
		first = first.Add(time.Duration(slots) * s.step)
	}
	return t, t.nameless
}

// readPart reads some slots, in halves where they are too much for one answer. It
// gives up at the first part that fails, so that a server that refuses every size
// is asked a few times and not for each slot.
func (s *Source) readPart(ctx context.Context, t *table, first time.Time, slots int) error {
	last := first.Add(time.Duration(slots-1) * s.step)
	// The slot [t, t+S) is described by the evaluation at t+S: see the package comment.
	a, err := s.client.queryRange(ctx, t.query.expr, first.Add(s.step), last.Add(s.step), s.step)
	for _, w := range a.Warnings {
		s.log.Warn("warning from Prometheus", "source", s.name, "metric", t.query.Metric, "stat", t.query.Stat, "warning", w)
	}
	if errors.Is(err, errTooMuch) && slots > 1 {
		half := slots / 2
		if err := s.readPart(ctx, t, first, half); err != nil {
			return err
		}
		return s.readPart(ctx, t, first.Add(time.Duration(half)*s.step), slots-half)
	}
	if err != nil {
		return err
	}
	return t.add(a.Data.Result, first, last)
}

// join puts the tables together. Two queries may speak of different groups of one
// series, and not of the same.
func (s *Source) join(tables []table) (samples []api.Sample, clashes []error) {
	owners := map[collector.Series][]*table{}
	var order []collector.Series
	for i := range tables {
		t := &tables[i]
		for _, group := range slices.Sorted(maps.Keys(t.groups)) {
			series := collector.Series{Group: group, Metric: t.query.Metric, Stat: t.query.Stat}
			if owners[series] == nil {
				order = append(order, series)
			}
			owners[series] = append(owners[series], t)
		}
		clashes = append(clashes, t.clashes()...)
	}
	for _, series := range order {
		of := owners[series]
		if a, b := overlap(of, series.Group); a != nil {
			clashes = append(clashes, &collector.SeriesError{Series: []collector.Series{series},
				Err: fmt.Errorf("prometheus.%s and prometheus.%s both speak of it: %s and %s", a.query.where, b.query.where, a.query.expr, b.query.expr)})
			continue
		}
		for _, t := range of {
			samples = t.samples(samples, series)
		}
	}
	return samples, clashes
}

// overlap returns two tables that have a value of the group in one slot, or nil.
func overlap(tables []*table, group string) (a, b *table) {
	for i, b := range tables {
		for _, a := range tables[:i] {
			for slot, v := range a.groups[group].values {
				if finite(v) && finite(b.groups[group].values[slot]) {
					return a, b
				}
			}
		}
	}
	return nil, nil
}
