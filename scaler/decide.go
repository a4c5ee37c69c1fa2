package scaler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/scaler/plan"
)

// recentSlots is how many slots back the newest measured load is looked for.
// What is older tells nothing of the present.
const recentSlots = 12

// seen is what a tick knows of the world.
type seen struct {
	capacities map[string]api.Capacity
	capErr     error
	grids      map[string]*window.Grid
	slots      int // how far back the grids reach
	histErr    error
}

// decide reads everything and decides for every group (3). What cannot be read
// is missing and named in the record; nothing here stops the tick.
func (t *tick) decide(ctx context.Context) api.TickRecord {
	rec := api.TickRecord{Tick: t.at, Scaler: t.cfg.ID, Version: t.deps.Version}
	specFaults := t.refresh(ctx, t.outdated())
	w := t.look(ctx)
	for _, g := range t.groups {
		if c, ok := w.capacities[g.Name]; ok {
			t.ledger.state.confirm(g.Name, c)
		}
	}
	answers := t.forecast(ctx, &w, specFaults)
	var kept configs
	for _, g := range t.groups {
		d, err := t.decideOne(g, t.observe(g.Name, &w), answers[g.Name], &kept)
		if err != nil {
			t.faults = append(t.faults, fmt.Errorf("group %s: %w", g.Name, err))
		}
		rec.Decisions = append(rec.Decisions, d)
	}
	rec.Configs = kept.all
	rec.Errors = append(rec.Errors, t.ledger.state.Notes...)
	t.ledger.state.Notes = nil
	for _, err := range append([]error{w.capErr, w.histErr}, t.faults...) {
		if err != nil {
			rec.Errors = append(rec.Errors, err.Error())
			t.deps.Log.Error("tick without full knowledge", "tick", t.at, "err", err)
		}
	}
	return rec
}

// decideOne decides for one group. The decision carries all that it rests on, in
// the very form in which it was decided upon: plan.Again reaches it from there.
func (t *tick) decideOne(g plan.Group, o plan.Observation, a answer, kept *configs) (api.Decision, error) {
	st := t.ledger.state.Groups[g.Name]
	before, err := json.Marshal(st.State)
	config, configErr := kept.add(g)
	if err = errors.Join(err, configErr); err != nil {
		return t.undecided(g, o, err), err
	}
	d, after := plan.Decide(plan.Input{
		Group: g, State: st.State, Observation: o, Forecast: keepable(a.forecast, plan.LaunchSteps(g.Step, g.Lead)),
		Control: t.orders.inForce(g.Name, t.at), Tick: t.at,
	})
	if _, err := json.Marshal(after); err != nil {
		return t.undecided(g, o, err), err // written, it would stop the whole fleet
	}
	st.State = after
	t.ledger.state.Groups[g.Name] = st
	d.Before, d.Config = before, config
	d.Model, d.ModelVersion = a.model, a.version
	if d.Outcome.Status != "" {
		d.Outcome.At = t.clock()
	}
	return d, nil
}

// ruleUnrecorded stands in the one reason of a decision that was not made.
const ruleUnrecorded = "unrecorded"

// undecided leaves a group as it is, because the audit log could not keep what
// its decision would rest on. That is a fault of this program, and no other group
// shall suffer from it.
func (t *tick) undecided(g plan.Group, o plan.Observation, why error) api.Decision {
	d := api.Decision{Group: g.Name, Tick: t.at, Mode: g.Mode, Policy: g.Policies.Name(), Basis: api.BasisHold,
		Outcome: api.Outcome{Status: api.OutcomeNone, At: t.clock()}}
	if o.Capacity != nil {
		d.Capacity = *o.Capacity
		d.Wanted, d.Desired = d.Capacity.Desired, d.Capacity.Desired
	}
	d.Reasons = []api.Reason{{Rule: ruleUnrecorded, From: d.Desired, To: d.Desired, Detail: fmt.Sprintf("not decided: %v", why)}}
	return d
}

// predicted returns the names of the groups that want a forecast.
func (t *tick) predicted() []string {
	var names []string
	for _, g := range t.groups {
		if g.Signal != plan.SignalObserved {
			names = append(names, g.Name)
		}
	}
	return names
}

// manifestTicks is for how many ticks a manifest is believed without reading it
// again. A replaced model shows earlier: its server refuses the old windows.
const manifestTicks = 12

// outdated returns the groups whose manifest is to be read at this tick.
func (t *tick) outdated() []string {
	names := t.predicted()
	if t.age++; t.age > manifestTicks || len(t.manifests) == 0 {
		t.age = 0
		return names
	}
	return slices.DeleteFunc(names, func(name string) bool { _, known := t.manifests[name]; return known })
}

// look reads the groups' sizes and their history at the same time.
func (t *tick) look(ctx context.Context) seen {
	var w seen
	names := make([]string, len(t.groups))
	for i, g := range t.groups {
		names[i] = g.Name
	}
	var both sync.WaitGroup
	both.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, t.cfg.Deadlines.Capacity)
		defer cancel()
		found, err := t.deps.Target.Capacities(ctx, names)
		w.capacities = maps.Clone(found)
		if err != nil {
			w.capErr = fmt.Errorf("capacities: %w", err)
		}
	})
	both.Go(func() { t.remember(ctx, names, &w) })
	both.Wait()
	return w
}

// remember reads as much history of the groups as their models need. On a fault
// what came beside it counts.
func (t *tick) remember(ctx context.Context, groups []string, w *seen) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Deadlines.History)
	defer cancel()
	w.slots = t.depth()
	from := t.at.Add(-time.Duration(w.slots) * t.step)
	samples, err := t.deps.History.Scan(ctx, dataset.Query{Groups: groups, From: from, To: t.at})
	if err != nil {
		w.histErr = errors.Join(w.histErr, fmt.Errorf("history: %w", err)) // of both readings, if there are two
	}
	if w.grids == nil {
		w.grids = map[string]*window.Grid{}
	}
	for name, g := range window.FromSamples(samples, t.step, from, t.at) {
		g.AddDemand()
		w.grids[name] = g
	}
}

// depth returns how many slots of history the models of this tick read.
func (t *tick) depth() int {
	slots := recentSlots
	for _, m := range t.manifests {
		slots = max(slots, m.Spec.Lookback)
		for _, lag := range m.Spec.Lags {
			slots = max(slots, lag.Offsets[len(lag.Offsets)-1]+1)
		}
	}
	return slots
}

// observe returns a group's size and the newest slot in which its load is known.
func (t *tick) observe(group string, w *seen) plan.Observation {
	var o plan.Observation
	if c, ok := w.capacities[group]; ok {
		o.Capacity = &c
		if c.ObservedAt.IsZero() {
			o.Capacity.ObservedAt = t.clock()
		}
	} else {
		o.CapacityError = "the provider does not know the group"
		if w.capErr != nil {
			o.CapacityError = w.capErr.Error()
		}
	}
	g := w.grids[group]
	if g == nil {
		return o
	}
	at := func(name string, i int) float64 {
		if column := g.Columns[name]; i < len(column) {
			return column[i]
		}
		return math.NaN()
	}
	for i := g.Len() - 1; i >= max(0, g.Len()-recentSlots); i-- {
		if math.IsNaN(at(api.MetricCPU, i)) && math.IsNaN(at(api.SeriesDemand, i)) {
			continue
		}
		o.Slot, o.Values = g.Time(i), map[string]float64{}
		for name := range g.Columns {
			if v := at(name, i); !math.IsNaN(v) {
				o.Values[name] = v
			}
		}
		break
	}
	return o
}

// refresh learns which model serves each of the groups. Where that fails, what
// was known before is kept, and used as long as the server accepts it; where
// nothing was known, the fault is returned by group.
func (t *tick) refresh(ctx context.Context, groups []string) map[string]error {
	faults := map[string]error{}
	if len(groups) == 0 {
		return faults
	}
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Deadlines.Specs)
	defer cancel()
	byModel := map[string]models.Manifest{} // named in the configuration: read each once
	for _, name := range groups {
		i := slices.IndexFunc(t.cfg.Groups, func(g Group) bool { return g.Name == name })
		model := t.cfg.Groups[i].Model
		m, known := byModel[model]
		var err error
		switch {
		case t.deps.Specs == nil:
			err = errors.New("no model registry is configured")
		case model == "":
			m, err = t.deps.Specs.ForGroup(ctx, name)
		case !known:
			m, err = t.deps.Specs.Champion(ctx, model)
		}
		if err == nil {
			err = m.Spec.Validate()
		}
		if err == nil && model != "" {
			byModel[model] = m
		}
		if err == nil {
			t.manifests[name] = m
		} else if _, known := t.manifests[name]; !known {
			faults[name] = err
		} else {
			t.deps.Log.Warn("model registry unreadable, the last known model is used", "group", name, "err", err)
		}
	}
	return faults
}

// usable returns why a model's forecasts cannot be acted upon, nil when they can.
func (t *tick) usable(m models.Manifest) error {
	switch {
	case m.Spec.Target != api.SeriesDemand:
		return fmt.Errorf("model %s version %d forecasts %s, not %s", m.Name, m.Version, m.Spec.Target, api.SeriesDemand)
	case m.Spec.Step() != t.step:
		return fmt.Errorf("model %s version %d has a step of %s, not %s", m.Name, m.Version, m.Spec.Step(), t.step)
	}
	return nil
}

// ProblemGap is the Type of the api.Problem that stands in place of a forecast
// when the group's own metrics have a gap that no window can be cut over: no
// server was asked, and none is at fault.
const ProblemGap = "urn:forescale:problem:gap-in-metrics"

// problem turns an error into what stands in place of a forecast.
func problem(group, title string, err error) *api.Forecast {
	var p *api.Problem
	if errors.As(err, &p) {
		return &api.Forecast{Group: group, Error: p}
	}
	p = &api.Problem{Title: title, Detail: strings.TrimSpace(err.Error())}
	if errors.Is(err, window.ErrGap) {
		p.Type = ProblemGap
	}
	return &api.Forecast{Group: group, Error: p}
}
