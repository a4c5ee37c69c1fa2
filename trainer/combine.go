package trainer

import (
	"fmt"
	"math"
	"slices"
)

// selection says how members are weighed by their errors.
type selection struct {
	// gate lets in only members whose error is at most so many times the best one's:
	// averaging in a member that is far worse costs more than its independence
	// brings.
	gate float64
	// sharpness is how strongly a smaller error is preferred among those let in.
	sharpness float64
}

var (
	// amongModes is sharp: the linear members of two modes are much alike, and
	// three folds judge them.
	amongModes = selection{gate: 1.05, sharpness: 16}
	// amongMembers is milder: the validation part alone judges, and on a short
	// history that is a day.
	amongMembers = selection{gate: 1.1, sharpness: 8}
)

// combination is the weighted mean of members, with weights of its own for each
// step ahead. With spreads, each member is first held within outlying spreads of
// the median of all that have a weight anywhere: in a world that the training part
// did not hold, one member may lose itself, and its share of the mean would be
// enough to spoil it.
type combination struct {
	label   string
	members []member
	weights [][]float32 // [member][horizon], 0 or more, 1 in sum over the members
	spread  *interval   // nil: members are taken as they are
}

// outlying is how many spreads a member may lie from the median of the members.
// The spread is what an error usually is, so that members which agree no better
// than that are still heard in full.
const outlying = 2

func (c *combination) name() string { return c.label }

func (c *combination) predict(w *windows) []float32 {
	forecasts := make([][]float32, len(c.members))
	for m, member := range c.members {
		forecasts[m] = w.of(member)
	}
	return c.blend(w, forecasts)
}

// blend combines forecasts [member][N, horizon]. Where one that has a weight is
// NaN, so is the result.
func (c *combination) blend(w *windows, forecasts [][]float32) []float32 {
	forecasts = c.held(w, forecasts)
	out := make([]float32, len(forecasts[0]))
	for m, f := range forecasts {
		H := len(c.weights[m])
		for i, y := range f {
			if v := c.weights[m][i%H]; v != 0 {
				out[i] += v * y
			}
		}
	}
	return out
}

// used returns the members that have a weight for some step ahead.
func (c *combination) used() []int {
	var used []int
	for m := range c.members {
		if !allZero(c.weights[m]) {
			used = append(used, m)
		}
	}
	return used
}

// held returns the forecasts within their distance of the median.
func (c *combination) held(w *windows, forecasts [][]float32) [][]float32 {
	if c.spread == nil {
		return forecasts
	}
	var voices [][]float32
	for _, m := range c.used() {
		voices = append(voices, forecasts[m])
	}
	center, spread := middle(voices), c.spread.spreads(w)
	out := make([][]float32, len(forecasts))
	for m, f := range forecasts {
		out[m] = make([]float32, len(f))
		for i, y := range f {
			far := float32(outlying * spread[i])
			out[m][i] = min(max(y, center[i]-far), center[i]+far) // keeps NaN
		}
	}
	return out
}

func (c *combination) export(e *exporter) string {
	used := c.used()
	voices := make([]string, len(used))
	for i, m := range used {
		voices[i] = e.of(c.members[m])
	}
	if c.spread != nil {
		voices = c.exportHeld(e, voices)
	}
	sum := ""
	for i, m := range used {
		name := c.members[m].name()
		part := e.graph.Mul(c.label+".part_"+name, voices[i], e.graph.Constant(c.label+".weight_"+name, c.weights[m], len(c.weights[m])))
		if sum == "" {
			sum = part
		} else {
			sum = e.graph.Add(c.label+".with_"+name, sum, part)
		}
	}
	return sum
}

// exportHeld adds what held does.
func (c *combination) exportHeld(e *exporter, voices []string) []string {
	g := e.graph
	center := exportMiddle(e, c.label, slices.Clone(voices))
	far := g.Mul(c.label+".far", c.spread.exportSpread(e), g.Constant(c.label+".outlying", []float32{outlying}, 1))
	low, high := g.Sub(c.label+".low", center, far), g.Add(c.label+".high", center, far)
	held := make([]string, len(voices))
	for i, v := range voices {
		held[i] = g.Min(fmt.Sprint(c.label, ".held", i), g.Max(fmt.Sprint(c.label, ".raised", i), v, low), high)
	}
	return held
}

func allZero(v []float32) bool {
	for _, x := range v {
		if x != 0 {
			return false
		}
	}
	return true
}

// weigh returns a combination with weights by the mean absolute errors of unseen
// forecasts [member][N, horizon] in the windows [first, last). Let e_m be the
// error of member m, the geometric mean over the neighbouring steps ahead, since
// those of one step are noisy:
//
//	weight_m ∝ (min e / e_m)^sharpness where e_m <= gate · min e, 0 elsewhere
//
// Windows in which any member has no forecast (NaN) are left out. Where none is
// left, members share equally.
func (s selection) weigh(label string, w *windows, members []member, unseen [][]float32, first, last int) *combination {
	H := w.spec.Horizon
	c := &combination{label: label, members: members, weights: make([][]float32, len(members))}
	logs := make([][]float64, len(members)) // of errors
	for m := range members {
		c.weights[m], logs[m] = make([]float32, H), make([]float64, H)
	}
	for k := range H {
		for m, e := range meanErrors(w, unseen, first, last, k) {
			logs[m][k] = math.Log(max(e, 1e-30)) // a perfect member is no better than another
		}
	}
	for k := range H {
		smooth, best := make([]float64, len(members)), math.Inf(1)
		for m := range members {
			n := 0.0
			for j := max(0, k-1); j <= min(H-1, k+1); j++ {
				if !math.IsNaN(logs[m][j]) { // as where no window knows the target of the step
					smooth[m] += logs[m][j]
					n++
				}
			}
			smooth[m] /= max(1, n)
			best = min(best, smooth[m])
		}
		sum := 0.0
		share := make([]float64, len(members))
		for m := range members {
			if smooth[m] <= best+math.Log(s.gate) {
				share[m] = math.Exp(s.sharpness * (best - smooth[m]))
				sum += share[m]
			}
		}
		for m := range members {
			c.weights[m][k] = float32(share[m] / sum)
		}
	}
	return c
}

// meanErrors returns each member's mean absolute error at step k (from 0).
func meanErrors(w *windows, unseen [][]float32, first, last, k int) []float64 {
	H := w.spec.Horizon
	sums, n := make([]float64, len(unseen)), 0.0
	for i := first; i < last; i++ {
		y := w.target[i*H+k]
		known := isKnown(y)
		for _, f := range unseen {
			known = known && isKnown(f[i*H+k])
		}
		if !known {
			continue
		}
		n++
		for m, f := range unseen {
			sums[m] += math.Abs(float64(y - f[i*H+k]))
		}
	}
	for m := range sums {
		sums[m] /= n
	}
	return sums
}
