package scaler

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/scaler/plan"
)

const (
	// leadTurn is within how many ticks each group's launches are looked at once: of
	// a fleet, as many at a tick as that takes. Providers count their calls.
	leadTurn = 72
	// leadRest is the least time between two looks at the launches of a group.
	leadRest = time.Hour
	// leadSpan is how far back launches count.
	leadSpan = 14 * 24 * time.Hour
)

// learned is what a group's launches say of its lead time.
type learned struct {
	Lead  time.Duration `json:"lead"`
	Prior time.Duration `json:"prior"` // the configured one that Lead was learned from
	At    time.Time     `json:"at"`    // the tick of the last look, whatever came of it
}

// lead returns the group with the lead time that its decision is to reckon with:
// the learned one, where there is one for the lead time that is configured now.
// It is never so long that the forecast, of so many steps, does not reach that
// far, unless the configured one is: a forecast too short would not be used at all.
func (l *learned) lead(g plan.Group, horizon int) plan.Group {
	if l == nil || l.Lead <= 0 || l.Prior != g.Lead || g.Lead <= 0 {
		return g
	}
	prior := g.Lead
	g.Lead = l.Lead
	if horizon > 0 && g.Steps() > horizon {
		g.Lead = max(prior, time.Duration(horizon-1)*g.Step-max(0, g.Delay)-time.Second)
	}
	return g
}

// launches are what a provider said of the groups whose turn it was.
type launches struct {
	groups []string
	found  map[string][]api.Launch
	err    error
}

// askLaunches looks at the launches of those groups whose turn it is.
func (t *tick) askLaunches(ctx context.Context) (l launches) {
	source, ok := t.deps.Target.(Launches)
	if !ok {
		return l
	}
	if l.groups = t.leadsDue(); len(l.groups) == 0 {
		return l
	}
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Deadlines.Capacity)
	defer cancel()
	if l.found, l.err = source.Launches(ctx, l.groups, t.at.Add(-leadSpan)); l.err != nil {
		t.meters.providerError(errorRead)
		l.err = fmt.Errorf("launches of %d groups: %w", len(l.groups), l.err)
	}
	return l
}

// learnLeads keeps in the state what launches say. A fault costs the groups their
// turn.
func (t *tick) learnLeads(seen launches) {
	for _, name := range seen.groups {
		st := t.ledger.state.Groups[name]
		l := learned{Prior: t.groups[t.byName[name]].Lead, At: t.at}
		switch all, known := seen.found[name]; {
		case known:
			l.Lead = plan.LearnLead(l.Prior, all)
		case st.Lead != nil && st.Lead.Prior == l.Prior:
			l.Lead = st.Lead.Lead // what was learned before stays true
		}
		if l.Lead > 0 && (st.Lead == nil || l.Lead != st.Lead.Lead) {
			t.deps.Log.Info("lead time learned", "group", name, "lead", l.Lead, "configured", l.Prior)
		}
		st.Lead = &l
		t.ledger.state.Groups[name] = st
	}
}

// leadsDue returns the groups whose launches have not been looked at for longest.
func (t *tick) leadsDue() []string {
	at := func(name string) time.Time {
		if l := t.ledger.state.Groups[name].Lead; l != nil && l.Prior == t.groups[t.byName[name]].Lead && !l.At.After(t.at) {
			return l.At
		}
		return time.Time{} // never, or not for this configuration, or by a clock that was wrong
	}
	var due []string
	for _, name := range t.names {
		if t.at.Sub(at(name)) >= leadRest {
			due = append(due, name)
		}
	}
	slices.SortStableFunc(due, func(a, b string) int { return at(a).Compare(at(b)) })
	return due[:min(len(due), (len(t.names)+leadTurn-1)/leadTurn)]
}
