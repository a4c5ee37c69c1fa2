package models

import (
	"fmt"
	"math"
	"slices"

	"github.com/forescale/forescale/api"
)

// Forecast returns what the model says of a window: its row of the outputs point
// [Horizon], quantiles and peaks [Horizon, len(Spec.Quantiles)], nil for a model
// without. Quantiles and peaks are calibrated for the window's group and then put
// into order. It is the one way from a graph's answer to a forecast, for a server
// and for a backtest. A value that is not finite is an error.
func (m Manifest) Forecast(w *api.Window, point, quantiles, peaks []float32) (api.Forecast, error) {
	f := api.Forecast{
		Group: w.Group, IssuedAt: w.End, StepSeconds: w.StepSeconds,
		Model: m.Name, Version: m.Version,
		Point: make([]float64, m.Spec.Horizon), Quantiles: m.Spec.Quantiles,
	}
	for k, value := range point {
		f.Point[k] = float64(value)
		if !finite(f.Point[k]) {
			return f, fmt.Errorf("its forecast for step %d is %v", k+1, value)
		}
	}
	var err error
	if f.Values, err = byStep(m.Spec.Quantiles, quantiles, "quantile"); err != nil {
		return f, err
	}
	if f.Peaks, err = byStep(m.Spec.Quantiles, peaks, "peak"); err != nil {
		return f, err
	}
	if factors := m.Calibration[w.Group]; factors != nil {
		calibrate(f.Values, f.Point, factors)
		calibrate(f.Peaks, greatestSoFar(f.Point), factors)
	}
	sortQuantiles(f.Values)
	sortQuantiles(f.Peaks)
	raisePeaks(f.Peaks)
	return f, nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// byStep arranges values, [horizon*len(levels)], by step and level; nil for none.
func byStep(levels []float64, values []float32, what string) ([][]float64, error) {
	if len(values) == 0 {
		return nil, nil
	}
	n := len(levels)
	steps := make([][]float64, len(values)/n)
	for k := range steps {
		steps[k] = make([]float64, n)
		for j := range n {
			value := float64(values[k*n+j])
			if !finite(value) {
				return nil, fmt.Errorf("its %s %v for step %d is %v", what, levels[j], k+1, value)
			}
			steps[k][j] = value
		}
	}
	return steps, nil
}

// calibrate multiplies the distance of every value of step k from centre[k] by
// factors[k], as Manifest.Calibration defines.
func calibrate(values [][]float64, centre, factors []float64) {
	for k, step := range values {
		Calibrate(step, centre[k], factors[k])
	}
}

// greatestSoFar returns, for each step, the greatest value up to it.
func greatestSoFar(values []float64) []float64 {
	greatest := slices.Clone(values)
	for k := 1; k < len(greatest); k++ {
		greatest[k] = max(greatest[k], greatest[k-1])
	}
	return greatest
}

// sortQuantiles puts the quantiles of each step into order. A model that learns
// its quantiles apart from each other may let them cross; rearranging them never
// makes them worse (Chernozhukov, Fernandez-Val and Galichon, Econometrica 2010).
func sortQuantiles(values [][]float64) {
	for _, step := range values {
		slices.Sort(step)
	}
}

// raisePeaks raises every peak to that of the step before at the same level: the
// greatest value of more steps is no smaller. Sorted steps stay sorted.
func raisePeaks(peaks [][]float64) {
	for k := 1; k < len(peaks); k++ {
		for j := range peaks[k] {
			peaks[k][j] = max(peaks[k][j], peaks[k-1][j])
		}
	}
}
