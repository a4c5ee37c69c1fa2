package trainer

import (
	"fmt"
	"slices"

	"github.com/forescale/forescale/trainer/nn"
)

// network is the recurrent member: one or several networks of the same shape
// from different seeds, whose answers are combined by their median, element by
// element.
type network struct {
	label  string
	reader reader
	net    nn.Network
	params [][]float32 // by seed
}

func (n *network) name() string { return n.label }

func (n *network) predict(w *windows) []float32 {
	l := n.reader.inputs(w)
	var all [][]float32
	for _, params := range n.params {
		all = append(all, answers(n.net, params, l, w.workers))
	}
	return n.reader.forecasts(w, middle(all))
}

// middle returns the median of vectors, element by element; of an even number,
// the mean of the two in the middle.
func middle(all [][]float32) []float32 {
	if len(all) == 1 {
		return all[0]
	}
	out := make([]float32, len(all[0]))
	at := make([]float32, len(all))
	for i := range out {
		for j, v := range all {
			at[j] = v[i]
		}
		slices.Sort(at)
		out[i] = (at[(len(at)-1)/2] + at[len(at)/2]) / 2
	}
	return out
}

func (n *network) export(e *exporter) string {
	x, f := n.reader.exportInputs(e)
	var answers []string
	for i, params := range n.params {
		answers = append(answers, nn.Export(e.graph, fmt.Sprintf("%s%d.", n.label, i), &n.net, params, x, f))
	}
	return n.reader.exportForecasts(e, n.label, exportMiddle(e, n.label, answers))
}

// exportMiddle adds what middle does, by a sorting network of neighbours.
func exportMiddle(e *exporter, name string, all []string) string {
	for round := range all {
		for i := round % 2; i+1 < len(all); i += 2 {
			a, b := all[i], all[i+1]
			all[i] = e.graph.Min(fmt.Sprintf("%s.min%d_%d", name, round, i), a, b)
			all[i+1] = e.graph.Max(fmt.Sprintf("%s.max%d_%d", name, round, i), a, b)
		}
	}
	low, high := all[(len(all)-1)/2], all[len(all)/2]
	if low == high {
		return low
	}
	half := e.graph.Constant(name+".half", []float32{0.5}, 1)
	return e.graph.Mul(name+".middle", e.graph.Add(name+".both", low, high), half)
}
