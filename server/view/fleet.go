package view

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/window"
)

const (
	sparkSlots  = 24
	ahead       = 7 * 24 * time.Hour // how far the next event is looked for
	defaultLead = 2                  // steps: the first slot that instances ordered now can serve in full
	groupsEvery = time.Minute        // how often the groups of the last day are listed
	lastDay     = 24 * time.Hour
	maxWarnings = 20
	maxReason   = 300 // bytes of a row's sentence
)

// Fleet returns all groups that the newest tick or the data of the last day know,
// what needs attention first. It reads the newest record and the newest slots of all
// groups together, and nothing for each of them.
func (v *View) Fleet(ctx context.Context) (api.Fleet, error) {
	fleet := api.Fleet{Now: v.Now().UTC(), Replay: v.Replay, StepSeconds: int(v.Step / time.Second), Warnings: []string{}, Groups: []api.FleetRow{}}
	warn := func(what string, err error) {
		if err != nil {
			fleet.Warnings = append(fleet.Warnings, what+err.Error())
		}
	}
	rec, err := v.latest(ctx)
	warn("journal: ", err)
	r := &row{view: v, present: v.present(rec), standings: v.Models.Standings(), decisions: map[string]*api.Decision{}, record: rec}
	end := r.present.Truncate(v.Step)
	if rec != nil {
		fleet.Tick, fleet.Scaler, fleet.Brake = rec.Tick, rec.Scaler, rec.Brake
		for i := range rec.Decisions {
			r.decisions[rec.Decisions[i].Group] = &rec.Decisions[i]
		}
		fleet.Warnings = append(fleet.Warnings, rec.Errors...)
		if r.late = r.present.Sub(rec.Tick) > staleSteps*v.Step; r.late {
			fleet.Warnings = append(fleet.Warnings, "the newest tick of a scaler is that of "+rec.Tick.UTC().Format(time.RFC3339)+": is it running?")
		}
	}
	from := end.Add(-sparkSlots * v.Step)
	samples, err := v.Samples.Newest(ctx, from, end)
	warn("data: ", err)
	r.grids = window.FromSamples(samples, v.Step, from, end)
	listed, err := v.lastDay(ctx, end)
	warn("data: ", err)
	if ctx.Err() != nil {
		return fleet, context.Cause(ctx)
	}
	if len(fleet.Warnings) > maxWarnings {
		fleet.Warnings = append(fleet.Warnings[:maxWarnings], "and more; the log of the scaler has them")
	}
	if next := v.events(r.present, r.present.Add(ahead)); len(next) > 0 {
		r.event = &next[0]
	}
	for name := range r.decisions {
		listed = append(listed, name)
	}
	for name := range r.grids {
		listed = append(listed, name)
	}
	slices.Sort(listed)
	for _, name := range slices.Compact(listed) {
		fleet.Groups = append(fleet.Groups, r.of(name))
	}
	slices.SortStableFunc(fleet.Groups, func(a, b api.FleetRow) int { return cmp.Compare(b.Attention, a.Attention) })
	return fleet, nil
}

// lastDay returns the groups with data in the last day, as they were when they were
// last listed: who has gone silent shall stay in sight.
func (v *View) lastDay(ctx context.Context, end time.Time) ([]string, error) {
	now := v.Now()
	v.mu.Lock()
	groups, listed := slices.Clone(v.groups), v.listed
	v.mu.Unlock()
	if age := now.Sub(listed); !listed.IsZero() && age >= 0 && age < groupsEvery {
		return groups, nil
	}
	found, err := v.Samples.Groups(ctx, end.Add(-lastDay), end.Add(v.Step))
	if err != nil {
		return append(groups, found...), err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.groups, v.listed = found, now
	return slices.Clone(found), nil
}

// row is what the rows of a fleet are made of.
type row struct {
	view      *View
	present   time.Time
	late      bool // there has been no tick for too long
	record    *api.TickRecord
	decisions map[string]*api.Decision // by group
	grids     map[string]*window.Grid  // of the newest slots, by group
	standings map[string]Standing      // by model
	event     *api.FleetEvent
}

// of returns the row of one group.
func (r *row) of(group string) api.FleetRow {
	d := r.decisions[group]
	out := api.FleetRow{Group: group, NextEvent: r.event, Spark: missing(sparkSlots)}
	series := r.view.Models.Target(group)
	if d != nil && d.Unit != nil && series == "" {
		series = d.Unit.Series
	}
	g := r.grids[group]
	if g != nil {
		g.AddDemand()
	}
	if series = pick(series, g, d); series != "" {
		r.load(&out, series, g, d)
	}
	if d != nil {
		out.Mode, out.Policy, out.Alerts, out.Outcome = d.Mode, d.Policy, d.Alerts, d.Outcome.Status
		if c := d.Capacity; c.Known() {
			out.Capacity = &api.FleetCapacity{InService: c.InService, Pending: c.Pending, Before: c.Desired, Desired: d.Desired, Min: c.Min, Max: c.Max}
		}
		out.Forecast = r.forecast(d, series)
	}
	out.Model = r.model(group, d)
	r.judge(&out, d)
	if len(out.Reason) > maxReason {
		out.Reason = strings.ToValidUTF8(out.Reason[:maxReason], "") + "…"
	}
	return out
}

// pick returns the series to show of a group: what its model forecasts, or else what
// a model would most likely.
func pick(series string, g *window.Grid, d *api.Decision) string {
	for _, name := range []string{series, api.SeriesDemand, api.MetricRequests, api.MetricCPU} {
		if name == "" {
			continue
		}
		if g != nil && g.Columns[name] != nil {
			return name
		}
		if d != nil {
			if _, seen := d.Observed[name]; seen {
				return name
			}
		}
	}
	return series
}

// load fills in the newest value of a series, its age and its newest slots.
func (r *row) load(out *api.FleetRow, series string, g *window.Grid, d *api.Decision) {
	step := r.view.Step
	var newest time.Time // end of the newest slot of the group with any value
	if g != nil {
		for name, column := range g.Columns {
			for i := len(column) - 1; i >= 0; i-- {
				if math.IsNaN(column[i]) {
					continue
				}
				if end := g.Time(i + 1); end.After(newest) {
					newest = end
				}
				if name == series {
					out.Load = &api.FleetLoad{Series: series, Value: rounded(column[i]), Unit: unitOf(series), At: g.Time(i)}
				}
				break
			}
		}
		for i, value := range g.Columns[series] {
			out.Spark[i] = rounded(value)
		}
	}
	if d != nil && !d.ObservedAt.IsZero() {
		if end := d.ObservedAt.Add(step); end.After(newest) {
			newest = end
		}
		if value, seen := d.Observed[series]; seen && out.Load == nil {
			out.Load = &api.FleetLoad{Series: series, Value: rounded(value), Unit: unitOf(series), At: d.ObservedAt.UTC()}
		}
	}
	if !newest.IsZero() {
		age := math.Round(r.present.Sub(newest).Seconds())
		out.DataAgeSeconds = &age
	}
}

// setting is what a row needs of a group's recorded configuration.
type setting struct {
	Lead      time.Duration `json:"lead"`
	Objective float64       `json:"objective"`
	Signal    string        `json:"signal"` // observed: its policy reads no forecast
}

const signalObserved = "observed" // as scaler/plan spells it

// defaultObjective is that of scaler/plan.
const defaultObjective = 0.9

// setting returns the configuration that a decision was made with, as far as it is
// recorded.
func (r *row) setting(d *api.Decision) setting {
	s := setting{Lead: (defaultLead - 1) * r.view.Step}
	if r.record != nil && d.Config >= 0 && d.Config < len(r.record.Configs) {
		var kept setting
		if json.Unmarshal(r.record.Configs[d.Config], &kept) == nil {
			s = kept
		}
	}
	if !(s.Objective > 0) {
		s.Objective = defaultObjective
	}
	return s
}

// leadSteps returns which point of a forecast speaks of the first slot that
// instances ordered at the tick can serve in full, at most the last one.
func (s setting) leadSteps(step time.Duration, horizon int) int {
	k := int(math.Ceil(s.Lead.Seconds()/step.Seconds())) + 1
	return max(1, min(k, horizon))
}

// forecast returns what a decision expected of the slot that it could still do
// something about, in the unit of the series.
func (r *row) forecast(d *api.Decision, series string) *api.FleetForecast {
	f := d.Forecast
	if f == nil || f.Error != nil || len(f.Point) == 0 {
		return nil
	}
	step := time.Duration(f.StepSeconds) * time.Second
	if step <= 0 {
		return nil
	}
	k := r.setting(d).leadSteps(step, len(f.Point))
	scale := scaleOf(d, series)
	begin := time.Duration(k-1) * step
	out := &api.FleetForecast{Value: rounded(scale * f.Point[k-1]), At: f.IssuedAt.Add(begin).UTC(), LeadSeconds: int(begin / time.Second)}
	if len(f.Values) >= k && len(f.Values[k-1]) == len(f.Quantiles) && len(f.Quantiles) > 0 {
		out.Quantiles = map[string]float64{}
		for i, q := range f.Quantiles {
			out.Quantiles[level(q)] = rounded(scale * f.Values[k-1][i])
		}
	}
	return out
}

// scaleOf returns by what a recorded forecast, which is in instances of work, is
// multiplied to be in the unit of the series that the model forecasts.
func scaleOf(d *api.Decision, series string) float64 {
	if u := d.Unit; u != nil && u.Series == series && u.PerInstance > 0 {
		return u.PerInstance
	}
	return 1
}

// level writes a quantile's level as a key.
func level(q float64) string { return strconv.FormatFloat(q, 'g', 6, 64) }

// model returns how the model of a group stands.
func (r *row) model(group string, d *api.Decision) *api.FleetModel {
	name := r.view.Models.NameFor(group)
	if name == "" && d != nil {
		name = d.Model
	}
	if name == "" {
		return nil
	}
	s, known := r.standings[name]
	m := &api.FleetModel{Name: name, Version: s.Version, Problem: s.Problem}
	if !known && d != nil {
		m.Version = d.ModelVersion
	}
	if !s.TrainedUntil.IsZero() {
		age := math.Round(r.present.Sub(s.TrainedUntil).Seconds())
		m.AgeSeconds = &age
	}
	return m
}
