package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/scaler/audit"
	"github.com/forescale/forescale/scaler/control"
	"github.com/forescale/forescale/scaler/plan"
)

// silentSteps is after how many steps without a decision the scaler is taken for dead.
const silentSteps = 3

// fleetView is what a row of the status is made of, besides the decision.
type fleetView struct {
	now      time.Time
	record   api.TickRecord
	step     time.Duration // a configuration's; 0: what each decision's says
	controls []api.Control
	models   map[string]models.Manifest // of groups, that serve now; nil: the registry is not known
	event    *api.FleetEvent            // the next; nil: none within a week
}

// fleet returns every group of the record, and those in names that it does not know,
// what needs attention first.
func (v fleetView) fleet(names []string) api.Fleet {
	f := api.Fleet{Now: v.now, StepSeconds: int(v.stepOf(nil).Seconds()), Tick: v.record.Tick, Scaler: v.record.Scaler, Brake: v.record.Brake,
		Warnings: append([]string{}, v.record.Errors...), Groups: []api.FleetRow{}}
	decided := map[string]bool{}
	for _, d := range v.record.Decisions {
		decided[d.Group] = true
		f.Groups = append(f.Groups, v.row(d))
	}
	for _, name := range names {
		if !decided[name] {
			f.Groups = append(f.Groups, api.FleetRow{Group: name, State: api.StateUnknown, Attention: api.AttentionNotice, NextEvent: v.event, Spark: api.Series{},
				Reason: "the newest record of the audit log does not know the group: no scaler has decided on it"})
		}
	}
	slices.SortFunc(f.Groups, func(a, b api.FleetRow) int {
		return cmp.Or(b.Attention-a.Attention, strings.Compare(a.Group, b.Group))
	})
	return f
}

// configOf returns the configuration that a decision was made by, nil when the record
// has none that can be read.
func (v fleetView) configOf(d api.Decision) *plan.Group {
	var g plan.Group
	if d.Config < 0 || d.Config >= len(v.record.Configs) || json.Unmarshal(v.record.Configs[d.Config], &g) != nil {
		return nil
	}
	return &g
}

// usualStep is the length of a slot where nothing says it.
const usualStep = 5 * time.Minute

func (v fleetView) stepOf(g *plan.Group) time.Duration {
	if g == nil && len(v.record.Configs) > 0 {
		g = v.configOf(api.Decision{})
	}
	if g != nil && g.Step > 0 {
		return g.Step
	}
	return cmp.Or(v.step, usualStep)
}

// row tells how a group stands.
func (v fleetView) row(d api.Decision) api.FleetRow {
	config := v.configOf(d)
	step := v.stepOf(config)
	r := api.FleetRow{Group: d.Group, Alerts: d.Alerts, Mode: d.Mode, Policy: d.Policy, Outcome: d.Outcome.Status, NextEvent: v.event, Spark: api.Series{}}
	for _, name := range []string{api.SeriesDemand, api.MetricCPU} {
		if value, ok := d.Observed[name]; ok {
			r.Load = &api.FleetLoad{Series: name, Value: value, Unit: map[string]string{api.SeriesDemand: "instances' worth", api.MetricCPU: "percent"}[name], At: d.ObservedAt}
			break
		}
	}
	if !d.ObservedAt.IsZero() {
		age := v.now.Sub(d.ObservedAt.Add(step)).Seconds()
		r.DataAgeSeconds = &age
	}
	if d.Capacity.Known() {
		c := d.Capacity
		r.Capacity = &api.FleetCapacity{InService: c.InService, Pending: c.Pending, Before: c.Desired, Desired: d.Desired, Min: c.Min, Max: c.Max}
		if config != nil {
			r.Capacity.Min, r.Capacity.Max = plan.Bounds(*config, c)
		}
	}
	r.Forecast = forecastAt(d, config)
	r.Model = v.model(d)
	r.State = v.state(d)
	r.Attention, r.Reason = v.attention(d, r, step)
	return r
}

// forecastAt returns what is expected of the slot that instances ordered at the tick
// can serve: the first to begin a lead time after it.
func forecastAt(d api.Decision, config *plan.Group) *api.FleetForecast {
	f := d.Forecast
	if f == nil || f.Error != nil || len(f.Point) == 0 || f.StepSeconds <= 0 {
		return nil
	}
	step, lead := time.Duration(f.StepSeconds)*time.Second, time.Duration(0)
	if config != nil {
		lead = config.Lead
	}
	k := min(int((lead+step-1)/step), len(f.Point)-1)
	out := &api.FleetForecast{Value: f.Point[k], At: f.IssuedAt.Add(time.Duration(k) * step), LeadSeconds: int(lead.Seconds())}
	for j, level := range f.Quantiles {
		if k < len(f.Values) && j < len(f.Values[k]) {
			if out.Quantiles == nil {
				out.Quantiles = map[string]float64{}
			}
			out.Quantiles[strconv.FormatFloat(level, 'g', -1, 64)] = f.Values[k][j]
		}
	}
	return out
}

// model tells which model serves a group, and how old what it knows is.
func (v fleetView) model(d api.Decision) *api.FleetModel {
	m, known := v.models[d.Group]
	switch {
	case known:
		out := &api.FleetModel{Name: m.Name, Version: m.Version}
		if !m.TrainedUntil.IsZero() {
			age := v.now.Sub(m.TrainedUntil).Seconds()
			out.AgeSeconds = &age
		}
		return out
	case d.Model != "":
		return &api.FleetModel{Name: d.Model, Version: d.ModelVersion}
	}
	return nil
}

// state names how a group stands: an order counts from when it was given, and not
// only from the tick after it.
func (v fleetView) state(d api.Decision) api.GroupState {
	if c := control.InForce(v.controls, d.Group, v.now); c != nil {
		return map[api.ControlKind]api.GroupState{api.ControlFreeze: api.StateFrozen, api.ControlPause: api.StatePaused}[c.Kind]
	}
	if v.now.Sub(v.record.Tick) > silentSteps*v.stepOf(nil) {
		return api.StateStale
	}
	switch {
	case d.Basis == api.BasisHold:
		return api.StateHold
	case d.Safety == api.SafetyStale:
		return api.StateStale
	case d.Safety == api.SafetyDrift:
		return api.StateDrift
	case d.Safety == api.SafetyNoModel:
		return api.StateNoModel
	case d.Basis == api.BasisReactive:
		return api.StateReactive
	}
	return api.StatePredictive
}

// attention says how much a group needs a person, and why: the worst that is known
// of it, or what its size rests on.
func (v fleetView) attention(d api.Decision, r api.FleetRow, step time.Duration) (int, string) {
	worst, why := api.AttentionNone, ""
	note := func(level int, format string, args ...any) {
		if level > worst {
			worst, why = level, printable(fmt.Sprintf(format, args...))
		}
	}
	if age := v.now.Sub(v.record.Tick); age > silentSteps*step {
		note(api.AttentionFault+40, "no decision for %s: the scaler does not run, or cannot write", left(age))
	}
	switch d.Outcome.Status {
	case api.OutcomeFailed:
		note(api.AttentionFault+30, "the change to %d failed: %s", d.Desired, cmp.Or(d.Outcome.Detail, "the provider did not say why"))
	case api.OutcomeSkipped:
		note(api.AttentionWarning+20, "the change to %d was not carried out: %s", d.Desired, d.Outcome.Detail)
	}
	if !d.Capacity.Known() {
		note(api.AttentionFault+20, "its size is unknown: %s", cmp.Or(d.CapacityError, "the provider did not say"))
	}
	if d.Basis == api.BasisHold || d.Safety == api.SafetyStale {
		note(api.AttentionFault+10, "%s", staleText(d, r))
	}
	for _, alert := range d.Alerts {
		level, ok := alertLevels[alert]
		if !ok {
			level = api.AttentionWarning
		}
		note(level, "%s: %s", alert, reasonOf(d, alert))
	}
	if d.Capacity.LaunchError != "" {
		note(api.AttentionWarning+40, "the newest launch failed: %s", d.Capacity.LaunchError)
	}
	switch d.Safety {
	case api.SafetyDrift:
		note(api.AttentionWarning+10, "forecasts are not trusted: %s", cmp.Or(reasonOf(d, plan.RuleSafety), "what came true falls out of their band"))
	case api.SafetyNoModel:
		note(api.AttentionWarning+5, "%s", cmp.Or(reasonOf(d, plan.RuleForecast), "there is no usable forecast"))
	}
	if c := control.InForce(v.controls, d.Group, v.now); c != nil {
		note(api.AttentionNotice, "%s until %s, by %s: %s", given[c.Kind].is, stamp(c.Until), c.By, c.Reason)
	}
	if why == "" {
		why = printable(usualReason(d))
	}
	return worst, why
}

// alertLevels says how much a person is needed for what a decision warns of.
var alertLevels = map[string]int{
	plan.AlertFeasible: api.AttentionFault + 5, plan.AlertStuck: api.AttentionFault,
	plan.AlertMaximum: api.AttentionWarning + 50, plan.AlertBudget: api.AttentionWarning + 45, plan.AlertRival: api.AttentionWarning + 30,
	plan.AlertDrift: api.AttentionWarning + 10, plan.AlertUnit: api.AttentionWarning,
}

// reasonOf returns the sentence of the last reason of a rule; for an alert, of the
// rule that raises it.
func reasonOf(d api.Decision, rule string) string {
	rule = cmp.Or(map[string]string{plan.AlertMaximum: plan.RuleMax, plan.AlertDrift: plan.RuleSafety}[rule], rule)
	for _, r := range slices.Backward(d.Reasons) {
		if r.Rule == rule {
			return r.Detail
		}
	}
	return ""
}

func staleText(d api.Decision, r api.FleetRow) string {
	if why := reasonOf(d, plan.RuleStale); why != "" {
		return why
	}
	if r.DataAgeSeconds != nil && !math.IsNaN(*r.DataAgeSeconds) {
		return fmt.Sprintf("the newest metrics are %s old: the group holds its size, and never shrinks", left(time.Duration(*r.DataAgeSeconds)*time.Second))
	}
	return "there are no metrics: the group holds its size, and never shrinks"
}

// usualReason says what a size rests on that nobody needs to look at.
func usualReason(d api.Decision) string {
	if what, why, ok := audit.Changed(d); ok {
		return strings.TrimPrefix(what+"; "+why, "; ")
	}
	for _, r := range slices.Backward(d.Reasons) {
		if r.From != r.To || len(d.Reasons) == 1 {
			return r.Rule + ": " + r.Detail
		}
	}
	if len(d.Reasons) > 0 {
		return d.Reasons[len(d.Reasons)-1].Rule + ": " + d.Reasons[len(d.Reasons)-1].Detail
	}
	return "nothing to do"
}
