package cloudwatch

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
)

// Config lists the groups to read, and what of them.
type Config struct {
	// Region and Endpoint replace those of the shared section aws.
	Region   string  `yaml:"region"`
	Endpoint string  `yaml:"endpoint"`
	Groups   []Group `yaml:"groups"`
	// Metrics adds definitions, or replaces built-in ones, by the name under which
	// Group.Metrics lists them.
	Metrics map[string]Metric `yaml:"metrics"`
}

// Group is one group of instances.
type Group struct {
	// Name is the group's name in Forescale.
	Name string `yaml:"name"`
	// AutoScalingGroup is its name in AWS. Default Name.
	AutoScalingGroup string `yaml:"auto_scaling_group"`
	// LoadBalancer is the last part of an Application Load Balancer's ARN, for
	// example app/web/50dc6c495c0c9188; TargetGroup, for example
	// targetgroup/web/73e2d6bc24d8a067, narrows it down. Both are optional.
	LoadBalancer string `yaml:"load_balancer"`
	TargetGroup  string `yaml:"target_group"`
	// Metrics names the definitions to read. Default: cpu_utilization, network_in,
	// instances_in_service, instances_desired, and request_count when there is a
	// load balancer.
	Metrics []string `yaml:"metrics"`
}

// Metric defines where a series comes from.
type Metric struct {
	// Metric is the name in the lake. Default: the name of the definition.
	Metric    string `yaml:"metric"`
	Namespace string `yaml:"namespace"` // for example AWS/EC2
	Name      string `yaml:"name"`      // CloudWatch's own, for example CPUUtilization
	// Stat is avg, sum, min, max, count or p95. Default: the usual one of the metric.
	Stat api.Stat `yaml:"stat"`
	// Of lists what of the group becomes a dimension: auto_scaling_group,
	// load_balancer (with the target group, where there is one) or target_group.
	Of []string `yaml:"of"`
	// Dimensions are further ones with a fixed value.
	Dimensions map[string]string `yaml:"dimensions"`
}

// What Metric.Of may name.
const (
	ofGroup        = "auto_scaling_group"
	ofLoadBalancer = "load_balancer"
	ofTargetGroup  = "target_group"
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

// query is one series as CloudWatch knows it.
type query struct {
	series     collector.Series
	namespace  string
	name       string
	statistic  string
	dimensions []dimension // sorted by name
}

type dimension struct{ name, value string }

// Validate returns all faults at once.
func (c Config) Validate() error {
	_, err := c.queries()
	return err
}

// queries returns every series that the configuration asks for, in its order.
// The error lists all faults.
func (c Config) queries() ([]query, error) {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf("cloudwatch: "+format, args...)) }
	if len(c.Groups) == 0 {
		bad("groups: at least one is needed")
	}
	definitions := maps.Clone(builtin)
	for _, name := range slices.Sorted(maps.Keys(c.Metrics)) {
		m := c.Metrics[name]
		if err := m.validate(name); err != nil {
			bad("metrics.%s: %w", name, err)
		}
		definitions[name] = m
	}
	seen := map[collector.Series]bool{}
	var out []query
	for i, g := range c.Groups {
		if g.Name == "" || len(g.Name) > api.MaxNameLen {
			bad("groups[%d]: name must be 1 to %d bytes long", i, api.MaxNameLen)
			continue
		}
		for _, name := range g.metrics() {
			m, ok := definitions[name]
			if !ok {
				bad("group %q: metric %q is neither built in (%s) nor defined under metrics", g.Name, name,
					strings.Join(slices.Sorted(maps.Keys(builtin)), ", "))
				continue
			}
			q, err := m.query(name, g)
			switch {
			case err != nil:
				bad("group %q: metric %s: %w", g.Name, name, err)
			case seen[q.series]:
				bad("group %q: %s is asked for twice", g.Name, q.series)
			default:
				seen[q.series] = true
				out = append(out, q)
			}
		}
	}
	return out, errors.Join(faults...)
}

func (g Group) metrics() []string {
	if len(g.Metrics) > 0 {
		return g.Metrics
	}
	names := []string{api.MetricCPU, api.MetricNetworkIn, api.MetricInService, api.MetricDesired}
	if g.LoadBalancer != "" {
		names = append(names, api.MetricRequests)
	}
	return names
}

func (m Metric) validate(name string) error {
	var faults []error
	if m.Namespace == "" || m.Name == "" {
		faults = append(faults, errors.New("namespace and name are required"))
	}
	if m.Stat != "" && !m.Stat.Valid() {
		faults = append(faults, fmt.Errorf("stat: %q is not avg, sum, min, max, count or p95", m.Stat))
	}
	if stored := m.stored(name); stored == "" || len(stored) > api.MaxNameLen {
		faults = append(faults, fmt.Errorf("metric: must be 1 to %d bytes long", api.MaxNameLen))
	}
	for _, of := range m.Of {
		if of != ofGroup && of != ofLoadBalancer && of != ofTargetGroup {
			faults = append(faults, fmt.Errorf("of: %q is not %s, %s or %s", of, ofGroup, ofLoadBalancer, ofTargetGroup))
		}
	}
	return errors.Join(faults...)
}

// stored returns the metric's name in the lake.
func (m Metric) stored(name string) string {
	if m.Metric != "" {
		return m.Metric
	}
	return name
}

// query applies the definition, known under name, to a group.
func (m Metric) query(name string, g Group) (query, error) {
	metric := m.stored(name)
	stat := m.Stat
	if stat == "" {
		stat = api.DefaultStat(metric)
	}
	q := query{
		series:    collector.Series{Group: g.Name, Metric: metric, Stat: stat},
		namespace: m.Namespace, name: m.Name, statistic: statistics[stat],
	}
	values := maps.Clone(m.Dimensions)
	if values == nil {
		values = map[string]string{}
	}
	for _, of := range m.Of {
		switch of {
		case ofGroup:
			values["AutoScalingGroupName"] = g.AutoScalingGroup
			if g.AutoScalingGroup == "" {
				values["AutoScalingGroupName"] = g.Name
			}
		case ofLoadBalancer:
			if g.LoadBalancer == "" {
				return q, errors.New("the group has no load_balancer")
			}
			values["LoadBalancer"] = g.LoadBalancer
			if g.TargetGroup != "" {
				values["TargetGroup"] = g.TargetGroup
			}
		case ofTargetGroup:
			if g.TargetGroup == "" {
				return q, errors.New("the group has no target_group")
			}
			values["TargetGroup"] = g.TargetGroup
		}
	}
	for _, dim := range slices.Sorted(maps.Keys(values)) {
		q.dimensions = append(q.dimensions, dimension{dim, values[dim]})
	}
	return q, nil
}
