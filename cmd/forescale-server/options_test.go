package main

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/forescale/forescale/server/batch"
	"github.com/forescale/forescale/server/ort"
	"github.com/forescale/forescale/server/tensor"
	"github.com/forescale/forescale/trainer"
	"github.com/forescale/forescale/trainer/onnx"
)

// answer is what ONNX Runtime says to a request, output by output.
func answer(t *testing.T, s *ort.Session, r request) map[string][]float32 {
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
	byName := map[string][]float32{}
	for i, info := range s.Outputs() {
		byName[info.Name] = outputs[i].Float32s()
	}
	return byName
}

func TestEveryPresetAndOptionAnswersOnONNXRuntimeAsInTheTrainer(t *testing.T) {
	on, off := true, false
	for name, change := range map[string]func(*trainer.Config){
		"as it is":         func(*trainer.Config) {},
		"linear members":   func(c *trainer.Config) { c.Members = []string{"linear"} },
		"naives":           func(c *trainer.Config) { c.Members = []string{"naive"} },
		"trees":            func(c *trainer.Config) { c.Members = []string{"trees"} },
		"networks":         func(c *trainer.Config) { c.Members = []string{"network"} },
		"no quantiles":     func(c *trainer.Config) { c.Quantiles = []float64{} },
		"masks":            func(c *trainer.Config) { c.Masks = true },
		"attention":        func(c *trainer.Config) { c.Attention = &on },
		"no attention":     func(c *trainer.Config) { c.Attention = &off },
		"a linear path":    func(c *trainer.Config) { c.Linear = &on },
		"two layers":       func(c *trainer.Config) { c.Layers = 2 },
		"four seeds":       func(c *trainer.Config) { c.Seeds = 4 },
		"one step ahead":   func(c *trainer.Config) { c.Horizon = 1 },
		"an hour and more": func(c *trainer.Config) { c.Horizon = 14 },
		"one slot back":    func(c *trainer.Config) { c.Lookback = 1 },
		"only the target":  func(c *trainer.Config) { c.Inputs, c.Known = []string{}, []string{} },
	} {
		for _, preset := range trainer.Presets() {
			if (preset == trainer.PresetFast || preset == trainer.PresetAdvanced) && name != "as it is" {
				continue // made of what the others are made of
			}
			t.Run(fmt.Sprintf("%s, %s", preset, name), func(t *testing.T) {
				c := trainer.DefaultConfig()
				c.Preset, c.Target, c.Seed, c.Epochs, c.Horizon, c.Lookback = preset, "demand", 3, 1, 3, 12
				c.Hidden, c.Head, c.Batch = 12, 8, 256
				change(&c)
				grid := load(3, 10)
				result, err := trainer.Train(t.Context(), c, trainer.Data{Grid: grid})
				if err != nil {
					t.Fatal(err)
				}
				program, err := onnx.Load(result.Model)
				if err != nil {
					t.Fatal(err)
				}
				served, scale := session(t, result.Model), spread(grid.Columns["demand"])
				for name, r := range requests(result.Manifest.Golden, 3) {
					want, err := program.Answer(r.series, r.context, r.rows)
					if err != nil {
						t.Fatal(name, err)
					}
					got := answer(t, served, r)
					agree(t, name, got[onnx.ForecastOutput], want.Forecast, scale)
					agree(t, name+", quantiles", got[onnx.QuantilesOutput], want.Quantiles, scale)
					agree(t, name+", peaks", got[onnx.PeaksOutput], want.Peaks, scale)
				}
			})
		}
	}
}
