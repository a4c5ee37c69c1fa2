package backtest

import (
	"context"
	"math"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/scaler/plan"
)

// pilot flies a fleet by plan.Decide. Whenever a slot becomes visible it decides
// as a tick of the scaler would, and every change that it orders is accepted. It
// remembers a group's state and serves one simulation.
type pilot struct {
	ctx       context.Context
	group     plan.Group
	forecasts Forecaster
	state     plan.State
	seen      int // the newest slot with an observation; -1: none
	err       error
	decided   func(api.Decision) // told of every decision; nil: nobody
}

func newPilot(ctx context.Context, group plan.Group, forecasts Forecaster) *pilot {
	return &pilot{ctx: ctx, group: group, forecasts: forecasts, seen: -1}
}

// Err returns what kept the pilot from deciding. After an error it holds.
func (p *pilot) Err() error { return p.err }

// Decide implements fleet.Controller.
func (p *pilot) Decide(v fleet.View) int {
	n := v.InService() + v.Starting()
	if p.err != nil || !v.NewSlot() {
		return n
	}
	newest := v.Slots() - 1
	if p.seen < 0 {
		p.recall(v, newest)
	}
	in := plan.Input{
		Group: p.group, State: p.state, Observation: p.observe(v, newest),
		Tick: v.SlotStart(newest + 1),
	}
	if p.group.Signal != plan.SignalObserved {
		f, err := p.forecasts.Forecast(p.ctx, newest)
		if err != nil {
			p.err = err
			return n
		}
		in.Forecast = &f
	}
	d, state := plan.Decide(in)
	if d.Desired != d.Capacity.Desired {
		d.Outcome = api.Outcome{Status: api.OutcomeAccepted, At: in.Tick}
	}
	p.state = state.After(d)
	if p.decided != nil {
		p.decided(d)
	}
	return d.Desired
}

// recall enters the history before the first decision, as far as a scaler that
// starts would read it.
func (p *pilot) recall(v fleet.View, newest int) {
	demands := make([]float64, newest)
	for i := range demands {
		demands[i] = v.Demand(i)
	}
	p.state = p.state.Recall(v.SlotStart(0), p.group.Step, demands)
}

// observe returns what the scaler would have measured: the capacity now, and the
// load of the newest slot that has any.
func (p *pilot) observe(v fleet.View, newest int) plan.Observation {
	o := plan.Observation{Offered: true, Capacity: &api.Capacity{
		InService: v.InService(), Pending: v.Starting(), Desired: v.InService() + v.Starting(),
		Min: fleet.MinInstances, Max: fleet.MaxInstances, ObservedAt: v.Time(),
	}}
	if !math.IsNaN(v.Demand(newest)) {
		p.seen = newest
	}
	if p.seen < 0 {
		return o
	}
	o.Slot = v.SlotStart(p.seen)
	o.Values = map[string]float64{
		api.SeriesDemand:    v.Demand(p.seen),
		api.MetricCPU:       100 * v.Utilisation(p.seen),
		api.MetricInService: v.MeanInService(p.seen),
	}
	return o
}
