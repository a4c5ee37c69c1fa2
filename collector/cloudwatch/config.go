package cloudwatch

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/internal/conf"
)

// Config says which groups to read, what of them, and at what pace.
type Config struct {
	// Region and Endpoint (CloudWatch's) replace those of the shared section aws.
	Region   string `yaml:"region"`
	Endpoint string `yaml:"endpoint"`
	// Groups are named one by one. Discover adds those that Auto Scaling knows.
	Groups   []Group     `yaml:"groups"`
	Discover []Discovery `yaml:"discover"`
	// Refresh is how often Discover looks again. Default 15m.
	Refresh time.Duration `yaml:"refresh"`
	// Metrics adds definitions, or replaces built-in ones, by the name under which
	// Group.Metrics lists them.
	Metrics map[string]Metric `yaml:"metrics"`
	// CallsPerSecond is the pace of GetMetricData in each account and region, of all
	// sources together; it gives way when CloudWatch throttles. Default 40, because
	// the quota is 50 and others need some of it.
	CallsPerSecond float64 `yaml:"calls_per_second"`
	// CallTimeout is the deadline of one attempt of one call. A call that exceeds it
	// is repeated in halves. Default 20s.
	CallTimeout time.Duration `yaml:"call_timeout"`
	// Price is what 1,000 metrics requested cost, in USD, for -check. Default 0.01.
	Price float64 `yaml:"price"`
}

// Group is one group of instances.
type Group struct {
	// Name is the group's name in Forescale.
	Name string `yaml:"name"`
	// AutoScalingGroup is its name in AWS. Default Name.
	AutoScalingGroup string `yaml:"auto_scaling_group"`
	// Account is one of aws.accounts, by its name there; empty: the default
	// credentials' own. Region is the group's; empty: the account's, or the source's.
	Account string `yaml:"account"`
	Region  string `yaml:"region"`
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

// Discovery reads all groups of an account and region that carry some tags. A
// group that Config.Groups names too, in the same account and region, is read as
// it is said there: so it gets another name or other metrics.
type Discovery struct {
	// Tags are those that a group has, all of them; * stands for any value. Empty
	// means all groups, and needs All.
	Tags map[string]string `yaml:"tags"`
	All  bool              `yaml:"all"`
	// Name is what a group is called in Forescale; {auto_scaling_group} stands for
	// its name in AWS, and is the default.
	Name    string `yaml:"name"`
	Account string `yaml:"account"` // as in Group
	Region  string `yaml:"region"`
	// LoadBalancers looks up the load balancer of a group's target group, so that
	// request_count can be read. A group with several target groups, or whose target
	// group has several load balancers, has to be named under groups for that.
	LoadBalancers bool `yaml:"load_balancers"`
	// Metrics is as in Group. Of a found group those are left out for which it lacks
	// something.
	Metrics []string `yaml:"metrics"`
}

// The defaults of Config.
const (
	defaultRefresh        = 15 * time.Minute
	defaultCallsPerSecond = 40
	defaultCallTimeout    = 20 * time.Second
	// defaultPrice is the list price of us-east-1, in USD for 1,000 metrics
	// requested, as known in November 2026.
	defaultPrice = 0.01
)

// withDefaults returns the configuration with the defaults filled in.
func (c Config) withDefaults() Config {
	c.Refresh = cmp.Or(c.Refresh, defaultRefresh)
	c.CallsPerSecond = cmp.Or(c.CallsPerSecond, defaultCallsPerSecond)
	c.CallTimeout = cmp.Or(c.CallTimeout, defaultCallTimeout)
	c.Price = cmp.Or(c.Price, defaultPrice)
	return c
}

// Validate returns all faults at once.
func (c Config) Validate() error {
	definitions, err := c.definitions()
	faults := []error{err}
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf("cloudwatch: "+format, args...)) }
	if len(c.Groups) == 0 && len(c.Discover) == 0 {
		bad("groups: at least one is needed, or discover")
	}
	if c.Refresh < 0 || c.CallTimeout < 0 {
		bad("refresh, call_timeout: must be positive")
	}
	for name, v := range map[string]float64{"calls_per_second": c.CallsPerSecond, "price": c.Price} {
		if !(v >= 0) || math.IsInf(v, 0) {
			bad("%s: %g must be positive", name, v)
		}
	}
	for i, g := range c.Groups {
		if g.Name == "" || len(g.Name) > api.MaxNameLen {
			bad("groups[%d]: name must be 1 to %d bytes long", i, api.MaxNameLen)
		}
	}
	for i, d := range c.Discover {
		if d.All == (len(d.Tags) > 0) {
			bad("discover[%d]: needs tags, or all: true, and not both", i)
		}
		if d.Name != "" && !strings.Contains(d.Name, braced(ofGroup)) {
			bad("discover[%d]: name: %q gives all groups the same name; it must hold %s", i, d.Name, braced(ofGroup))
		}
		for _, name := range d.Metrics {
			if _, ok := definitions[name]; !ok {
				bad("discover[%d]: %w", i, unknownMetric(name))
			}
		}
	}
	_, queryErr := queries(c.Groups, definitions)
	return errors.Join(append(faults, queryErr)...)
}

// validateAccounts reports groups whose account the shared section does not have.
func (c Config) validateAccounts(shared conf.AWS) error {
	faults := []error{shared.Validate()}
	check := func(where, account string) {
		if _, ok := shared.Accounts[account]; account != "" && !ok {
			faults = append(faults, fmt.Errorf("cloudwatch: %s: account: %q is not in aws.accounts", where, account))
		}
	}
	for _, g := range c.Groups {
		check(fmt.Sprintf("group %q", g.Name), g.Account)
	}
	for i, d := range c.Discover {
		check(fmt.Sprintf("discover[%d]", i), d.Account)
	}
	return errors.Join(faults...)
}

// braced returns a name as a value holds it.
func braced(name string) string { return "{" + name + "}" }

func unknownMetric(name string) error {
	return fmt.Errorf("metric %q is neither built in (%s) nor defined under metrics", name,
		strings.Join(slices.Sorted(maps.Keys(builtin)), ", "))
}

// queries returns every series that the groups ask for, in their order. The error
// lists all faults; the series without one are returned all the same.
func queries(groups []Group, definitions map[string]Metric) ([]query, error) {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf("cloudwatch: "+format, args...)) }
	seen := map[collector.Series]bool{}
	var out []query
	for _, g := range groups {
		if g.Name == "" {
			continue // said by Validate
		}
		for _, name := range g.metrics() {
			m, ok := definitions[name]
			if !ok {
				bad("group %q: %w", g.Name, unknownMetric(name))
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

// autoScalingGroup returns the group's name in AWS.
func (g Group) autoScalingGroup() string { return cmp.Or(g.AutoScalingGroup, g.Name) }
