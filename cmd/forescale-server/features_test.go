package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/feature"
	"github.com/forescale/forescale/trainer/onnx"
)

// featureSet is a set in a mode, fitted on windows of two weeks and more, and the inputs
// of one of them.
func featureSet(t *testing.T, step time.Duration, mode feature.Mode) (set *feature.Set, spec models.Spec, series, context []float32) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 11))
	n := int(15*24*time.Hour/step) + 400
	g := &window.Grid{Group: "web", Start: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), Step: step,
		Columns: map[string]api.Series{"demand": make(api.Series, n), "network_in": make(api.Series, n), "is_holiday": make(api.Series, n)}}
	for i := range n {
		g.Columns["demand"][i] = 50 + 20*math.Sin(2*math.Pi*float64(i)*step.Hours()/24) + 5*rng.NormFloat64()
		g.Columns["network_in"][i] = 1e7 * rng.Float64()
		g.Columns["is_holiday"][i] = float64(rng.IntN(2))
	}
	spec = models.Spec{Target: "demand", StepSeconds: int(step / time.Second), Lookback: 36, Horizon: 4, MaxGap: 6, Masks: true,
		Series: []string{"demand", "network_in", "is_holiday"}, Future: []string{"is_holiday"},
		Calendar: []string{"hour_of_day", "minute_of_hour", "day_of_week", "weekend"}}
	spec.Lags = feature.Lags(spec, int(8*24*time.Hour/step))
	wide, extra := spec.Lookback*spec.Channels(), window.ContextLen(spec)
	var all, sides []float32
	const windows = 50
	for i := range windows {
		w, err := window.Slide(spec, g, nil, n-10-7*i)
		if err != nil {
			t.Fatal(err)
		}
		series, context = make([]float32, wide), make([]float32, extra)
		if err := window.Encode(spec, &w, series, context); err != nil {
			t.Fatal(err)
		}
		all, sides = append(all, series...), append(sides, context...)
	}
	set = feature.New(spec, mode, 24)
	set.Fit(all, sides, windows)
	return set, spec, series, context
}

// featureModel answers a set's features and sequence.
func featureModel(set *feature.Set, spec models.Spec) []byte {
	g := onnx.NewGraph("features")
	series := g.Clip("series_finite", g.Input(onnx.SeriesInput, onnx.DynamicBatch, spec.Lookback, spec.Channels()), -feature.ClipRaw, feature.ClipRaw)
	context := g.Clip("context_finite", g.Input(onnx.ContextInput, onnx.DynamicBatch, window.ContextLen(spec)), -feature.ClipRaw, feature.ClipRaw)
	in := set.Export(g, g.Concat("row", 1, g.Reshape("series_row", series, 0, int64(spec.Lookback*spec.Channels())), context))
	wide := set.Window() * set.Channels()
	g.Concat(onnx.ForecastOutput, 1, in.Features, g.Reshape("flat", in.Sequence, 0, int64(wide)))
	g.Output(onnx.ForecastOutput, onnx.DynamicBatch, set.Len()+wide)
	return g.Marshal()
}

// Trees decide by thresholds: a feature that differs in its last bit may fall on
// the other side of one. So features are the same bits in ONNX Runtime as in
// training, but for logarithms, which trees do not read.
func TestFeaturesAreTheSameBitsOnONNXRuntime(t *testing.T) {
	for _, step := range []time.Duration{5 * time.Minute, time.Hour} {
		for _, mode := range feature.Modes {
			t.Run(fmt.Sprintf("%s, %s", mode, step), func(t *testing.T) {
				set, spec, series, context := featureSet(t, step, mode)
				served := session(t, featureModel(set, spec))
				golden := &models.Golden{Series: series, Context: context}
				for name, r := range requests(golden, 3) {
					got := serve(t, served, r)
					width := len(got) / r.rows
					for row := range r.rows {
						want := make([]float32, width)
						set.Compute(set.NewWorkspace(), r.series[row*len(series):][:len(series)], r.context[row*len(context):][:len(context)],
							want[:set.Len()], want[set.Len():])
						if i, same := sameFeatures(got[row*width:][:width], want, mode); !same {
							t.Fatalf("%s, row %d: value %d is %v in ONNX Runtime and %v in Go", name, row, i, got[row*width+i], want[i])
						}
					}
				}
			})
		}
	}
}

// sameFeatures returns the first place at which features differ. Logarithms may,
// by what their last bits make of the standard deviation.
func sameFeatures(got, want []float32, mode feature.Mode) (int, bool) {
	for i, v := range want {
		if mode == feature.Log && math.Abs(float64(got[i]-v)) <= 1e-3 {
			continue
		}
		if got[i] != v { // as NaN is
			return i, false
		}
	}
	return 0, true
}
