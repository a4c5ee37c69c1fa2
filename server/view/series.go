package view

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/window"
)

// chunk is about how much of a long range is held in memory slot by slot at a time.
const chunk = 8 * 24 * time.Hour

// providers are the metrics of who provides the groups, and those that demand is made
// of. All others are readings of sensors, or metrics without a meaning here.
var providers = map[string]bool{api.MetricCPU: true, api.MetricNetworkIn: true, "network_out": true, api.MetricRequests: true,
	api.MetricInService: true, api.MetricDesired: true, api.MetricResponse: true, "memory_utilization": true, "network_latency": true, api.SeriesDemand: true}

// addSeries reads the samples of a range, a stretch at a time, and puts them into
// buckets. known is false when there are none.
func (v *View) addSeries(ctx context.Context, g grid, out *api.GroupHistory) (known bool) {
	sums := map[string]*buckets{}
	sensors := map[string]bool{}
	flags := map[string]bool{}
	if v.Calendar != nil {
		for _, name := range v.Calendar.Flags() {
			flags[name] = true
		}
	}
	length := max(g.bucket, chunk.Truncate(g.bucket))
	var newest time.Time
	for from := g.from; from.Before(g.end()) && ctx.Err() == nil; from = from.Add(length) {
		to := from.Add(length)
		if to.After(g.end()) {
			to = g.end()
		}
		samples, err := v.Samples.Scan(ctx, out.Group, from, to)
		if err != nil {
			out.Warnings = append(out.Warnings, fmt.Sprintf("data: %.500s", err))
		}
		for _, s := range samples {
			name := api.SeriesName(s.Metric, s.Stat)
			out.Units[name] = unitOf(s.Metric)
			sensors[name] = !providers[s.Metric] && !flags[s.Metric] && !strings.HasPrefix(s.Metric, "is_")
		}
		stretch := window.FromSamples(samples, g.step, from, to)[out.Group]
		if stretch == nil {
			continue
		}
		known = true
		stretch.AddDemand()
		for name, column := range stretch.Columns {
			if sums[name] == nil {
				sums[name] = newBuckets(g.n)
			}
			if last := sums[name].add(column, g.index(from)*g.slots(), g.slots()); last >= 0 {
				if end := g.from.Add(time.Duration(last+1) * g.step); end.After(newest) {
					newest = end
				}
			}
		}
	}
	out.NewestEnd = newest
	if sums[api.SeriesDemand] != nil {
		out.Units[api.SeriesDemand] = unitDemand
	}
	out.Target = v.target(out.Group, sums)
	for name, b := range sums {
		mean, low, high := b.done()
		if sensors[name] && name != out.Target {
			out.Sensors[name] = sensor(g, out.Units[name], mean)
			continue
		}
		out.Series[name] = mean
		if g.slots() > 1 {
			if out.Lows == nil {
				out.Lows, out.Highs = map[string]api.Series{}, map[string]api.Series{}
			}
			out.Lows[name], out.Highs[name] = low, high
		}
	}
	return known
}

// target returns the series that is forecast: what the group's model says, or else
// what a model would most likely.
func (v *View) target(group string, known map[string]*buckets) string {
	if name := v.Models.Target(group); name != "" {
		return name
	}
	for _, name := range []string{api.SeriesDemand, api.MetricRequests, api.MetricCPU} {
		if known[name] != nil {
			return name
		}
	}
	return api.SeriesDemand
}

// sensor returns the values of a series that are there.
func sensor(g grid, unit string, values api.Series) api.Sensor {
	s := api.Sensor{Unit: unit, Times: []time.Time{}, Values: api.Series{}}
	for i, value := range values {
		if !math.IsNaN(value) {
			s.Times, s.Values = append(s.Times, g.time(i)), append(s.Values, value)
		}
	}
	return s
}

// buckets gather a series: how many values a bucket has, their sum and extremes.
type buckets struct {
	count          []int
	sum, low, high api.Series
}

func newBuckets(n int) *buckets {
	return &buckets{make([]int, n), make(api.Series, n), missing(n), missing(n)}
}

// add enters a column whose first slot is slot first of all, slots of which make a
// bucket. It returns the last slot that has a value, -1 for none.
func (b *buckets) add(column api.Series, first, slots int) (last int) {
	last = -1
	for i, value := range column {
		if math.IsNaN(value) {
			continue
		}
		last = first + i
		at := last / slots
		b.sum[at] += value
		if b.count[at]++; b.count[at] == 1 {
			b.low[at], b.high[at] = value, value
			continue
		}
		b.low[at], b.high[at] = min(b.low[at], value), max(b.high[at], value)
	}
	return last
}

// done returns the mean and the extremes of each bucket, NaN where there is no value.
func (b *buckets) done() (mean, low, high api.Series) {
	mean = b.sum
	for i, n := range b.count {
		if n == 0 {
			mean[i] = math.NaN()
		} else {
			mean[i] /= float64(n)
		}
	}
	return mean, b.low, b.high
}
