package fleet

import (
	"hash/fnv"
	"time"
)

// FaultKind is a way in which an API call goes wrong.
type FaultKind string

// The faults of a call.
const (
	FaultThrottle     FaultKind = "throttle"      // Throttling, "Rate exceeded"
	FaultInternal     FaultKind = "internal"      // InternalFailure, status 500
	FaultContention   FaultKind = "contention"    // ResourceContention, status 500: another update of the group is under way
	FaultInProgress   FaultKind = "in-progress"   // ScalingActivityInProgress
	FaultInvalid      FaultKind = "invalid"       // ValidationError, of a request that the service does not take
	FaultDenied       FaultKind = "denied"        // AccessDenied, status 403
	FaultLostRequest  FaultKind = "lost-request"  // the connection breaks before the call has an effect
	FaultLostResponse FaultKind = "lost-response" // the connection breaks after the call has had its effect
	FaultHang         FaultKind = "hang"          // no answer until the client gives up; no effect
)

// Fault makes API calls fail. A zero field matches anything.
type Fault struct {
	Operation string    `json:"operation,omitempty"` // for example SetDesiredCapacity
	Group     string    `json:"group,omitempty"`     // only calls that name this group (Auto Scaling)
	Kind      FaultKind `json:"kind"`
	Skip      int       `json:"skip,omitempty"`  // matching calls that pass first
	Count     int       `json:"count,omitempty"` // calls that fail then; 0: all
	From      time.Time `json:"from,omitzero"`   // simulated time, inclusive
	To        time.Time `json:"to,omitzero"`     // exclusive
}

// Points selects data points of CloudWatch. A zero field matches anything.
type Points struct {
	Group  string    `json:"group,omitempty"`
	Metric string    `json:"metric,omitempty"` // CloudWatch name, for example CPUUtilization
	From   time.Time `json:"from,omitzero"`    // of the points' own time stamps, inclusive
	To     time.Time `json:"to,omitzero"`      // exclusive
	// Share is the fraction of the selected points that is hit, chosen by the
	// cloud's seed; 0 means all.
	Share float64 `json:"share,omitempty"`
}

// Gap keeps data points from ever appearing.
type Gap struct{ Points }

// Late lets data points appear later than their time: Delay after the moment at
// which they would have.
type Late struct {
	Points
	Delay time.Duration `json:"delay"`
}

// SeriesFault answers whole series with a status instead of their values.
type SeriesFault struct {
	Group  string `json:"group,omitempty"`
	Metric string `json:"metric,omitempty"`
	Status string `json:"status"`          // Forbidden or InternalError
	Count  int    `json:"count,omitempty"` // results that fail; 0: all
}

// LaunchKind is a way in which a launch goes wrong.
type LaunchKind string

// The traps of a launch.
const (
	LaunchFails LaunchKind = "fails" // for lack of capacity; the group tries again later
	LaunchQuota LaunchKind = "quota" // for lack of quota; likewise
	LaunchStuck LaunchKind = "stuck" // the instance stays Pending
)

// LaunchTrap makes instances of a group fail to start. A zero field matches
// anything.
type LaunchTrap struct {
	Group string        `json:"group,omitempty"`
	Kind  LaunchKind    `json:"kind"`
	Lead  time.Duration `json:"lead,omitempty"`  // of a stuck instance; 0: for ever
	Count int           `json:"count,omitempty"` // launches that are hit; 0: all
	From  time.Time     `json:"from,omitzero"`   // simulated time, inclusive
	To    time.Time     `json:"to,omitzero"`     // exclusive
}

// Traps is a set of things that go wrong.
type Traps struct {
	Faults   []Fault       `json:"faults,omitempty"`
	Gaps     []Gap         `json:"gaps,omitempty"`
	Late     []Late        `json:"late,omitempty"`
	Series   []SeriesFault `json:"series,omitempty"`
	Launches []LaunchTrap  `json:"launches,omitempty"`
}

// SetTraps replaces all traps. The zero value removes them.
func (c *Cloud) SetTraps(t Traps) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.traps = traps{seed: c.config.Seed, Traps: t}
	c.traps.faultHits = make([]int, len(t.Faults))
	c.traps.seriesHits = make([]int, len(t.Series))
	c.traps.launchHits = make([]int, len(t.Launches))
}

// traps is the set in use, with what it has hit so far.
type traps struct {
	Traps
	seed                              uint64
	faultHits, seriesHits, launchHits []int
}

func within(t, from, to time.Time) bool {
	return !t.Before(from) && (to.IsZero() || t.Before(to))
}

func matches(pattern, name string) bool { return pattern == "" || pattern == name }

// spend counts a hit and reports whether it lies after skip and within count.
func spend(hits *int, skip, count int) bool {
	*hits++
	return *hits > skip && (count == 0 || *hits <= skip+count)
}

// fault returns how a call goes wrong, or "".
func (t *traps) fault(operation, group string, now time.Time) FaultKind {
	for i, f := range t.Faults {
		if matches(f.Operation, operation) && matches(f.Group, group) && within(now, f.From, f.To) && spend(&t.faultHits[i], f.Skip, f.Count) {
			return f.Kind
		}
	}
	return ""
}

// series returns the status that replaces a series, or "".
func (t *traps) series(group, metric string) string {
	for i, f := range t.Series {
		if matches(f.Group, group) && matches(f.Metric, metric) && spend(&t.seriesHits[i], 0, f.Count) {
			return f.Status
		}
	}
	return ""
}

func (t *traps) launch(group string, now time.Time) *LaunchTrap {
	for i, l := range t.Launches {
		if matches(l.Group, group) && within(now, l.From, l.To) && spend(&t.launchHits[i], 0, l.Count) {
			return &t.Launches[i]
		}
	}
	return nil
}

// missing reports whether a data point never appears.
func (t *traps) missing(group, metric string, at time.Time) bool {
	for i, g := range t.Gaps {
		if g.hit(t.seed, "gap", i, group, metric, at) {
			return true
		}
	}
	return false
}

// delay returns how much later than its time a data point appears.
func (t *traps) delay(group, metric string, at time.Time) time.Duration {
	var d time.Duration
	for i, l := range t.Late {
		if l.hit(t.seed, "late", i, group, metric, at) {
			d = max(d, l.Delay)
		}
	}
	return d
}

func (p Points) hit(seed uint64, kind string, rule int, group, metric string, at time.Time) bool {
	if !matches(p.Group, group) || !matches(p.Metric, metric) || !within(at, p.From, p.To) {
		return false
	}
	if p.Share <= 0 {
		return true
	}
	// A hash, not a generator: the same point answers the same in every call.
	h := hash(kind, group, metric, at.Format(time.RFC3339)) ^ seed*0x9e3779b97f4a7c15 ^ uint64(rule)<<32
	return float64(mix(h)>>11)/(1<<53) < p.Share
}

// hash returns a 64-bit hash of some strings.
func hash(parts ...string) uint64 {
	h := fnv.New64a()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return mix(h.Sum64())
}

// mix spreads the bits of x evenly (the finaliser of SplitMix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
