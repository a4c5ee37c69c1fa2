package trainer

import (
	"fmt"
	"math"
	"slices"

	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/feature"
)

// guard keeps forecasts within what the window itself makes plausible. With low
// and high the least and the greatest of the newest values, and m_k the largest
// move over k slots that began at the same time of the last days:
//
//	range_k    = (high - low) + m_k
//	forecast_k = clamp(forecast_k, low - reach_k range_k, high + reach_k range_k)
//
// and with rough the sum of the changes from slot to slot of the newest values and y_0 the
// last of them
//
//	forecast_k = y_0 + (forecast_k - y_0) min(1, rough / calm)
//
// reach_k is the quantile guardQuantile of how far, in ranges, the truth went
// beyond low and high in the training part. After a shift of the level, when
// everything older than an hour speaks of another world, members that believe it
// are held near the present; where events move a load without warning, the
// training part has seen that, the reach is long, and the guard stays out of the
// way. calm is the quantile 1-guardQuantile of rough there: where a window is
// calmer than that, as of a saturated or an idle machine, what the hour of the day
// used to do is damped with the rest. The guard knows nothing of flags, so it stands aside in windows whose future flags
// are not those of the newest slot.
type guard struct {
	recent []int    // row indices of the target's newest values
	moves  [][]move // by step ahead
	flags  [][]int  // row indices of a flag at the newest slot and the slots ahead, by flag
	reach  []float32
	calm   float32 // 0: nothing is damped
}

// move is a pair of row indices: the value at the time of the newest slot some
// days ago, and the one k slots later.
type move struct{ from, to int }

const (
	// guardQuantile leaves one truth in a thousand outside, in the training part.
	guardQuantile = 0.999
	guardDays     = 3
	// guardSlots is how many values are the newest: an hour of five-minute slots.
	// For so long after a shift the guard believes both worlds.
	guardSlots = 12
)

// newGuard fits a guard on the windows [first, last).
func newGuard(w *windows, first, last int) *guard {
	g := locateGuard(w.spec)
	H := w.spec.Horizon
	beyond := make([][]float32, H)
	var rough []float32
	for i := first; i < last; i++ {
		near := g.look(w, i)
		rough = append(rough, near.rough)
		if g.aside(w, i) {
			continue
		}
		for k := range H {
			y := w.target[i*H+k]
			if !isKnown(y) {
				continue
			}
			share := float32(0)
			if over, width := max(near.low-y, y-near.high, 0), g.width(w, i, k, near); over > 0 && width > 0 {
				share = over / width
			}
			beyond[k] = append(beyond[k], share)
		}
	}
	g.reach = make([]float32, H)
	for k, shares := range beyond {
		if slices.Sort(shares); len(shares) > 0 {
			g.reach[k] = min(math.MaxFloat32, shares[int(guardQuantile*float64(len(shares)))])
		}
	}
	if slices.Sort(rough); len(rough) > 0 {
		g.calm = rough[int((1-guardQuantile)*float64(len(rough)))]
	}
	return g
}

// locateGuard finds what a guard looks at.
func locateGuard(spec models.Spec) *guard {
	g := &guard{moves: make([][]move, spec.Horizon)}
	for age := range min(guardSlots, spec.Lookback) {
		i, _ := feature.Find(spec, spec.Target, age)
		g.recent = append(g.recent, i)
	}
	day := 24 * 60 * 60 / spec.StepSeconds
	for k := 1; k <= spec.Horizon; k++ {
		for d := 1; d <= guardDays; d++ {
			from, ok1 := feature.Find(spec, spec.Target, d*day)
			to, ok2 := feature.Find(spec, spec.Target, d*day-k)
			if ok1 && ok2 && d*day >= k {
				g.moves[k-1] = append(g.moves[k-1], move{from, to})
			}
		}
	}
	for f := range spec.Future {
		at := make([]int, 1+spec.Horizon)
		for k := range at {
			at[k] = feature.FindFlag(spec, f, k)
		}
		g.flags = append(g.flags, at)
	}
	return g
}

// at returns the value at a row index of window i, bounded as the graph bounds it.
func (w *windows) at(i, index int) float32 {
	series, context := w.row(i)
	if index < len(series) {
		return clipped(series[index], feature.ClipRaw)
	}
	return clipped(context[index-len(series)], feature.ClipRaw)
}

// nearby is what the newest values of a window show.
type nearby struct {
	last, low, high float32
	rough           float32 // the sum of the changes from slot to slot
}

// look returns what the newest values of window i show.
func (g *guard) look(w *windows, i int) nearby {
	v := w.at(i, g.recent[0])
	n := nearby{last: v, low: v, high: v}
	for _, index := range g.recent[1:] {
		newer := v
		v = w.at(i, index)
		n.low, n.high = min(n.low, v), max(n.high, v)
		n.rough += float32(math.Abs(float64(v - newer)))
	}
	return n
}

// width returns the range of step k (from 0) in window i.
func (g *guard) width(w *windows, i, k int, near nearby) float32 {
	var most float32
	for _, m := range g.moves[k] {
		most = max(most, float32(math.Abs(float64(w.at(i, m.to)-w.at(i, m.from)))))
	}
	return float32(float32(near.high-near.low) + most)
}

// aside reports whether a flag ahead of window i differs from its present value.
func (g *guard) aside(w *windows, i int) bool {
	for _, at := range g.flags {
		now := w.at(i, at[0])
		for _, index := range at[1:] {
			if w.at(i, index) != now {
				return true
			}
		}
	}
	return false
}

// hold returns the forecasts [N, horizon] within their bounds; NaN stays NaN.
func (g *guard) hold(w *windows, forecasts []float32) []float32 {
	H := w.spec.Horizon
	out := slices.Clone(forecasts)
	const chunk = 256
	parallel(w.workers, (w.len()+chunk-1)/chunk, func(c int) {
		for i := c * chunk; i < min(w.len(), (c+1)*chunk); i++ {
			if g.aside(w, i) {
				continue
			}
			near, damping := g.look(w, i), float32(1)
			if g.calm > 0 {
				damping = min(1, near.rough/g.calm)
			}
			for k := range H {
				far := float32(g.reach[k] * g.width(w, i, k, near))
				held := min(max(out[i*H+k], near.low-far), near.high+far)
				out[i*H+k] = near.last + float32((held-near.last)*damping)
			}
		}
	})
	return out
}

// export adds what hold does.
func (g *guard) export(e *exporter, forecast string) string {
	x, H := e.graph, e.spec.Horizon
	recent := x.Gather("guard.recent", e.row, 1, int64s(g.recent)...)
	low := x.Neg("guard.low", e.greatest("guard.low_of", x.Neg("guard.recent_below", recent), len(g.recent)))
	high := e.greatest("guard.high_of", recent, len(g.recent))
	width := x.Sub("guard.width", high, low)
	n := 0
	for _, moves := range g.moves {
		n = max(n, len(moves))
	}
	if n > 0 {
		var from, to []int
		for d := range n {
			for k := range H {
				var m move // from a value to itself, where the step has no more moves
				if d < len(g.moves[k]) {
					m = g.moves[k][d]
				}
				from, to = append(from, m.from), append(to, m.to)
			}
		}
		size := x.Abs("guard.moves", x.Sub("guard.moved", x.Gather("guard.to", e.row, 1, int64s(to)...), x.Gather("guard.from", e.row, 1, int64s(from)...)))
		most := x.Slice("guard.move0", size, 1, 0, int64(H))
		for d := 1; d < n; d++ {
			most = x.Max(fmt.Sprint("guard.most", d), most, x.Slice(fmt.Sprint("guard.move", d), size, 1, int64(d*H), int64((d+1)*H)))
		}
		width = x.Add("guard.range", width, most)
	}
	far := x.Mul("guard.far", width, x.Constant("guard.reach", g.reach, H))
	held := x.Min("guard.below", x.Max("guard.above", forecast, x.Sub("guard.least", low, far)), x.Add("guard.most", high, far))
	if n := len(g.recent); g.calm > 0 && n > 1 {
		newest := x.Slice("guard.last", recent, 1, 0, 1)
		steps := x.Abs("guard.steps", x.Sub("guard.differences", x.Slice("guard.older", recent, 1, 1, int64(n)), x.Slice("guard.newer", recent, 1, 0, int64(n-1))))
		rough := x.Unsqueeze("guard.rough", x.ReduceSum("guard.rough_sum", steps, 1), 1)
		damping := x.Min("guard.damping", x.Div("guard.rough_share", rough, x.Constant("guard.calmest", []float32{g.calm}, 1)), x.Constant("guard.undamped", []float32{1}, 1))
		held = x.Add("guard.damped", newest, x.Mul("guard.change", x.Sub("guard.held_change", held, newest), damping))
	}
	return e.unlessFlagged(g, forecast, held)
}

// greatest adds the greatest [batch, 1] of n columns, by halves.
func (e *exporter) greatest(name, v string, n int) string {
	for ; n > 1; n = (n + 1) / 2 {
		h := int64(n / 2)
		at := fmt.Sprint(name, n)
		top := e.graph.Max(at, e.graph.Slice(at+".a", v, 1, 0, h), e.graph.Slice(at+".b", v, 1, h, 2*h))
		if n%2 == 1 {
			top = e.graph.Concat(at+".odd", 1, top, e.graph.Slice(at+".c", v, 1, 2*h, 2*h+1))
		}
		v = top
	}
	return v
}

// unlessFlagged adds a choice: held where no flag ahead differs from its present
// value, otherwise free. With d the greatest difference, 1 - min(1, d·1e30) is 1
// or 0.
func (e *exporter) unlessFlagged(g *guard, free, held string) string {
	if len(g.flags) == 0 {
		return held
	}
	x := e.graph
	var now, ahead []int
	for _, at := range g.flags {
		for _, index := range at[1:] {
			now, ahead = append(now, at[0]), append(ahead, index)
		}
	}
	difference := x.Abs("guard.flag_moves", x.Sub("guard.flag_change", x.Gather("guard.flags", e.row, 1, int64s(ahead)...), x.Gather("guard.flags_now", e.row, 1, int64s(now)...)))
	one := x.Constant("guard.one", []float32{1}, 1)
	differs := x.Min("guard.flagged", one, x.Mul("guard.flag_size", e.greatest("guard.flag", difference, len(now)), x.Constant("guard.huge", []float32{1e30}, 1)))
	return x.Add("guarded", x.Mul("guard.freed", differs, free), x.Mul("guard.held", x.Sub("guard.calm", one, differs), held))
}

func int64s(v []int) []int64 {
	out := make([]int64, len(v))
	for i, x := range v {
		out[i] = int64(x)
	}
	return out
}
