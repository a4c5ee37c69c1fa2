package main

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/journal"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/models/gate"
)

// watched is a model at work.
type watched struct {
	manifest models.Manifest
	change   models.Change // that made it the champion
	counts   map[float64]*gate.Counts
	groups   map[string]*watchedGroup // that it forecast in the last day, or lists
}

// watchedGroup is what the last day says of the forecasts of a group.
type watchedGroup struct {
	level     float64 // upper level of the band of the residuals; 0: none was seen
	residuals []gate.Residual
}

// group returns what is known of a group.
func (w *watched) group(name string) *watchedGroup {
	if w.groups[name] == nil {
		w.groups[name] = &watchedGroup{}
	}
	return w.groups[name]
}

// live returns what the roll-back is judged by.
func (w *watched) live() gate.Live {
	in := gate.Live{Champion: w.change.Version, Former: w.change.From, RolledBack: w.change.RollBack}
	for _, q := range slices.Sorted(maps.Keys(w.counts)) {
		if q > 0.5 {
			in.Counts = append(in.Counts, *w.counts[q])
		}
	}
	return in
}

// pairing joins forecasts with what came true, out of the audit log alone: the
// forecast of a decision at tick t is, in its first step, one of the slot that
// begins at t, and a later decision tells what was measured in that slot.
type pairing struct {
	models map[string]*watched // by name
	day    time.Time           // since when residuals are kept
	issued map[string][]promise
}

// promise is a forecast of one slot.
type promise struct {
	slot    time.Time // start
	model   *watched
	levels  []float64
	values  []float64 // by level
	point   float64
	settled bool
}

// keptPromises is how many slots back a measurement may come late.
const keptPromises = 12

// read goes through the records of ticks in [from, to) in the order of time. What
// cannot be read is passed over and in the error.
func (p *pairing) read(ctx context.Context, j *journal.Journal, from, to time.Time) error {
	var faults []error
	for ; from.Before(to) && ctx.Err() == nil; from = from.Add(chunk) {
		end := from.Add(chunk)
		if end.After(to) {
			end = to
		}
		records, err := j.Scan(ctx, from, end)
		faults = append(faults, err)
		for _, rec := range records {
			for i := range rec.Decisions {
				p.settle(&rec.Decisions[i])
				p.promise(&rec.Decisions[i])
			}
		}
	}
	return errors.Join(append(faults, ctx.Err())...)
}

// promise keeps what a decision's forecast says of the slot that begins with it.
func (p *pairing) promise(d *api.Decision) {
	w, f := p.models[d.Model], d.Forecast
	if w == nil || d.ModelVersion != w.manifest.Version || f == nil || f.Error != nil || len(f.Point) == 0 || d.Tick.Before(w.change.At) {
		return
	}
	it := promise{slot: d.Tick, model: w, point: f.Point[0]}
	if len(f.Values) > 0 && len(f.Values[0]) == len(f.Quantiles) {
		it.levels, it.values = f.Quantiles, f.Values[0]
	}
	list := append(p.issued[d.Group], it)
	p.issued[d.Group] = list[max(0, len(list)-keptPromises):]
}

// settle enters what a decision measured. A slot is entered once, and not at all
// when its demand is known only from below.
func (p *pairing) settle(d *api.Decision) {
	for i := range p.issued[d.Group] {
		it := &p.issued[d.Group][i]
		if it.settled || !it.slot.Equal(d.ObservedAt) {
			continue
		}
		target := it.model.manifest.Spec.Target
		actual, ok := d.Observed[target]
		if !ok || target == api.SeriesDemand && !d.Offered && d.Observed[api.MetricCPU] >= window.SaturatedCPU {
			continue
		}
		it.settled = true
		it.enter(d.Group, actual, !it.slot.Before(p.day))
	}
}

// enter counts an actual value, and keeps its residual if it is recent.
func (it *promise) enter(group string, actual float64, recent bool) {
	for j, q := range it.levels {
		c := it.model.counts[q]
		if c == nil {
			c = &gate.Counts{Level: q}
			it.model.counts[q] = c
		}
		c.Slots++
		if actual <= it.values[j] {
			c.Covered++
		}
	}
	g := it.model.group(group)
	low, mid, high := band(it.levels)
	if !recent || high < 0 {
		return
	}
	r := gate.Residual{Actual: actual, Low: it.values[low], Mid: it.point, High: it.values[high]}
	if mid >= 0 {
		r.Mid = it.values[mid]
	}
	g.level = it.levels[high]
	g.residuals = append(g.residuals, r)
}

// bandLevel is the upper level of the band that residuals are measured by, as near
// as the model has one.
const bandLevel = 0.9

// band returns the indices of the levels 1-q, 0.5 and q with q nearest bandLevel; -1
// for what a model does not have.
func band(levels []float64) (low, mid, high int) {
	low, high = -1, -1
	for i, q := range levels {
		other := slices.IndexFunc(levels, func(v float64) bool { return math.Abs(v-(1-q)) < 1e-9 })
		if q > 0.5 && other >= 0 && (high < 0 || math.Abs(q-bandLevel) < math.Abs(levels[high]-bandLevel)) {
			low, high = other, i
		}
	}
	return low, slices.Index(levels, 0.5), high
}

// bins of the histograms that drift of inputs is measured by.
const bins = 10

// inputs returns the histograms of a model's inputs: in training, and of late.
func inputs(m models.Manifest, g *window.Grid, at time.Time) (series []gate.Series) {
	if g == nil {
		return nil
	}
	between := func(name string, from, to time.Time) []float64 {
		column := g.Columns[name]
		slot := func(t time.Time) int { return max(0, min(len(column), int(t.Sub(g.Start)/g.Step))) }
		if from.Before(g.Start) {
			from = g.Start
		}
		return column[slot(from):max(slot(from), slot(to))]
	}
	for _, name := range m.Spec.Series {
		if window.IsFlag(m.Spec, name) {
			continue
		}
		s := gate.Series{Name: name, Training: gate.NewHistogram(between(name, m.TrainedFrom, m.TrainedUntil), bins)}
		late := func(span time.Duration) gate.Histogram {
			values := slices.Clone(between(name, at.Add(-span), at))
			for len(values) < int(span/g.Step) { // what has not arrived at all is missing
				values = append(values, math.NaN())
			}
			return s.Training.Of(values)
		}
		s.Day, s.Week = late(day), late(7*day)
		series = append(series, s)
	}
	return series
}
