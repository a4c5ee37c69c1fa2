package cloudwatch

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
)

// Metric defines where a series comes from.
type Metric struct {
	// Metric is the name in the lake. Default: the name of the definition.
	Metric    string `yaml:"metric"`
	Namespace string `yaml:"namespace"` // for example AWS/EC2
	Name      string `yaml:"name"`      // CloudWatch's own, for example CPUUtilization
	// Stat is avg, sum, min, max, count or p95. Default: that of Statistic, or the
	// usual one of the metric.
	Stat api.Stat `yaml:"stat"`
	// Statistic is CloudWatch's own name: Average, Sum, Minimum, Maximum, SampleCount
	// or a percentile, p0 to p100. Default: that of Stat. A percentile other than p95
	// is stored with the statistic avg, under a name of its own (response_time_p99).
	Statistic string `yaml:"statistic"`
	// Scale is what CloudWatch's values are multiplied by to become those of the
	// metric's unit, for example 0.001 from milliseconds. Default 1.
	Scale float64 `yaml:"scale"`
	// Of lists what of the group becomes a dimension: auto_scaling_group,
	// load_balancer (with the target group, where there is one) or target_group.
	Of []string `yaml:"of"`
	// Dimensions are further ones. A value may hold {group}, the group's name in
	// Forescale, {auto_scaling_group}, {load_balancer} and {target_group}.
	Dimensions map[string]string `yaml:"dimensions"`
}

// What Metric.Of, and a value of Metric.Dimensions in braces, may name.
const (
	ofGroup        = "auto_scaling_group"
	ofLoadBalancer = "load_balancer"
	ofTargetGroup  = "target_group"
	ofName         = "group" // in braces only
)

// builtin are the definitions that need no configuration. GroupInServiceInstances
// and GroupDesiredCapacity exist only where group metrics collection is enabled.
var builtin = map[string]Metric{
	api.MetricCPU:       {Namespace: "AWS/EC2", Name: "CPUUtilization", Stat: api.StatAvg, Of: []string{ofGroup}},
	api.MetricNetworkIn: {Namespace: "AWS/EC2", Name: "NetworkIn", Stat: api.StatSum, Of: []string{ofGroup}},
	api.MetricInService: {Namespace: "AWS/AutoScaling", Name: "GroupInServiceInstances", Stat: api.StatAvg, Of: []string{ofGroup}},
	api.MetricDesired:   {Namespace: "AWS/AutoScaling", Name: "GroupDesiredCapacity", Stat: api.StatAvg, Of: []string{ofGroup}},
	api.MetricRequests:  {Namespace: "AWS/ApplicationELB", Name: "RequestCount", Stat: api.StatSum, Of: []string{ofLoadBalancer}},
	api.MetricResponse:  {Namespace: "AWS/ApplicationELB", Name: "TargetResponseTime", Stat: api.StatAvg, Of: []string{ofLoadBalancer}},
}

// statistics are CloudWatch's names of ours.
var statistics = map[api.Stat]string{
	api.StatAvg: "Average", api.StatSum: "Sum", api.StatMin: "Minimum", api.StatMax: "Maximum",
	api.StatCount: "SampleCount", api.StatP95: "p95",
}

// percentile is the form of CloudWatch's percentiles, but for their bound of 100.
var percentile = regexp.MustCompile(`^p(\d{1,3}(?:\.\d{1,10})?)$`)

// placeholder is what a value of a dimension may hold.
var placeholder = regexp.MustCompile(`\{([^{}]*)\}`)

// query is one series as CloudWatch knows it.
type query struct {
	series     collector.Series
	namespace  string
	name       string
	statistic  string
	scale      float64
	dimensions []dimension // sorted by name
}

type dimension struct{ name, value string }

// definitions returns the built-in metrics and those of the configuration. The
// error lists all faults of the latter.
func (c Config) definitions() (map[string]Metric, error) {
	var faults []error
	all := maps.Clone(builtin)
	for _, name := range slices.Sorted(maps.Keys(c.Metrics)) {
		m := c.Metrics[name]
		if err := m.validate(name); err != nil {
			faults = append(faults, fmt.Errorf("cloudwatch: metrics.%s: %w", name, err))
		}
		all[name] = m
	}
	return all, errors.Join(faults...)
}

func (m Metric) validate(name string) error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if m.Namespace == "" || m.Name == "" {
		bad("namespace and name are required")
	}
	if m.Stat != "" && !m.Stat.Valid() {
		bad("stat: %q is not avg, sum, min, max, count or p95", m.Stat)
	} else if err := m.validateStatistic(name); err != nil {
		bad("statistic: %w", err)
	}
	if m.Scale < 0 || math.IsNaN(m.Scale) || math.IsInf(m.Scale, 0) {
		bad("scale: %g must be positive", m.Scale)
	}
	if stat, _ := m.statistic(name); m.Scale != 0 && stat == api.StatCount {
		bad("scale: a count has no unit to convert")
	}
	if stored := m.stored(name); stored == "" || len(stored) > api.MaxNameLen {
		bad("metric: must be 1 to %d bytes long", api.MaxNameLen)
	}
	for _, of := range m.Of {
		if of != ofGroup && of != ofLoadBalancer && of != ofTargetGroup {
			bad("of: %q is not %s, %s or %s", of, ofGroup, ofLoadBalancer, ofTargetGroup)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(m.Dimensions)) {
		for _, found := range placeholder.FindAllStringSubmatch(m.Dimensions[key], -1) {
			if !slices.Contains([]string{ofName, ofGroup, ofLoadBalancer, ofTargetGroup}, found[1]) {
				bad("dimensions.%s: %s is not {%s}, {%s}, {%s} or {%s}", key, found[0], ofName, ofGroup, ofLoadBalancer, ofTargetGroup)
			}
		}
	}
	return errors.Join(faults...)
}

// validateStatistic reports what is wrong with Statistic, and where it and Stat
// contradict each other.
func (m Metric) validateStatistic(name string) error {
	if m.Statistic == "" {
		return nil
	}
	if stat := statOf(m.Statistic); stat != "" {
		if m.Stat != "" && m.Stat != stat {
			return fmt.Errorf("%s is stored as %s, not as %s", m.Statistic, stat, m.Stat)
		}
		return nil
	}
	p := percentile.FindStringSubmatch(m.Statistic)
	if p == nil {
		return fmt.Errorf("%q is not Average, Sum, Minimum, Maximum, SampleCount or a percentile like p99.9", m.Statistic)
	}
	if rank, err := strconv.ParseFloat(p[1], 64); err != nil || rank > 100 {
		return fmt.Errorf("%s is above p100", m.Statistic)
	}
	if m.Stat != "" && m.Stat != api.StatAvg {
		return fmt.Errorf("%s is stored as %s, not as %s", m.Statistic, api.StatAvg, m.Stat)
	}
	stored := m.stored(name)
	if slices.ContainsFunc(api.Metrics, func(k api.Metric) bool { return k.Name == stored }) {
		return fmt.Errorf("%s of %s would be taken for its average: give it a name of its own, metric: %s_%s",
			m.Statistic, stored, stored, strings.ReplaceAll(m.Statistic, ".", "_"))
	}
	return nil
}

// statOf returns our name of CloudWatch's statistic, "" where we have none.
func statOf(statistic string) api.Stat {
	for stat, name := range statistics {
		if name == statistic {
			return stat
		}
	}
	return ""
}

// statistic returns what the series is stored as, and CloudWatch's name for it.
func (m Metric) statistic(name string) (api.Stat, string) {
	switch stat := statOf(m.Statistic); {
	case stat != "":
		return stat, m.Statistic
	case m.Statistic != "":
		return api.StatAvg, m.Statistic
	case m.Stat != "":
		return m.Stat, statistics[m.Stat]
	}
	stat := api.DefaultStat(m.stored(name))
	return stat, statistics[stat]
}

// stored returns the metric's name in the lake.
func (m Metric) stored(name string) string {
	if m.Metric != "" {
		return m.Metric
	}
	return name
}

// query applies the definition, known under name, to a group. The error says what
// the group lacks.
func (m Metric) query(name string, g Group) (query, error) {
	stat, statistic := m.statistic(name)
	q := query{
		series:    collector.Series{Group: g.Name, Metric: m.stored(name), Stat: stat},
		namespace: m.Namespace, name: m.Name, statistic: statistic, scale: m.Scale,
	}
	if q.scale == 0 {
		q.scale = 1
	}
	add := func(dim, of, value string) error {
		if value == "" {
			return fmt.Errorf("the group has no %s", of)
		}
		q.dimensions = append(q.dimensions, dimension{dim, value})
		return nil
	}
	of := map[string]string{ofName: g.Name, ofGroup: g.autoScalingGroup(), ofLoadBalancer: g.LoadBalancer, ofTargetGroup: g.TargetGroup}
	var faults []error
	for _, what := range m.Of {
		switch what {
		case ofGroup:
			faults = append(faults, add("AutoScalingGroupName", what, of[what]))
		case ofLoadBalancer:
			faults = append(faults, add("LoadBalancer", what, of[what]))
			if g.TargetGroup != "" {
				faults = append(faults, add("TargetGroup", ofTargetGroup, g.TargetGroup))
			}
		case ofTargetGroup:
			faults = append(faults, add("TargetGroup", what, of[what]))
		}
	}
	for dim, value := range m.Dimensions {
		for _, found := range placeholder.FindAllStringSubmatch(value, -1) {
			if of[found[1]] == "" {
				faults = append(faults, fmt.Errorf("the group has no %s", found[1]))
			}
			value = strings.ReplaceAll(value, found[0], of[found[1]])
		}
		faults = append(faults, add(dim, "value of the dimension "+dim, value))
	}
	slices.SortFunc(q.dimensions, func(a, b dimension) int { return strings.Compare(a.name+"\x00"+a.value, b.name+"\x00"+b.value) })
	q.dimensions = slices.CompactFunc(q.dimensions, func(a, b dimension) bool { return a == b })
	return q, errors.Join(faults...)
}
