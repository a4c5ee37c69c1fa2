package trainer

import (
	"math"

	"github.com/forescale/forescale/trainer/feature"
)

// ranged reads the series and the context as they are, each channel scaled from
// its range in the training part to [0, 1], and answers the target itself on that
// scale: what the reference project does.
//
//	x = clip((series - center) · inverse),  f = clip((context - center) · inverse)
//	forecast = answer · unit + center
//
// What never varied in the training part has inverse 0: a network cannot know
// what it means, so it does not see it vary later either.
type ranged struct {
	series, context columns
	center, unit    float32 // of the target
}

// columns are the constants of an input, one per column.
type columns struct{ center, inverse []float32 }

// clipRange bounds what a network sees, in units of the range: a surge beyond
// what the training part held stays visible up to here.
const clipRange = 10

// fitRanged fits the constants on the windows [first, last).
func fitRanged(w *windows, first, last int) *ranged {
	wide, extra := widths(w.spec)
	channels, H := w.spec.Channels(), w.spec.Horizon
	r := &ranged{series: fitColumns(w.series[first*wide:last*wide], channels), context: fitColumns(w.context[first*extra:last*extra], extra)}
	column := append([]float32(nil), w.target[first*H:last*H]...)
	for i := first * wide; i < last*wide; i += channels {
		column = append(column, w.series[i])
	}
	low, high := bounds(column, 0, 1)
	r.center, r.unit = float32(low), float32(high-low)
	r.series.center[0], r.series.inverse[0] = r.center, inverse(high-low)
	return r
}

func fitColumns(values []float32, n int) columns {
	c := columns{make([]float32, n), make([]float32, n)}
	for i := range n {
		low, high := bounds(values, i, n)
		c.center[i], c.inverse[i] = float32(low), inverse(high-low)
	}
	return c
}

// bounds returns the least and the greatest of the known values from, from+step,
// …, clipped as the graph clips them.
func bounds(values []float32, from, step int) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for i := from; i < len(values); i += step {
		if v := values[i]; isKnown(v) {
			low, high = min(low, float64(clipped(v, feature.ClipRaw))), max(high, float64(clipped(v, feature.ClipRaw)))
		}
	}
	if low > high {
		return 0, 0
	}
	return low, high
}

// inverse returns 1/v, and 0 for what is too small to divide by.
func inverse(v float64) float32 {
	if inv := float32(1 / v); v > 0 && !math.IsInf(float64(inv), 0) {
		return inv
	}
	return 0
}

// apply copies a row to dst, scaled.
func (c columns) apply(dst, row []float32) {
	if len(c.center) == 0 {
		copy(dst, row)
		return
	}
	for j, v := range row {
		dst[j] = clipped((clipped(v, feature.ClipRaw)-c.center[j])*c.inverse[j], clipRange)
	}
}

// inputs shares the windows' memory: the scaled ones are not kept beside it.
func (r *ranged) inputs(w *windows) *lesson {
	return &lesson{steps: w.spec.Lookback, channels: w.spec.Channels(), extra: len(r.context.center), horizon: w.spec.Horizon,
		x: w.series, f: w.context, xs: r.series, fs: r.context}
}

func (r *ranged) wants(w *windows, l *lesson) {
	l.want, l.weight = make([]float32, len(w.target)), make([]float32, len(w.target))
	for i, y := range w.target {
		if isKnown(y) && r.unit > 0 {
			l.want[i] = (y - r.center) / r.unit
		}
		if isKnown(y) {
			l.weight[i] = 1
		}
	}
}

func (r *ranged) forecasts(_ *windows, answers []float32) []float32 {
	out := make([]float32, len(answers))
	for i, a := range answers {
		out[i] = a*r.unit + r.center
	}
	return out
}

func (r *ranged) late(candidate) reader { return r }

func (r *ranged) exportInputs(e *exporter) (x, f string) {
	x = r.series.export(e, "series", e.series)
	if len(r.context.center) > 0 {
		f = r.context.export(e, "context", e.context)
	}
	return x, f
}

// export adds clip((raw - center) · inverse).
func (c columns) export(e *exporter, name, raw string) string {
	n := len(c.center)
	v := e.graph.Sub(name+"_centered", raw, e.graph.Constant(name+".center", c.center, n))
	v = e.graph.Mul(name+"_unclipped", v, e.graph.Constant(name+".inverse", c.inverse, n))
	return e.graph.Clip(name+"_scaled", v, -clipRange, clipRange)
}

func (r *ranged) exportForecasts(e *exporter, name, answers string) string {
	return e.graph.Add(name, e.graph.Mul(name+".scaled", answers, e.graph.Constant(name+".unit", []float32{r.unit}, 1)),
		e.graph.Constant(name+".center", []float32{r.center}, 1))
}
