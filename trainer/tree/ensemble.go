package tree

import (
	"fmt"
	"math"

	"github.com/forescale/forescale/trainer/onnx"
)

// Ensemble is a fitted model: F(x) = base + Σ leaf values. It is immutable.
type Ensemble struct {
	base  float32
	trees []onnx.Tree
}

// Len returns the number of trees.
func (e *Ensemble) Len() int { return len(e.trees) }

// Trees returns the ensemble for the graph, with one target.
func (e *Ensemble) Trees() onnx.Trees {
	return onnx.Trees{Base: []float32{e.base}, Trees: e.trees}
}

// Predict overwrites out [m.Rows] with the forecasts for m, which are what the
// exported graph answers.
func (e *Ensemble) Predict(m Matrix, out []float32) {
	m.check()
	e.Trees().Predict(m.Data, m.Rows, m.Cols, out)
}

// Merge joins ensembles into one with a target for each: target k is ensemble k,
// and its feature j is the input column(k, j) of the merged one.
func Merge(ensembles []*Ensemble, column func(k, j int) int) onnx.Trees {
	var out onnx.Trees
	for k, e := range ensembles {
		out.Base = append(out.Base, e.base)
		for _, t := range e.trees {
			tree := onnx.Tree{Target: k, Nodes: append([]onnx.TreeNode(nil), t.Nodes...)}
			for i := range tree.Nodes {
				if n := &tree.Nodes[i]; n.Left != 0 {
					n.Feature = column(k, n.Feature)
				}
			}
			out.Trees = append(out.Trees, tree)
		}
	}
	return out
}

// watch follows the validation loss, the weighted absolute error
//
//	Σ w |y - F(x)| / Σ w
//
// and says when to stop and which trees to keep.
type watch struct {
	patience int
	x        Matrix
	known    []int32
	weight   []float32
	residual []float32
	best     float64
	keepBest int // trees at the best loss
	trees    int
}

func newWatch(c Config, cols int, valid Matrix, target, weight []float32) (*watch, error) {
	if c.Patience == 0 {
		return &watch{}, nil
	}
	if valid.check(); valid.Cols != cols {
		return nil, fmt.Errorf("%d columns, trained on %d", valid.Cols, cols)
	}
	known, weight, err := knownRows(valid.Rows, target, weight)
	if err != nil {
		return nil, err
	}
	return &watch{patience: c.Patience, x: valid, known: known, weight: weight, residual: append([]float32(nil), target...)}, nil
}

// start takes the loss without trees.
func (w *watch) start(base float32) {
	w.best = math.Inf(1)
	for _, r := range w.known {
		w.residual[r] -= base
	}
	w.judge()
}

// add takes the loss with one more tree and reports whether to stop.
func (w *watch) add(t onnx.Tree) (stop bool) {
	if w.patience == 0 {
		return false
	}
	w.trees++
	for _, r := range w.known {
		w.residual[r] -= leafValue(t.Nodes, w.x.Row(int(r)))
	}
	w.judge()
	return w.trees-w.keepBest >= w.patience
}

func (w *watch) judge() {
	loss := 0.0
	for _, r := range w.known {
		loss += float64(w.weight[r]) * math.Abs(float64(w.residual[r]))
	}
	if loss < w.best {
		w.best, w.keepBest = loss, w.trees
	}
}

// keep returns how many of the trees to keep.
func (w *watch) keep(trees int) int {
	if w.patience == 0 {
		return trees
	}
	return w.keepBest
}

// leafValue returns the value of the leaf that x falls into.
func leafValue(nodes []onnx.TreeNode, x []float32) float32 {
	i := 0
	for nodes[i].Left != 0 {
		if n := &nodes[i]; x[n.Feature] <= n.Value {
			i = n.Left
		} else {
			i = n.Right
		}
	}
	return nodes[i].Value
}
