package main

import (
	"fmt"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/api/client"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer"
	"github.com/forescale/forescale/trainer/onnx"
)

// sharedModel trains a model for three groups of different size.
func sharedModel(t *testing.T, inputs ...string) *trainer.SharedResult {
	t.Helper()
	config := trainer.DefaultConfig()
	config.Preset, config.Target, config.Seed, config.Epochs, config.Horizon = trainer.PresetFast, "demand", 3, 1, 4
	config.Inputs = append([]string{}, inputs...)
	var groups []trainer.Data
	for i, level := range []float64{1e-3, 10, 2e5} {
		g := load(uint64(i), level)
		g.Group = fmt.Sprint("group", i)
		groups = append(groups, trainer.Data{Grid: g})
	}
	r, err := trainer.TrainShared(t.Context(), config, groups)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestASharedModelAnswersOnONNXRuntimeAsInTheTrainer(t *testing.T) {
	for _, inputs := range [][]string{nil, {"network_in"}} {
		r := sharedModel(t, inputs...)
		golden := r.Manifest.Golden
		program, err := onnx.Load(r.Model)
		if err != nil {
			t.Fatal(err)
		}
		served := session(t, r.Model)
		agree(t, "the golden request", serve(t, served, request{1, golden.Series, golden.Context}), golden.Forecast, 1)
		for name, q := range requests(golden, 4) {
			want, err := program.Run(q.series, q.context, q.rows)
			if err != nil {
				t.Fatal(name, err)
			}
			agree(t, name, serve(t, served, q), want, 1)
		}
	}
}

func TestASharedModelServesAGroupThatItHasNeverSeen(t *testing.T) {
	r := sharedModel(t)
	url := "file://" + filepath.Join(t.TempDir(), "models")
	store, err := blob.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	m := r.Manifest
	m.Name, m.CreatedAt = "shared", time.Now().UTC()
	if _, err := models.NewRegistry(store).Put(t.Context(), m, r.Model); err != nil {
		t.Fatal(err)
	}
	p, closeStdin := launch(t, "-models", url, "-exit-with-stdin")
	c, err := client.New(p.url)
	if err != nil {
		t.Fatal(err)
	}
	program, err := onnx.Load(r.Model)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		group string
		level float64
	}{{"group2", 2e5}, {"stranger", 2e5}, {"stranger", 50}} {
		grid := load(9, tt.level)
		grid.Group = tt.group
		w := usable(t, m.Spec, grid, 1)[0]
		response, err := c.Predict(t.Context(), api.PredictRequest{Windows: []api.Window{w}})
		if err != nil || response.Forecasts[0].Error != nil {
			t.Fatalf("%s: %v, %v", tt.group, err, response.Forecasts)
		}
		f := response.Forecasts[0]
		series, context := make([]float32, m.Spec.Lookback*m.Spec.Channels()), make([]float32, window.ContextLen(m.Spec))
		if err := window.Encode(m.Spec, &w, series, context); err != nil {
			t.Fatal(err)
		}
		want, err := program.Answer(series, context, 1)
		if err != nil {
			t.Fatal(err)
		}
		factors := m.Calibration[tt.group]
		if (factors == nil) != (tt.group == "stranger") {
			t.Errorf("%s has the factors %v", tt.group, factors)
		}
		for k, point := range want.Forecast {
			quantiles := make([]float64, len(m.Spec.Quantiles))
			for j := range quantiles {
				quantiles[j] = float64(want.Quantiles[k*len(quantiles)+j])
			}
			if factors != nil {
				models.Calibrate(quantiles, float64(point), factors[k])
			}
			for j, v := range append(quantiles, float64(point)) {
				got := append(f.Values[k], f.Point[k])[j]
				if math.Abs(got-v) > tolerance(float32(v), float32(tt.level)) {
					t.Errorf("%s, %d ahead: value %d is %v, want %v", tt.group, k+1, j, got, v)
				}
			}
		}
	}
	closeStdin()
	if code := p.ended(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, p.stderr)
	}
}
