package main

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/scaler"
	"github.com/forescale/forescale/trainer"
)

// asked is a Forecaster that keeps what it is asked and knows nothing.
type asked struct{ windows []api.Window }

func (a *asked) Predict(_ context.Context, r api.PredictRequest) (api.PredictResponse, error) {
	a.windows = append(a.windows, r.Windows...)
	return api.PredictResponse{}, errors.New("no forecast today")
}

// still is a Target of one group that has ten instances.
type still struct{ now time.Time }

func (s still) Capacities(context.Context, []string) (map[string]api.Capacity, error) {
	return map[string]api.Capacity{"web": {Desired: 10, InService: 10, Min: 1, Max: 100, ObservedAt: s.now}}, nil
}

func (still) Scale(context.Context, string, int) error { return nil }

// A model is trained with what sensors measured, and the scaler hands it the newest
// of that.
func TestAModelReadsASensor(t *testing.T) {
	const step, days = 15 * time.Minute, 10
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	end := start.Add(days * 24 * time.Hour)
	temperature := func(at time.Time) float64 {
		return 20 + 8*math.Sin(2*math.Pi*at.Sub(start).Hours()/24) + math.Sin(at.Sub(start).Hours()*1.7)
	}
	store := blob.NewMemory()
	lake := dataset.New(store)
	var samples []api.Sample
	for at := start; at.Before(end); at = at.Add(step) {
		add := func(metric string, stat api.Stat, v float64) {
			samples = append(samples, api.Sample{Group: "web", Metric: metric, Stat: stat, Time: at, Value: v})
		}
		add(api.MetricCPU, api.StatAvg, 2*temperature(at.Add(-time.Hour)))
		add(api.MetricInService, api.StatAvg, 10)
		for stat, v := range map[api.Stat]float64{api.StatAvg: 0, api.StatMin: -1, api.StatMax: 1, api.StatP95: 0.9} { // as the collector reduces readings
			add(metricTemperature, stat, temperature(at)+v)
		}
		add(metricTemperature, api.StatCount, 60)
	}
	if err := lake.Append(t.Context(), "test", end.Add(-step), samples, end); err != nil {
		t.Fatal(err)
	}
	stored, err := lake.Scan(t.Context(), dataset.Query{From: start, To: end})
	if err != nil {
		t.Fatal(err)
	}
	grid := window.FromSamples(stored, step, start, end)["web"]
	if !grid.AddDemand() {
		t.Fatal("no demand")
	}
	cfg := trainer.DefaultConfig()
	cfg.Preset, cfg.Target, cfg.Inputs, cfg.Now = trainer.PresetFast, api.SeriesDemand, []string{"temperature", "temperature_max"}, time.Now
	result, err := trainer.Train(t.Context(), cfg, trainer.Data{Grid: grid})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range cfg.Inputs {
		if !slices.Contains(result.Manifest.Spec.Series, name) {
			t.Errorf("the model reads %v", result.Manifest.Spec.Series)
		}
	}
	registry := models.NewRegistry(store)
	result.Manifest.Name, result.Manifest.Groups = "web", []string{"web"}
	if _, err := registry.Put(t.Context(), result.Manifest, result.Model); err != nil {
		t.Fatal(err)
	}

	forecaster := &asked{}
	sc := scaler.DefaultConfig()
	sc.Server, sc.ID = "http://127.0.0.1:1", "test"
	group := scaler.DefaultGroup()
	group.Name = "web"
	sc.Groups = []scaler.Group{group}
	now := end.Add(time.Minute)
	s, err := scaler.New(sc, step, scaler.Deps{Store: store, History: lake, Specs: registry, Forecaster: forecaster,
		Target: still{now}, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Once(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	if len(forecaster.windows) == 0 {
		t.Fatal("the scaler asked for no forecast")
	}
	w := forecaster.windows[0]
	newest := temperature(end.Add(-step))
	for name, want := range map[string]float64{"temperature": newest, "temperature_max": newest + 1} {
		column := w.Series[name]
		if n := len(column); n == 0 || math.Abs(float64(column[n-1])-want) > 1e-9 {
			t.Errorf("the window's %s is %v, want %g at its end", name, column, want)
		}
	}
}
