package catalog

import (
	"context"
	"fmt"
	"math"

	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server/batch"
	"github.com/forescale/forescale/server/tensor"
)

// Answer is what one of our own models answers for a number of rows, as its graph
// computes it: nothing is calibrated, in order or known to be finite.
type Answer struct {
	Forecast  []float32 // [rows, Horizon]
	Quantiles []float32 // [rows, Horizon, len(Quantiles)]; nil from a point model
	Peaks     []float32 // the same shape; nil without Spec.Peaks
}

// Row returns the part of row i of an answer to the given spec, sharing its memory.
func (a Answer) Row(spec models.Spec, i int) Answer {
	part := func(values []float32, width int) []float32 {
		if values == nil {
			return nil
		}
		return values[i*width : (i+1)*width]
	}
	h, q := spec.Horizon, len(spec.Quantiles)
	return Answer{part(a.Forecast, h), part(a.Quantiles, h*q), part(a.Peaks, h*q)}
}

// Forecast runs one of our own models on encoded rows: series is
// [rows, Lookback, Channels], context [rows, ContextLen].
func (v *Version) Forecast(ctx context.Context, rows int, series, context []float32) (Answer, error) {
	return v.ForecastBy(ctx, v.session, rows, series, context)
}

// ForecastBy is Forecast through another runner, which is the version's session
// behind a queue.
func (v *Version) ForecastBy(ctx context.Context, by batch.Runner, rows int, series, context []float32) (Answer, error) {
	spec := v.Manifest.Spec
	b := batch.Batch{Rows: rows}
	for _, info := range v.session.Inputs() {
		switch info.Name {
		case InputSeries:
			b.Inputs = append(b.Inputs, tensor.New(series, int64(rows), int64(spec.Lookback), int64(spec.Channels())))
		case InputContext:
			b.Inputs = append(b.Inputs, tensor.New(context, int64(rows), int64(len(context)/rows)))
		}
	}
	outputs, err := by.Run(ctx, b)
	if err != nil {
		return Answer{}, err
	}
	var a Answer
	for i, info := range v.session.Outputs() {
		switch info.Name {
		case OutputForecast:
			a.Forecast = outputs[i].Float32s()
		case OutputQuantiles:
			a.Quantiles = outputs[i].Float32s()
		case OutputPeaks:
			a.Peaks = outputs[i].Float32s()
		}
	}
	points, quantiles, peaks := rows*spec.Horizon, rows*spec.Horizon*len(spec.Quantiles), 0
	if spec.Peaks {
		peaks = quantiles
	}
	if len(a.Forecast) != points || len(a.Quantiles) != quantiles || len(a.Peaks) != peaks {
		return Answer{}, fmt.Errorf("the model answered %d, %d and %d values for %d rows, must be %d, %d and %d",
			len(a.Forecast), len(a.Quantiles), len(a.Peaks), rows, points, quantiles, peaks)
	}
	return a, nil
}

// goldenTolerance is how far an answer may be from the golden one, in parts of
// the scale of the values. Two correct implementations differ by about 1e-6.
const goldenTolerance = 1e-4

// checkGolden puts the golden request, or a row of zeros when the manifest has
// none, to the model, which also warms it, and compares the answer.
func (v *Version) checkGolden(ctx context.Context) error {
	spec, golden := v.Manifest.Spec, v.Manifest.Golden
	series, context := make([]float32, spec.Lookback*spec.Channels()), make([]float32, window.ContextLen(spec))
	if golden != nil {
		if err := checkGoldenShape(spec, golden); err != nil {
			return err
		}
		series, context = golden.Series, golden.Context
	}
	got, err := v.Forecast(ctx, 1, series, context)
	if err != nil {
		return fmt.Errorf("golden request: %w", err)
	}
	if golden == nil {
		return nil
	}
	// The scale is that of the target, in and out: an answer near zero, taken
	// alone, would ask for more than float32 has.
	scale := float32(0)
	for i := 0; i < len(series); i += spec.Channels() {
		scale = max(scale, abs(series[i]))
	}
	for _, want := range golden.Forecast {
		scale = max(scale, abs(want))
	}
	if scale == 0 {
		scale = 1
	}
	for _, output := range []struct {
		what      string
		got, want []float32
		levels    int // values of one step
	}{
		{"the forecast", got.Forecast, golden.Forecast, 1},
		{"a quantile", got.Quantiles, golden.Quantiles, len(spec.Quantiles)},
		{"a peak", got.Peaks, golden.Peaks, len(spec.Quantiles)},
	} {
		for i, want := range output.want {
			// A quantile may lie far from the target's scale, and is no more exact there.
			allowed := goldenTolerance * max(scale, abs(want))
			if diff := abs(output.got[i] - want); !(diff <= allowed) { // NaN is a failure too
				return fmt.Errorf("golden request: %s of step %d is %v, the trainer had %v", output.what, i/output.levels+1, output.got[i], want)
			}
		}
	}
	return nil
}

// checkGoldenShape returns an error unless the golden request and answer are as
// long as the spec says; the quantiles and the peaks may be left out.
func checkGoldenShape(spec models.Spec, golden *models.Golden) error {
	quantiles, peaks := spec.Horizon*len(spec.Quantiles), 0
	if spec.Peaks {
		peaks = quantiles
	}
	for _, part := range []struct {
		name       string
		have, want int
		optional   bool
	}{
		{"series", len(golden.Series), spec.Lookback * spec.Channels(), false},
		{"context", len(golden.Context), window.ContextLen(spec), false},
		{"forecast", len(golden.Forecast), spec.Horizon, false},
		{"quantiles", len(golden.Quantiles), quantiles, true},
		{"peaks", len(golden.Peaks), peaks, true},
	} {
		if part.have != part.want && !(part.optional && part.have == 0) {
			return fmt.Errorf("golden request: %s has %d values, must be %d", part.name, part.have, part.want)
		}
	}
	return nil
}

func abs(v float32) float32 { return float32(math.Abs(float64(v))) }
