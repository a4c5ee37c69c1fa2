package azuremonitor

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/collector/unit"
	"github.com/forescale/forescale/internal/conf"
)

// Config lists the resources to read, and what of them.
type Config struct {
	// Endpoint is the Resource Manager's. Default https://management.azure.com, the
	// public cloud's. For another cloud set AZURE_AUTHORITY_HOST too.
	Endpoint string `yaml:"endpoint"`
	// Token refers to a bearer token that somebody else renews. Default: none, the
	// SDK's default chain of credentials.
	Token  conf.Secret `yaml:"token"`
	Groups []Group     `yaml:"groups"`
	// Metrics adds definitions, or replaces built-in ones, by the name under which
	// Group.Metrics lists them.
	Metrics map[string]Metric `yaml:"metrics"`
}

// Group is what one resource tells of a group. A group whose metrics come from
// several resources is listed once for each.
type Group struct {
	Name string `yaml:"name"`
	// Resource is the resource's id: /subscriptions/…/providers/TYPE/NAME.
	Resource string `yaml:"resource"`
	// Metrics names the definitions to read. Default: cpu_utilization and network_in,
	// which a Virtual Machine Scale Set has.
	Metrics []string `yaml:"metrics"`
}

// Metric defines where a series comes from.
type Metric struct {
	// Metric is the name in the lake. Default: the name of the definition.
	Metric string `yaml:"metric"`
	// Name is Azure's own, for example Percentage CPU; Namespace is only needed where
	// it is not the resource's type.
	Name      string `yaml:"name"`
	Namespace string `yaml:"namespace"`
	// Stat is avg, sum, min, max or count; Azure has no percentiles. Default: the
	// usual one of the metric.
	Stat            api.Stat `yaml:"stat"`
	unit.Conversion `yaml:",inline"`
}

// builtin are the definitions that need no configuration: those of
// Microsoft.Compute/virtualMachineScaleSets.
var builtin = map[string]Metric{
	api.MetricCPU:       {Name: "Percentage CPU"},
	api.MetricNetworkIn: {Name: "Network In Total"},
}

// aggregations are Azure's names of our statistics.
var aggregations = map[api.Stat]string{
	api.StatAvg: "Average", api.StatSum: "Total", api.StatMin: "Minimum", api.StatMax: "Maximum", api.StatCount: "Count",
}

const defaultEndpoint = "https://management.azure.com"

// resourceID is a resource in a resource group (Resource Manager, "Resource ID").
var resourceID = regexp.MustCompile(`(?i)^/subscriptions/[^/?#]+/resourceGroups/[^/?#]+/providers/[^/?#]+(/[^/?#]+/[^/?#]+)+$`)

// query is one series as Azure knows it.
type query struct {
	series      collector.Series
	resource    string
	namespace   string
	name        string
	aggregation string
	factor      float64
}

// Validate returns all faults at once.
func (c Config) Validate() error {
	_, err := c.queries()
	return errors.Join(c.validateAccess(), err)
}

func (c Config) validateAccess() error {
	var faults []error
	u, err := url.Parse(c.endpoint())
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Path != "" && u.Path != "/":
		faults = append(faults, errors.New("azure_monitor.endpoint: want https://HOST"))
	case u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
		faults = append(faults, errors.New("azure_monitor.endpoint: must be https, because a token is sent"))
	}
	if err := c.Token.Validate(); err != nil {
		faults = append(faults, fmt.Errorf("azure_monitor.token: %w", err))
	}
	return errors.Join(faults...)
}

func (c Config) endpoint() string {
	if c.Endpoint == "" {
		return defaultEndpoint
	}
	return strings.TrimRight(c.Endpoint, "/")
}

// queries returns every series that the configuration asks for, in its order.
// The error lists all faults.
func (c Config) queries() ([]query, error) {
	var faults []error
	bad := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("azure_monitor."+format, args...))
	}
	if len(c.Groups) == 0 {
		bad("groups: at least one is needed")
	}
	definitions := maps.Clone(builtin)
	for _, name := range slices.Sorted(maps.Keys(c.Metrics)) {
		definitions[name] = c.Metrics[name]
		for _, fault := range c.Metrics[name].faults(name) {
			bad("metrics.%s.%w", name, fault)
		}
	}
	seen := map[collector.Series]bool{}
	var out []query
	for i, g := range c.Groups {
		if g.Name == "" || len(g.Name) > api.MaxNameLen {
			bad("groups[%d].name: must be 1 to %d bytes long", i, api.MaxNameLen)
		}
		if !resourceID.MatchString(g.Resource) {
			bad("groups[%d].resource: %.200q is not /subscriptions/…/resourceGroups/…/providers/TYPE/NAME", i, g.Resource)
		}
		for k, name := range g.metrics() {
			definition, ok := definitions[name]
			if !ok {
				bad("groups[%d].metrics[%d]: %q is neither built in (%s) nor defined under metrics", i, k, name,
					strings.Join(slices.Sorted(maps.Keys(builtin)), ", "))
				continue
			}
			q := definition.query(name, g)
			if seen[q.series] {
				bad("groups[%d].metrics[%d]: %s is asked for twice", i, k, q.series)
			}
			seen[q.series] = true
			out = append(out, q)
		}
	}
	return out, errors.Join(faults...)
}

func (g Group) metrics() []string {
	if len(g.Metrics) > 0 {
		return g.Metrics
	}
	return []string{api.MetricCPU, api.MetricNetworkIn}
}

// faults returns what is wrong with the definition, known under name; each fault
// begins with its field.
func (m Metric) faults(name string) (out []error) {
	q := m.query(name, Group{})
	if metric := q.series.Metric; metric == "" || len(metric) > api.MaxNameLen {
		out = append(out, fmt.Errorf("metric: must be 1 to %d bytes long", api.MaxNameLen))
	}
	if m.Name == "" || strings.Contains(m.Name, ",") {
		out = append(out, errors.New("name: must be Azure's name of the metric, without commas"))
	}
	if q.aggregation == "" {
		out = append(out, fmt.Errorf("stat: %q is not avg, sum, min, max or count", q.series.Stat))
	}
	if _, err := m.Factor(q.series.Metric); err != nil {
		out = append(out, err)
	}
	return out
}

// query applies the definition, known under name, to a group.
func (m Metric) query(name string, g Group) query {
	metric, stat := m.Metric, m.Stat
	if metric == "" {
		metric = name
	}
	if stat == "" {
		stat = api.DefaultStat(metric)
	}
	factor, _ := m.Factor(metric) // its error is one of the faults
	return query{
		series:   collector.Series{Group: g.Name, Metric: metric, Stat: stat},
		resource: g.Resource, namespace: m.Namespace, name: m.Name, aggregation: aggregations[stat], factor: factor,
	}
}
