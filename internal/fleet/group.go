package fleet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Lead is how long an instance takes from its order to service. Minutes is the
// median, Spread the standard deviation of the logarithm (0: always Minutes); the
// result is rounded to whole minutes.
type Lead struct {
	Minutes float64
	Spread  float64
}

func (l Lead) validate() error {
	if !(l.Minutes >= 0) || !(l.Spread >= 0) || l.Minutes > 24*60 || l.Spread > 3 {
		return fmt.Errorf("lead of %v minutes with spread %v, must be 0 to 1440 and 0 to 3", l.Minutes, l.Spread)
	}
	return nil
}

func (l Lead) draw(rng *rand.Rand) int {
	return int(math.Round(l.Minutes * math.Exp(l.Spread*rng.NormFloat64())))
}

// The processes of a group that can be suspended and that the simulation heeds.
const (
	processLaunch    = "Launch"
	processTerminate = "Terminate"
	processScheduled = "ScheduledActions"
)

// launchRetryMinutes is how long a group waits after a failed launch before it
// tries again by itself; a new order tries at once.
const launchRetryMinutes = 5

// group is one Auto Scaling Group. The cloud's mutex guards it.
type group struct {
	GroupConfig
	cloud *Cloud
	sim   *Simulation
	rng   *rand.Rand

	min, max, desired int
	desiredAt         []int16 // desired capacity by minute since the simulation's first
	predicted         int
	cause             string            // of the last order, for the texts of activities
	suspended         map[string]string // process to reason
	launchAfter       int               // minute before which no failed launch is retried
	refresh           *refresh
	activities        []*Activity       // the oldest first, six weeks
	opening           map[int]*Activity // launch activities in progress, by instance
	activityCount     int
	lastActivity      time.Time // end of the newest activity: when the cooldown begins
	policies          []ScalingPolicy
	scheduled         []ScheduledAction

	// By the unit that stands for a machine.
	weights   map[int]int    // only in groups of weights
	protected map[int]bool   // from scale-in
	names     map[int]string // of machines out of the warm pool

	machineCount, warmCount int // ever launched
	excess                  int // units that the last machine brought beyond desired; kept until less is desired
	warm                    []warmMachine
}

func newGroup(c *Cloud, gc GroupConfig) *group {
	first := gc.Demand.Minute(c.config.Start)
	last := gc.Demand.Minute(c.config.Now)
	if gc.History == nil {
		gc.History = Static(ample(gc.Demand, first, last))
	}
	n := int(math.Ceil(gc.Demand.At(first)/peakUtilisation - tolerance))
	if s, ok := gc.History.(Static); ok {
		n = int(s)
	}
	n = clip(n, gc.Min, gc.Max)
	g := &group{
		GroupConfig: gc, cloud: c, sim: NewSimulation(gc.Demand, first, n),
		rng: rand.New(rand.NewPCG(c.config.Seed, hash(gc.Name))),
		min: gc.Min, max: gc.Max, desired: n, predicted: gc.PredictedCapacity,
		suspended: map[string]string{}, opening: map[int]*Activity{},
		policies: slices.Clone(gc.Policies), scheduled: slices.Clone(gc.Scheduled),
		weights: map[int]int{}, protected: map[int]bool{}, names: map[int]string{},
	}
	g.adopt(n)
	for range gc.WarmPool {
		g.warm = append(g.warm, g.newWarm(first))
	}
	return g
}

// ample returns the constant capacity that keeps CPU at 60 % or less in minutes
// [first, last).
func ample(d *Demand, first, last int) int {
	peak := d.At(first)
	for m := first; m < last; m++ {
		peak = max(peak, d.At(m))
	}
	return int(math.Ceil(peak / peakUtilisation))
}

// now returns the start of the minute that runs next: the time of whatever
// happens between two advances.
func (g *group) now() time.Time { return g.sim.Demand.Time(g.sim.Minute()) }

// runMinute lets the group's controller decide, carries out what is open, runs
// the minute and takes the instances into service that are then ready.
func (g *group) runMinute() {
	g.runScheduled()
	controller := g.Live
	if g.now().Before(g.cloud.config.Now) {
		controller = g.History
	}
	if controller != nil {
		v := g.sim.View()
		if n := clip(controller.Decide(v), g.min, g.max); n != v.InService()+v.Starting() {
			g.order(n, "a simulated policy changed the desired capacity")
		}
	}
	g.refreshStep()
	g.reconcile()
	g.fillWarm()
	g.desiredAt = append(g.desiredAt, int16(g.desired))
	for _, i := range g.sim.Step() {
		g.opened(i)
	}
}

// order sets the desired capacity, which the caller has checked against the
// bounds, and carries it out as far as it goes.
func (g *group) order(desired int, who string) {
	if who == "" {
		who = "a user request explicitly set group desired capacity changing the desired capacity"
	}
	if desired != g.desired {
		g.cause = fmt.Sprintf("At %s %s from %d to %d.", stamp(g.now()), who, g.desired, desired)
	}
	if desired < g.desired {
		g.excess = 0
	}
	g.desired = desired
	g.launchAfter = 0
	g.reconcile()
}

// coolingDown reports whether a call that honours the cooldown is refused: while
// an instance starts, and for the cooldown after the last activity.
func (g *group) coolingDown(at time.Time) bool {
	return g.sim.Pool.Starting() > 0 || !g.lastActivity.IsZero() && at.Before(g.lastActivity.Add(g.Cooldown))
}

// refresh replaces every instance that a group had when it began, batch by batch.
type refresh struct {
	id         string
	start, end time.Time
	batch      int
	old        []int // instances still to be replaced, the oldest first
	total      int
}

// RefreshInstances begins to replace all instances of a group, batch at a time:
// each batch is terminated, and the next follows when its replacements serve.
// Desired capacity does not change; capacity in service drops meanwhile.
func (c *Cloud) RefreshInstances(name string, batch int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	g, err := c.find(name)
	if err != nil {
		return err
	}
	if batch < 1 {
		return fmt.Errorf("group %q: refresh in batches of %d", name, batch)
	}
	g.beginRefresh(batch)
	return nil
}

func (g *group) beginRefresh(batch int) {
	r := &refresh{id: fmt.Sprintf("refresh-%016x", hash(g.Name, stamp(g.now()))), start: g.now(), batch: batch}
	for _, i := range g.machines(g.sim.Pool.Serving()) {
		r.old = append(r.old, i.ID)
	}
	r.total = len(r.old)
	g.refresh = r
}

func (g *group) refreshStep() {
	r := g.refresh
	if r == nil || !r.end.IsZero() || g.sim.Pool.Starting() > 0 {
		return
	}
	if len(r.old) == 0 {
		r.end = g.now()
		return
	}
	for range min(r.batch, len(r.old)) {
		id := r.old[0]
		r.old = r.old[1:]
		n := g.sim.Pool.Billed()
		if i, ok := g.instance(id); ok && g.remove(i) {
			g.cause = fmt.Sprintf("At %s an instance was taken out of service in response to an instance refresh.", stamp(g.now()))
			g.terminated(i, n, g.sim.Pool.Billed())
			g.forget(i)
		}
	}
}

func (g *group) instance(id int) (Instance, bool) {
	for _, i := range g.sim.Pool.Serving() {
		if i.ID == id {
			return i, true
		}
	}
	return Instance{}, false
}

// GroupChange is something that somebody else does to a group at a moment of the
// simulated time. nil fields stay as they are.
type GroupChange struct {
	At                time.Time `json:"at"`
	Group             string    `json:"group"`
	Min               *int      `json:"min,omitempty"`
	Max               *int      `json:"max,omitempty"`
	Desired           *int      `json:"desired,omitempty"`
	PredictedCapacity *int      `json:"predicted_capacity,omitempty"`
	Suspend           []string  `json:"suspend,omitempty"` // processes
	Resume            []string  `json:"resume,omitempty"`
	Refresh           int       `json:"refresh,omitempty"` // begin an instance refresh in batches of this size
	// Policies and Scheduled replace what the group has of them; an empty list
	// removes all.
	Policies  *[]ScalingPolicy   `json:"policies,omitempty"`
	Scheduled *[]ScheduledAction `json:"scheduled,omitempty"`

	who string // for the texts of activities; "": a user
}

// Schedule plans a change by somebody else. One whose time has come already
// happens before the next minute runs.
func (c *Cloud) Schedule(change GroupChange) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.find(change.Group); err != nil {
		return err
	}
	c.changes = append(c.changes, change)
	slices.SortStableFunc(c.changes, func(a, b GroupChange) int { return a.At.Compare(b.At) })
	return nil
}

// applyChanges carries out the changes that are due; the caller holds mu.
func (c *Cloud) applyChanges() {
	for len(c.changes) > 0 && !c.changes[0].At.After(c.minute) {
		change := c.changes[0]
		c.changes = c.changes[1:]
		g, err := c.find(change.Group)
		if err != nil {
			continue // Schedule has checked it, and groups do not go away
		}
		g.apply(change)
	}
}

func (g *group) apply(change GroupChange) {
	if change.Min != nil {
		g.min = *change.Min
	}
	if change.Max != nil {
		g.max = *change.Max
	}
	if change.PredictedCapacity != nil {
		g.predicted = *change.PredictedCapacity
	}
	for _, p := range change.Suspend {
		g.suspended[p] = fmt.Sprintf("User suspended at %s", stamp(g.now()))
	}
	for _, p := range change.Resume {
		delete(g.suspended, p)
	}
	if change.Policies != nil {
		g.policies = slices.Clone(*change.Policies)
	}
	if change.Scheduled != nil {
		g.scheduled = slices.Clone(*change.Scheduled)
	}
	if change.Refresh > 0 {
		g.beginRefresh(change.Refresh)
	}
	desired := g.desired
	if change.Desired != nil {
		desired = *change.Desired
	}
	if desired = clip(desired, g.min, max(g.min, g.max)); desired != g.desired || len(change.Resume) > 0 {
		setDefault(&change.who, "a user request update of AutoScalingGroup")
		g.order(desired, fmt.Sprintf("%s constraints to min: %d, max: %d, desired: %d changing the desired capacity", change.who, g.min, g.max, desired))
	}
}
