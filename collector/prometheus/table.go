package prometheus

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
)

// table is what the answers to a query have told so far of some slots.
type table struct {
	query  query
	first  time.Time // start of slot 0
	slots  int
	step   time.Duration
	groups map[string]*column
	// twice holds, by group, the two result series that have met in one slot without
	// an aggregation. Their group has no values.
	twice map[string][2]string
	// nameless is the first result series that has no group, and why.
	nameless error
}

// column holds the values of a group, [slots].
type column struct {
	values []float64 // NaN: none
	counts []int32   // how many values there were; nil unless their mean is wanted
}

func newTable(q query, first time.Time, slots int, step time.Duration) table {
	return table{query: q, first: first, slots: slots, step: step, groups: map[string]*column{}, twice: map[string][2]string{}}
}

// add takes over the result of asking for the slots from first to last, both
// included. Points of other times, or two of the same, mean that something other
// than query_range has answered.
func (t *table) add(result []series, first, last time.Time) error {
	if len(result) > maxGroups {
		return fmt.Errorf("the expression has %d result series, more than %d: aggregate by what is the group", len(result), maxGroups)
	}
	for i := range result { // before anything is taken over: who answers oddly once is not believed the rest
		if err := result[i].check(first, last, t.step); err != nil {
			return err
		}
	}
	for i := range result {
		s := &result[i]
		group, err := t.query.group.group(s.Labels)
		if err != nil {
			if t.nameless == nil {
				t.nameless = fmt.Errorf("series %s: %w", s, err)
			}
			continue
		}
		for _, p := range s.Points {
			slot := (p.at-t.first.UnixMilli())/t.step.Milliseconds() - 1
			if !t.put(group, int(slot), p.value*t.query.factor) {
				t.twice[group] = [2]string{t.earlier(result[:i], group, p.at).String(), s.String()}
				delete(t.groups, group)
			}
		}
	}
	return nil
}

// check tells whether the series is what asking for the slots from first to last
// gives.
func (s *series) check(first, last time.Time, step time.Duration) error {
	if len(s.Histograms) > 0 {
		return fmt.Errorf("series %s holds native histograms: take a number out of them with histogram_quantile, histogram_sum or histogram_count", s)
	}
	seen := make(map[int64]bool, len(s.Points))
	for _, p := range s.Points {
		since := p.at - first.Add(step).UnixMilli()
		if since < 0 || p.at > last.Add(step).UnixMilli() || since%step.Milliseconds() != 0 || seen[p.at] {
			return fmt.Errorf("series %s: an odd answer: a point at %s that was not asked for", s, time.UnixMilli(p.at).UTC().Format(time.RFC3339Nano))
		}
		seen[p.at] = true
	}
	return nil
}

// put adds a value of a slot, unless it is no number. It returns false when the
// slot has one already and nothing is said of how they make one.
func (t *table) put(group string, slot int, value float64) bool {
	if _, bad := t.twice[group]; bad || !finite(value) {
		return true
	}
	c := t.groups[group]
	if c == nil {
		c = &column{values: slices.Repeat([]float64{math.NaN()}, t.slots)}
		if t.query.Aggregate == "avg" {
			c.counts = make([]int32, t.slots)
		}
		t.groups[group] = c
	}
	old := c.values[slot]
	switch {
	case math.IsNaN(old):
		c.values[slot] = value
	case t.query.Aggregate == "sum":
		c.values[slot] += value
	case t.query.Aggregate == "min":
		c.values[slot] = min(old, value)
	case t.query.Aggregate == "max":
		c.values[slot] = max(old, value)
	case t.query.Aggregate == "avg":
		c.values[slot] += (value - old) / float64(c.counts[slot]+1)
	default:
		return false
	}
	if c.counts != nil {
		c.counts[slot]++
	}
	return true
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// earlier returns the result series of the group that has a number at that time.
func (t *table) earlier(result []series, group string, at int64) *series {
	for i := range result {
		if name, err := t.query.group.group(result[i].Labels); err == nil && name == group &&
			slices.ContainsFunc(result[i].Points, func(p point) bool { return p.at == at && finite(p.value) }) {
			return &result[i]
		}
	}
	return &series{}
}

// samples appends the values of a series.
func (t *table) samples(to []api.Sample, of collector.Series) []api.Sample {
	for i, v := range t.groups[of.Group].values {
		if finite(v) { // a sum may have overflown
			to = append(to, api.Sample{Group: of.Group, Metric: of.Metric, Stat: of.Stat,
				Time: t.first.Add(time.Duration(i) * t.step).UTC(), Value: v})
		}
	}
	return to
}

// clashes returns an error for each group whose result series have met.
func (t *table) clashes() (out []error) {
	for _, group := range slices.Sorted(maps.Keys(t.twice)) {
		pair := t.twice[group]
		out = append(out, &collector.SeriesError{
			Series: []collector.Series{{Group: group, Metric: t.query.Metric, Stat: t.query.Stat}},
			Err: fmt.Errorf("prometheus.%s: series %s and %s are both of this group: name the label that tells them apart in group, aggregate in expr, or set aggregate",
				t.query.where, pair[0], pair[1]),
		})
	}
	return out
}

// String returns the labels as Prometheus writes them, shortened.
func (s *series) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(s.Labels)) {
		parts = append(parts, fmt.Sprintf("%s=%q", name, s.Labels[name]))
	}
	text := "{" + strings.Join(parts, ", ") + "}"
	if len(text) > maxText {
		text = text[:maxText] + "…"
	}
	return text
}
