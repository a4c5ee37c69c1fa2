package scaler

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/scaler/plan"
)

// Shadow is a policy beside the live one, in the file.
type Shadow struct{ Policy }

// UnmarshalYAML decodes over DefaultPolicy.
func (s *Shadow) UnmarshalYAML(decode func(any) error) error {
	s.Policy = DefaultPolicy()
	return decode(&s.Policy)
}

// PlanShadow returns the group as the decision of its shadow sees it: the same in
// everything but the policy. A threshold rule that the live policy does not have
// brings its usual cooldowns along.
func (g Group) PlanShadow(step, delay time.Duration) plan.Group {
	live := g.Policy.Rule
	g.Policy = g.Shadow.Policy
	if g.Cooldown == (Cooldown{}) && slices.Contains(g.Policy.Rule, ruleThreshold) && !slices.Contains(live, ruleThreshold) {
		g.Cooldown = thresholdCooldown
	}
	g.Mode = api.ModeLive // it is in charge of what is imagined
	return g.Plan(step, delay)
}

// imagined is the group as it would be by its shadow.
type imagined struct {
	// Config is the configuration that it was imagined under. Another one begins
	// anew, and so does its comparison.
	Config  json.RawMessage `json:"config"`
	State   plan.State      `json:"state"`
	Desired int             `json:"desired"`
	// Starting are the orders that do not serve yet, the oldest first.
	Starting []starting `json:"starting,omitempty"`
	// Slot is the slot that began at the last tick; nil: no tick has been settled.
	Slot *bothSizes     `json:"slot,omitempty"`
	Sums api.ShadowSums `json:"sums"`
}

// starting is an order of instances.
type starting struct {
	N     int       `json:"n"`
	Ready time.Time `json:"ready"` // when they serve
}

// bothSizes is how large the group is in the slot that starts at At, and how large
// it would be.
type bothSizes struct {
	At            time.Time `json:"at"`
	LiveDesired   int       `json:"live_desired"`
	ShadowDesired int       `json:"shadow_desired"`
	ShadowServing int       `json:"shadow_serving"` // from the slot's start on
}

// serving returns how many imagined instances serve at a time.
func (m imagined) serving(at time.Time) int {
	n := m.Desired
	for _, s := range m.Starting {
		if s.Ready.After(at) {
			n -= s.N
		}
	}
	return max(0, n)
}

// resize makes the imagined group as large as its decision of a tick says. What
// is removed goes at once, the newest orders first; what is added serves after
// the time from the tick until an order is carried out, and the lead time.
func (m *imagined) resize(to int, at time.Time, g plan.Group) {
	m.Starting = slices.DeleteFunc(slices.Clone(m.Starting), func(s starting) bool { return !s.Ready.After(at) })
	if add := to - m.Desired; add > 0 {
		m.Starting = append(m.Starting, starting{N: add, Ready: at.Add(g.Delay + g.Lead)})
	}
	for excess := m.Desired - to; excess > 0 && len(m.Starting) > 0; {
		last := &m.Starting[len(m.Starting)-1]
		gone := min(excess, last.N)
		excess -= gone
		if last.N -= gone; last.N == 0 {
			m.Starting = m.Starting[:len(m.Starting)-1]
		}
	}
	m.Desired = to
}

// score enters the slot that was observed last, if all is known of it: its demand,
// what served it, and what would have.
func (m *imagined) score(g plan.Group, o plan.Observation) {
	s := m.Slot
	demand, measured := o.Values[api.SeriesDemand]
	serving, counted := o.Values[api.MetricInService]
	if s == nil || !s.At.Equal(o.Slot) || !measured || !counted {
		return
	}
	m.Slot = nil // once
	breach := func(serving float64) float64 {
		if demand > g.Objective*serving {
			return g.Step.Minutes()
		}
		return 0
	}
	m.Sums.Slots++
	m.Sums.LiveHours += float64(s.LiveDesired) * g.Step.Hours()
	m.Sums.ShadowHours += float64(s.ShadowDesired) * g.Step.Hours()
	m.Sums.LiveBreaches += breach(serving)
	m.Sums.ShadowBreaches += breach(float64(s.ShadowServing))
}

// imagine returns the observation as it would be: the same load, on what would
// have served it. A CPU of which that is not known is left out.
func (m imagined) imagine(o plan.Observation, tick time.Time) plan.Observation {
	c := *o.Capacity
	c.Desired, c.InService = m.Desired, m.serving(tick)
	c.Pending = c.Desired - c.InService
	c.Protected, c.Warm, c.LaunchError, c.Rivals = 0, 0, "", nil // of the real instances
	demand, measured := o.Values[api.SeriesDemand]
	o.Capacity, o.Values = &c, maps.Clone(o.Values)
	delete(o.Values, api.MetricCPU)
	delete(o.Values, api.MetricInService)
	if s := m.Slot; measured && s != nil && s.At.Equal(o.Slot) && s.ShadowServing > 0 {
		serving := float64(s.ShadowServing)
		o.Values[api.MetricInService] = serving
		o.Values[api.MetricCPU] = min(100, 100*demand/serving)
		if !o.Offered { // what they could not serve, nobody would have seen
			o.Values[api.SeriesDemand] = min(demand, serving)
		}
	}
	return o
}

// shadow decides for the shadow of a group, from the inputs of the live decision,
// and returns what its record says of it; nil when nothing is known of the group.
func (t *tick) shadow(in plan.Input) (*api.Shadow, error) {
	configured := t.shadows[in.Group.Name]
	if configured == nil {
		if st := t.ledger.state.Groups[in.Group.Name]; st.Shadow != nil {
			st.Shadow = nil
			t.ledger.state.Groups[in.Group.Name] = st
		}
		return nil, nil
	}
	g := *configured
	g.Lead = in.Group.Lead
	if in.Observation.Capacity == nil || in.Observation.Capacity.Desired < 0 {
		return nil, nil
	}
	config, err := t.shadowConfig(g)
	if err != nil {
		return nil, err
	}
	st := t.ledger.state.Groups[g.Name]
	m := imagined{Config: config, Desired: in.Observation.Capacity.Desired, State: st.State, Sums: api.ShadowSums{Since: t.at}}
	if st.Shadow != nil && string(st.Shadow.Config) == string(config) && st.Shadow.Sums.Since.Before(t.at) {
		m = *st.Shadow
	}
	seen := m.imagine(in.Observation, t.at)
	m.score(g, in.Observation)
	in.Group, in.State, in.Observation = g, m.State, seen
	d, after := plan.Decide(in)
	if d.Outcome.Status == "" { // it would be carried out
		d.Outcome.Status = api.OutcomeAccepted
	}
	m.State = after.After(d)
	out := &api.Shadow{Policy: d.Policy, InService: seen.Capacity.InService, Desired: m.Desired, Wanted: d.Wanted, To: d.Desired,
		Safety: d.Safety, Reasons: d.Reasons, Sums: m.Sums}
	if d.Outcome.Status == api.OutcomeAccepted {
		m.resize(d.Desired, t.at, g)
	}
	m.Slot = &bothSizes{At: t.at, ShadowDesired: m.Desired, ShadowServing: m.serving(t.at)}
	if _, err := json.Marshal(m.State); err != nil {
		return nil, err
	}
	st.Shadow = &m
	t.ledger.state.Groups[g.Name] = st
	return out, nil
}

// shadowConfig returns what a comparison is bound to: all but the name, and the
// lead time, which is learned as it goes.
func (t *tick) shadowConfig(g plan.Group) (json.RawMessage, error) {
	g.Name, g.Lead = "", t.shadows[g.Name].Lead
	return json.Marshal(g)
}

// settle enters how large the group really was after a decision.
func (m *imagined) settle(d api.Decision) {
	if m.Slot == nil || !m.Slot.At.Equal(d.Tick) {
		return
	}
	slot := *m.Slot
	if slot.LiveDesired = d.Capacity.Desired; d.Outcome.Status == api.OutcomeAccepted {
		slot.LiveDesired = d.Desired
	}
	m.Slot = &slot
}
