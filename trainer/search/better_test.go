package search

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"testing"
)

// Known functions, as learning curves: the loss of a budget is that of the whole
// training plus what a short training lacks and a noise, both falling with the
// budget. The optimum of the first two is known: 0.397887 and -3.86278.
var curves = []struct {
	name  string
	space Space
	final func(Params) float64
	noise float64 // at a budget of 1
}{
	// Branin, Dixon and Szegö 1978.
	{"Branin", Space{"x": Uniform(-5, 10), "y": Uniform(0, 15)}, func(p Params) float64 {
		x, y := p.Float("x"), p.Float("y")
		q := y - 5.1/(4*math.Pi*math.Pi)*x*x + 5/math.Pi*x - 6
		return q*q + 10*(1-1/(8*math.Pi))*math.Cos(x) + 10
	}, 30},
	// Hartmann in three dimensions, Dixon and Szegö 1978.
	{"Hartmann", Space{"x": Uniform(0, 1), "y": Uniform(0, 1), "z": Uniform(0, 1)}, hartmann, 1},
	// A learning rate and a width, the way networks behave: one decade of rates does.
	{"a network", Space{"rate": Log(1e-6, 1), "hidden": LogInt(4, 512), "loss": Choice("absolute", "squared")}, func(p Params) float64 {
		r, h := math.Log10(p.Float("rate"))+2.5, math.Log2(p.Float("hidden"))-6
		loss := 0.1 + 0.2*r*r + 0.01*h*h
		if p["loss"] == "squared" {
			loss += 0.05
		}
		return loss
	}, 0.3},
}

func hartmann(p Params) float64 {
	x := [3]float64{p.Float("x"), p.Float("y"), p.Float("z")}
	sum := 0.0
	for i, weight := range [4]float64{1, 1.2, 3, 3.2} {
		a := [4][3]float64{{3, 10, 30}, {0.1, 10, 35}, {3, 10, 30}, {0.1, 10, 35}}[i]
		c := [4][3]float64{{0.3689, 0.1170, 0.2673}, {0.4699, 0.4387, 0.7470}, {0.1091, 0.8732, 0.5547}, {0.03815, 0.5743, 0.8828}}[i]
		q := 0.0
		for k := range x {
			q += a[k] * (x[k] - c[k]) * (x[k] - c[k])
		}
		sum += weight * math.Exp(-q)
	}
	return -sum
}

// curve makes an objective of a function.
func curve(final func(Params) float64, noise float64) Objective {
	return func(_ context.Context, p Params, budget int) (float64, error) {
		h := fnv.New64a()
		fmt.Fprint(h, p, budget)
		u := float64(h.Sum64()>>11) / (1 << 53)
		return final(p) + noise*(1+u)/float64(budget), nil
	}
}

// With each of 200 fixed seeds, a search against as many trials at the whole
// budget, drawn at random, as cost the same, rounded up. If neither were better,
// wins would follow a binomial distribution of 200 and ½, and 123 or more of them
// come by chance with a probability below 0.001 (100 + 3.1·√50 = 121.9).
func TestASearchBeatsRandomTrialsOfTheSameCost(t *testing.T) {
	const seeds, needed = 200, 123
	for _, f := range curves {
		for _, brackets := range []int{1, 5} {
			t.Run(fmt.Sprintf("%s with %d brackets", f.name, brackets), func(t *testing.T) {
				c := Config{Space: f.space, Trials: 81, Brackets: brackets, Eta: 3, MinBudget: 1, MaxBudget: 81, Workers: 2}
				cost := 0
				for _, b := range c.plan().brackets {
					for k, size := range b.sizes {
						cost += size * c.plan().budgets[b.start+k]
					}
				}
				random := Config{Space: f.space, Trials: ceilDiv(cost, c.MaxBudget), Brackets: 1, Eta: 3, MinBudget: c.MaxBudget, MaxBudget: c.MaxBudget, Workers: 2}
				wins, ours, theirs := 0, 0.0, 0.0
				for seed := range uint64(seeds) {
					c.Seed, random.Seed = seed, 1_000_000+seed
					a := f.final(mustRun(t, c, curve(f.final, f.noise), nil).Best.Params)
					b := f.final(mustRun(t, random, curve(f.final, f.noise), nil).Best.Params)
					ours, theirs = ours+a/seeds, theirs+b/seeds
					if a < b {
						wins++
					}
				}
				t.Logf("%d of %d won, mean %.4g against %.4g of %d random trials", wins, seeds, ours, theirs, random.Trials)
				if wins < needed || ours >= theirs {
					t.Errorf("won %d of %d, mean %.4g against %.4g", wins, seeds, ours, theirs)
				}
			})
		}
	}
}

func TestTheBestIsNearAKnownOptimum(t *testing.T) {
	for i, optimum := range []float64{0.397887, -3.86278} {
		f := curves[i]
		c := Config{Space: f.space, Trials: 729, Brackets: 1, Eta: 3, MinBudget: 1, MaxBudget: 729, Workers: 2, Seed: 1}
		got := f.final(mustRun(t, c, curve(f.final, f.noise), nil).Best.Params)
		// Of 729 random points about one lies in each 1/729 of the space.
		if got < optimum-1e-5 || got > optimum+0.3 {
			t.Errorf("%s: %v, the optimum is %v", f.name, got, optimum)
		}
	}
}
