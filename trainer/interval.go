package trainer

import (
	"fmt"
	"math"
	"slices"

	"github.com/forescale/forescale/trainer/feature"
	"github.com/forescale/forescale/trainer/linear"
)

// interval turns a point forecast f into quantiles by split-conformal prediction
// with a learned spread:
//
//	quantile_q = f + spread(x) offset_q
//	spread(x)  = slope · exp(x·a + |x|·b + c)
//
// with x the features of the step ahead and slope what a change of the set's mode
// counts in physical units. The offsets are the quantiles of (y - f)/spread in
// windows that fitted nothing: calm hours get narrow intervals and wild ones wide,
// and both hold what they promise as far as the future resembles the past. The
// median's offset is 0, and offsets ascend, so that quantiles never cross.
// Source: Lei et al. 2018, section 5.2, for locally weighted split-conformal
// intervals.
type interval struct {
	set     *feature.Set
	models  []linear.Model // by step ahead, of the logarithm, over [x, |x|] of set.Columns
	limits  [][2]float32   // by step ahead, the bounds of the logarithm
	levels  []float64
	offsets [][]float32 // [horizon][level], multiples of the spread
	// peaks are the offsets [horizon][level] of the greatest value of the steps up
	// to k, from the greatest forecast, in multiples of the greatest spread. The
	// quantile of each step says too little of the greatest of several: where each
	// exceeds its 0.9 quantile once in ten times, one of twelve does so in two.
	peaks [][]float32
}

const (
	// spreadLambda is the regularisation of the spread's model, in rows. A logarithm
	// of an error is noisy: only what many windows agree on is worth following.
	spreadLambda = 300
	// spreadFloor is the part of the mean error below which an error counts as that
	// much: the logarithm of a lucky hit says nothing.
	spreadFloor = 0.05
	// drift widens every interval: forecasts are used at a greater distance from
	// what fitted them than the windows that calibrate them, and by then the world
	// has moved on. Without it, intervals covered 77 and 87 % instead of 80 and 90
	// in slots of the first 80 % of the traces that were later than what calibrated
	// them. It was chosen on these very slots. Since then other parts have changed,
	// and intervals cover slightly more than they promise: 82 % for 80 %
	// (docs/accuracy.md).
	drift = 1.1
	// spreadMargin is how far, as a logarithm, a spread may leave what was seen.
	spreadMargin = 0.7
)

// fitSpread fits the spread's model on the errors of unseen forecasts [N,
// horizon], NaN where there is none.
func fitSpread(w *windows, set *feature.Set, unseen []float32) (*interval, error) {
	H, F, v := w.spec.Horizon, set.Len(), w.view(set)
	t := &interval{set: set, models: make([]linear.Model, H), limits: make([][2]float32, H)}
	errs := make([]error, H)
	parallel(w.workers, H, func(k int) {
		columns := set.Columns(k + 1)
		p := linear.Problem{Cols: 2 * len(columns)}
		mean := 0.0
		for i := range w.len() {
			y, f := w.target[i*H+k], unseen[i*H+k]
			if !isKnown(y) || !isKnown(f) {
				continue
			}
			e := float32(math.Abs(float64(y-f))) / v.frames[i].Slope(v.frames[i].Last)
			p.X = appendSpread(p.X, v.features[i*F:], columns)
			p.Y, p.Slope = append(p.Y, e), append(p.Slope, 1)
			mean += float64(e)
			p.Rows++
		}
		floor := max(spreadFloor*mean/float64(max(1, p.Rows)), 1e-12)
		for i, e := range p.Y {
			p.Y[i] = float32(math.Log(max(float64(e), floor)))
		}
		models, err := linear.Fit(p, []float64{spreadLambda}, 1)
		if err != nil {
			errs[k] = err
			return
		}
		t.models[k] = models[0]
		low, high := math.Inf(1), math.Inf(-1)
		for i := range p.Rows {
			l := models[0].Predict(p.X[i*p.Cols:][:p.Cols])
			low, high = min(low, l), max(high, l)
		}
		t.limits[k] = [2]float32{float32(low - spreadMargin), float32(high + spreadMargin)}
	})
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return t, nil
}

// appendSpread appends the spread's features: those of columns, and their sizes.
func appendSpread(x, features []float32, columns []int) []float32 {
	for _, c := range columns {
		x = append(x, features[c])
	}
	for _, c := range columns {
		x = append(x, float32(math.Abs(float64(features[c]))))
	}
	return x
}

// spreads returns the spread [N, horizon] of windows, physical and positive.
func (t *interval) spreads(w *windows) []float32 {
	out, ok := w.spread[t]
	if !ok {
		out = t.computeSpreads(w)
		w.spread[t] = out
	}
	return out
}

func (t *interval) computeSpreads(w *windows) []float32 {
	H, F, v := w.spec.Horizon, t.set.Len(), w.view(t.set)
	out := make([]float32, w.len()*H)
	parallel(w.workers, H, func(k int) {
		columns := t.set.Columns(k + 1)
		var x []float32
		for i := range w.len() {
			x = appendSpread(x[:0], v.features[i*F:], columns)
			l := min(max(float32(t.models[k].Predict(x)), t.limits[k][0]), t.limits[k][1])
			out[i*H+k] = v.frames[i].Slope(v.frames[i].Last) * float32(math.Exp(float64(l)))
		}
	})
	return out
}

// calibrate sets the offsets of the levels from unseen forecasts in the windows
// [first, last).
func (t *interval) calibrate(w *windows, levels []float64, unseen []float32, first, last int) {
	H, spread := w.spec.Horizon, t.spreads(w)
	t.levels, t.offsets, t.peaks = levels, make([][]float32, H), make([][]float32, H)
	top := windowMaxima(w.target, H)
	topForecast, topSpread := windowMaxima(unseen, H), windowMaxima(spread, H)
	for k := range H {
		t.offsets[k] = offsetsOf(levels, w.target, unseen, spread, first, last, k, H)
		for j, q := range levels { // never on the median's wrong side, and 0 at it
			switch o := &t.offsets[k][j]; {
			case q == 0.5:
				*o = 0
			case q > 0.5:
				*o = max(0, *o)
			default:
				*o = min(0, *o)
			}
		}
		t.peaks[k] = offsetsOf(levels, top, topForecast, topSpread, first, last, k, H)
	}
}

// offsetsOf returns the calibrated offsets of step k (from 0), for targets,
// forecasts and spreads [N, H].
func offsetsOf(levels []float64, target, forecast, spread []float32, first, last, k, H int) []float32 {
	var scores []float32
	for i := first; i < last; i++ {
		if y, f := target[i*H+k], forecast[i*H+k]; isKnown(y) && isKnown(f) {
			scores = append(scores, (y-f)/spread[i*H+k])
		}
	}
	slices.Sort(scores)
	offsets := make([]float32, len(levels))
	for j, q := range levels {
		offsets[j] = drift * conformal(scores, q)
	}
	return offsets
}

// windowMaxima returns, for rows [N, H], the greatest value of each row up to
// each column; NaN from the first NaN on.
func windowMaxima(values []float32, H int) []float32 {
	out := slices.Clone(values)
	for i := range out {
		if i%H > 0 {
			out[i] = max(out[i], out[i-1]) // max keeps NaN
		}
	}
	return out
}

// conformal returns the offset of level q from sorted scores: the score of rank
// ⌈(n+1)q⌉ from the median on and of ⌊(n+1)q⌋ below it, so that a further score of
// the same kind falls outside with at most the probability promised.
func conformal(scores []float32, q float64) float32 {
	n := len(scores)
	if n == 0 {
		return 0
	}
	rank := int(math.Ceil(float64(n+1) * q))
	if q < 0.5 {
		rank = int(math.Floor(float64(n+1) * q))
	}
	return scores[min(max(rank, 1), n)-1]
}

// quantiles returns [N, horizon, levels] around forecasts [N, horizon].
func (t *interval) quantiles(w *windows, forecasts []float32) []float32 {
	H, Q, spread := w.spec.Horizon, len(t.levels), t.spreads(w)
	out := make([]float32, 0, len(forecasts)*Q)
	for i, f := range forecasts {
		for _, o := range t.offsets[i%H] {
			out = append(out, f+spread[i]*o)
		}
	}
	return out
}

// quantilesOfPeaks returns [N, horizon, levels]: at step k, of the greatest value
// of the steps up to it. What each step's offsets say by themselves is raised to
// what must hold: a quantile of the greatest value is no less than that of any
// value, or of the greatest of fewer.
func (t *interval) quantilesOfPeaks(w *windows, forecasts []float32) []float32 {
	H, Q := w.spec.Horizon, len(t.levels)
	top, spread := windowMaxima(forecasts, H), windowMaxima(t.spreads(w), H)
	out := make([]float32, 0, len(forecasts)*Q)
	for i, f := range top {
		for _, o := range t.peaks[i%H] {
			out = append(out, f+spread[i]*o)
		}
	}
	for i, q := range t.quantiles(w, forecasts) {
		out[i] = max(out[i], q)
		if i/Q%H > 0 {
			out[i] = max(out[i], out[i-Q])
		}
	}
	return out
}

// export adds the quantiles [batch, horizon, levels] of the point forecasts, and
// those of the peaks.
func (t *interval) export(e *exporter, point string) (quantiles, peaks string) {
	g, H, Q := e.graph, e.spec.Horizon, len(t.levels)
	var offsets, peakOffsets []float32
	for k := range t.offsets {
		offsets, peakOffsets = append(offsets, t.offsets[k]...), append(peakOffsets, t.peaks[k]...)
	}
	spread := t.exportSpread(e)
	around := func(name, center, spread string, offsets []float32) string {
		return g.Add(name, g.Unsqueeze(name+".center", center, 2),
			g.Mul(name+".distances", g.Unsqueeze(name+".spread", spread, 2), g.Constant(name+".offsets", offsets, H, Q)))
	}
	quantiles = around("quantiles_raw", point, spread, offsets)
	peaks = around("peaks_raw", e.windowMaxima("point_so_far", point), e.windowMaxima("spread_so_far", spread), peakOffsets)
	return quantiles, e.windowMaxima("peaks_so_far", g.Max("peaks_or_quantiles", peaks, quantiles))
}

// exportSpread adds the spread [batch, horizon], once a graph.
func (t *interval) exportSpread(e *exporter) string {
	if e.spread != "" {
		return e.spread
	}
	g, H, F := e.graph, e.spec.Horizon, t.set.Len()
	change, size, bias := make([]float32, F*H), make([]float32, F*H), make([]float32, H)
	low, high := make([]float32, H), make([]float32, H)
	for k, m := range t.models {
		columns := t.set.Columns(k + 1)
		for j, c := range columns {
			change[c*H+k], size[c*H+k] = float32(m.Coef[j]), float32(m.Coef[len(columns)+j])
		}
		bias[k], low[k], high[k] = float32(m.Intercept), t.limits[k][0], t.limits[k][1]
	}
	in := e.set(t.set)
	l := g.Add("spread.of_features", g.MatMul("spread.of_changes", in.Features, g.Constant("spread.change_weights", change, F, H)),
		g.MatMul("spread.of_sizes", g.Abs("spread.sizes", in.Features), g.Constant("spread.size_weights", size, F, H)))
	l = g.Add("spread.log", l, g.Constant("spread.bias", bias, H))
	l = g.Min("spread.bounded", g.Max("spread.above", l, g.Constant("spread.low", low, H)), g.Constant("spread.high", high, H))
	e.spread = e.slope(t.set, "spread", g.Exp("spread.change", l))
	return e.spread
}

// windowMaxima adds what the function does, for v [batch, horizon, …]: after the n-th
// round, a column holds the greatest of 2^n columns up to it.
func (e *exporter) windowMaxima(name, v string) string {
	H := int64(e.spec.Horizon)
	for shift := int64(1); shift < H; shift *= 2 {
		at := fmt.Sprint(name, shift)
		raised := e.graph.Max(at+".raised", e.graph.Slice(at+".late", v, 1, shift, H), e.graph.Slice(at+".early", v, 1, 0, H-shift))
		v = e.graph.Concat(at, 1, e.graph.Slice(at+".first", v, 1, 0, shift), raised)
	}
	return v
}

// slope adds a change of the set's mode in physical units, at the newest value.
func (e *exporter) slope(s *feature.Set, name, change string) string {
	return s.ExportSlope(e.graph, name, e.set(s), change)
}
