package trainer

import (
	"context"
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
	flats  [][]float32 // parameters by seed
	worker int
}

func (n *network) name() string { return n.label }

func (n *network) predict(w *windows) []float32 {
	l := n.reader.inputs(w)
	var all [][]float32
	for _, flat := range n.flats {
		f := fit{net: n.net, flat: flat, workers: n.worker}
		all = append(all, f.answers(l))
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

// fitNetwork trains a network for each of seeds on the windows [0, train) and
// stops each by the windows [from, to).
func fitNetwork(ctx context.Context, w *windows, r networkRecipe, rd reader, train, valid [2]int, seeds []uint64, workers int, each func(seed int) func(int, int, int, float64, float64, float64, int)) (*network, *fit, error) {
	l := rd.inputs(w)
	rd.wants(w, l)
	n := &network{label: r.name, reader: rd, net: r.network, worker: workers}
	n.net.Lookback, n.net.Channels, n.net.Features, n.net.Horizon = l.steps, l.channels, l.extra, l.horizon
	if err := n.net.Validate(); err != nil {
		return nil, nil, err
	}
	var last *fit
	for i, seed := range seeds {
		f := newFit(n.net, r.schedule, seed, workers)
		if each != nil {
			f.progress = each(i)
		}
		if err := f.run(ctx, l.slice(train[0], train[1]), l.slice(valid[0], valid[1])); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", r.name, err)
		}
		n.flats = append(n.flats, f.flat)
		last = f
	}
	return n, last, nil
}

func (n *network) export(e *exporter) string {
	x, f := n.reader.exportInputs(e)
	var answers []string
	for i, flat := range n.flats {
		answers = append(answers, nn.Export(e.graph, fmt.Sprintf("%s%d.", n.label, i), &n.net, flat, x, f))
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
