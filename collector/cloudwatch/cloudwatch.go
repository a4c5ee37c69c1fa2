package cloudwatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
)

// API is the part of CloudWatch's client that the source needs.
type API interface {
	GetMetricData(ctx context.Context, in *cloudwatch.GetMetricDataInput, opts ...func(*cloudwatch.Options)) (*cloudwatch.GetMetricDataOutput, error)
}

// Limits of GetMetricData.
const (
	maxQueries = 500     // a call
	maxPoints  = 100_800 // a page
)

// place is an account and region, with the groups that are read there.
type place struct {
	account, region string // as configured, and as it came to be
	metrics         API
	groups          groupsAPI
	balancers       balancersAPI
	pace            *pace

	named    []Group     // of the configuration
	searches []Discovery // of the configuration
	found    []Group     // guarded by Source.mu: by the last search that succeeded
	leaving  []Group     // guarded by Source.mu: found before, and no longer
	queries  []query     // guarded by Source.mu: of all groups; replaced, never changed

	mu    sync.Mutex
	batch int // guarded by mu: queries a call that CloudWatch coped with lately
}

// Source reads the configured series. It implements collector.Source,
// collector.Bounded, collector.Divisible and collector.Costed.
type Source struct {
	name        string
	config      Config
	definitions map[string]Metric
	places      []*place
	step        time.Duration
	now         func() time.Time
	log         *slog.Logger
	calls       *calls // nil: the client was made by somebody else

	mu       sync.Mutex // serialises searches, and guards what the places say it does
	searched time.Time  // when the groups were looked for last; zero: never with success
}

// New returns a source of that name that reads all groups with one client, whatever
// their account and region. It finds none: see Open. Slots are step long, whole
// minutes.
func New(name string, c Config, api API, step time.Duration, log *slog.Logger) (*Source, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if len(c.Discover) > 0 {
		return nil, errors.New("cloudwatch: discover: needs clients of its own, as Open makes them")
	}
	c = c.withDefaults()
	one := &place{metrics: api, pace: newPace(c.CallsPerSecond), batch: maxQueries}
	return newSource(name, c, Deps{Step: step, Log: log}, func(string, string) (*place, error) { return one, nil })
}

// Calls implements collector.Metered. A source that New returned knows of none.
func (s *Source) Calls() collector.Calls {
	if s.calls == nil {
		return collector.Calls{}
	}
	return collector.Calls{Made: int(s.calls.made.Load()), Throttled: int(s.calls.throttled.Load())}
}

// newSource sorts the groups of a valid configuration by their places, which dial
// opens: by the same account and region, it may return the same place again.
func newSource(name string, c Config, d Deps, dial func(account, region string) (*place, error)) (*Source, error) {
	if d.Step <= 0 || d.Step%time.Minute != 0 {
		return nil, fmt.Errorf("cloudwatch: a step of %s is not whole minutes", d.Step)
	}
	definitions, err := c.definitions()
	if err != nil {
		return nil, err
	}
	s := &Source{name: name, config: c, definitions: definitions, step: d.Step, now: d.Now, log: d.Log, calls: d.calls}
	if s.now == nil {
		s.now = time.Now
	}
	dialled := map[[2]string]*place{}
	at := func(account, region string) (*place, error) {
		key := [2]string{account, region}
		if dialled[key] == nil {
			p, err := dial(account, region)
			if err != nil {
				return nil, err
			}
			// One region may be spelt out for one group and be another's default.
			if i := slices.IndexFunc(s.places, func(have *place) bool { return have.account == p.account && have.region == p.region }); i >= 0 {
				p = s.places[i]
			} else {
				s.places = append(s.places, p)
			}
			dialled[key] = p
		}
		return dialled[key], nil
	}
	for _, g := range c.Groups {
		p, err := at(g.Account, g.Region)
		if err != nil {
			return nil, err
		}
		p.named = append(p.named, g)
	}
	for _, search := range c.Discover {
		p, err := at(search.Account, search.Region)
		if err != nil {
			return nil, err
		}
		p.searches = append(p.searches, search)
	}
	s.compile()
	return s, nil
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
	all, searchErr := s.known(ctx)
	samples, err := s.fetchAll(ctx, all, from, to)
	return samples, errors.Join(searchErr, err)
}

// asked is a part of what is read at a place.
type asked struct {
	place   *place
	queries []query
}

// known returns every series, after a search when one is due. An error means that
// there are more, at a place that could not be searched.
func (s *Source) known(ctx context.Context) ([]asked, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.search(ctx)
	var all []asked
	for _, p := range s.places {
		all = append(all, asked{p, p.queries})
	}
	return all, err
}

// Divide implements collector.Divisible.
func (s *Source) Divide(ctx context.Context, series int) ([]collector.Source, error) {
	all, err := s.known(ctx)
	if err != nil {
		return nil, err
	}
	var parts []collector.Source
	for _, a := range all {
		// Groups stay whole, and neighbours by name stay together: each part of the
		// lake then holds a range of groups of its own.
		sorted := slices.Clone(a.queries)
		slices.SortStableFunc(sorted, func(x, y query) int { return cmp.Compare(x.series.Group, y.series.Group) })
		for len(sorted) > 0 {
			n := min(max(1, series), len(sorted))
			for n < len(sorted) && n > 0 && sorted[n].series.Group == sorted[n-1].series.Group {
				n--
			}
			for n == 0 || n < len(sorted) && sorted[n].series.Group == sorted[n-1].series.Group { // a group larger than a part
				n++
			}
			parts = append(parts, &division{s, asked{a.place, sorted[:n]}})
			sorted = sorted[n:]
		}
	}
	return parts, nil
}

// division is a part of a source, of whole groups.
type division struct {
	*Source
	part asked
}

// Fetch implements collector.Source for the series of the part.
func (d *division) Fetch(ctx context.Context, from, to time.Time) ([]api.Sample, error) {
	return d.fetchAll(ctx, []asked{d.part}, from, to)
}
