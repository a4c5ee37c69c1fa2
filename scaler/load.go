package scaler

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/scaler/plan"
)

const (
	// unitSpan is the history that a unit is learned from, and unitEvery how often it
	// is learned anew; unitCheck is the newest part, which must agree with it.
	unitSpan  = 7 * 24 * time.Hour
	unitEvery = 24 * time.Hour
	unitCheck = 6 * time.Hour
)

// unit is what was learned of how much of a load an instance can do.
type unit struct {
	plan.Unit
	Series string    `json:"series"`
	At     time.Time `json:"at"` // the tick at which it was learned
	// Doubt says why what was learned before did not hold any more.
	Doubt string `json:"doubt,omitempty"`
}

// load returns the series that the models of a group must forecast.
func (t *tick) load(group string) string {
	if name := t.cfg.Groups[t.byName[group]].Load; name != "" {
		return name
	}
	return api.SeriesDemand
}

// unitSeries returns the loads that units must be learned of.
func (t *tick) unitSeries() (names []string) {
	for _, g := range t.cfg.Groups {
		if g.Load != "" && g.Load != api.SeriesDemand && !slices.Contains(names, g.Load) {
			names = append(names, g.Load)
		}
	}
	return names
}

// unitSlots returns how many slots a unit is learned from.
func (t *tick) unitSlots() int { return int(unitSpan / t.step) }

// learnUnit returns how the load of a group is turned into demand, nil for a group
// whose load is demand, or of whose load too little is known. The low end of what
// was learned is divided by: an instance that can do less than thought is missing,
// and one that can do more is only idle.
func (t *tick) learnUnit(group string, w *seen) *api.Unit {
	series := t.load(group)
	if series == api.SeriesDemand {
		return nil
	}
	st := t.ledger.state.Groups[group]
	if grid := w.past.deep(group); grid != nil {
		st.Unit = st.Unit.learn(series, grid, t.at, w.past.shallow)
		t.ledger.state.Groups[group] = st
	}
	u := st.Unit
	if u == nil || u.Series != series {
		return nil
	}
	return &api.Unit{Series: series, PerInstance: u.PerInstance * max(0.5, 1-2*u.Error), Error: u.Error, Doubt: u.Doubt}
}

// learn returns the unit as of a tick: as it was, when it is fresh and the newest
// slots agree with it. Where they do not, they are what it is learned from: a new
// release does not wait for a week to pass.
//
// A shallow grid knows the newest slots only: it is enough to doubt a unit.
func (u *unit) learn(series string, grid *window.Grid, tick time.Time, shallow bool) *unit {
	if shallow && (u == nil || u.Series != series) {
		return u
	}
	column := func(name string, from int) []float64 {
		c := grid.Columns[name]
		if c == nil {
			c = make([]float64, grid.Len())
			for i := range c {
				c[i] = math.NaN()
			}
		}
		return c[from:]
	}
	slots := func(span time.Duration) (load, cpu, instances []float64) {
		from := max(0, grid.Len()-int(span/grid.Step))
		return column(series, from), column(api.MetricCPU, from), column(api.MetricInService, from)
	}
	if u == nil || u.Series != series || tick.Sub(u.At).Abs() >= unitEvery && !shallow {
		fit, ok := plan.FitUnit(slots(unitSpan))
		if !ok {
			return u
		}
		u = &unit{Unit: fit, Series: series, At: tick}
	}
	ok, why := u.Holds(slots(unitCheck))
	if ok {
		return u
	}
	fit, _ := plan.FitUnit(slots(unitCheck)) // Holds has fitted it, too
	return &unit{Unit: fit, Series: series, At: tick, Doubt: why}
}

// offeredLoad turns the observed load into demand.
func offeredLoad(o *plan.Observation) {
	if o.Unit == nil {
		return
	}
	if v, ok := o.Values[o.Unit.Series]; ok && v >= 0 {
		o.Values[api.SeriesDemand] = v / o.Unit.PerInstance
		o.Offered = true
	}
}

// inInstances turns a forecast of load into one of demand.
func inInstances(f *api.Forecast, u *api.Unit) *api.Forecast {
	if f == nil || f.Error != nil || u == nil {
		return f
	}
	out := *f
	scale := func(v []float64) []float64 {
		v = slices.Clone(v)
		for i := range v {
			v[i] /= u.PerInstance
		}
		return v
	}
	table := func(rows [][]float64) [][]float64 {
		rows = slices.Clone(rows)
		for i := range rows {
			rows[i] = scale(rows[i])
		}
		return rows
	}
	out.Point, out.Values, out.Peaks = scale(f.Point), table(f.Values), table(f.Peaks)
	return &out
}

// recall enters the demand of the past into the state of a group that has no
// memory of its own yet, so that its first decisions know what it has borne. Where
// the tick knows too little of the past, a later one makes up for it.
func (t *tick) recall(group string, u *api.Unit, w *seen) {
	st := t.ledger.state.Groups[group]
	if len(st.Calibration.Peaks) > 0 && !st.Unrecalled {
		return
	}
	if w.past.shallow {
		st.Unrecalled = true
		t.ledger.state.Groups[group] = st
		return
	}
	grid := w.past.deep(group)
	if grid == nil || grid.Len() < 2 {
		return
	}
	demands := slices.Clone(grid.Columns[t.load(group)])
	if demands == nil || u == nil && t.load(group) != api.SeriesDemand {
		return
	}
	for i := range demands {
		if u != nil {
			demands[i] /= u.PerInstance
		}
	}
	if past := demands[:len(demands)-1]; st.Unrecalled { // the newest slot is the decision's own
		st.State = st.Remind(grid.Start, t.step, past)
	} else {
		st.State = st.Recall(grid.Start, t.step, past)
	}
	st.Unrecalled = false
	t.ledger.state.Groups[group] = st
}

// errNoUnit stands in place of a forecast of load whose unit is not known.
func errNoUnit(series string) error {
	return fmt.Errorf("how much %s an instance can do is not known yet: too few slots of medium CPU in the last %s", series, unitSpan)
}
