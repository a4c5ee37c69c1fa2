package plan

import "strings"

// Policy turns evidence into the number of instances that it asks for. It need
// not care for bounds, cooldowns or the freshness of metrics; guardrails do.
// Given everything else, a higher forecast must not make it ask for less.
type Policy interface {
	// Name identifies the policy in decisions.
	Name() string
	// Want returns the wished capacity and one sentence with the numbers that led
	// to it.
	Want(e Evidence) (n int, detail string)
}

// Policies are the policies of a group. Those that are set apply together, and
// the one that asks for the most wins: it is the safest.
type Policies struct {
	Threshold *Threshold `json:"threshold,omitempty"`
}

// all returns the policies that are set, in a fixed order.
func (ps Policies) all() []Policy {
	var all []Policy
	if ps.Threshold != nil {
		all = append(all, *ps.Threshold)
	}
	return all
}

// Name returns the names of the policies that are set, joined by "+".
func (ps Policies) Name() string {
	var names []string
	for _, p := range ps.all() {
		names = append(names, p.Name())
	}
	return strings.Join(names, "+")
}

// decide takes p to what the safest of the policies wants. Every other one leaves
// a reason too.
func (ps Policies) decide(e Evidence, p *path) {
	type wish struct {
		policy Policy
		n      int
		detail string
	}
	var most wish
	var others []wish
	for _, policy := range ps.all() {
		n, detail := policy.Want(e)
		w := wish{policy, n, detail}
		switch {
		case most.policy == nil:
			most = w
		case n > most.n:
			most, others = w, append(others, most)
		default:
			others = append(others, w)
		}
	}
	for _, w := range others {
		p.note(w.policy.Name(), "would have %d: %s", w.n, w.detail)
	}
	if most.policy != nil {
		p.to(most.n, most.policy.Name(), most.detail)
	}
}
