package azuremonitor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
)

const (
	maxNames = 20   // metrics a call
	maxSlots = 2016 // a call: a week of 5 minutes
	// parallelCalls bounds the calls under way at a time.
	parallelCalls = 8
	retention     = 93 * 24 * time.Hour
)

// intervals are the lengths of a slot that Azure Monitor can be asked for.
var intervals = map[time.Duration]string{
	time.Minute: "PT1M", 5 * time.Minute: "PT5M", 15 * time.Minute: "PT15M", 30 * time.Minute: "PT30M",
	time.Hour: "PT1H", 6 * time.Hour: "PT6H", 12 * time.Hour: "PT12H", 24 * time.Hour: "P1D",
}

// Source reads the configured series. It implements collector.Source,
// collector.Bounded and collector.Metered.
type Source struct {
	name    string
	queries []query
	client  *client
	step    time.Duration
}

// Open returns a source of that name. Azure is not spoken to.
func Open(name string, c Config, step time.Duration) (*Source, error) {
	if intervals[step] == "" {
		return nil, fmt.Errorf("azure_monitor: a step of %s is none of 1m, 5m, 15m, 30m, 1h, 6h, 12h, 24h", step)
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	queries, err := c.queries()
	if err != nil {
		return nil, err
	}
	client, err := newClient(c, 0)
	if err != nil {
		return nil, err
	}
	return &Source{name: name, queries: queries, client: client, step: step}, nil
}

// Name implements collector.Source.
func (s *Source) Name() string { return s.name }

// Oldest implements collector.Bounded.
func (s *Source) Oldest(now time.Time) time.Time { return now.Add(-retention) }

// Calls implements collector.Metered.
func (s *Source) Calls() collector.Calls {
	return collector.Calls{Made: int(s.client.transport.made.Load()), Throttled: int(s.client.transport.throttled.Load())}
}

// call is one GET: some series of one resource in one namespace.
type call struct {
	queries     []query
	first, last time.Time // the slots, both included
}

// plan cuts the series x slots to read into calls.
func (s *Source) plan(first, end time.Time) []call {
	type place struct{ resource, namespace string }
	var order []place
	by := map[place][]query{}
	for _, q := range s.queries {
		at := place{q.resource, q.namespace}
		if by[at] == nil {
			order = append(order, at)
		}
		by[at] = append(by[at], q)
	}
	var calls []call
	for ; first.Before(end); first = first.Add(maxSlots * s.step) {
		last := first
		for n := 1; n < maxSlots && last.Add(s.step).Before(end); n++ {
			last = last.Add(s.step)
		}
		for _, at := range order {
			for part := range slices.Chunk(by[at], maxNames) {
				calls = append(calls, call{part, first, last})
			}
		}
	}
	return calls
}

// Fetch implements collector.Source.
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
	calls := s.plan(first, to)
	samples := make([][]api.Sample, len(calls))
	errs := make([]error, len(calls))
	var g errgroup.Group
	g.SetLimit(parallelCalls)
	for i, c := range calls {
		g.Go(func() error {
			samples[i], errs[i] = s.fetch(ctx, c)
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	refused := 0
	for i, err := range errs {
		var series *collector.SeriesError
		if err != nil && !errors.As(err, &series) {
			refused++
			errs[i] = &collector.SeriesError{Series: seriesOf(calls[i].queries), Err: err}
		}
	}
	if refused == len(calls) {
		return nil, fmt.Errorf("all %d calls: %w", refused, errors.Unwrap(errs[0]))
	}
	return slices.Concat(samples...), errors.Join(errs...)
}

func seriesOf(queries []query) []collector.Series {
	out := make([]collector.Series, len(queries))
	for i, q := range queries {
		out[i] = q.series
	}
	return out
}

// fetch makes a call, and one for each of its series when the call is refused as a
// whole for what one of them may be at fault of. An error that holds no
// *collector.SeriesError speaks of the whole call.
func (s *Source) fetch(ctx context.Context, c call) ([]api.Sample, error) {
	samples, err := s.ask(ctx, c)
	var r *refusal
	if len(c.queries) == 1 || !errors.As(err, &r) || r.status != http.StatusBadRequest {
		return samples, err
	}
	var errs []error
	for _, q := range c.queries {
		one, err := s.ask(ctx, call{[]query{q}, c.first, c.last})
		samples = append(samples, one...)
		var series *collector.SeriesError
		if err != nil && !errors.As(err, &series) {
			err = &collector.SeriesError{Series: []collector.Series{q.series}, Err: err}
		}
		errs = append(errs, err)
	}
	return samples, errors.Join(errs...)
}

// ask makes one GET.
func (s *Source) ask(ctx context.Context, c call) ([]api.Sample, error) {
	var names, wanted []string
	for _, q := range c.queries {
		if !slices.Contains(names, q.name) {
			names = append(names, q.name)
		}
		if !slices.Contains(wanted, q.aggregation) {
			wanted = append(wanted, q.aggregation)
		}
	}
	params := url.Values{
		"timespan":    {c.first.Format(time.RFC3339) + "/" + c.last.Add(s.step).Format(time.RFC3339)},
		"interval":    {intervals[s.step]},
		"metricnames": {strings.Join(names, ",")},
		"aggregation": {strings.Join(wanted, ",")},
	}
	if namespace := c.queries[0].namespace; namespace != "" {
		params.Set("metricnamespace", namespace)
	}
	raw, err := s.client.metrics(ctx, c.queries[0].resource, params)
	if err != nil {
		return nil, fmt.Errorf("metrics of %s: %w", c.queries[0].resource, err)
	}
	a, err := decode(raw, intervals[s.step])
	if err != nil {
		return nil, fmt.Errorf("metrics of %s: %w", c.queries[0].resource, err)
	}
	var samples []api.Sample
	var errs []error
	for _, q := range c.queries {
		values, err := a.values(q, c.first, c.last, s.step)
		if err != nil {
			errs = append(errs, &collector.SeriesError{Series: []collector.Series{q.series}, Err: err})
			continue
		}
		samples = append(samples, values...)
	}
	return samples, errors.Join(errs...)
}
