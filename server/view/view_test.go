package view

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

const step = 5 * time.Minute

// world is everything that a view reads, in memory.
type world struct {
	samples []api.Sample
	ticks   []api.TickRecord
	events  []api.Event
	models  map[string]Standing
	target  string
	now     time.Time
	fault   error
	configs []json.RawMessage // of the newest record
	reads   int               // records of which a decision was read
}

func (w *world) view(replay bool) *View {
	return New(Config{Samples: w, Journal: w, Models: w, Calendar: w, Now: func() time.Time { return w.now }, Step: step, Replay: replay})
}

func (w *world) Scan(_ context.Context, group string, from, to time.Time) (found []api.Sample, err error) {
	for _, s := range w.samples {
		if s.Group == group && !s.Time.Before(from) && s.Time.Before(to) {
			found = append(found, s)
		}
	}
	return found, w.fault
}

func (w *world) Newest(_ context.Context, from, to time.Time) (found []api.Sample, err error) {
	for _, s := range w.samples {
		if !s.Time.Before(from) && s.Time.Before(to) {
			found = append(found, s)
		}
	}
	return found, w.fault
}

func (w *world) Groups(context.Context, time.Time, time.Time) ([]string, error) { return nil, w.fault }

func (w *world) Latest(context.Context, time.Time) (api.TickRecord, bool, error) {
	if len(w.ticks) == 0 {
		return api.TickRecord{}, false, w.fault
	}
	return w.ticks[len(w.ticks)-1], true, w.fault
}

func (w *world) Ticks(_ context.Context, from, to time.Time) (found []time.Time, err error) {
	for _, r := range w.ticks {
		if !r.Tick.Before(from) && r.Tick.Before(to) {
			found = append(found, r.Tick)
		}
	}
	return found, w.fault
}

func (w *world) Group(_ context.Context, group string, ticks []time.Time) (found []api.Decision, err error) {
	w.reads += len(ticks)
	wanted := map[int64]bool{}
	for _, tick := range ticks {
		wanted[tick.Unix()] = true
	}
	for _, r := range w.ticks {
		for _, d := range r.Decisions {
			if wanted[r.Tick.Unix()] && d.Group == group {
				found = append(found, d)
			}
		}
	}
	return found, w.fault
}

func (w *world) Events(from, to time.Time) (found []api.Event) {
	for _, e := range w.events {
		if e.Start.Before(to) && e.End.After(from) {
			found = append(found, e)
		}
	}
	return found
}

func (w *world) Flags() []string                { return []string{"sale"} }
func (w *world) NameFor(string) string          { return "shared" }
func (w *world) Target(string) string           { return w.target }
func (w *world) Standings() map[string]Standing { return w.models }

// calm is a decision on a group that nothing is wrong with.
func calm(group string, tick time.Time) api.Decision {
	f := &api.Forecast{Group: group, IssuedAt: tick, StepSeconds: 300, Point: []float64{5, 6, 7}, Quantiles: []float64{.1, .5, .9},
		Values: [][]float64{{4, 5, 6}, {5, 6, 7}, {6, 7, 8}}}
	return api.Decision{Group: group, Tick: tick, Mode: api.ModeLive, Basis: api.BasisPredictive, Policy: "capacity", Safety: api.SafetyPredictive,
		Capacity: api.Capacity{InService: 10, Desired: 10, Min: 2, Max: 20, ObservedAt: tick}, Observed: map[string]float64{"cpu_utilization": 50, "demand": 5},
		ObservedAt: tick.Add(-step), Forecast: f, Model: "shared", ModelVersion: 3, Wanted: 10, Desired: 10, Outcome: api.Outcome{Status: api.OutcomeNone}}
}

// put adds measured slots that end at a time.
func (w *world) put(group string, end time.Time, slots int) {
	for i := slots; i > 0; i-- {
		at := end.Add(-time.Duration(i) * step)
		w.samples = append(w.samples, api.Sample{Group: group, Metric: api.MetricCPU, Stat: api.StatAvg, Time: at, Value: 50},
			api.Sample{Group: group, Metric: api.MetricInService, Stat: api.StatAvg, Time: at, Value: 10})
	}
}

func TestTheFleetSaysFirstWhatNeedsAttention(t *testing.T) {
	for name, c := range map[string]struct {
		change    func(w *world, d *api.Decision)
		state     api.GroupState
		attention int // the level
		reason    string
	}{
		"all is well":               {func(*world, *api.Decision) {}, api.StatePredictive, api.AttentionNone, "forecasts decide"},
		"a policy of the live load": {func(_ *world, d *api.Decision) { d.Basis, d.Safety, d.Forecast = api.BasisReactive, "", nil }, api.StateReactive, api.AttentionNone, "follows the live load"},
		"paused": {func(_ *world, d *api.Decision) {
			d.Safety, d.Control = api.SafetyPaused, &api.Control{By: "alex", Until: noon.Add(time.Hour), Reason: "move"}
		}, api.StatePaused, api.AttentionNotice, "by alex until 2026-03-02T13:00:00Z: move"},
		"frozen":   {func(_ *world, d *api.Decision) { d.Safety = api.SafetyFrozen }, api.StateFrozen, api.AttentionNotice, "frozen by order"},
		"drift":    {func(_ *world, d *api.Decision) { d.Safety, d.Alerts = api.SafetyDrift, []string{"drift"} }, api.StateDrift, api.AttentionWarning, "band"},
		"no model": {func(_ *world, d *api.Decision) { d.Safety = api.SafetyNoModel }, api.StateNoModel, api.AttentionWarning, "no usable forecast"},
		"no model, and none is wanted": {func(w *world, d *api.Decision) {
			d.Safety, d.Config, w.configs = api.SafetyNoModel, 0, []json.RawMessage{[]byte(`{"signal":"observed"}`)}
		}, api.StateReactive, api.AttentionNone, "follows the live load"},
		"a model that fails": {func(w *world, _ *api.Decision) { w.models["shared"] = Standing{Problem: "checksum"} }, api.StatePredictive, api.AttentionWarning, "model shared: checksum"},
		"held at its maximum": {func(_ *world, d *api.Decision) {
			d.Reasons = []api.Reason{{Rule: "capacity", From: 10, To: 30}, {Rule: "max", From: 30, To: 20, Detail: "no more than 20"}}
		}, api.StatePredictive, api.AttentionWarning, "no more than 20"},
		"instances that do not start": {func(_ *world, d *api.Decision) { d.Capacity.LaunchError = "no capacity" }, api.StatePredictive, api.AttentionWarning, "no capacity"},
		"a rival": {func(_ *world, d *api.Decision) {
			d.Alerts, d.Capacity.Rivals = []string{"rival"}, []api.Rival{{Kind: api.RivalTracking, Detail: "cpu50"}}
		}, api.StatePredictive, api.AttentionWarning, "cpu50"},
		"too few for what is forecast": {func(_ *world, d *api.Decision) { d.Forecast.Point[1] = 9.5 }, api.StatePredictive, api.AttentionFault, "10 instances are too few for what is forecast for 12:05 UTC: CPU would be 95 %"},
		"too few now":                  {func(_ *world, d *api.Decision) { d.Observed["cpu_utilization"] = 97 }, api.StatePredictive, api.AttentionFault, "CPU was 97 %"},
		"an action that failed":        {func(_ *world, d *api.Decision) { d.Outcome = api.Outcome{Status: api.OutcomeFailed, Detail: "denied"} }, api.StatePredictive, api.AttentionFault, "denied"},
		"a capacity nobody knows":      {func(_ *world, d *api.Decision) { d.Capacity, d.CapacityError = api.Capacity{}, "throttled" }, api.StatePredictive, api.AttentionFault, "throttled"},
		"data that is old": {func(w *world, d *api.Decision) {
			w.samples, d.ObservedAt = nil, time.Time{}
			w.put("web", noon.Add(-time.Hour), 3)
		}, api.StateStale, api.AttentionFault, "61 min old"},
		"no data at all": {func(w *world, d *api.Decision) { w.samples, d.ObservedAt, d.Observed = nil, time.Time{}, nil }, api.StateStale, api.AttentionFault, "nothing has been measured"},
		"a scaler that is dead": {func(w *world, _ *api.Decision) {
			w.now = noon.Add(time.Hour)
			w.put("web", w.now, 3)
		}, api.StateStale, api.AttentionFault, "no decision for 60 min"},
		"a group without a scaler": {func(w *world, d *api.Decision) { d.Group = "other" }, api.StateUnknown, api.AttentionNotice, "no scaler decides"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{now: noon.Add(time.Minute), models: map[string]Standing{"shared": {Version: 3, TrainedUntil: noon.Add(-48 * time.Hour)}}}
			w.put("web", noon, 24)
			d := calm("web", noon)
			c.change(w, &d)
			w.ticks = []api.TickRecord{{Tick: noon, Decisions: []api.Decision{calm("calm", noon), d}, Configs: w.configs}}
			w.put("calm", w.now.Truncate(step), 24)
			fleet, err := w.view(false).Fleet(t.Context())
			if err != nil || len(fleet.Groups) < 2 {
				t.Fatalf("%d rows, %v", len(fleet.Groups), err)
			}
			for _, row := range fleet.Groups {
				if row.Group != "web" {
					continue
				}
				if row.State != c.state || row.Attention/100*100 != c.attention || !strings.Contains(row.Reason, c.reason) {
					t.Errorf("%s, %d: %s", row.State, row.Attention, row.Reason)
				}
			}
			if first := fleet.Groups[0]; c.attention > 0 && first.Attention < c.attention {
				t.Errorf("first is %+v", first)
			}
		})
	}
}

func TestARowHasWhatIsKnownOfAGroup(t *testing.T) {
	w := &world{now: noon.Add(2 * time.Minute), models: map[string]Standing{"shared": {Version: 3, TrainedUntil: noon.Add(-48 * time.Hour)}},
		events: []api.Event{{Name: "past", Start: noon.Add(-2 * time.Hour), End: noon.Add(-time.Hour)}, {Name: "sale", Start: noon.Add(time.Hour), End: noon.Add(2 * time.Hour)}}}
	w.put("web", noon, 5)
	d := calm("web", noon)
	d.Unit = &api.Unit{Series: "request_count", PerInstance: 100}
	w.ticks = []api.TickRecord{{Tick: noon, Scaler: "s", Errors: []string{"a fault"}, Decisions: []api.Decision{d}, Configs: []json.RawMessage{[]byte(`{"lead":600000000000,"objective":0.8}`)}}}
	v := w.view(false)
	fleet, err := v.Fleet(t.Context())
	if err != nil || len(fleet.Groups) != 1 {
		t.Fatal(fleet, err)
	}
	row := fleet.Groups[0]
	if row.Load.Value != 5 || row.Load.Unit != "instances of work" || !row.Load.At.Equal(noon.Add(-step)) || *row.DataAgeSeconds != 120 ||
		len(row.Spark) != 24 || row.Spark[23] != 5 || !math.IsNaN(row.Spark[18]) || row.NextEvent.Name != "sale" {
		t.Errorf("%+v %+v", row, row.Load)
	}
	if f := row.Forecast; f.Value != 7 || f.LeadSeconds != 600 || !f.At.Equal(noon.Add(10*time.Minute)) || f.Quantiles["0.9"] != 8 {
		t.Errorf("%+v", f)
	}
	if *row.Model.AgeSeconds != 48*3600+120 || row.Model.Version != 3 || row.Capacity.InService != 10 || fleet.Warnings[0] != "a fault" || fleet.Scaler != "s" {
		t.Errorf("%+v", row)
	}
	w.target = "request_count" // what the model forecasts: the record is in instances
	w.samples = append(w.samples, api.Sample{Group: "web", Metric: "request_count", Stat: api.StatSum, Time: noon.Add(-step), Value: 512345.678})
	if fleet, err = v.Fleet(t.Context()); err != nil || fleet.Groups[0].Forecast.Value != 700 || fleet.Groups[0].Load.Value != 512350 {
		t.Errorf("%+v %v", fleet.Groups[0], err)
	}
	w.fault = errors.New("the bucket is away")
	if fleet, err = v.Fleet(t.Context()); err != nil || !strings.Contains(fmt.Sprint(fleet.Warnings), "the bucket is away") {
		t.Errorf("%v %v", fleet.Warnings, err)
	}
}

func TestAThousandGroupsAreLessThanAMegabyte(t *testing.T) {
	w := bigWorld(1000)
	fleet, err := w.view(false).Fleet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(fleet)
	if err != nil || len(fleet.Groups) != 1000 || len(raw) > 1_000_000 {
		t.Errorf("%d groups, %d bytes, %v", len(fleet.Groups), len(raw), err)
	}
	if w.reads > 0 {
		t.Errorf("%d records were read for single groups", w.reads)
	}
}

// bigWorld is a fleet with awkward numbers and long sentences.
func bigWorld(n int) *world {
	w := &world{now: noon.Add(time.Minute), models: map[string]Standing{"shared": {Version: 3, TrainedUntil: noon.Add(-48 * time.Hour)}},
		events: []api.Event{{Name: "spring sale of the year", Start: noon.Add(time.Hour), End: noon.Add(2 * time.Hour)}}}
	rec := api.TickRecord{Tick: noon}
	for i := range n {
		group := fmt.Sprintf("production-eu-central-1/checkout-service-%04d", i)
		for k := 1; k <= 24; k++ {
			at := noon.Add(-time.Duration(k) * step)
			w.samples = append(w.samples, api.Sample{Group: group, Metric: api.MetricCPU, Stat: api.StatAvg, Time: at, Value: 40 + math.Sin(float64(i*k))*17.123456789},
				api.Sample{Group: group, Metric: api.MetricInService, Stat: api.StatAvg, Time: at, Value: float64(10 + i%7)})
		}
		d := calm(group, noon)
		d.Safety, d.Alerts = api.SafetyDrift, []string{"drift", "at-maximum"}
		d.Forecast.Quantiles, d.Forecast.Values = []float64{.05, .1, .5, .9, .95}, [][]float64{{1.23456789, 2.3456789, 3.456789, 4.56789, 5.6789}, {1.23456789, 2.3456789, 3.456789, 4.56789, 5.6789}}
		rec.Decisions = append(rec.Decisions, d)
	}
	w.ticks = []api.TickRecord{rec}
	return w
}

func BenchmarkFleet(b *testing.B) {
	v := bigWorld(1000).view(false)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Fleet(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
