package main

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/api/client"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/onnx"
)

// quantileSpec is that of a quantile model which reads every kind of input.
func quantileSpec() models.Spec {
	return models.Spec{Target: "demand", StepSeconds: 300, Lookback: 6, Horizon: 3,
		Series: []string{"demand", "network_in"}, Masks: true,
		Lags:     []models.Lag{{Series: "demand", Offsets: []int{12, 288}}, {Series: "is_sale_active", Offsets: []int{288}}},
		Future:   []string{"is_sale_active"},
		Calendar: []string{"hour_of_day", "business_hours", "weekend_ahead", "business_hours_ahead", "day_of_week_ahead"}, TimeZone: "Europe/Berlin",
		Quantiles: []float64{0.1, 0.5, 0.9}, MaxGap: 2}
}

// quantileModel writes a model as a trainer does: a linear map of all inputs beside
// trees on them, whose quantiles cross as they like.
func quantileModel(t *testing.T, spec models.Spec, rng *rand.Rand) []byte {
	t.Helper()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	flat, extra, h, q := spec.Lookback*spec.Channels(), window.ContextLen(spec), spec.Horizon, len(spec.Quantiles)
	forest := onnx.Trees{Base: noise(rng, h*(1+q), 1)}
	for k := range forest.Base {
		for range 4 {
			forest.Trees = append(forest.Trees, onnx.Tree{Target: k, Nodes: []onnx.TreeNode{
				{Feature: rng.IntN(flat + extra), Value: 0.5, Left: 1, Right: 2}, {Value: rng.Float32()}, {Value: -rng.Float32()}}})
		}
	}
	g := onnx.NewGraph("quantiles")
	x := g.Reshape("flat", g.Input(onnx.SeriesInput, onnx.DynamicBatch, spec.Lookback, spec.Channels()), 0, int64(flat))
	x = g.Concat("features", 1, x, g.Input(onnx.ContextInput, onnx.DynamicBatch, extra))
	linear := g.MatMul("linear", x, g.Constant("weights", noise(rng, (flat+extra)*h, 0.01), flat+extra, h))
	trees := g.TreeEnsembleRegressor("trees", x, forest)
	forecast := g.Add(onnx.ForecastOutput, linear, g.Slice("point", trees, 1, 0, int64(h)))
	spread := g.Reshape("spread", g.Slice("rest", trees, 1, int64(h), int64(h*(1+q))), 0, int64(h), int64(q))
	g.Add(onnx.QuantilesOutput, g.Unsqueeze("column", forecast, 2), spread)
	g.Output(onnx.ForecastOutput, onnx.DynamicBatch, h)
	g.Output(onnx.QuantilesOutput, onnx.DynamicBatch, h, q)
	g.Metadata(models.MetadataKey, string(text))
	return g.Marshal()
}

// usable returns n windows of a grid that have no gap, a stretch apart.
func usable(t *testing.T, spec models.Spec, g *window.Grid, n int) []api.Window {
	t.Helper()
	var windows []api.Window
	for newest := 400; len(windows) < n && newest+spec.Horizon < g.Len(); newest += 37 {
		if w, err := window.Slide(spec, g, window.ColumnFlags(g), newest); err == nil {
			windows = append(windows, w)
		}
	}
	if len(windows) < n {
		t.Fatalf("only %d windows", len(windows))
	}
	return windows
}

// served is what a server should make of one row of a model's answer: the
// quantiles drawn apart by the factor of each step, and sorted.
func served(spec models.Spec, point, quantiles []float32, factors []float64) [][]float64 {
	values := make([][]float64, spec.Horizon)
	for k := range values {
		p := float64(point[k])
		for _, v := range quantiles[k*len(spec.Quantiles) : (k+1)*len(spec.Quantiles)] {
			values[k] = append(values[k], p+factors[k]*(float64(v)-p))
		}
		slices.Sort(values[k])
	}
	return values
}

func TestAnExportedQuantileModelIsServedAsTheTrainerEvaluatesIt(t *testing.T) {
	spec, grid := quantileSpec(), load(3, 100)
	for i := range grid.Columns["network_in"] {
		grid.Columns["network_in"][i] /= 1e6 // of the demand's size
	}
	model := quantileModel(t, spec, rand.New(rand.NewPCG(11, 12)))
	program, err := onnx.Load(model)
	if err != nil {
		t.Fatal(err)
	}
	windows := usable(t, spec, grid, 30)
	rows, extra := spec.Lookback*spec.Channels(), window.ContextLen(spec)
	series, contexts := make([]float32, len(windows)*rows), make([]float32, len(windows)*extra)
	factors := map[string][]float64{"web": {0.5, 2, 1.25}}
	for i := range windows {
		windows[i].Group = []string{"web", "db"}[i%2]
		if err := window.Encode(spec, &windows[i], series[i*rows:(i+1)*rows], contexts[i*extra:(i+1)*extra]); err != nil {
			t.Fatal(err)
		}
	}
	want, err := program.Answer(series, contexts, len(windows))
	if err != nil {
		t.Fatal(err)
	}

	url := "file://" + filepath.Join(t.TempDir(), "models")
	store, err := blob.Open(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	h, q := spec.Horizon, spec.Horizon*len(spec.Quantiles)
	m := models.Manifest{Name: "shared", Groups: []string{models.AnyGroup}, Spec: spec, CreatedAt: time.Now().UTC(), Calibration: factors,
		Golden: &models.Golden{Series: series[:rows], Context: contexts[:extra], Forecast: want.Forecast[:h], Quantiles: want.Quantiles[:q]}}
	if _, err := models.NewRegistry(store).Put(context.Background(), m, model); err != nil {
		t.Fatal(err)
	}
	p, closeStdin := launch(t, "-models", url, "-exit-with-stdin")
	c, err := client.New(p.url)
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.Predict(t.Context(), api.PredictRequest{Windows: windows})
	if err != nil {
		t.Fatal(err)
	}
	crossed := 0
	for i, f := range response.Forecasts {
		if f.Error != nil {
			t.Fatalf("forecast %d: %v", i, f.Error)
		}
		byStep := []float64{1, 1, 1}
		if own := factors[f.Group]; own != nil {
			byStep = own
		}
		point, quantiles := want.Forecast[i*h:(i+1)*h], want.Quantiles[i*q:(i+1)*q]
		for k, step := range served(spec, point, quantiles, byStep) {
			if math.Abs(f.Point[k]-float64(point[k])) > tolerance(point[k], 100) {
				t.Errorf("forecast %d: step %d is %v, want %v", i, k+1, f.Point[k], point[k])
			}
			for j, v := range step {
				if math.Abs(f.Values[k][j]-v) > tolerance(float32(v), 100) {
					t.Errorf("forecast %d of %s: quantile %v of step %d is %v, want %v", i, f.Group, spec.Quantiles[j], k+1, f.Values[k][j], v)
				}
			}
			if !slices.IsSorted(quantiles[k*len(spec.Quantiles) : (k+1)*len(spec.Quantiles)]) {
				crossed++
			}
		}
		if f.Peaks != nil {
			t.Errorf("forecast %d has peaks, which the model does not answer", i)
		}
	}
	if crossed == 0 {
		t.Error("no quantiles cross, so that nothing shows that they are sorted")
	}
	closeStdin()
	if code := p.ended(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, p.stderr)
	}
}
