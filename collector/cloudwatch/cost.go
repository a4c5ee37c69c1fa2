package cloudwatch

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/forescale/forescale/collector"
)

// Cost implements collector.Costed. Each query of GetMetricData is billed as one
// metric requested, whatever the number of points; that several statistics of one
// metric may count as one is not relied on. The groups of the configuration are
// counted, and those that were found if a Fetch has looked for them.
func (s *Source) Cost(slots int) collector.Cost {
	s.mu.Lock()
	defer s.mu.Unlock()
	cost := collector.Cost{
		CallsPerSecond: s.config.CallsPerSecond, Quota: quotaCalls, Unit: "metrics requested", Price: s.config.Price,
		Basis: "the list price of GetMetricData in us-east-1, known in November 2026",
	}
	if s.config.Price != defaultPrice {
		cost.Basis = "the configured price"
	}
	for _, p := range s.places {
		size := max(1, min(maxQueries, maxPoints/max(1, slots)))
		cost.Billed += len(p.queries)
		cost.Calls += (len(p.queries) + size - 1) / size
		if s.searched.IsZero() {
			for _, d := range p.searches {
				cost.Unknown = append(cost.Unknown, d.describe(p))
			}
		}
	}
	return cost
}

// describe says what a search that has not been made would add.
func (d Discovery) describe(p *place) string {
	what := "all groups"
	if !d.All {
		var tags []string
		for _, key := range slices.Sorted(maps.Keys(d.Tags)) {
			tags = append(tags, key+"="+d.Tags[key])
		}
		what = "groups with the tags " + strings.Join(tags, ", ")
	}
	each := Group{Metrics: d.Metrics}
	if d.LoadBalancers {
		each.LoadBalancer = "some" // which adds the metrics of one
	}
	return fmt.Sprintf("%s of %s: %d metrics for each group that is found", what, p, len(each.metrics()))
}
