package tree

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// ErrNoTarget says that not one row has a target and a weight.
var ErrNoTarget = errors.New("no row has a target: all are NaN or have no weight")

// largest is the largest target and weight: differences of two stay finite.
const largest = math.MaxFloat32 / 4

// Fit fits an ensemble to target [rows] with the weights [rows], nil for equal
// ones. Rows with a NaN target or a weight of 0 are left out.
//
// With c.Patience, the weighted absolute error over valid is taken after each
// tree, the fit stops when it has not fallen for so many, and the trees behind the
// best are dropped; valid may be empty otherwise. The error wraps ErrNoTarget, or
// is the context's, which is asked before each tree, or says which numbers do not
// make sense.
func Fit(ctx context.Context, c Config, train *Binned, target, weight []float32, valid Matrix, vTarget, vWeight []float32) (*Ensemble, error) {
	b, err := newBoost(c, train, target, weight)
	if err != nil {
		return nil, fmt.Errorf("fit trees: %w", err)
	}
	w, err := newWatch(c, train.cols, valid, vTarget, vWeight)
	if err != nil {
		return nil, fmt.Errorf("fit trees: validation: %w", err)
	}
	w.start(b.ensemble.base)
	for m := range c.Trees {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !b.round(m) {
			break
		}
		if w.add(b.ensemble.trees[m]) {
			break
		}
	}
	b.ensemble.trees = b.ensemble.trees[:w.keep(len(b.ensemble.trees))]
	return b.ensemble, nil
}

// boost is a fit under way.
type boost struct {
	grower
	ensemble *Ensemble
	usable   []int   // columns that are not constant
	known    []int32 // rows with a target, ascending
	weight   []float32
	residual []float32 // target - F(x), by row
	gradient []float64
	members  []weighted // of one leaf
}

func newBoost(c Config, train *Binned, target, weight []float32) (*boost, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	known, weight, err := knownRows(train.rows, target, weight)
	if err != nil {
		return nil, err
	}
	b := &boost{known: known, weight: weight, residual: slices.Clone(target),
		gradient: make([]float64, train.rows), ensemble: &Ensemble{}}
	if b.usable, err = usable(c.Columns, train); err != nil {
		return nil, err
	}
	b.grower = grower{config: c, data: train}
	b.asideR, b.asideV = make([]int32, len(known)), make([]packed, len(known))
	b.found[0], b.found[1] = make([]split, len(b.usable)), make([]split, len(b.usable))
	for _, r := range known {
		b.members = append(b.members, weighted{target[r], weight[r]})
	}
	b.ensemble.base = b.centre(b.members)
	for _, r := range known {
		b.residual[r] -= b.ensemble.base
	}
	return b, nil
}

// usable returns, ascending, those of the columns that are not constant.
func usable(columns []int, train *Binned) (out []int, err error) {
	if columns == nil {
		columns = make([]int, train.cols)
		for j := range columns {
			columns[j] = j
		}
	}
	for _, j := range slices.Compact(slices.Sorted(slices.Values(columns))) {
		if j < 0 || j >= train.cols {
			return nil, fmt.Errorf("column %d of %d", j, train.cols)
		}
		if len(train.edges[j]) > 0 {
			out = append(out, j)
		}
	}
	return out, nil
}

// knownRows returns the rows that have a target and a weight, and the weights.
func knownRows(rows int, target, weight []float32) ([]int32, []float32, error) {
	if weight == nil {
		weight = slices.Repeat([]float32{1}, rows)
	}
	if len(target) != rows || len(weight) != rows {
		return nil, nil, fmt.Errorf("%d targets and %d weights for %d rows", len(target), len(weight), rows)
	}
	var known []int32
	for i, y := range target {
		w := weight[i]
		switch {
		case y != y || w == 0:
		case math.Abs(float64(y)) > largest || !(w > 0 && w <= largest):
			return nil, nil, fmt.Errorf("row %d has target %v with weight %v", i, y, w)
		default:
			known = append(known, int32(i))
		}
	}
	if len(known) == 0 {
		return nil, nil, fmt.Errorf("%w (%d rows)", ErrNoTarget, rows)
	}
	return known, weight, nil
}

// centre returns the number with the least loss over v.
func (b *boost) centre(v []weighted) float32 {
	if b.config.Loss == Squared {
		return mean(v)
	}
	return median(v)
}

// round adds tree m. It returns false when nothing is left to be explained, or the
// rows are too few or too alike for a split.
func (b *boost) round(m int) bool {
	left := false
	for _, r := range b.known {
		e := float64(b.residual[r])
		left = left || e != 0
		if b.config.Loss == Absolute {
			e = sign(e)
		}
		b.gradient[r] = e * float64(b.weight[r])
	}
	if !left {
		return false
	}
	b.sample(rand.New(rand.NewPCG(b.config.Seed, uint64(m))))
	b.scale = quantise(b.gradient, b.weight, b.rows, b.values, b.config)
	b.grow()
	if len(b.leaves) == 1 {
		return false
	}
	b.refit()
	b.ensemble.trees = append(b.ensemble.trees, b.tree())
	return true
}

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

// sample draws the rows and columns of the next tree, each from its generator
// alone: which tree it is decides, not what was drawn before.
func (b *boost) sample(rng *rand.Rand) {
	b.rows = b.rows[:0]
	for _, r := range b.known {
		if b.config.Subsample == 1 || rng.Float64() < b.config.Subsample {
			b.rows = append(b.rows, r)
		}
	}
	if len(b.rows) == 0 {
		b.rows = append(b.rows, b.known...)
	}
	b.values = slices.Grow(b.values[:0], len(b.rows))[:len(b.rows)]
	b.columns = append(b.columns[:0], b.usable...)
	if b.config.ColSample < 1 {
		rng.Shuffle(len(b.columns), func(i, j int) { b.columns[i], b.columns[j] = b.columns[j], b.columns[i] })
		b.columns = b.columns[:int(math.Ceil(b.config.ColSample*float64(len(b.columns))))]
		slices.Sort(b.columns)
	}
}

// refit gives the leaves their values, by the rows that the tree has seen, and
// moves the residuals of all rows.
func (b *boost) refit() {
	total := 0.0
	for _, r := range b.rows {
		total += float64(b.weight[r])
	}
	lambda := b.config.Lambda * total / float64(len(b.rows))
	for _, l := range b.leaves {
		b.members = b.members[:0]
		w := 0.0
		for _, r := range b.rows[l.from:l.to] {
			b.members = append(b.members, weighted{b.residual[r], b.weight[r]})
			w += float64(b.weight[r])
		}
		b.nodes[l.node].Value = float32(b.config.Rate * float64(b.centre(b.members)) * w / (w + lambda))
	}
	if len(b.rows) < len(b.known) {
		for _, r := range b.known {
			b.residual[r] -= b.nodes[b.leafOf(r)].Value
		}
		return
	}
	for _, l := range b.leaves {
		for _, r := range b.rows[l.from:l.to] {
			b.residual[r] -= b.nodes[l.node].Value
		}
	}
}
