package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server/batch"
	"github.com/forescale/forescale/server/ort"
	"github.com/forescale/forescale/server/tensor"
	"github.com/forescale/forescale/trainer"
	"github.com/forescale/forescale/trainer/autodiff"
	"github.com/forescale/forescale/trainer/nn"
	"github.com/forescale/forescale/trainer/onnx"
)

// A model has three implementations: the forward pass that it was fitted with
// (nn), the trainer's evaluator of the exported file (onnx), and ONNX Runtime,
// which serves it. These tests hold them against each other.

// tolerance is how far two implementations may differ where one says v: scale is
// that of the model's output, in the target's unit.
func tolerance(v, scale float32) float64 {
	return 1e-5 * max(1, math.Abs(float64(v)), math.Abs(float64(scale)))
}

// session loads a model into ONNX Runtime.
func session(t *testing.T, model []byte) *ort.Session {
	t.Helper()
	path, err := ort.Find(os.Getenv("FORESCALE_ONNXRUNTIME"))
	if err != nil {
		t.Fatal(err)
	}
	if err := ort.Open(path); err != nil {
		t.Fatal(err)
	}
	s, err := ort.Load(model, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// request is a batch of inputs of a model.
type request struct {
	rows            int
	series, context []float32 // [rows, ...], row-major
}

// serve answers a request with ONNX Runtime.
func serve(t *testing.T, s *ort.Session, r request) []float32 {
	t.Helper()
	b := batch.Batch{Rows: r.rows}
	for _, info := range s.Inputs() {
		data := map[string][]float32{onnx.SeriesInput: r.series, onnx.ContextInput: r.context}[info.Name]
		shape := slices.Clone(info.Shape)
		shape[0] = int64(r.rows)
		b.Inputs = append(b.Inputs, tensor.New(data, shape...))
	}
	outputs, err := s.Run(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	return outputs[0].Float32s()
}

// agree compares the answers of two implementations to one request.
func agree(t *testing.T, name string, got, want []float32, scale float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values against %d", name, len(got), len(want))
	}
	for i := range want {
		if diff := math.Abs(float64(got[i]) - float64(want[i])); !(diff <= tolerance(want[i], scale)) { // NaN disagrees
			t.Fatalf("%s: value %d is %v against %v, %.2g apart, with an output scale of %v", name, i, got[i], want[i], diff, scale)
		}
	}
}

// load is six days of a daily wave with noise, a sale now and then and an hour's
// gap, at five minutes, around the given level.
func load(seed uint64, level float64) *window.Grid {
	rng := rand.New(rand.NewPCG(seed, 3))
	g := &window.Grid{Group: "web", Start: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), Step: 5 * time.Minute,
		Columns: map[string]api.Series{}}
	for i := range 6 * 288 {
		sale := float64(i / 96 % 7 / 6)
		y := level * (1 + 0.4*math.Sin(2*math.Pi*float64(i)/288) + 0.3*sale + 0.03*rng.NormFloat64())
		if i >= 700 && i < 712 {
			y = math.NaN()
		}
		g.Columns["demand"] = append(g.Columns["demand"], y)
		g.Columns["network_in"] = append(g.Columns["network_in"], 1e6*y+1e5*rng.NormFloat64())
		g.Columns["is_sale_active"] = append(g.Columns["is_sale_active"], sale)
	}
	return g
}

// spread is the range of the known values of a series.
func spread(values api.Series) float32 {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if !math.IsNaN(v) {
			low, high = min(low, v), max(high, v)
		}
	}
	return float32(high - low)
}

// requests are batches like the golden request, of pure noise, and of the ends of
// float32.
func requests(golden *models.Golden, seed uint64) map[string]request {
	rng := rand.New(rand.NewPCG(seed, 5))
	ends := []float32{0, math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, 1e30, -1e30, 1}
	out := map[string]request{}
	for _, kind := range []struct {
		name  string
		value func(like float32) float32
	}{
		{"like the load", func(like float32) float32 { return like * float32(1+0.2*rng.NormFloat64()) }},
		{"the load surged", func(like float32) float32 { return like * float32(100*rng.Float64()) }},
		{"noise", func(float32) float32 { return float32(100 * rng.NormFloat64()) }},
		{"zeros", func(float32) float32 { return 0 }},
		{"every magnitude", func(float32) float32 {
			return float32(math.Copysign(math.Exp(150*rng.Float64()-70), rng.NormFloat64()))
		}},
		{"the ends of float32", func(float32) float32 { return ends[rng.IntN(len(ends))] }},
	} {
		for _, rows := range []int{1, 3, 16} {
			r := request{rows: rows}
			for range rows {
				for _, v := range golden.Series {
					r.series = append(r.series, kind.value(v))
				}
				for _, v := range golden.Context {
					r.context = append(r.context, kind.value(v))
				}
			}
			out[fmt.Sprintf("%s, batch of %d", kind.name, rows)] = r
		}
	}
	return out
}

func TestTrainedModelsAnswerOnONNXRuntimeAsInTheTrainer(t *testing.T) {
	for _, c := range []struct {
		preset string
		seeds  []uint64
		level  float64
	}{
		{trainer.PresetFast, []uint64{1, 2, 3}, 10},
		{trainer.PresetFast, []uint64{4}, 2e5},
		{trainer.PresetFast, []uint64{5}, 1e-3},
		{trainer.PresetReference, []uint64{1, 2, 3}, 10},
		{trainer.PresetReference, []uint64{4}, 2e5},
	} {
		for _, seed := range c.seeds {
			t.Run(fmt.Sprintf("%s, seed %d, level %g", c.preset, seed, c.level), func(t *testing.T) {
				config := trainer.DefaultConfig()
				config.Preset, config.Target, config.Seed, config.Epochs, config.Horizon = c.preset, "demand", seed, 1, 4
				if c.preset == trainer.PresetReference { // three layers of 128 take their time
					config.Lookback = 8
				}
				grid := load(seed, c.level)
				result, err := trainer.Train(t.Context(), config, trainer.Data{Grid: grid})
				if err != nil {
					t.Fatal(err)
				}
				golden := result.Manifest.Golden
				if len(golden.Context) == 0 {
					t.Error("the model has no context; the test means to feed one")
				}
				program, err := onnx.Load(result.Model)
				if err != nil {
					t.Fatal(err)
				}
				served, scale := session(t, result.Model), spread(grid.Columns["demand"])
				agree(t, "the golden request against the forward pass",
					serve(t, served, request{1, golden.Series, golden.Context}), golden.Forecast, scale)
				for name, r := range requests(golden, seed) {
					want, err := program.Run(r.series, r.context, r.rows)
					if err != nil {
						t.Fatal(name, err)
					}
					agree(t, name, serve(t, served, r), want, scale)
				}
			})
		}
	}
}

func TestNetworksAnswerOnONNXRuntimeAsInTheForwardPass(t *testing.T) {
	for name, n := range map[string]nn.Network{
		"as in reference":  {Lookback: 24, Channels: 4, Features: 2, Horizon: 1, Layers: 3, Hidden: 128, Head: 64, Dropout: 0.2},
		"as in fast":       {Lookback: 24, Channels: 3, Features: 50, Horizon: 12, Layers: 1, Hidden: 32, Head: 48, Linear: true},
		"without features": {Lookback: 5, Channels: 1, Horizon: 2, Layers: 2, Hidden: 7, Head: 3},
		"of one step":      {Lookback: 1, Channels: 2, Features: 1, Horizon: 3, Layers: 1, Hidden: 4, Head: 5},
		"with attention":   {Lookback: 36, Channels: 16, Features: 3, Horizon: 2, Layers: 2, Hidden: 64, Head: 32, Attention: true, Linear: true},
	} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%s, seed %d", name, seed), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 9))
				flat := n.Init(seed)
				for i := range flat { // a trained network has larger parameters than a new one
					flat[i] += float32(0.1 * rng.NormFloat64())
				}
				model := exported(&n, flat)
				program, err := onnx.Load(model)
				if err != nil {
					t.Fatal(err)
				}
				served := session(t, model)
				for _, rows := range []int{1, 3, 16} {
					for _, size := range []float64{0, 1, 10} { // a network never sees more than 10
						r := request{rows: rows, series: noise(rng, rows*n.Lookback*n.Channels, size), context: noise(rng, rows*n.Features, size)}
						want := forward(&n, flat, r)
						got, err := program.Run(r.series, r.context, rows)
						if err != nil {
							t.Fatal(err)
						}
						what := fmt.Sprintf("batch of %d, inputs up to %g", rows, size)
						agree(t, "evaluator, "+what, got, want, 1)
						agree(t, "ONNX Runtime, "+what, serve(t, served, r), want, 1)
					}
				}
			})
		}
	}
}

func noise(rng *rand.Rand, n int, size float64) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(size * (2*rng.Float64() - 1))
	}
	return out
}

// exported is the bare network as a model file.
func exported(n *nn.Network, flat []float32) []byte {
	g := onnx.NewGraph("network")
	x, features := g.Input(onnx.SeriesInput, onnx.DynamicBatch, n.Lookback, n.Channels), ""
	if n.Features > 0 {
		features = g.Input(onnx.ContextInput, onnx.DynamicBatch, n.Features)
	}
	g.Add(onnx.ForecastOutput, nn.Export(g, "", n, flat, x, features), g.Constant("nothing", []float32{0}))
	g.Output(onnx.ForecastOutput, onnx.DynamicBatch, n.Horizon)
	return g.Marshal()
}

// forward answers a request with the forward pass, which is time-major.
func forward(n *nn.Network, flat []float32, r request) []float32 {
	var tape autodiff.Tape[float32]
	x, features := tape.Input(n.Lookback*r.rows, n.Channels), tape.Input(r.rows, n.Features)
	for b := range r.rows {
		for step := range n.Lookback {
			copy(x.Row(step*r.rows+b), r.series[(b*n.Lookback+step)*n.Channels:])
		}
	}
	copy(features.Value, r.context)
	return slices.Clone(nn.Forward(&tape, n, flat, nil, x, features).Value)
}
