package scaler

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/scaler/plan"
)

// Config is the section scaler of the configuration file.
type Config struct {
	// Server is the base URL of the prediction server.
	Server string `yaml:"server"`
	// ServerCAFile holds the authorities, in PEM, that may have signed its
	// certificate; empty: the system's. ServerCertFile and ServerKeyFile are our own
	// certificate; empty: none. All are read again for each connection.
	ServerCAFile   string `yaml:"server_ca_file"`
	ServerCertFile string `yaml:"server_cert_file"`
	ServerKeyFile  string `yaml:"server_key_file"`
	// ServerToken is the bearer token with the right predict, read again for each
	// request. ServerAllowPlaintext permits sending it to another machine without TLS,
	// where something else encrypts.
	ServerToken          conf.Secret `yaml:"server_token"`
	ServerAllowPlaintext bool        `yaml:"server_allow_plaintext"`
	// Notify tells the server after each tick, so that its pages show the decisions at
	// once. The token needs the right notify for that; without it nothing else happens.
	Notify bool `yaml:"notify"`
	// ID names this scaler in the lease and in the audit log. It is the same after
	// a restart, so that the lease is resumed at once, and differs between scalers
	// that run side by side. Default: the host name.
	ID string `yaml:"id"`
	// Election is how several scalers on Kubernetes agree on one that works.
	Election Election `yaml:"election"`
	// Settle is how long after the end of a slot Run waits before it decides: the
	// collector must have stored the slot by then. Less than a step.
	Settle time.Duration `yaml:"settle"`
	// LeaseTTL is for how long the lease is held without being renewed.
	LeaseTTL time.Duration `yaml:"lease_ttl"`
	// Parallel bounds the groups acted upon, and the requests sent, at a time.
	Parallel int `yaml:"parallel"`
	// Brake is the share of all groups, or of all instances, that may wish to scale
	// in at one tick; when it is more, nothing is scaled in. 0: any share.
	Brake float64 `yaml:"brake"`
	// BrakeHold is how long the brake holds everything. Then it lets groups through
	// whose forecasts agree with what is measured, at most its share of the fleet at
	// one tick: a common evening is not a common fault. 0: it holds until fewer wish.
	BrakeHold time.Duration `yaml:"brake_hold"`
	Deadlines Deadlines     `yaml:"deadlines"`
	// MetricsListen is the address of a Prometheus endpoint, for example
	// 127.0.0.1:9465; empty: none.
	MetricsListen string `yaml:"metrics_listen"`
	// MetricsByGroup gives each group series of its own in a fleet of more than a
	// thousand groups too.
	MetricsByGroup bool    `yaml:"metrics_by_group"`
	Groups         []Group `yaml:"groups"`
}

// Election names the Lease of Kubernetes whose holder runs the ticks; the others
// stand by, and one of them takes over when it is gone. What keeps ticks from being
// run twice is the lease in the store, with or without it.
type Election struct {
	// Lease is the name of the Lease; empty: there is no election.
	Lease string `yaml:"lease"`
	// Namespace is where it is; empty: the pod's own. It must be set where
	// kubernetes.kubeconfig is.
	Namespace string `yaml:"namespace"`
	// Duration is how long the others wait for a holder of whom nothing is heard.
	Duration time.Duration `yaml:"duration"`
}

// Deadlines bound the calls to others. None of them can hold up a tick for
// longer, and what has not come by then is missing.
type Deadlines struct {
	Store    time.Duration `yaml:"store"`    // one read or write of lease, state or audit log
	History  time.Duration `yaml:"history"`  // all samples of a tick
	Specs    time.Duration `yaml:"specs"`    // all manifests of a tick
	Predict  time.Duration `yaml:"predict"`  // all forecasts of a tick
	Capacity time.Duration `yaml:"capacity"` // the sizes of all groups, or of one
	Act      time.Duration `yaml:"act"`      // one change of a group's size
}

// Group configures one group.
type Group struct {
	Name string `yaml:"name"` // as in the data lake
	// Target names the driver of the provider, default asg.
	Target string `yaml:"target"`
	// TargetName is the group's name there; empty: Name.
	TargetName string `yaml:"target_name"`
	// Account names the entry of aws.accounts in which an Auto Scaling Group lives;
	// empty: the account of the process's own credentials. Region is where it lives;
	// empty: the account's, and then aws.region.
	Account string `yaml:"account"`
	Region  string `yaml:"region"`
	// Mode is dry-run unless its owner says live.
	Mode api.Mode `yaml:"mode"`
	// Min and Max bound the desired capacity, besides the provider's own bounds.
	// A max of 0 leaves the upper bound to the provider.
	Min int `yaml:"min"`
	Max int `yaml:"max"`
	// LeadTime is the time from the order of an instance until it serves, as far as
	// its owner knows; what launches really take is learned.
	LeadTime time.Duration `yaml:"lead_time"`
	// Objective is the utilisation beyond which load is not served as it should be.
	Objective float64 `yaml:"objective"`
	// StaleAfter is the age, in steps, up to which the newest measured slot counts
	// as fresh.
	StaleAfter int `yaml:"stale_after"`
	// Cooldown is 5m and 10m for the threshold rule, and none for the others, which
	// weigh what a change costs themselves.
	Cooldown Cooldown `yaml:"cooldown"`
	Policy   Policy   `yaml:"policy"`
	// Shadow is a policy that decides beside the live one, over the capacity that
	// the group would have had by it. Nothing of it is carried out.
	Shadow *Shadow    `yaml:"shadow"`
	Guard  Guard      `yaml:"guard"`
	Safety SafetyBand `yaml:"safety"`
	// Rivals says what is done about others who scale the group, by kind.
	Rivals plan.Rivals `yaml:"rivals"`
	// Load names the series that the group's model forecasts, such as request_count,
	// when it is not demand: how much of it an instance can do is learned. Empty:
	// demand, which is CPU times instances in service.
	Load string `yaml:"load"`
	// Model names the model to ask; empty: the one that serves the group.
	Model string `yaml:"model"`
}

// Cooldown is plan.Cooldown in the file.
type Cooldown struct {
	Out time.Duration `yaml:"out"`
	In  time.Duration `yaml:"in"`
}

// DefaultConfig returns the defaults; ID is left to the caller.
func DefaultConfig() Config {
	return Config{
		Server: "http://127.0.0.1:8650", Notify: true, Settle: 90 * time.Second, LeaseTTL: time.Minute, Election: Election{Duration: 15 * time.Second},
		Parallel: 8, Brake: plan.DefaultBrake, BrakeHold: plan.DefaultBrakeHold,
		Deadlines: Deadlines{
			Store: 10 * time.Second, History: 30 * time.Second, Specs: 15 * time.Second,
			Predict: 20 * time.Second, Capacity: 15 * time.Second, Act: 15 * time.Second,
		},
	}
}

// DefaultGroup returns a group in dry-run mode whose capacity is what pays.
func DefaultGroup() Group {
	return Group{
		Target: "asg", Mode: api.ModeDryRun, Min: 1, LeadTime: 5 * time.Minute, StaleAfter: 2,
		Objective: plan.DefaultObjective,
		Policy:    DefaultPolicy(),
		Guard:     Guard{MaxInShare: 0.5},
	}
}

// thresholdCooldown is the cooldown of the threshold rule, which moves by fixed
// steps and would otherwise run ahead of what its steps do.
var thresholdCooldown = Cooldown{Out: 5 * time.Minute, In: 10 * time.Minute}

// UnmarshalYAML decodes over DefaultGroup. This older form of the interface goes
// on with the caller's decoder, which refuses unknown keys; a *yaml.Node would not.
func (g *Group) UnmarshalYAML(decode func(any) error) error {
	type plain Group
	*g = DefaultGroup()
	const unset = -1
	g.Cooldown = Cooldown{unset, unset}
	err := decode((*plain)(g))
	usual := Cooldown{}
	if slices.Contains(g.Policy.Rule, ruleThreshold) {
		usual = thresholdCooldown
	}
	if g.Cooldown.Out == unset {
		g.Cooldown.Out = usual.Out
	}
	if g.Cooldown.In == unset {
		g.Cooldown.In = usual.In
	}
	return err
}

// maxCount bounds every number of instances or steps in a configuration.
const maxCount = 1_000_000

// Validate returns all faults at once, given the length of a slot.
func (c Config) Validate(step time.Duration) error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf("scaler."+format, args...)) }
	predicted := false
	listed, scaled := map[string]bool{}, map[[4]string]string{}
	for i, g := range c.Groups {
		predicted = predicted || g.Predicted()
		for _, err := range g.faults(step) {
			bad("groups[%d] (%s): %w", i, g.Name, err)
		}
		if listed[g.Name] {
			bad("groups[%d]: %q is listed twice", i, g.Name)
		} else if other, ok := scaled[g.provider()]; ok {
			bad("groups[%d] (%s): %s is scaled as %q already", i, g.Name, g.targetName(), other)
		}
		listed[g.Name], scaled[g.provider()] = true, g.Name
	}
	if predicted {
		faults = append(faults, c.serverFaults()...)
	}
	if len(c.Groups) == 0 {
		bad("groups: there are none")
	}
	if len(c.ID) > api.MaxNameLen {
		bad("id: is longer than %d bytes", api.MaxNameLen)
	}
	if c.Settle < 0 || c.Settle >= step {
		bad("settle: %s must be at least 0 and less than a step (%s)", c.Settle, step)
	}
	if c.LeaseTTL < 10*time.Second || c.LeaseTTL > maxTTL {
		bad("lease_ttl: %s must be 10s to %s", c.LeaseTTL, maxTTL)
	}
	if c.Deadlines.Act >= c.LeaseTTL {
		bad("deadlines.act: %s must be shorter than the lease (%s)", c.Deadlines.Act, c.LeaseTTL)
	}
	if c.Parallel < 1 || c.Parallel > 256 {
		bad("parallel: %d is not in 1..256", c.Parallel)
	}
	if c.MetricsListen != "" {
		if _, _, err := net.SplitHostPort(c.MetricsListen); err != nil {
			bad("metrics_listen: %v", err)
		}
	}
	if !(c.Brake >= 0 && c.Brake <= 1) {
		bad("brake: %g is not a share from 0 to 1", c.Brake)
	}
	if c.BrakeHold < 0 {
		bad("brake_hold: %s is negative", c.BrakeHold)
	}
	d := c.Deadlines
	for _, f := range []struct {
		name  string
		value time.Duration
	}{{"store", d.Store}, {"history", d.History}, {"specs", d.Specs}, {"predict", d.Predict}, {"capacity", d.Capacity}, {"act", d.Act}} {
		if f.value <= 0 {
			bad("deadlines.%s: %s must be positive", f.name, f.value)
		}
	}
	return errors.Join(faults...)
}

func (g Group) faults(step time.Duration) (faults []error) {
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if g.Name == "" || len(g.Name) > api.MaxNameLen {
		bad("name: must be 1 to %d bytes long", api.MaxNameLen)
	}
	if g.Name == api.AllGroups {
		bad("name: %q stands for all groups in orders; name the group otherwise, and give the provider's name as target_name", g.Name)
	}
	if g.Mode != api.ModeDryRun && g.Mode != api.ModeLive {
		bad("mode: %q is not %s or %s", g.Mode, api.ModeDryRun, api.ModeLive)
	}
	if g.Min < 0 || g.Min > maxCount || g.Max < 0 || g.Max > maxCount || g.Max > 0 && g.Max < g.Min {
		bad("min, max: %d to %d is not a range of instances", g.Min, g.Max)
	}
	if len(g.Load) > api.MaxNameLen || g.Load == api.MetricCPU {
		bad("load: %.40q is not a series that grows with the number of requests, such as %s", g.Load, api.MetricRequests)
	}
	if g.LeadTime < 0 || g.LeadTime > 24*time.Hour {
		bad("lead_time: %s is not in 0..24h", g.LeadTime)
	}
	if g.StaleAfter < 0 || g.StaleAfter >= recentSlots {
		bad("stale_after: %d steps is not in 0..%d", g.StaleAfter, recentSlots-1)
	}
	if g.Cooldown.Out < 0 || g.Cooldown.In < 0 || max(g.Cooldown.Out, g.Cooldown.In) > 24*time.Hour {
		bad("cooldown: %s, %s are not in 0..24h", g.Cooldown.Out, g.Cooldown.In)
	}
	if !(g.Objective > 0 && g.Objective <= 1) {
		bad("objective: %g is not in (0, 1]", g.Objective)
	}
	faults = append(faults, g.Policy.faults()...)
	if g.Shadow != nil {
		for _, err := range g.Shadow.faults() {
			bad("shadow.%w", err)
		}
	}
	faults = append(faults, g.Guard.faults()...)
	faults = append(faults, g.Safety.faults()...)
	for _, kind := range slices.Sorted(maps.Keys(g.Rivals)) {
		if !slices.Contains(api.RivalKinds, kind) {
			bad("rivals: %q is no kind of rival; there are %v", kind, api.RivalKinds)
		}
		if !slices.Contains(plan.Responses, g.Rivals[kind]) {
			bad("rivals.%s: %q is not one of %v", kind, g.Rivals[kind], plan.Responses)
		}
	}
	return append(faults, g.contradictions()...)
}

// contradictions returns what is right by itself and impossible together.
func (g Group) contradictions() (faults []error) {
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for i, e := range g.Policy.Schedule {
		if g.Max > 0 && e.Min > g.Max {
			bad("policy.schedule[%d].min: %d is more than the group's max, %d, which holds", i, e.Min, g.Max)
		}
		if e.Max > 0 && e.Max < g.Min {
			bad("policy.schedule[%d].max: %d is less than the group's min, %d, which holds", i, e.Max, g.Min)
		}
	}
	if q := g.Guard.Quota; q > 0 && q < g.Min {
		bad("guard.quota: %d is less than the group's min, %d", q, g.Min)
	}
	if h := g.Guard.DailyHours; h > 0 && h < 24*float64(g.Min) {
		bad("guard.daily_hours: %g is less than the group's min, %d, needs in a day: %d", h, g.Min, 24*g.Min)
	}
	return faults
}

func (g Group) targetName() string {
	if g.TargetName == "" {
		return g.Name
	}
	return g.TargetName
}

// provider identifies the provider's group: two of ours must not scale the same.
func (g Group) provider() [4]string {
	return [...]string{g.Target, g.Account, g.Region, g.targetName()}
}

// Route says which of a driver's groups a group of ours is.
func (g Group) Route() (driver, name string) { return g.Target, g.targetName() }

// Predicted reports whether the group, or its shadow, wants forecasts.
func (g Group) Predicted() bool {
	return g.Policy.Signal != plan.SignalObserved || g.Shadow != nil && g.Shadow.Signal != plan.SignalObserved
}

// Plan returns the group as the decision sees it: with the length of a slot, and
// the time from the tick until an order is carried out.
func (g Group) Plan(step, delay time.Duration) plan.Group {
	return plan.Group{
		Name: g.Name, Mode: g.Mode, Signal: g.Policy.Signal, Min: g.Min, Max: g.Max,
		Policies: g.Policy.plan(g.Objective),
		Cooldown: plan.Cooldown{Out: g.Cooldown.Out, In: g.Cooldown.In},
		Step:     step, Lead: g.LeadTime, Delay: delay, Objective: g.Objective, StaleAfter: g.StaleAfter,
		Guard:  plan.Guard(g.Guard),
		Safety: plan.Safety(g.Safety), Rivals: g.Rivals,
	}
}
