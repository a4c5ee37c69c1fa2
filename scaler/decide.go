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
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/scaler/plan"
)

// seen is what a tick knows of the world.
type seen struct {
	capacities map[string]api.Capacity
	capErr     error
	past       past
	histErr    error
	launches   launches
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
	t.learnLeads(w.launches)
	answers := t.forecast(ctx, &w, specFaults)
	var kept configs
	for _, g := range t.groups {
		a := answers[g.Name]
		u := t.learnUnit(g.Name, &w)
		if u == nil && a.forecast != nil && a.forecast.Error == nil && t.load(g.Name) != api.SeriesDemand {
			a.forecast = problem(g.Name, "no unit", errNoUnit(t.load(g.Name)))
		}
		a.forecast = inInstances(a.forecast, u)
		t.recall(g.Name, u, &w)
		g = t.ledger.state.Groups[g.Name].Lead.lead(g, len(a.points()))
		d, err := t.decideOne(g, t.observe(g, u, &w), a, &kept)
		if err != nil {
			t.faults = append(t.faults, fmt.Errorf("group %s: %w", g.Name, err))
		}
		rec.Decisions = append(rec.Decisions, d)
	}
	rec.Configs = kept.all
	t.brake(&rec)
	rec.Errors = append(rec.Errors, t.ledger.state.Notes...)
	t.ledger.state.Notes = nil
	faults := slices.DeleteFunc(append([]error{w.capErr, w.histErr, w.launches.err}, t.faults...), func(err error) bool { return err == nil })
	if more := len(faults) - maxFaults; more > 0 { // one for each of a thousand models, say
		faults = append(faults[:maxFaults], fmt.Errorf("and %d more faults; the decisions name them", more))
	}
	for _, err := range faults {
		rec.Errors = append(rec.Errors, err.Error())
		t.deps.Log.Error("tick without full knowledge", "tick", t.at, "err", err)
	}
	return rec
}

// maxFaults bounds what a tick tells of its faults beside its decisions.
const maxFaults = 50

// decideOne decides for one group. The decision carries all that it rests on, in
// the very form in which it was decided upon: plan.Again reaches it from there.
func (t *tick) decideOne(g plan.Group, o plan.Observation, a answer, kept *configs) (api.Decision, error) {
	st := t.ledger.state.Groups[g.Name]
	before, err := json.Marshal(st.State)
	config, configErr := kept.add(g)
	if err = errors.Join(err, configErr); err != nil {
		return t.undecided(g, o, err), err
	}
	in := plan.Input{Group: g, State: st.State, Observation: o, Forecast: keepable(a.forecast, g.Steps(), t.shown(g)),
		Control: t.orders.inForce(g.Name, t.at), Tick: t.at}
	d, after := plan.Decide(in)
	if _, err := json.Marshal(after); err != nil {
		return t.undecided(g, o, err), err // written, it would stop the whole fleet
	}
	st.State = after
	t.ledger.state.Groups[g.Name] = st
	d.Before, d.Config = before, config
	d.Model, d.ModelVersion = a.model, a.version
	d.Shadow, err = t.shadow(in)
	return d, err
}

// brake pulls the fleet-wide brake where it has to be, and completes the decisions
// that nothing is to be done about.
func (t *tick) brake(rec *api.TickRecord) {
	braked := &t.ledger.state.Braked
	if !braked.Since.IsZero() && (t.at.Sub(braked.Last) > max(t.cfg.BrakeHold, t.step) || t.at.Before(braked.Since)) {
		*braked = stretch{} // it has been loose for so long that another pull is another matter
	}
	since := braked.Since
	if since.IsZero() {
		since = t.at
	}
	var release time.Time
	if t.cfg.BrakeHold > 0 {
		release = since.Add(t.cfg.BrakeHold)
	}
	if rec.Brake = plan.ApplyBrake(t.cfg.Brake, t.at, release, rec.Decisions); rec.Brake != nil {
		*braked = stretch{Since: since, Last: t.at}
		t.deps.Log.Error("the fleet-wide brake holds scale-ins", "tick", t.at, "groups", rec.Brake.Groups,
			"group_share", rec.Brake.GroupShare, "instances", rec.Brake.Instances, "instance_share", rec.Brake.InstanceShare,
			"since", since, "let", rec.Brake.Let)
	}
	for i := range rec.Decisions {
		if d := &rec.Decisions[i]; d.Outcome.Status != "" {
			d.Outcome.At = t.clock()
		}
	}
}

// ruleUnrecorded stands in the one reason of a decision that was not made.
const ruleUnrecorded = "unrecorded"

// undecided leaves a group as it is, because the audit log could not keep what
// its decision would rest on. That is a fault of this program, and no other group
// shall suffer from it.
func (t *tick) undecided(g plan.Group, o plan.Observation, why error) api.Decision {
	d := api.Decision{Group: g.Name, Tick: t.at, Mode: g.Mode, Policy: g.Policies.Name(), Basis: api.BasisHold,
		Outcome: api.Outcome{Status: api.OutcomeNone}}
	if o.Capacity != nil {
		d.Capacity = *o.Capacity
		d.Wanted, d.Desired = d.Capacity.Desired, d.Capacity.Desired
	}
	d.Reasons = []api.Reason{{Rule: ruleUnrecorded, From: d.Desired, To: d.Desired, Detail: fmt.Sprintf("not decided: %v", why)}}
	return d
}

// look reads the groups' sizes, their history and their launches at the same time.
func (t *tick) look(ctx context.Context) seen {
	var w seen
	var all sync.WaitGroup
	all.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, t.cfg.Deadlines.Capacity)
		defer cancel()
		found, err := t.deps.Target.Capacities(ctx, t.names)
		w.capacities = maps.Clone(found)
		if err != nil {
			t.meters.providerError(errorRead)
			w.capErr = fmt.Errorf("capacities: %w", err)
		}
	})
	all.Go(func() { t.remember(ctx, &w) })
	all.Go(func() { w.launches = t.askLaunches(ctx) })
	all.Wait()
	return w
}

// observe returns a group's size and the newest slot in which its load is known.
func (t *tick) observe(group plan.Group, u *api.Unit, w *seen) plan.Observation {
	o := plan.Observation{Flags: t.flags(group, w), Unit: u}
	if c, ok := w.capacities[group.Name]; ok {
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
	g := w.past.recent(group.Name)
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
		o.Offered = !g.Derived && !math.IsNaN(at(api.SeriesDemand, i))
		for name := range g.Columns {
			if v := at(name, i); !math.IsNaN(v) {
				o.Values[name] = v
			}
		}
		offeredLoad(&o)
		break
	}
	return o
}

// flags returns what the calendar says of the slots that a group's schedule looks
// at: the slot that begins at the tick, and the steps that a decision answers for.
func (t *tick) flags(g plan.Group, w *seen) map[string][]float64 {
	schedules := []*plan.Schedule{g.Policies.Schedule}
	if shadow := t.shadows[g.Name]; shadow != nil {
		schedules = append(schedules, shadow.Policies.Schedule)
	}
	var names []string
	for _, s := range schedules {
		if s == nil {
			continue
		}
		for _, e := range s.Entries {
			if e.Flag != "" && !slices.Contains(names, e.Flag) {
				names = append(names, e.Flag)
			}
		}
	}
	if names == nil {
		return nil
	}
	source := t.deps.Flags
	if grid := w.past.recent(g.Name); source == nil && grid != nil {
		source = window.ColumnFlags(grid)
	}
	if source == nil {
		return nil
	}
	flags := map[string][]float64{}
	for _, name := range names {
		for k := range g.Steps() {
			flags[name] = append(flags[name], source.Flag(name, t.at.Add(time.Duration(k)*t.step)))
		}
	}
	return flags
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
