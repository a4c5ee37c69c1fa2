package fleet

import (
	"cmp"
	"math"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// datum is a CloudWatch statistic set.
type datum struct{ sum, count, min, max float64 }

// single returns the statistic set of one sample.
func single(v float64) (datum, bool) { return datum{v, 1, v, v}, true }

func (d *datum) add(o datum) {
	if d.count == 0 {
		*d = o
		return
	}
	d.sum += o.sum
	d.count += o.count
	d.min = min(d.min, o.min)
	d.max = max(d.max, o.max)
}

// metric is one metric that the cloud publishes for every group.
type metric struct {
	namespace, name string
	// dimensions are the names that a query has to give, all of them.
	dimensions []string
	load       bool // depends on observed load: absent in slots that were not observed
	ec2        bool // published every five minutes unless the group has detailed monitoring
	// at returns the statistic set of a minute that has run; false: nothing was published.
	at func(g *group, m int) (datum, bool)
}

// Names of CloudWatch dimensions.
const (
	dimensionGroup        = "AutoScalingGroupName"
	dimensionLoadBalancer = "LoadBalancer"
	dimensionTargetGroup  = "TargetGroup"
)

var metrics = []metric{
	{"AWS/EC2", "CPUUtilization", []string{dimensionGroup}, true, true, cpu},
	{"AWS/EC2", "NetworkIn", []string{dimensionGroup}, true, true, networkIn},
	{"AWS/ApplicationELB", "RequestCount", []string{dimensionLoadBalancer}, true, false, requestCount},
	{"AWS/ApplicationELB", "RequestCount", []string{dimensionLoadBalancer, dimensionTargetGroup}, true, false, requestCount},
	{"AWS/ApplicationELB", "RequestCountPerTarget", []string{dimensionTargetGroup}, true, false, requestCountPerTarget},
	{"AWS/ApplicationELB", "RequestCountPerTarget", []string{dimensionLoadBalancer, dimensionTargetGroup}, true, false, requestCountPerTarget},
	{"AWS/ApplicationELB", "TargetResponseTime", []string{dimensionLoadBalancer}, true, false, responseTime},
	{"AWS/ApplicationELB", "TargetResponseTime", []string{dimensionLoadBalancer, dimensionTargetGroup}, true, false, responseTime},
	{"AWS/AutoScaling", "GroupInServiceInstances", []string{dimensionGroup}, false, false, inServiceInstances},
	{"AWS/AutoScaling", "GroupPendingInstances", []string{dimensionGroup}, false, false, pendingInstances},
	{"AWS/AutoScaling", "GroupDesiredCapacity", []string{dimensionGroup}, false, false, desiredCapacity},
	{"AWS/AutoScaling", "GroupMinSize", []string{dimensionGroup}, false, false, func(g *group, _ int) (datum, bool) { return single(float64(g.min)) }},
	{"AWS/AutoScaling", "GroupMaxSize", []string{dimensionGroup}, false, false, func(g *group, _ int) (datum, bool) { return single(float64(g.max)) }},
}

// cpu is the mean utilisation of the instances in service, in percent.
func cpu(g *group, m int) (datum, bool) {
	u := g.sim.Utilisation(m)
	if math.IsNaN(u) {
		return datum{}, false
	}
	return single(100 * u)
}

// requests returns the whole requests that arrived in minute m: the fractions of
// a slot's minutes are carried over, so that its sum is the floor of the exact one.
func (g *group) requests(m int) float64 {
	perMinute := g.sim.Demand.At(m) * g.RequestsPerMinute
	k := float64(m % g.sim.Demand.SlotMinutes())
	// The tolerance keeps a slot whose exact sum is a whole number from losing one.
	return math.Floor(perMinute*(k+1)+tolerance) - math.Floor(perMinute*k+tolerance)
}

// networkIn is the bytes received, one sample per instance: Sum is the group's
// total, Average that of an instance.
func networkIn(g *group, m int) (datum, bool) {
	n := float64(g.sim.InService(m))
	if n == 0 {
		return datum{}, false
	}
	total := g.requests(m) * g.BytesPerRequest
	return datum{total, n, total / n, total / n}, true
}

// requestCount is the requests that a load balancer received. It publishes
// nothing for a minute without any.
func requestCount(g *group, m int) (datum, bool) {
	r := g.requests(m)
	if r == 0 {
		return datum{}, false
	}
	return datum{r, r, 1, 1}, true
}

func requestCountPerTarget(g *group, m int) (datum, bool) {
	r, n := g.requests(m), float64(g.sim.InService(m))
	if r == 0 || n == 0 {
		return datum{}, false
	}
	return single(r / n)
}

// responseTime is that of a single-server queue at the instances' utilisation:
// 50 ms of service, 2.5 s when saturated.
func responseTime(g *group, m int) (datum, bool) {
	const service, saturated = 0.05, 0.98
	r, u := g.requests(m), g.sim.Utilisation(m)
	if r == 0 || math.IsNaN(u) {
		return datum{}, false
	}
	t := service / (1 - min(u, saturated))
	return datum{t * r, r, t, t}, true
}

func inServiceInstances(g *group, m int) (datum, bool) { return single(float64(g.sim.InService(m))) }
func desiredCapacity(g *group, m int) (datum, bool) {
	return single(float64(g.desiredAt[m-g.sim.First()]))
}
func pendingInstances(g *group, m int) (datum, bool) {
	return single(float64(g.sim.Billed(m) - g.sim.InService(m)))
}

// base returns the period in minutes in which a group publishes the metric.
func (mt *metric) base(g *group) int {
	if mt.ec2 && !g.DetailedMonitoring {
		return 5
	}
	return 1
}

// published returns the data point of the base period that starts at a time, as
// it can be seen now; false: nothing is there (yet).
func (mt *metric) published(g *group, at time.Time) (datum, bool) {
	base := mt.base(g)
	end := at.Add(time.Duration(base) * time.Minute)
	c := g.cloud
	ready := end.Add(c.config.PublishDelay)
	if ready.After(c.clock) || ready.Add(c.traps.delay(g.Name, mt.name, at)).After(c.clock) || c.traps.missing(g.Name, mt.name, at) {
		return datum{}, false
	}
	first := g.sim.Demand.Minute(at)
	var d datum
	for m := first; m < first+base; m++ {
		if m < g.sim.First() || m >= g.sim.Minute() || mt.load && !g.sim.Demand.Scored(m) {
			continue
		}
		if v, ok := mt.at(g, m); ok {
			d.add(v)
		}
	}
	return d, d.count > 0
}

// period returns what was published in the aggregation period that starts at a
// time. The base points are aligned to the clock; one belongs to the period that
// holds its time stamp.
func (mt *metric) period(g *group, at time.Time, period time.Duration) []datum {
	base := time.Duration(mt.base(g)) * time.Minute
	var points []datum
	t := at.Truncate(base)
	if t.Before(at) {
		t = t.Add(base)
	}
	for ; t.Before(at.Add(period)); t = t.Add(base) {
		if d, ok := mt.published(g, t); ok {
			points = append(points, d)
		}
	}
	return points
}

// statistic is how the points of a period become one value. It is called with at
// least one point.
type statistic func(points []datum) float64

var statistics = map[string]statistic{
	"Average":     func(p []datum) float64 { t := total(p); return t.sum / t.count },
	"Sum":         func(p []datum) float64 { return total(p).sum },
	"Minimum":     func(p []datum) float64 { return total(p).min },
	"Maximum":     func(p []datum) float64 { return total(p).max },
	"SampleCount": func(p []datum) float64 { return total(p).count },
}

func total(points []datum) datum {
	var d datum
	for _, p := range points {
		d.add(p)
	}
	return d
}

// percentileName matches p0 to p100.
var percentileName = regexp.MustCompile(`^p(\d{1,2}(\.\d+)?|100)$`)

// findStatistic returns the statistic with a name of CloudWatch, nil for none.
func findStatistic(name string) statistic {
	if m := percentileName.FindStringSubmatch(name); m != nil {
		q, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return nil
		}
		return func(points []datum) float64 { return weightedPercentile(points, q/100) }
	}
	return statistics[name]
}

// weightedPercentile returns the smallest mean of a point that at least a share
// q of the samples does not exceed. Single samples are not kept, so the samples
// of a point all count as its mean.
func weightedPercentile(points []datum, q float64) float64 {
	points = slices.Clone(points)
	slices.SortFunc(points, func(a, b datum) int { return cmp.Compare(a.sum/a.count, b.sum/b.count) })
	rank, seen := q*total(points).count, 0.0
	for _, p := range points {
		if seen += p.count; seen >= rank {
			return p.sum / p.count
		}
	}
	last := points[len(points)-1]
	return last.sum / last.count
}

// lookup returns the metric that a query names and the group whose dimensions it
// gives; false where CloudWatch would know no such series in the caller's account
// and region.
func (c *Cloud) lookup(from caller, namespace, name string, dimensions map[string]string) (*metric, *group, bool) {
	for i := range metrics {
		mt := &metrics[i]
		if mt.namespace != namespace || mt.name != name || len(mt.dimensions) != len(dimensions) {
			continue
		}
		if g := c.series[metricKey(mt, func(name string) string { return dimensions[name] })]; g != nil {
			return mt, g, from.sees(g)
		}
	}
	return nil, nil, false
}

// indexSeries finds the group of every series once, because looking through all
// groups for each query of all groups would take a simulation of 10,000 of them
// longer than the client under test. Of several groups with the same dimensions
// the first one counts.
func (c *Cloud) indexSeries() {
	c.series = map[string]*group{}
	for _, g := range slices.Backward(c.groups) {
		for i := range metrics {
			c.series[metricKey(&metrics[i], g.dimension)] = g
		}
	}
}

// metricKey returns what tells the series of a metric's dimensions from others.
func metricKey(mt *metric, value func(dimension string) string) string {
	key := ""
	for _, d := range mt.dimensions {
		key += d + "=" + strconv.Quote(value(d)) + " "
	}
	return key
}

// dimension returns the group's value of a dimension.
func (g *group) dimension(name string) string {
	switch name {
	case dimensionGroup:
		return g.Name
	case dimensionLoadBalancer:
		return g.LoadBalancer
	case dimensionTargetGroup:
		return g.TargetGroup
	}
	return ""
}

// Retention of CloudWatch: how long points of a period can be asked for.
var retention = []struct {
	period time.Duration // multiples of it
	age    time.Duration
}{
	{time.Minute, 15 * 24 * time.Hour},
	{5 * time.Minute, 63 * 24 * time.Hour},
	{time.Hour, 455 * 24 * time.Hour},
}

// retained returns how long points of a period are kept.
func retained(period time.Duration) time.Duration {
	var age time.Duration
	for _, r := range retention {
		if period%r.period == 0 {
			age = max(age, r.age)
		}
	}
	return age
}

// roundStart rounds the start of a request down as CloudWatch does: the older,
// the coarser.
func roundStart(start, now time.Time) time.Time {
	for _, r := range retention {
		if now.Sub(start) <= r.age {
			return start.Truncate(r.period)
		}
	}
	return start.Truncate(time.Hour)
}
