package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/onnx"
)

// instancesBody is a request of one row of standardised values with six decimals, as a
// client sends them.
func instancesBody() string {
	row := make([]string, steps)
	for t := range row {
		cells := make([]string, inputs)
		for c := range cells {
			cells[c] = fmt.Sprintf("%.6f", 1.5*math.Sin(float64(t*inputs+c)))
		}
		row[t] = "[" + strings.Join(cells, ",") + "]"
	}
	return `{"instances":[[` + strings.Join(row, ",") + `]]}`
}

// ownModel registers one of our own models, an LSTM of three layers of 128 as that of the
// peers, that reads the same number of values, and returns a request to it in each form.
func ownModel(ctx context.Context, dir string) (instances, windows string, err error) {
	spec := models.Spec{Target: "demand", StepSeconds: 300, Lookback: steps, Horizon: 1, Series: []string{"demand", "network_in", "requests", "latency"}, MaxGap: 2}
	text, err := json.Marshal(spec)
	if err != nil {
		return "", "", err
	}
	const hidden, layers = 128, 3
	weights := func(n int) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = float32(math.Sin(float64(i))) / hidden
		}
		return out
	}
	g := onnx.NewGraph("bench")
	x, width := g.Transpose("steps first", g.Input(onnx.SeriesInput, onnx.DynamicBatch, steps, inputs), 1, 0, 2), inputs
	for layer := range layers {
		name := fmt.Sprint("layer", layer)
		y := g.LSTM(name, x, g.Constant(name+" w", weights(4*hidden*width), 1, 4*hidden, width),
			g.Constant(name+" r", weights(4*hidden*hidden), 1, 4*hidden, hidden), g.Constant(name+" b", weights(8*hidden), 1, 8*hidden), hidden)
		x, width = g.Squeeze(name+" out", y, 1), hidden
	}
	last := g.Gather("last", x, 0, steps-1) // [1, batch, hidden]
	g.MatMul(onnx.ForecastOutput, g.Squeeze("state", last, 0), g.Constant("head", weights(hidden), hidden, 1))
	g.Output(onnx.ForecastOutput, onnx.DynamicBatch, 1)
	g.Metadata(models.MetadataKey, string(text))
	store, err := blob.Open(ctx, "file://"+dir)
	if err != nil {
		return "", "", err
	}
	m := models.Manifest{Name: "own", Groups: []string{models.AnyGroup}, Spec: spec, CreatedAt: time.Now().UTC()}
	if _, err := models.NewRegistry(store).Put(ctx, m, g.Marshal()); err != nil {
		return "", "", err
	}
	window := api.Window{Group: "web", End: time.Date(2026, 3, 2, 12, 5, 0, 0, time.UTC), StepSeconds: spec.StepSeconds, Series: map[string]api.Series{}}
	for c, name := range spec.Series {
		for t := range steps {
			window.Series[name] = append(window.Series[name], math.Round(1.5e6*math.Sin(float64(t*inputs+c)))/1e6)
		}
	}
	body, err := json.Marshal(api.PredictRequest{Windows: []api.Window{window}})
	return instancesBody(), string(body), err
}
