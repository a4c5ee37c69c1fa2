package server_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/forescale/forescale/api"
)

// world is the data and the journal of two days of a made-up group, web, and a
// quiet one, batch/night. It implements server.Samples and server.Journal.
type world struct {
	mu      sync.Mutex
	samples []api.Sample
	ticks   []api.TickRecord
	fault   error // when set, every call fails with it
	asked   int   // ticks of which a group's decisions were read
}

const worldStep = 5 * time.Minute

// demandAt is a day with a peak, hour marks and a burst, in instances of work.
func demandAt(t time.Time) float64 {
	h := float64(t.Hour()) + float64(t.Minute())/60
	v := 5 - 3.2*math.Cos(2*math.Pi*(h-3)/24) + 0.5*math.Sin(2*math.Pi*h)
	if d := h - 20; d > 0 && d < 1.5 {
		v += 4 * math.Sin(math.Pi*d/1.5)
	}
	return v + 0.25*math.Sin(17*h) + 0.2*math.Sin(41*h+float64(t.Day()))
}

// newWorld ends at the given time, which lies on the grid.
func newWorld(end time.Time) *world {
	w := &world{}
	capacity := api.Capacity{InService: 6, Desired: 6, Min: 2, Max: 20}
	for t := end.Add(-48 * time.Hour); t.Before(end); t = t.Add(worldStep) {
		capacity.InService = capacity.Desired
		demand := demandAt(t)
		cpu := min(100, 100*demand/float64(capacity.InService))
		if t.Hour() != 5 || t.Minute() > 20 { // a gap every morning
			w.samples = append(w.samples,
				api.Sample{Group: "web", Metric: api.MetricCPU, Stat: api.StatAvg, Time: t, Value: cpu},
				api.Sample{Group: "web", Metric: api.MetricInService, Stat: api.StatAvg, Time: t, Value: float64(capacity.InService)})
		}
		w.samples = append(w.samples, api.Sample{Group: "batch/night", Metric: api.MetricCPU, Stat: api.StatAvg, Time: t, Value: 20})
		d := w.decide(t.Add(worldStep), capacity, cpu)
		w.ticks = append(w.ticks, api.TickRecord{Tick: d.Tick, Scaler: "scaler-1", Decisions: []api.Decision{d}})
		capacity.Desired = d.Desired
	}
	return w
}

func (w *world) decide(tick time.Time, capacity api.Capacity, cpu float64) api.Decision {
	f := &api.Forecast{Group: "web", IssuedAt: tick, StepSeconds: 300, Model: "web", Version: 3, Quantiles: []float64{.1, .5, .9}}
	for k := range 12 {
		v := demandAt(tick.Add(time.Duration(k)*worldStep)) + 0.05*float64(k)*math.Sin(float64(tick.Unix()))
		spread := 0.3 + 0.08*float64(k)
		f.Point = append(f.Point, v)
		f.Values = append(f.Values, []float64{v - spread, v, v + spread})
	}
	capacity.ObservedAt = tick
	d := api.Decision{Group: "web", Tick: tick, Mode: api.ModeLive, Basis: api.BasisPredictive, Policy: "threshold", Capacity: capacity,
		Observed: map[string]float64{"cpu_utilization": cpu, "demand": cpu / 100 * float64(capacity.InService)}, ObservedAt: tick.Add(-worldStep),
		Forecast: f, Model: "web", ModelVersion: 3, Desired: capacity.Desired, Outcome: api.Outcome{Status: api.OutcomeNone}}
	predicted := 100 * f.Point[1] / float64(capacity.InService)
	switch {
	case predicted > 70:
		d.Desired = min(capacity.Max, capacity.Desired+1)
		d.Reasons = []api.Reason{{Rule: "threshold", From: capacity.Desired, To: capacity.Desired + 1,
			Detail: fmt.Sprintf("predicted CPU %.1f %% is above 70 %%: add one instance", predicted)}}
	case predicted < 35:
		d.Desired = max(capacity.Min, capacity.Desired-1)
		d.Reasons = []api.Reason{{Rule: "threshold", From: capacity.Desired, To: capacity.Desired - 1,
			Detail: fmt.Sprintf("predicted CPU %.1f %% is below 35 %%: remove one instance", predicted)}}
	default:
		d.Reasons = []api.Reason{{Rule: "threshold", From: capacity.Desired, To: capacity.Desired,
			Detail: fmt.Sprintf("predicted CPU %.1f %% lies between 35 %% and 70 %%", predicted)}}
	}
	d.Wanted = d.Desired
	if d.Desired != capacity.Desired {
		d.Outcome = api.Outcome{Status: api.OutcomeAccepted, At: tick.Add(2 * time.Second)}
	}
	return d
}

// Groups implements server.Samples.
func (w *world) Groups(_ context.Context, from, to time.Time) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var groups []string
	for _, s := range w.samples {
		if !s.Time.Before(from) && s.Time.Before(to) && !slices.Contains(groups, s.Group) {
			groups = append(groups, s.Group)
		}
	}
	return groups, w.fault
}

// samplesOf is the data lake of a world.
type samplesOf struct{ *world }

// Scan implements server.Samples.
func (w samplesOf) Scan(_ context.Context, group string, from, to time.Time) ([]api.Sample, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []api.Sample
	for _, s := range w.samples {
		if s.Group == group && !s.Time.Before(from) && s.Time.Before(to) {
			found = append(found, s)
		}
	}
	return found, w.fault
}

// Newest implements server.Samples.
func (w samplesOf) Newest(_ context.Context, from, to time.Time) ([]api.Sample, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []api.Sample
	for _, s := range w.samples {
		if !s.Time.Before(from) && s.Time.Before(to) {
			found = append(found, s)
		}
	}
	return found, w.fault
}

// journalOf is the journal of a world.
type journalOf struct{ *world }

// Ticks implements server.Journal.
func (w journalOf) Ticks(_ context.Context, from, to time.Time) ([]time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []time.Time
	for _, r := range w.ticks {
		if !r.Tick.Before(from) && r.Tick.Before(to) {
			found = append(found, r.Tick)
		}
	}
	return found, w.fault
}

// Group implements server.Journal.
func (w journalOf) Group(_ context.Context, group string, ticks []time.Time) ([]api.Decision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked += len(ticks)
	wanted := map[time.Time]bool{}
	for _, tick := range ticks {
		wanted[tick] = true
	}
	var found []api.Decision
	for _, r := range w.ticks {
		for _, d := range r.Decisions {
			if wanted[r.Tick] && d.Group == group {
				found = append(found, d)
			}
		}
	}
	return found, w.fault
}

// Latest implements server.Journal.
func (w journalOf) Latest(_ context.Context, before time.Time) (api.TickRecord, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range slices.Backward(w.ticks) {
		if r.Tick.Before(before) {
			return r, true, w.fault
		}
	}
	return api.TickRecord{}, false, w.fault
}
