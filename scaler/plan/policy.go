package plan

import (
	"cmp"
	"slices"
	"strings"
)

// Policy turns evidence into the number of instances that it asks for. It need
// not care for bounds, cooldowns or the freshness of metrics; guardrails do.
// Given everything else, a forecast that is higher by the same amount at a step,
// its quantiles with it, must not make it ask for less.
type Policy interface {
	// Name identifies the policy in decisions.
	Name() string
	// Want returns the wished capacity and one sentence with the numbers that led
	// to it.
	Want(e Evidence) (n int, detail string)
}

// Policies are the policies of a group. Those that are set apply together, and
// the one that asks for the most wins: it is the safest. Schedule is not among
// them: it bounds what they ask for.
type Policies struct {
	Threshold *Threshold `json:"threshold,omitempty"`
	Target    *Target    `json:"target,omitempty"`
	Cost      *Cost      `json:"cost,omitempty"`
	Schedule  *Schedule  `json:"schedule,omitempty"`
}

// all returns the policies that are set, in a fixed order.
func (ps Policies) all() []Policy {
	var all []Policy
	if ps.Threshold != nil {
		all = append(all, *ps.Threshold)
	}
	if ps.Target != nil {
		all = append(all, *ps.Target)
	}
	if ps.Cost != nil {
		all = append(all, *ps.Cost)
	}
	return all
}

// Name returns the names of the policies that are set, joined by "+".
func (ps Policies) Name() string {
	var names []string
	for _, p := range ps.all() {
		names = append(names, p.Name())
	}
	if ps.Schedule != nil {
		names = append(names, RuleSchedule)
	}
	return strings.Join(names, "+")
}

// decide takes p to what the safest of the policies wants. The others leave a
// reason too.
func (ps Policies) decide(e Evidence, p *path) {
	type wish struct {
		policy string
		n      int
		detail string
	}
	var wishes []wish
	for _, policy := range ps.all() {
		n, detail := policy.Want(e)
		wishes = append(wishes, wish{policy.Name(), n, detail})
	}
	if len(wishes) == 0 {
		return
	}
	most := slices.MaxFunc(wishes, func(a, b wish) int { return cmp.Compare(a.n, b.n) }) // the first of equals
	for _, w := range wishes {
		if w.policy != most.policy {
			p.note(w.policy, "would have %d: %s", w.n, w.detail)
		}
	}
	p.to(most.n, most.policy, most.detail)
}
