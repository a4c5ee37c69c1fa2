package main

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/models/gate"
	"github.com/forescale/forescale/scaler/backtest"
)

// exam is what models are set beside each other by: the newest slots of a history,
// which none of them has learned from. They are the last fifth of what is replayed,
// as in any backtest, so that the same figures come from forecast to judge again.
type exam struct {
	history *history // in full: models look back further than the replay begins
	demand  *fleet.Demand
	policy  backtest.Policy
	lead    time.Duration
	offset  int // slot 0 of the demand, in the history's grid
	from    int // first slot of the test, in the demand
}

// warmUp is the time before a test in which fleets are started and calibration
// begins. It must not be known to a model either: errors that are too small would
// teach it, and not its rival, to trust itself too much.
const warmUp = day

// shares is how many times longer than the test that which is replayed is.
const shares = 5

// newExam sets an exam over the last fifth of the history, at most test long and at
// least least slots, that begins no earlier than a warm-up after unseen, up to which
// somebody has learned; who says whom. The note tells when that made it shorter.
func newExam(h *history, test time.Duration, least int, unseen time.Time, who string) (e *exam, note string, err error) {
	n, step := h.grid.Len(), h.grid.Step
	slots := max(least, min(int(test/step), n/shares))
	if shares*slots > n {
		return nil, "", fmt.Errorf("group %q: too little history: %d slots (%.1f days), and a test of %d slots, a fifth of it, needs %d (%.1f days); gate.min_slots says how long a test must be",
			h.grid.Group, n, days(n, step), slots, shares*slots, days(shares*slots, step))
	}
	if !unseen.IsZero() {
		known := int(math.Ceil(float64(unseen.Add(warmUp).Sub(h.grid.Start)) / float64(step)))
		if left := n - known; left < slots {
			if left < least {
				return nil, "", fmt.Errorf("group %q: %s has learned from the history up to %s; after that and a day of warm-up, %d slots are left to judge it on, and gate.min_slots asks for %d: try again after %s",
					h.grid.Group, who, stamp(unseen), max(0, left), least, stamp(unseen.Add(warmUp+time.Duration(least)*step)))
			}
			note = fmt.Sprintf("%s has learned from the history up to %s: both are judged on the %d slots after that and a day of warm-up, not on %d", who, stamp(unseen), left, slots)
			slots = left
		}
	}
	first := n - shares*slots
	e = &exam{history: h}
	if e.demand, err = fleet.NewDemand(h.grid.Time(first), step, h.grid.Columns[h.target][first:n]); err != nil {
		return nil, "", fmt.Errorf("group %q: %s cannot be replayed as a load: %w", h.grid.Group, h.target, err)
	}
	// Leading slots without a value are no part of the demand.
	e.offset = int(e.demand.Start.Sub(h.grid.Start) / step)
	e.from = e.demand.ScoreStart()
	h.demand = e.demand // the unit of forecasts
	return e, note, nil
}

func days(slots int, step time.Duration) float64 {
	return float64(slots) * float64(step) / float64(day)
}

// fitUntil returns the slot of the history's grid that a challenger must not learn
// from, nor from any after it.
func (e *exam) fitUntil() int { return e.offset + e.from - int(warmUp/e.demand.Step) }

// steps is how many slots ahead a decision reads a forecast.
func (e *exam) steps() int { return backtest.Steps(e.demand.Step, e.lead) }

// start returns the time at which the test begins.
func (e *exam) start() time.Time { return e.demand.Time(e.from * e.demand.SlotMinutes()) }

// suits returns why a model cannot sit the exam.
func (e *exam) suits(m *servedModel) error {
	spec, who := m.manifest.Spec, titled(m.manifest)
	switch {
	case spec.Target != e.history.target:
		return fmt.Errorf("%s forecasts %q, not %q", who, spec.Target, e.history.target)
	case spec.Step() != e.demand.Step:
		return fmt.Errorf("the step of %s is %s, that of the history %s", who, spec.Step(), e.demand.Step)
	case spec.Horizon < e.steps():
		return fmt.Errorf("%s forecasts %d slots ahead, and a lead time of %s needs %d", who, spec.Horizon, e.lead, e.steps())
	}
	for _, name := range spec.Series {
		if e.history.grid.Columns[name] == nil && !window.IsFlag(spec, name) {
			return fmt.Errorf("%s reads %q, which the history does not have", who, name)
		}
	}
	return nil
}

func titled(m models.Manifest) string { return fmt.Sprintf("%s version %d", m.Name, m.Version) }

// sit returns how a model does in the exam.
func (e *exam) sit(ctx context.Context, m *servedModel, told func(float64)) (gate.Result, error) {
	first := max(0, e.from-2-int(warmUp/e.demand.Step))
	f, err := m.forecasts(ctx, e.history, e.offset+first, e.offset+len(e.demand.Slots))
	if err != nil {
		return gate.Result{}, fmt.Errorf("%s: %w", titled(m.manifest), err)
	}
	f.First = first
	r, err := e.grade(ctx, f, told)
	r.Model, r.Version = m.manifest.Name, m.manifest.Version
	r.TrainedUntil, r.SizeBytes = m.manifest.TrainedUntil, m.manifest.SizeBytes
	return r, err
}

// persist returns how the last known value does as a forecast.
func (e *exam) persist(ctx context.Context, told func(float64)) (gate.Result, error) {
	f := backtest.Forecasts{All: make([]api.Forecast, len(e.demand.Slots))}
	for i, v := range e.demand.Slots {
		point := make([]float64, e.steps())
		for k := range point {
			point[k] = v
		}
		f.All[i] = api.Forecast{Group: e.history.grid.Group, IssuedAt: e.demand.Time((i + 1) * e.demand.SlotMinutes()),
			StepSeconds: int(e.demand.Step / time.Second), Point: point}
	}
	r, err := e.grade(ctx, f, told)
	r.Model = "persistence"
	return r, err
}

// grade replays the policy on forecasts and measures their errors.
func (e *exam) grade(ctx context.Context, f backtest.Forecasts, told func(float64)) (gate.Result, error) {
	d := e.demand
	r := gate.Result{From: e.start(), Until: d.End()}
	for _, missing := range d.Missing[e.from:] {
		if !missing {
			r.Slots++
		}
	}
	replayed, err := backtest.Run(ctx, backtest.Config{
		Trace: e.history.name, Group: e.history.grid.Group, Demand: d, Lead: int(e.lead / time.Minute),
		Policies: []backtest.Policy{e.policy}, Forecasts: f, Workers: runtime.GOMAXPROCS(0),
		Progress: func(done, total int) { told(float64(done) / float64(total)) },
	})
	if err != nil {
		return r, err
	}
	p := replayed.Report.Policy(e.policy.Name)
	r.InstanceHours, r.Violations, r.Unserved = number(p.InstanceHours), number(p.ViolationPct), number(p.UnservedPct)
	if p.HoursAtAllowed != nil {
		r.EqualHours, r.EqualAt = number(*p.HoursAtAllowed), number(backtest.Allowed)
	}
	e.errors(f, &r)
	return r, nil
}

// errors fills in what the forecasts err in the test: the error over all the steps
// that a decision reads, the coverage one step ahead, as it is measured of the model
// once it serves (pairing). Were they measured otherwise, a model could be promoted by
// the one and rolled back by the other.
//
//	WAPE = Σ |forecast - actual| / Σ |actual|
//	coverage(q) = share of actual values at or below the quantile q
//
// Where there is no forecast the last known value stands in for its point, so that
// all are measured on the same slots; its quantiles are then left out.
func (e *exam) errors(f backtest.Forecasts, r *gate.Result) {
	spec := models.Spec{Target: e.history.target}
	var wrong, size float64
	counts := map[float64]*gate.Counts{}
	var levels []float64
	for origin := e.from - 1; origin < len(e.demand.Slots); origin++ {
		forecast := f.All[origin-f.First]
		for k := 1; k <= e.steps() && origin+k < len(e.demand.Slots); k++ {
			actual, ok := window.TargetAt(spec, e.history.grid, e.offset+origin, k)
			if !ok {
				continue
			}
			actual /= e.demand.Unit
			point := e.demand.Slots[origin]
			if forecast.Error == nil {
				point = forecast.Point[k-1]
			}
			wrong += math.Abs(point - actual)
			size += math.Abs(actual)
			if k > 1 || forecast.Error != nil || len(forecast.Values) == 0 {
				continue
			}
			for j, q := range forecast.Quantiles {
				if counts[q] == nil {
					counts[q] = &gate.Counts{Level: q}
					levels = append(levels, q)
				}
				counts[q].Slots++
				if actual <= forecast.Values[0][j] {
					counts[q].Covered++
				}
			}
		}
	}
	r.WAPE = number(wrong / size)
	for _, q := range levels {
		r.Coverage = append(r.Coverage, gate.Coverage{Level: q, Share: number(float64(counts[q].Covered) / float64(counts[q].Slots))})
	}
}

// number returns a figure that JSON can hold, nil for one that is none.
func number(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}
