package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Errors of the cloud's own methods.
var (
	ErrNoGroup    = errors.New("no such group")
	ErrEnd        = errors.New("the demand ends here")           // the clock can go no further
	ErrClockBack  = errors.New("the clock does not go back")     // Advance to an earlier time
	ErrOutOfRange = errors.New("outside of the simulated times") // Summary of minutes that did not run
)

// Config describes a simulated cloud.
type Config struct {
	// Start is when the history begins and Now what the clock shows at first.
	// Between them each group is run by its History controller. Both are cut to
	// whole minutes. A zero Start is the latest start of any group's demand.
	Start, Now time.Time
	Seed       uint64 // of lead times and of traps that hit a share of points
	Groups     []GroupConfig
	// PublishDelay is how long after the end of its period a data point appears
	// in CloudWatch. Zero: as soon as the period is over.
	PublishDelay time.Duration
	// PageDatapoints is the page size of GetMetricData, default and at most 100,800.
	PageDatapoints int
	// CallsPerSecond bounds all calls to Auto Scaling together, in wall-clock
	// time, as the one bucket of an account and region does, with bursts of
	// CallBurst. Zero: unlimited.
	CallsPerSecond float64
	CallBurst      int
	// WallClock feeds the throttle bucket and ends sessions; nil: time.Now.
	WallClock func() time.Time
	// Roles are the roles that may be assumed, by anybody.
	Roles []Role
	// SessionTime is how long the credentials of an assumed role are valid, in
	// wall-clock time; 0: as long as the request asks, default an hour.
	SessionTime time.Duration
}

// GroupConfig describes one Auto Scaling Group.
type GroupConfig struct {
	Name   string
	Demand *Demand // may be shared by several groups
	// Tags are the group's, by which DescribeAutoScalingGroups can select.
	Tags map[string]string
	// Account owns the group, default the cloud's own; Region is where it lives,
	// empty: in every region.
	Account, Region string
	// Min and Max are the group's own bounds; both zero: MinInstances and
	// MaxInstances.
	Min, Max int
	// Desired is ordered when the history ends; 0: as the history left it.
	Desired int
	Lead    Lead
	// History runs the group before Now; nil: a constant number of instances with
	// which CPU stays under 60 % in all of the history, so that no slot of it is
	// saturated.
	History Controller
	// Live runs the group from Now on. nil: nobody does but the callers of the API.
	Live Controller

	// LoadBalancer and TargetGroup are the dimension values of the group's
	// application load balancer, default app/NAME and targetgroup/NAME.
	LoadBalancer, TargetGroup string
	// RequestsPerMinute is the number of requests that make one
	// instance-equivalent, default 600. For a demand scaled from request counts,
	// Demand.Unit / Demand.SlotMinutes() gives the original counts back.
	RequestsPerMinute float64
	BytesPerRequest   float64 // of NetworkIn, default 2,000
	// DetailedMonitoring publishes the EC2 metrics every minute instead of every
	// five.
	DetailedMonitoring bool

	Cooldown time.Duration // DefaultCooldown, default 5 min; blocks only calls that honour it
	Warmup   time.Duration // DefaultInstanceWarmup; reported when positive
	// PredictedCapacity is what a predictive policy of the provider would want;
	// reported when positive.
	PredictedCapacity int
	// WarmPool is the size of a warm pool, which the history leaves full. Starts
	// out of it take WarmLead, starts into it Lead. Its instances are not billed.
	WarmPool int
	WarmLead Lead
	// Weights are the capacity units of the machines that are launched, in turn,
	// as in a group of mixed instance types: one that weighs w does the work of w
	// instances. nil: every machine is one unit.
	Weights []int
	// ProtectNew protects every instance from scale-in when it comes into service.
	ProtectNew bool
	Policies   []ScalingPolicy
	Scheduled  []ScheduledAction
}

// Cloud is a simulated account: groups of instances under load, on a clock that
// moves only when told to ([Cloud.Advance], [Cloud.Run]). Requests see the state
// as of the last advance. It is safe for concurrent use.
type Cloud struct {
	config Config

	mu       sync.Mutex                  // guards everything below
	buckets  map[[2]string]*rate.Limiter // throttles by account and region
	calls    map[Call]int
	sessions map[string]session // by access key
	clock    time.Time
	minute   time.Time         // start of the minute that runs next: clock, cut to the minute
	groups   []*group          // by name
	series   map[string]*group // by metricKey
	changes  []GroupChange
	traps    traps
}

// New returns a cloud whose history has been played up to config.Now. The error
// lists every fault of the configuration.
func New(config Config) (*Cloud, error) {
	config, err := config.complete()
	if err != nil {
		return nil, err
	}
	c := &Cloud{
		config:  config,
		clock:   config.Start,
		minute:  config.Start,
		traps:   traps{seed: config.Seed},
		buckets: map[[2]string]*rate.Limiter{}, calls: map[Call]int{}, sessions: map[string]session{},
	}
	for _, gc := range config.Groups {
		c.groups = append(c.groups, newGroup(c, gc))
	}
	slices.SortFunc(c.groups, func(a, b *group) int { return strings.Compare(a.Name, b.Name) })
	c.indexSeries()
	if err := c.Advance(config.Now); err != nil {
		return nil, err
	}
	for _, g := range c.groups {
		if g.Desired > 0 {
			g.order(clip(g.Desired, g.min, g.max), "")
		}
	}
	return c, nil
}

// complete fills in the defaults and returns all faults at once.
func (c Config) complete() (Config, error) {
	var faults []error
	if len(c.Groups) == 0 {
		faults = append(faults, errors.New("cloud: no groups"))
	}
	c.Groups = slices.Clone(c.Groups)
	c.Start, c.Now = c.Start.UTC().Truncate(time.Minute), c.Now.UTC().Truncate(time.Minute)
	seen := map[string]bool{}
	for i := range c.Groups {
		g := &c.Groups[i]
		if err := g.complete(); err != nil {
			faults = append(faults, fmt.Errorf("cloud: group %d (%q): %w", i, g.Name, err))
			continue
		}
		if seen[g.Name] {
			faults = append(faults, fmt.Errorf("cloud: group %q is there twice", g.Name))
		}
		seen[g.Name] = true
	}
	if len(faults) > 0 {
		return c, errors.Join(faults...)
	}
	if c.Start.Equal(time.Time{}) {
		for _, g := range c.Groups {
			if c.Start.Before(g.Demand.Start) {
				c.Start = g.Demand.Start
			}
		}
	}
	if c.Now.Before(c.Start) {
		faults = append(faults, fmt.Errorf("cloud: now %s is before the history begins at %s", c.Now.Format(time.RFC3339), c.Start.Format(time.RFC3339)))
	}
	for _, g := range c.Groups {
		if g.Demand.Start.After(c.Start) || !g.Demand.End().After(c.Now) {
			faults = append(faults, fmt.Errorf("cloud: group %q: its demand lasts from %s to %s and does not cover %s to %s", g.Name,
				g.Demand.Start.Format(time.RFC3339), g.Demand.End().Format(time.RFC3339), c.Start.Format(time.RFC3339), c.Now.Format(time.RFC3339)))
		}
	}
	if c.PageDatapoints <= 0 || c.PageDatapoints > maxPageDatapoints {
		c.PageDatapoints = maxPageDatapoints
	}
	if c.WallClock == nil {
		c.WallClock = time.Now
	}
	return c, errors.Join(faults...)
}

// complete fills in the group's defaults.
func (g *GroupConfig) complete() error {
	if g.Min == 0 && g.Max == 0 {
		g.Min, g.Max = MinInstances, MaxInstances
	}
	const most = 10_000
	switch {
	case g.Name == "":
		return errors.New("it has no name")
	case g.Demand == nil || len(g.Demand.Slots) == 0:
		return errors.New("it has no demand")
	case !g.Demand.Start.Equal(g.Demand.Start.Truncate(time.Minute)):
		return fmt.Errorf("its demand begins at %s, which is not a whole minute", g.Demand.Start.Format(time.RFC3339Nano))
	case g.Min < 0 || g.Max < g.Min || g.Max > most:
		return fmt.Errorf("bounds %d to %d, must be ascending and within 0 to %d", g.Min, g.Max, most)
	}
	for _, w := range g.Weights {
		if w < 1 || w > 999 {
			return fmt.Errorf("weight %d, must be 1 to 999", w)
		}
	}
	if len(g.Weights) > 0 && g.WarmPool > 0 {
		return errors.New("a warm pool and weights exclude each other")
	}
	setDefault(&g.Account, simulatedAccount)
	setDefault(&g.LoadBalancer, "app/"+g.Name)
	setDefault(&g.TargetGroup, "targetgroup/"+g.Name)
	setDefault(&g.RequestsPerMinute, 600)
	setDefault(&g.BytesPerRequest, 2000)
	setDefault(&g.Cooldown, 5*time.Minute)
	return errors.Join(g.Lead.validate(), g.WarmLead.validate())
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Now returns what the clock shows.
func (c *Cloud) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clock
}

// End returns the first moment that some group's demand does not cover; the
// clock cannot pass it.
func (c *Cloud) End() time.Time {
	end := c.config.Groups[0].Demand.End()
	for _, g := range c.config.Groups {
		if g.Demand.End().Before(end) {
			end = g.Demand.End()
		}
	}
	return end
}

// Advance runs every whole minute up to a time and sets the clock to it. An order
// given between two advances takes effect in the first minute that the second one
// runs. ErrClockBack: to is in the past; ErrEnd: to is after End, and nothing ran.
func (c *Cloud) Advance(to time.Time) error {
	end := c.End()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch to = to.UTC(); {
	case to.Before(c.clock):
		return fmt.Errorf("advance from %s to %s: %w", c.clock.Format(time.RFC3339), to.Format(time.RFC3339), ErrClockBack)
	case to.After(end):
		return fmt.Errorf("advance to %s, end %s: %w", to.Format(time.RFC3339), end.Format(time.RFC3339), ErrEnd)
	}
	for next := c.minute.Add(time.Minute); !next.After(to); next = next.Add(time.Minute) {
		c.applyChanges()
		for _, g := range c.groups {
			g.runMinute()
		}
		c.minute = next
		c.clock = next
		for _, g := range c.groups {
			g.trim()
		}
	}
	c.clock = to
	return nil
}

// Run lets the clock follow the wall clock, speed times as fast, until the
// context ends (nil) or the demand does (ErrEnd). Nobody else may advance it
// meanwhile.
func (c *Cloud) Run(ctx context.Context, speed float64) error {
	if !(speed > 0) {
		return fmt.Errorf("cloud: speed %v, must be positive", speed)
	}
	// Ten times a simulated minute, but neither busy nor sluggish.
	every := time.Duration(float64(time.Minute) / speed / 10)
	ticker := time.NewTicker(max(10*time.Millisecond, min(every, time.Second)))
	defer ticker.Stop()
	began, from, end := time.Now(), c.Now(), c.End()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		to := from.Add(time.Duration(float64(time.Since(began)) * speed))
		if to.After(end) {
			to = end
		}
		if err := c.Advance(to); err != nil {
			return err
		}
		if to.Equal(end) {
			return ErrEnd
		}
	}
}

// find returns the group with a name; the caller holds mu.
func (c *Cloud) find(name string) (*group, error) {
	i, ok := slices.BinarySearchFunc(c.groups, name, func(g *group, name string) int { return strings.Compare(g.Name, name) })
	if !ok {
		return nil, fmt.Errorf("group %q: %w", name, ErrNoGroup)
	}
	return c.groups[i], nil
}

// GroupState is a group as it stands.
type GroupState struct {
	Name      string  `json:"name"`
	InService int     `json:"in_service"`
	Starting  int     `json:"starting"`
	Desired   int     `json:"desired"`
	Min       int     `json:"min"`
	Max       int     `json:"max"`
	Demand    float64 `json:"demand"` // of the minute that runs next, instance-equivalents
}

// State is the whole cloud as it stands.
type State struct {
	Now    time.Time    `json:"now"`
	End    time.Time    `json:"end"`
	Groups []GroupState `json:"groups"`
}

// State returns the state as of the last advance.
func (c *Cloud) State() State {
	end := c.End()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := State{Now: c.clock, End: end}
	for _, g := range c.groups {
		m := min(g.sim.Minute(), g.sim.Demand.Minutes()-1)
		s.Groups = append(s.Groups, GroupState{
			Name: g.Name, InService: g.sim.Pool.InService(), Starting: g.sim.Pool.Starting(),
			Desired: g.desired, Min: g.min, Max: g.max, Demand: g.sim.Demand.At(m),
		})
	}
	return s
}

// Minute is the account of one minute of a group.
type Minute struct {
	Time      time.Time
	Demand    float64 // offered, instance-equivalents
	Scored    bool    // false: the slot was not observed
	InService int
	Billed    int // in service and starting
}

// Minutes returns the account of a group for the whole minutes of [from, to).
// ErrNoGroup and ErrOutOfRange (not all of them ran).
func (c *Cloud) Minutes(name string, from, to time.Time) ([]Minute, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g, first, last, err := c.minutes(name, from, to)
	if err != nil {
		return nil, err
	}
	d, out := g.sim.Demand, make([]Minute, 0, last-first)
	for m := first; m < last; m++ {
		out = append(out, Minute{Time: d.Time(m), Demand: d.At(m), Scored: d.Scored(m), InService: g.sim.InService(m), Billed: g.sim.Billed(m)})
	}
	return out, nil
}

// Summary returns the metrics of a group for the whole minutes of [from, to), by
// the same function that judges a replay. Errors as of Minutes.
func (c *Cloud) Summary(name string, from, to time.Time) (Metrics, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g, first, last, err := c.minutes(name, from, to)
	if err != nil {
		return Metrics{}, err
	}
	demand, scored := g.sim.Demand.Window(first, last)
	return Measure(demand, scored, g.sim.run(first, last)), nil
}

// minutes resolves a group and a time range to minutes of its demand; the caller
// holds mu.
func (c *Cloud) minutes(name string, from, to time.Time) (g *group, first, last int, err error) {
	if g, err = c.find(name); err != nil {
		return nil, 0, 0, err
	}
	first, last = g.sim.Demand.Minute(from), g.sim.Demand.Minute(to)
	if first < g.sim.First() || last > g.sim.Minute() || first >= last {
		return nil, 0, 0, fmt.Errorf("group %q: %s to %s: %w", name, from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339), ErrOutOfRange)
	}
	return g, first, last, nil
}
