package gate

import (
	"math"
	"slices"
	"sort"
)

// Histogram counts the values of one series. The training part's own is kept with
// the model; that of the last day has the same edges.
type Histogram struct {
	// Edges ascend strictly: bin 0 holds values below Edges[0], bin i those in
	// [Edges[i-1], Edges[i]), the last bin those from the last edge on.
	Edges  []float64 `json:"edges"`
	Counts []int     `json:"counts"` // [len(Edges)+1]
	// Missing counts the slots without a value: NaN or infinite.
	Missing int `json:"missing"`
}

// NewHistogram returns the histogram of the values with at most the given number
// of bins, >= 2, each holding about the same number of values. A series with few
// distinct values has fewer bins, and one without any value has a single bin.
func NewHistogram(values []float64, bins int) Histogram {
	known := slices.DeleteFunc(slices.Clone(values), func(v float64) bool { return finite(v) == nil })
	slices.Sort(known)
	var edges []float64
	for i := 1; i < bins && len(known) > 0; i++ {
		e := known[i*len(known)/bins]
		// An edge at the least value would leave nothing below it.
		if e > known[0] && (len(edges) == 0 || e > edges[len(edges)-1]) {
			edges = append(edges, e)
		}
	}
	return Histogram{Edges: edges}.Of(values)
}

// Of returns the histogram of other values with the same edges.
func (h Histogram) Of(values []float64) Histogram {
	out := Histogram{Edges: h.Edges, Counts: make([]int, len(h.Edges)+1)}
	for _, v := range values {
		if finite(v) == nil {
			out.Missing++
			continue
		}
		// The first edge above v ends its bin.
		out.Counts[sort.Search(len(h.Edges), func(i int) bool { return h.Edges[i] > v })]++
	}
	return out
}

// Total returns the number of values that were counted.
func (h Histogram) Total() int {
	n := 0
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// floorShare stands in for the share of an empty bin, whose logarithm is none.
const floorShare = 1e-4

// PSI returns the population stability index between two histograms over the same
// edges, >= 0; 0: the same shares. With e_i and a_i the shares of bin i before and
// now, none below floorShare,
//
//	PSI = Σ (a_i - e_i) · ln(a_i / e_i)
//
// It is NaN when the edges differ or one of them holds no value. By itself it grows
// with the noise of few values, about (bins-1)·(1/n + 1/m) for n and m independent
// ones.
func PSI(expected, actual Histogram) float64 {
	n, m := expected.Total(), actual.Total()
	if n <= 0 || m <= 0 || !slices.Equal(expected.Edges, actual.Edges) || len(expected.Counts) != len(actual.Counts) {
		return math.NaN()
	}
	psi := 0.0
	for i := range expected.Counts {
		e := max(floorShare, float64(expected.Counts[i])/float64(n))
		a := max(floorShare, float64(actual.Counts[i])/float64(m))
		psi += (a - e) * math.Log(a/e)
	}
	return psi
}
