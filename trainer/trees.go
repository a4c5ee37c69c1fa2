package trainer

import (
	"context"
	"fmt"

	"github.com/forescale/forescale/trainer/feature"
	"github.com/forescale/forescale/trainer/onnx"
	"github.com/forescale/forescale/trainer/tree"
)

// treesMember corrects a base member by boosted trees over the features of a set,
// an ensemble for each step ahead.
type treesMember struct {
	label string
	of    *correction
	trees onnx.Trees // target k is step k ahead; features are those of the set
}

func (m *treesMember) name() string { return m.label }

func (m *treesMember) predict(w *windows) []float32 {
	v, H, F := w.view(m.of.set), w.spec.Horizon, m.of.set.Len()
	answers := make([]float32, w.len()*H)
	const chunk = 256
	parallel(w.workers, (w.len()+chunk-1)/chunk, func(c int) {
		from, to := c*chunk, min(w.len(), (c+1)*chunk)
		m.trees.Predict(v.features[from*F:to*F], to-from, F, answers[from*H:to*H])
	})
	return m.of.forecasts(w, answers)
}

func (m *treesMember) export(e *exporter) string {
	in := e.set(m.of.set)
	return m.of.exportForecasts(e, m.label, e.graph.TreeEnsembleRegressor(m.label+".trees", in.Features, m.trees))
}

// treesRecipe is a member of boosted trees.
type treesRecipe struct {
	name     string
	residual bool // corrects the linear members; otherwise persistence
	config   tree.Config
}

// addTrees fits the trees of the recipe: early ones on the training part, stopped
// by the validation part, and with as many trees late ones on both.
func (s *study) addTrees(ctx context.Context, base candidate) error {
	for _, r := range s.recipe.trees {
		corrected := base
		if !r.residual {
			corrected = s.last
		}
		// Not by logarithms: their last bits differ between programs, and a tree's
		// threshold would fall between them now and then.
		set := s.sets[s.bestMode(feature.Raw, feature.Ratio)]
		early := &treesMember{label: r.name, of: newCorrection(s.w, set, corrected.early, s.fitRows[0], s.fitRows[1])}
		late := &treesMember{label: r.name, of: early.of.late(corrected).(*correction)}
		f := treesFit{study: s, recipe: r, whole: [2]int{s.fitRows[0], s.judgeRows[1]}}
		if err := f.fit(ctx, early, late); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		s.members = append(s.members, candidate{early, late, s.unseenBy(early)})
	}
	return nil
}

// treesFit fits the ensembles of one member.
type treesFit struct {
	*study
	recipe treesRecipe
	whole  [2]int // windows that the late ones learn from
}

func (f *treesFit) fit(ctx context.Context, early, late *treesMember) error {
	set, H := early.of.set, f.spec.Horizon
	v := f.w.view(set)
	F := set.Len()
	matrix := func(rows [2]int) tree.Matrix {
		return tree.Matrix{Rows: rows[1] - rows[0], Cols: F, Data: v.features[rows[0]*F : rows[1]*F]}
	}
	workers := f.config.workers()
	train := tree.Bin(matrix(f.fitRows), tree.DefaultBins, workers)
	all := tree.Bin(matrix(f.whole), tree.DefaultBins, workers)
	first, second := &lesson{}, &lesson{}
	early.of.wants(f.w, first)
	late.of.wants(f.w, second)
	earlies, lates, errs := make([]*tree.Ensemble, H), make([]*tree.Ensemble, H), make([]error, H)
	parallel(workers, H, func(k int) {
		c := f.recipe.config
		c.Columns, c.Seed, c.Workers = set.Columns(k+1), f.config.Seed+uint64(k)<<32, 1
		column := func(l *lesson, rows [2]int) (target, weight []float32) {
			for i := rows[0]; i < rows[1]; i++ {
				target, weight = append(target, l.want[i*H+k]), append(weight, l.weight[i*H+k])
			}
			return target, weight
		}
		target, weight := column(first, f.fitRows)
		vTarget, vWeight := column(first, f.judgeRows)
		if earlies[k], errs[k] = tree.Fit(ctx, c, train, target, weight, matrix(f.judgeRows), vTarget, vWeight); errs[k] != nil {
			return
		}
		c.Patience, c.Trees = 0, max(1, earlies[k].Len())
		target, weight = column(second, f.whole)
		lates[k], errs[k] = tree.Fit(ctx, c, all, target, weight, tree.Matrix{Cols: F}, nil, nil)
		f.done.advance("trees", treesCost/float64(H), nil)
	})
	for k, err := range errs {
		if err != nil {
			return fmt.Errorf("%d steps ahead: %w", k+1, err)
		}
	}
	same := func(_, j int) int { return j }
	early.trees, late.trees = tree.Merge(earlies, same), tree.Merge(lates, same)
	return nil
}
