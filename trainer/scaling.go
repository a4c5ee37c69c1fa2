package trainer

import (
	"math"

	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/autodiff"
	"github.com/forescale/forescale/trainer/onnx"
)

// scaling takes physical numbers to those that a network works on, and its
// output back. With last the newest value of the same series (of the target, for
// the context) and all constants fitted on the training part:
//
//	series'  = clip((series  - last·relative - center) · inverse)
//	context' = clip((context - last·relative - center) · inverse)
//	forecast = y·unit + center, plus last where the network models the change
//
// What never varied in the training part has inverse 0: a network cannot know
// what it means, so it does not see it vary later either.
type scaling struct {
	series, context columns
	change          bool // forecast is relative to the target's last value
	center, unit    float32
}

// columns are the constants of an input, one per column.
type columns struct {
	relative, center, inverse []float32
}

const (
	// clipAt bounds what a network sees, in units of the usual range or change. A
	// surge beyond what the training part held stays visible up to here.
	clipAt = 10
	// clipRaw bounds the physical values, so that no difference of two of them
	// overflows float32.
	clipRaw = 1e30
)

func newColumns(n int) columns {
	return columns{make([]float32, n), make([]float32, n), make([]float32, n)}
}

// fitScaling fits the constants on the training windows.
func fitScaling(spec models.Spec, r recipe, s *samples) *scaling {
	channels, extra := spec.Channels(), window.ContextLen(spec)
	sc := &scaling{series: newColumns(channels), context: newColumns(extra), change: r.change}
	for c := range channels {
		column := make([]float32, 0, len(s.series)/channels+len(s.target))
		for i := c; i < len(s.series); i += channels {
			column = append(column, s.series[i])
		}
		if c == 0 {
			column = append(column, s.target...)
		}
		if r.change && c < len(spec.Series) && !window.IsFlag(spec, spec.Series[c]) {
			sc.series.byChange(c, usualChange(s, spec.Lookback, channels, c))
			continue
		}
		sc.series.byRange(c, column)
		if c == 0 {
			low, high := bounds(column)
			sc.center, sc.unit = float32(low), float32(high-low)
		}
	}
	if r.change {
		sc.unit = float32(targetChange(s, spec.Lookback, channels, spec.Horizon))
		sc.series.byChange(0, float64(sc.unit))
	}
	lagged := 0
	for _, lag := range spec.Lags {
		if r.change && lag.Series == spec.Target {
			for range len(lag.Offsets) * (1 + spec.Horizon) {
				sc.context.byChange(lagged, float64(sc.unit))
				lagged++
			}
		}
	}
	for c := lagged; c < extra; c++ {
		column := make([]float32, s.len())
		for i := range column {
			column[i] = s.context[i*extra+c]
		}
		sc.context.byRange(c, column)
	}
	return sc
}

// byRange scales column c from its range to [0, 1].
func (cs columns) byRange(c int, values []float32) {
	low, high := bounds(values)
	cs.center[c], cs.inverse[c] = float32(low), inverse(high-low)
}

// byChange scales the difference of column c from its last value by unit.
func (cs columns) byChange(c int, unit float64) {
	cs.relative[c], cs.center[c], cs.inverse[c] = 1, 0, inverse(unit)
}

// inverse returns 1/v, and 0 for what is too small to divide by.
func inverse(v float64) float32 {
	if inv := float32(1 / v); v > 0 && !math.IsInf(float64(inv), 0) {
		return inv
	}
	return 0
}

// bounds returns the least and the greatest of the known values, clipped as the
// graph clips them.
func bounds(values []float32) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if isKnown(v) {
			low, high = min(low, float64(clipped(v, clipRaw))), max(high, float64(clipped(v, clipRaw)))
		}
	}
	if low > high {
		return 0, 0
	}
	return low, high
}

// usualChange returns the mean distance of a channel from its value at the
// window's end.
func usualChange(s *samples, lookback, channels, c int) float64 {
	sum := 0.0
	wide := lookback * channels
	for i := range s.len() {
		row := s.series[i*wide:][:wide]
		last := float64(row[wide-channels+c])
		for t := range lookback {
			sum += math.Abs(float64(row[t*channels+c]) - last)
		}
	}
	return sum / float64(max(1, s.len()*lookback))
}

// targetChange returns the mean absolute error of persistence over all horizons.
func targetChange(s *samples, lookback, channels, horizon int) float64 {
	sum, n := 0.0, 0
	for _, e := range persistenceErrors(s, lookback, channels, horizon) {
		if !math.IsNaN(e) {
			sum += e
			n++
		}
	}
	return min(clipRaw, sum/float64(max(1, n)))
}

// persistenceErrors returns the mean absolute error of persistence at each
// horizon, NaN for one without a known target.
func persistenceErrors(s *samples, lookback, channels, horizon int) []float64 {
	errs := make([]float64, horizon)
	for k := range errs {
		sum, n := 0.0, 0
		for i := range s.len() {
			y := float64(s.target[i*horizon+k])
			if math.IsNaN(y) {
				continue
			}
			sum += math.Abs(y - float64(s.series[(i+1)*lookback*channels-channels]))
			n++
		}
		errs[k] = sum / float64(n)
	}
	return errs
}

// apply scales the columns of one row; last is what relative columns refer to.
func (cs columns) apply(dst, row []float32, last func(c int) float32) {
	for c, v := range row {
		v = clipped(v, clipRaw) - last(c)*cs.relative[c]
		dst[c] = clipped((v-cs.center[c])*cs.inverse[c], clipAt)
	}
}

func clipped(v, limit float32) float32 { return min(max(v, -limit), limit) }

// load scales window i of s into row b of the network's inputs: x, time-major,
// and features, whose first columns are the context and whose others, if there
// are any, are the target's lookback.
func (sc *scaling) load(s *samples, i int, x, features *autodiff.Node[float32], b int) {
	channels, extra := len(sc.series.center), len(sc.context.center)
	lookback := len(s.series) / s.len() / channels
	batch := x.Rows / lookback
	row := s.series[i*lookback*channels:][:lookback*channels]
	newest := row[len(row)-channels:]
	for t := range lookback {
		sc.series.apply(x.Row(t*batch+b), row[t*channels:][:channels], func(c int) float32 { return clipped(newest[c], clipRaw) })
	}
	if features.Cols == 0 {
		return
	}
	dst := features.Row(b)
	last := clipped(newest[0], clipRaw)
	sc.context.apply(dst[:extra], s.context[i*extra:][:extra], func(int) float32 { return last })
	for t := range dst[extra:] {
		dst[extra+t] = x.Row(t*batch + b)[0]
	}
}

// target returns what the network should have answered for a physical value y.
func (sc *scaling) target(s *samples, i int, y float32) float32 {
	if sc.unit == 0 {
		return 0
	}
	return (y - sc.base(s, i)) / sc.unit
}

// forecast returns the physical value of a network's answer.
func (sc *scaling) forecast(s *samples, i int, y float32) float32 {
	return y*sc.unit + sc.base(s, i)
}

// base is what the answer 0 means.
func (sc *scaling) base(s *samples, i int) float32 {
	if !sc.change {
		return sc.center
	}
	wide := len(s.series) / s.len()
	return clipped(s.series[(i+1)*wide-len(sc.series.center)], clipRaw)
}

// export adds the scaling of the inputs to a graph and returns the names of what
// the network reads; features is "" when there are none. last is the target's
// newest value [batch, 1], or "".
func (sc *scaling) export(g *onnx.Graph, spec models.Spec, recent bool) (x, features, last string) {
	channels, extra := len(sc.series.center), len(sc.context.center)
	T := int64(spec.Lookback)
	raw := g.Clip("series_finite", g.Input(onnx.SeriesInput, onnx.DynamicBatch, spec.Lookback, channels), -clipRaw, clipRaw)
	newest := ""
	if sc.change {
		newest = g.Slice("newest", raw, 1, T-1, T) // [batch, 1, channels]
		last = g.Squeeze("last", g.Slice("newest_target", newest, 2, 0, 1), 2)
	}
	x = sc.series.export(g, "series", raw, newest)
	var parts []string
	if extra > 0 {
		raw := g.Clip("context_finite", g.Input(onnx.ContextInput, onnx.DynamicBatch, extra), -clipRaw, clipRaw)
		parts = append(parts, sc.context.export(g, "context", raw, last))
	}
	if recent {
		parts = append(parts, g.Squeeze("recent", g.Slice("target_channel", x, 2, 0, 1), 2))
	}
	switch len(parts) {
	case 0:
	case 1:
		features = parts[0]
	default:
		features = g.Concat("features", 1, parts...)
	}
	return x, features, last
}

// export adds clip((raw - last·relative - center) · inverse).
func (cs columns) export(g *onnx.Graph, name, raw, last string) string {
	n := len(cs.center)
	v := raw
	if last != "" {
		v = g.Sub(name+"_change", v, g.Mul(name+"_base", last, g.Constant(name+".relative", cs.relative, n)))
	}
	v = g.Sub(name+"_centered", v, g.Constant(name+".center", cs.center, n))
	v = g.Mul(name+"_unclipped", v, g.Constant(name+".inverse", cs.inverse, n))
	return g.Clip(name+"_scaled", v, -clipAt, clipAt)
}

// exportForecast adds the way back from the network's answer y and declares it
// as the output.
func (sc *scaling) exportForecast(g *onnx.Graph, spec models.Spec, y, last string) {
	base := last
	if !sc.change {
		base = g.Constant("target.center", []float32{sc.center})
	}
	g.Add(onnx.ForecastOutput, g.Mul("forecast_change", y, g.Constant("target.unit", []float32{sc.unit})), base)
	g.Output(onnx.ForecastOutput, onnx.DynamicBatch, spec.Horizon)
}
