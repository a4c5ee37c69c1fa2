package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
)

// API is the part of the SDK's client that the source needs.
type API interface {
	GetMetricData(ctx context.Context, in *cloudwatch.GetMetricDataInput, opts ...func(*cloudwatch.Options)) (*cloudwatch.GetMetricDataOutput, error)
}

// Limits of GetMetricData.
const (
	maxQueries = 500     // a call
	maxPoints  = 100_800 // a page
)

// parallelCalls bounds the calls under way at a time; the quota of
// GetMetricData is 50 a second.
const parallelCalls = 4

// Source reads the configured series. It implements collector.Source and
// collector.Bounded.
type Source struct {
	name    string
	queries []query
	api     API
	step    time.Duration
	log     *slog.Logger
}

// New returns a source of that name. Slots are step long, whole minutes.
func New(name string, c Config, api API, step time.Duration, log *slog.Logger) (*Source, error) {
	queries, err := c.queries()
	if err != nil {
		return nil, err
	}
	if step <= 0 || step%time.Minute != 0 {
		return nil, fmt.Errorf("cloudwatch: a step of %s is not whole minutes", step)
	}
	return &Source{name: name, queries: queries, api: api, step: step, log: log}, nil
}

// Name implements collector.Source.
func (s *Source) Name() string { return s.name }

// Oldest implements collector.Bounded by CloudWatch's retention for the step.
func (s *Source) Oldest(now time.Time) time.Time {
	const day = 24 * time.Hour
	keeps := 15 * day
	switch {
	case s.step%time.Hour == 0:
		keeps = 455 * day
	case s.step%(5*time.Minute) == 0:
		keeps = 63 * day
	}
	return now.Add(-keeps)
}

// Fetch implements collector.Source. For slots before Oldest, CloudWatch answers
// with no points and no error.
func (s *Source) Fetch(ctx context.Context, from, to time.Time) ([]api.Sample, error) {
	calls := s.plan(from, to)
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
	var all []api.Sample
	refused := 0
	for i := range calls {
		all = append(all, samples[i]...)
		var series *collector.SeriesError
		if errs[i] != nil && !errors.As(errs[i], &series) {
			refused++
		}
	}
	if len(calls) > 0 && refused == len(calls) {
		return all, fmt.Errorf("all %d calls: %w", refused, errs[0])
	}
	for i, err := range errs {
		var series *collector.SeriesError
		if err != nil && !errors.As(err, &series) { // one call of several: the rest was read
			errs[i] = &collector.SeriesError{Series: seriesOf(calls[i].queries), Err: err}
		}
	}
	return all, errors.Join(errs...)
}

// call is one GetMetricData with all its pages.
type call struct {
	queries  []query
	from, to time.Time
}

// plan cuts the series x slots to read into calls whose answers fit one page, as
// far as CloudWatch cuts pages by its limit only.
func (s *Source) plan(from, to time.Time) []call {
	var calls []call
	for from.Before(to) {
		end := from.Add(maxPoints * s.step)
		if end.After(to) {
			end = to
		}
		slots := int((end.Sub(from) + s.step - 1) / s.step)
		size := max(1, min(maxQueries, maxPoints/slots))
		for rest := s.queries; len(rest) > 0; {
			n := min(size, len(rest))
			calls = append(calls, call{rest[:n], from, end})
			rest = rest[n:]
		}
		from = end
	}
	return calls
}

func seriesOf(queries []query) []collector.Series {
	out := make([]collector.Series, len(queries))
	for i, q := range queries {
		out[i] = q.series
	}
	return out
}
