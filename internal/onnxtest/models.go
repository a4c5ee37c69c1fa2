package onnxtest

import (
	"encoding/json"

	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
)

// Foreign returns a model that is not one of ours: output [batch, 2] is
// max(0, input x W + b) of input [batch, 3], with
//
//	W = [[1, -1], [2, 0], [0.5, 4]], b = [0.25, -1].
func Foreign() []byte {
	return Model(Graph(
		Node("Gemm", "", []string{"input", "w", "b"}, []string{"sum"}),
		Node("Relu", "", []string{"sum"}, []string{"output"}),
		Floats("w", []int64{3, 2}, 1, -1, 2, 0, .5, 4),
		Floats("b", []int64{2}, .25, -1),
		Input("input", -1, 3), Output("output", -1, 2),
	), nil)
}

// Trees returns a model of two regression trees of one split each, summed by
// target: with x the input, [batch, 3],
//
//	output[0] = 10 if x[0] <= 0.5, else 20
//	output[1] = -1 if x[2] <= 3, else 1
func Trees() []byte {
	return Model(Graph(
		Node("TreeEnsembleRegressor", DomainML, []string{"input"}, []string{"output"},
			IntAttribute("n_targets", 2),
			IntsAttribute("nodes_treeids", 0, 0, 0, 1, 1, 1),
			IntsAttribute("nodes_nodeids", 0, 1, 2, 0, 1, 2),
			IntsAttribute("nodes_featureids", 0, 0, 0, 2, 0, 0),
			FloatsAttribute("nodes_values", 0.5, 0, 0, 3, 0, 0),
			TextsAttribute("nodes_modes", "BRANCH_LEQ", "LEAF", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF"),
			IntsAttribute("nodes_truenodeids", 1, 0, 0, 1, 0, 0),
			IntsAttribute("nodes_falsenodeids", 2, 0, 0, 2, 0, 0),
			IntsAttribute("target_treeids", 0, 0, 1, 1),
			IntsAttribute("target_nodeids", 1, 2, 1, 2),
			IntsAttribute("target_ids", 0, 0, 1, 1),
			FloatsAttribute("target_weights", 10, 20, -1, 1)),
		Input("input", -1, 3), Output("output", -1, 2),
	), nil, DomainML)
}

// Spec returns the contract of a small model: lookback slots of demand, horizon
// steps, a mask, and the quantiles given.
func Spec(lookback, horizon int, quantiles ...float64) models.Spec {
	return models.Spec{Target: "demand", StepSeconds: 300, Lookback: lookback, Horizon: horizon,
		Series: []string{"demand"}, Masks: true, Quantiles: quantiles, MaxGap: 2}
}

// Persistence returns one of our own models for a spec without context: every
// step forecasts factor times the newest value of the target, and quantile j lies
// j-1 above it, the peak of step k another k-1 above that. Factor tells versions
// apart; NaN makes every answer NaN.
func Persistence(spec models.Spec, factor float32) (models.Manifest, []byte) {
	a := Answer{Forecast: make([]float32, spec.Horizon)}
	for k := range spec.Horizon {
		for j := range spec.Quantiles {
			a.Quantiles = append(a.Quantiles, float32(j-1))
			if spec.Peaks {
				a.Peaks = append(a.Peaks, float32(j-1+k))
			}
		}
	}
	return Affine(spec, factor, a)
}

// Answer holds one value for each value that a model answers for a row: Forecast
// is [Horizon], Quantiles and Peaks are [Horizon*len(Quantiles)] or nil.
type Answer struct{ Forecast, Quantiles, Peaks []float32 }

// Affine returns one of our own models for a spec without context that answers
//
//	factor·newest + offsets
//
// with newest the newest value of the target: any answer that a test needs, also
// quantiles that cross and values that are not finite.
func Affine(spec models.Spec, factor float32, offsets Answer) (models.Manifest, []byte) {
	if window.ContextLen(spec) > 0 {
		panic("onnxtest: Affine reads no context")
	}
	text, err := json.Marshal(spec)
	if err != nil {
		panic(err) // a Spec always marshals
	}
	h, q := int64(spec.Horizon), int64(len(spec.Quantiles))
	fields := []Message{
		Node("Gather", "", []string{"series", "last"}, []string{"latest"}, IntAttribute("axis", 1)),   // [batch, channels]
		Node("Gather", "", []string{"latest", "target"}, []string{"newest"}, IntAttribute("axis", 1)), // [batch, 1]
		Node("Mul", "", []string{"newest", "factor"}, []string{"scaled"}),                             // [batch, 1]
		Node("Unsqueeze", "", []string{"scaled", "axis"}, []string{"column"}),                         // [batch, 1, 1]
		Node("Add", "", []string{"scaled", "steps"}, []string{"forecast"}),                            // [batch, horizon]
		Ints("last", nil, -1), Ints("target", []int64{1}, 0), Ints("axis", []int64{1}, 2), // channel 0 is the target
		Floats("factor", nil, factor), Floats("steps", []int64{1, h}, offsets.Forecast...),
		Input("series", -1, int64(spec.Lookback), int64(spec.Channels())), Output("forecast", -1, h),
	}
	for _, out := range []struct {
		name   string
		values []float32
	}{{"quantiles", offsets.Quantiles}, {"peaks", offsets.Peaks}} {
		if out.values != nil {
			fields = append(fields, Node("Add", "", []string{"column", out.name + " above"}, []string{out.name}),
				Floats(out.name+" above", []int64{1, h, q}, out.values...), Output(out.name, -1, h, q))
		}
	}
	m := models.Manifest{Groups: []string{models.AnyGroup}, Spec: spec, Golden: golden(spec, factor, offsets)}
	return m, Model(Graph(fields...), map[string]string{models.MetadataKey: string(text)})
}

// golden returns the answer of Affine to a ramp, worked out here; nil when JSON
// cannot hold it.
func golden(spec models.Spec, factor float32, offsets Answer) *models.Golden {
	g := &models.Golden{Series: make([]float32, spec.Lookback*spec.Channels())}
	for i := range spec.Lookback {
		g.Series[i*spec.Channels()] = float32(i + 1)
	}
	finite := true
	above := func(offsets []float32) []float32 {
		var values []float32
		for _, o := range offsets {
			v := factor*float32(spec.Lookback) + o
			finite = finite && v-v == 0
			values = append(values, v)
		}
		return values
	}
	g.Forecast, g.Quantiles, g.Peaks = above(offsets.Forecast), above(offsets.Quantiles), above(offsets.Peaks)
	if !finite {
		return nil
	}
	return g
}
