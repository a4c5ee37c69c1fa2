package feature

import (
	"fmt"

	"github.com/forescale/forescale/trainer/onnx"
)

// Exported names the results of a set in a graph.
type Exported struct {
	Features string // [batch, Len]
	Sequence string // [batch, Window, Channels]
	Last     string // [batch, 1], the target's newest value
	mean     string // [batch, 1], the scale of Ratio
}

// Export adds what Compute does to a graph; row names the encoded window, series
// and context in one row [batch, …], bounded by ClipRaw.
func (s *Set) Export(g *onnx.Graph, row string) Exported {
	x := export{Set: s, g: g, prefix: "features_" + s.mode.String(), at: map[int]int64{}}
	x.relative(row)
	x.Features = x.scaled("all", x.all("all", s.features), s.scaling)
	if s.channels > 0 {
		x.Sequence = x.sequence()
	}
	return x.Exported
}

// export is a set on its way into a graph.
type export struct {
	*Set
	Exported
	g      *onnx.Graph
	prefix string
	values string        // the target's changes, other series' multiples, then the row
	made   int           // number of values before the row
	at     map[int]int64 // where a row index is found in values, if before the row
}

func (x *export) name(parts ...any) string { return x.prefix + "." + fmt.Sprint(parts...) }

// relative adds the target's changes.
func (x *export) relative(row string) {
	g := x.g
	x.Last = g.Gather(x.name("last"), row, 1, int64(x.Set.last))
	target := g.Gather(x.name("target"), row, 1, int64s(x.target)...)
	var changes string
	level := x.Last
	switch x.mode {
	case Log:
		level = x.log1p("last_log", x.Last)
		changes = g.Sub(x.name("changes"), x.log1p("target_log", target), level)
	case Ratio:
		values := g.Gather(x.name("day_values"), row, 1, int64s(x.Set.mean)...)
		day := x.meanOf("day", values, 1, len(x.Set.mean))
		if x.free {
			level = g.Sub(x.name("above"), x.Last, day)
			values = g.Abs(x.name("day_sizes"), g.Sub(x.name("day_distances"), values, day))
			day = x.meanOf("deviation", values, 1, len(x.Set.mean))
		}
		x.Exported.mean = g.Max(x.name("mean"), day, g.Constant(x.name("floor"), []float32{x.floor}, 1))
		level = g.Clip(x.name("level"), g.Div(x.name("level_ratio"), level, x.Exported.mean), -ClipRaw, ClipRaw)
		changes = g.Div(x.name("changes"), g.Sub(x.name("differences"), target, x.Last), x.Exported.mean)
	default:
		changes = g.Sub(x.name("changes"), target, x.Last)
	}
	parts := []string{g.Clip(x.name("bounded"), changes, -x.limit, x.limit)}
	for n, i := range x.target {
		x.at[i] = int64(n)
	}
	x.made = len(x.target)
	for n, indices := range x.others {
		parts = append(parts, x.relativeOther(fmt.Sprint("other", n), row, indices))
		for j, i := range indices {
			x.at[i] = int64(x.made + j)
		}
		x.made += len(indices)
	}
	x.values = g.Concat(x.name("values"), 1, append(parts, row, level)...)
}

// relativeOther adds the values of another series [batch, Lookback] as multiples
// of their mean size.
func (x *export) relativeOther(name, row string, indices []int) string {
	g := x.g
	v := g.Gather(x.name(name), row, 1, int64s(indices)...)
	mean := x.meanOf(name, g.Abs(x.name(name, ".size"), v), 1, len(indices))
	mean = g.Max(x.name(name, ".scale"), mean, g.Constant(x.name(name, ".floor"), []float32{x.floor}, 1))
	return g.Clip(x.name(name, ".bounded"), g.Div(x.name(name, ".multiples"), v, mean), -otherLimit, otherLimit)
}

func (x *export) log1p(name, v string) string {
	g := x.g
	one, zero := g.Constant(x.name(name, ".one"), []float32{1}, 1), g.Constant(x.name(name, ".zero"), []float32{0}, 1)
	v = g.Div(x.name(name, ".in_units"), g.Max(x.name(name, ".positive"), v, zero), g.Constant(x.name(name, ".unit"), []float32{x.unit}, 1))
	return g.Log(x.name(name), g.Add(x.name(name, ".plus_one"), v, one))
}

// take returns the given row indices' values [batch, len(indices)].
func (x *export) take(name string, indices []int) string {
	var at []int64
	for _, i := range indices {
		n, ok := x.at[i]
		if !ok {
			n = int64(x.made + i)
		}
		at = append(at, n)
	}
	return x.g.Gather(x.name(name), x.values, 1, at...)
}

// all returns the values of features [batch, len(list)] before they are scaled.
// Features of the same making that follow each other are made together.
func (x *export) all(name string, list []tapped) string {
	var parts []string
	for from := 0; from < len(list); {
		to := from + 1
		for to < len(list) && list[to].kind == list[from].kind && len(list[to].from) == len(list[from].from) {
			to++
		}
		parts = append(parts, x.run(fmt.Sprint(name, len(parts)), list[from:to]))
		from = to
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return x.g.Concat(x.name(name), 1, parts...)
}

// run returns the values of features of the same kind with as many taps each.
func (x *export) run(name string, list []tapped) string {
	var from, less []int
	var first, second []float32
	for _, f := range list {
		from, less = append(from, f.from...), append(less, f.less...)
		if f.kind == clock {
			first, second = append(first, f.coef[0]), append(second, f.coef[1])
		}
	}
	g := x.g
	mean := func(v string) string { return x.meanOf(name, v, len(list), len(list[0].from)) }
	switch list[0].kind {
	case average:
		return mean(x.take(name, from))
	case roughness:
		return mean(g.Abs(x.name(name, ".size"), g.Sub(x.name(name, ".steps"), x.take(name, from), x.take(name+".before", less))))
	case other:
		return g.Sub(x.name(name, ".difference"), x.take(name, from), x.take(name+".newest", less))
	case clock:
		var a, b []int
		for _, f := range list {
			a, b = append(a, f.from[0]), append(b, f.from[1])
		}
		return g.Add(x.name(name, ".sum"),
			g.Mul(x.name(name, ".first"), x.take(name+".a", a), g.Constant(x.name(name, ".first_weight"), first, len(first))),
			g.Mul(x.name(name, ".second"), x.take(name+".b", b), g.Constant(x.name(name, ".second_weight"), second, len(second))))
	}
	return x.take(name, from)
}

// meanOf adds the means [batch, n] of v [batch, n*taps], in the order of additions
// that the function meanOf has.
func (x *export) meanOf(name, v string, n, taps int) string {
	g := x.g
	inverse := float32(1 / float64(taps))
	v = g.Reshape(x.name(name, ".apart"), v, 0, int64(n), int64(taps))
	for ; taps > 1; taps = (taps + 1) / 2 {
		at := fmt.Sprint(name, ".of", taps)
		h := int64(taps / 2)
		sum := g.Add(x.name(at, ".sum"), g.Slice(x.name(at, ".low"), v, 2, 0, h), g.Slice(x.name(at, ".high"), v, 2, h, 2*h))
		if taps%2 == 1 {
			sum = g.Concat(x.name(at, ".odd"), 2, sum, g.Slice(x.name(at, ".rest"), v, 2, 2*h, 2*h+1))
		}
		v = sum
	}
	return g.Mul(x.name(name, ".mean"), g.Squeeze(x.name(name, ".together"), v, 2), g.Constant(x.name(name, ".inverse"), []float32{inverse}, 1))
}

// scaled adds bent((v - center) · inverse).
func (x *export) scaled(name, v string, by []scaling) string {
	var center, inverse []float32
	for _, s := range by {
		center, inverse = append(center, s.center), append(inverse, s.inverse)
	}
	g := x.g
	v = g.Sub(x.name(name, ".centered"), v, g.Constant(x.name(name, ".center"), center, len(center)))
	v = g.Mul(x.name(name, ".unclipped"), v, g.Constant(x.name(name, ".inverse"), inverse, len(inverse)))
	v = g.Clip(x.name(name, ".seen"), v, -goneAt, goneAt)
	inner := g.Clip(x.name(name, ".inner"), v, -bendAt, bendAt)
	beyond := g.Mul(x.name(name, ".bend"), g.Sub(x.name(name, ".beyond"), v, inner), g.Constant(x.name(name, ".slope"), []float32{bendSlope}, 1))
	return g.Sub(x.name(name, ".scaled"), inner, beyond)
}

// sequence adds the sequence channel by channel, and puts it into the order of
// steps.
func (x *export) sequence() string {
	T, C := x.Window(), x.channels
	var byChannel []tapped
	var scalings []scaling
	for c := range C {
		for t := range T {
			byChannel = append(byChannel, x.steps[t*C+c])
			scalings = append(scalings, x.steady[c])
		}
	}
	v := x.scaled("steps", x.all("steps", byChannel), scalings)
	v = x.g.Reshape(x.name("channels"), v, 0, int64(C), int64(T))
	return x.g.Transpose(x.name("sequence"), v, 0, 2, 1)
}

// ExportForecast adds what Frame.Forecast does: the forecasts [batch, …] that
// changes of base mean; in is what Export returned.
func (s *Set) ExportForecast(g *onnx.Graph, name, base string, in Exported, change string) string {
	switch s.mode {
	case Log:
		unit, zero := g.Constant(name+".log_unit", []float32{s.unit}, 1), g.Constant(name+".zero", []float32{0}, 1)
		factor := g.Exp(name+".factor", g.Clip(name+".bounded", change, -maxLogChange, maxLogChange))
		level := g.Add(name+".level", g.Max(name+".positive", base, zero), unit)
		return g.Sub(name, g.Mul(name+".grown", level, factor), unit)
	case Ratio:
		return g.Add(name, base, g.Mul(name+".physical", change, in.mean))
	}
	return g.Add(name, base, change)
}

func int64s(v []int) []int64 {
	out := make([]int64, len(v))
	for i, x := range v {
		out[i] = int64(x)
	}
	return out
}

// ExportSlope adds Frame.Slope at the newest value, times v [batch, …].
func (s *Set) ExportSlope(g *onnx.Graph, name string, in Exported, v string) string {
	switch s.mode {
	case Log:
		unit, zero := g.Constant(name+".log_unit", []float32{s.unit}, 1), g.Constant(name+".zero", []float32{0}, 1)
		return g.Mul(name, v, g.Add(name+".level", g.Max(name+".positive", in.Last, zero), unit))
	case Ratio:
		return g.Mul(name, v, in.mean)
	}
	return v
}
