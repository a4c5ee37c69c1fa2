package search

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

func TestPlan(t *testing.T) {
	for _, tt := range []struct {
		name    string
		c       Config
		budgets []int
		sizes   [][]int // by bracket
	}{
		// The table in section 3.3 of Li et al. 2018: R = 81, η = 3.
		{"Hyperband with budgets to 81 by 3", Config{Trials: 81, Brackets: 5, Eta: 3, MinBudget: 1, MaxBudget: 81},
			[]int{1, 3, 9, 27, 81}, [][]int{{81, 27, 9, 3, 1}, {34, 11, 3, 1}, {15, 5, 1}, {8, 2}, {5}}},
		{"one bracket halves", Config{Trials: 8, Brackets: 1, Eta: 2, MinBudget: 10, MaxBudget: 80}, []int{10, 20, 40, 80}, [][]int{{8, 4, 2, 1}}},
		{"few trials begin above the least budget", Config{Trials: 9, Brackets: 1, Eta: 3, MinBudget: 1, MaxBudget: 81}, []int{9, 27, 81}, [][]int{{9, 3, 1}}},
		{"many trials leave several in the last rung", Config{Trials: 30, Brackets: 1, Eta: 3, MinBudget: 10, MaxBudget: 90}, []int{10, 30, 90}, [][]int{{30, 10, 3}}},
		{"a budget that eta does not divide is rounded, never below the least", Config{Trials: 27, Brackets: 1, Eta: 3, MinBudget: 3, MaxBudget: 100}, []int{4, 11, 33, 100}, [][]int{{27, 9, 3, 1}}},
		{"equal budgets are a random search", Config{Trials: 9, Brackets: 1, Eta: 3, MinBudget: 5, MaxBudget: 5}, []int{5}, [][]int{{9}}},
		{"one trial has the whole budget", Config{Trials: 1, Brackets: 1, Eta: 3, MinBudget: 1, MaxBudget: 9}, []int{9}, [][]int{{1}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := tt.c.plan()
			var sizes [][]int
			for _, b := range p.brackets {
				sizes = append(sizes, b.sizes)
			}
			if !reflect.DeepEqual(p.budgets, tt.budgets) || !reflect.DeepEqual(sizes, tt.sizes) {
				t.Errorf("budgets %v, sizes %v", p.budgets, sizes)
			}
		})
	}
}

func TestEveryPlanKeepsItsPromises(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		c := Config{Space: Space{"a": Uniform(0, 1), "b": Uniform(0, 1)}, Trials: 1 + rng.IntN(300), Eta: 2 + rng.IntN(5), MinBudget: 1 + rng.IntN(20), Workers: 1}
		c.MaxBudget = c.MinBudget + rng.IntN(2000)
		c.Brackets = 1 + rng.IntN(c.rungs())
		if err := c.Validate(); err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		p := c.plan()
		check := func(ok bool, what string) {
			t.Helper()
			if !ok {
				t.Fatalf("%s: %+v gives %+v", what, c, p)
			}
		}
		last := len(p.budgets) - 1
		check(p.budgets[last] == c.MaxBudget && p.budgets[0] >= c.MinBudget, "the bounds of the budget")
		for r := range last {
			exact := float64(c.MaxBudget) / math.Pow(float64(c.Eta), float64(last-r))
			check(math.Abs(float64(p.budgets[r])-exact) <= 0.5, "a budget is the last by a power of eta")
			check(p.budgets[r] < p.budgets[r+1], "budgets grow")
		}
		next := 0
		for i, b := range p.brackets {
			check(b.start == i && b.first == next && len(b.sizes) == last+1-i, "brackets follow one another and end in the last rung")
			next += b.sizes[0]
			for k, size := range b.sizes {
				check(size >= 1, "no rung is empty")
				check(k == 0 || size == b.sizes[k-1]/c.Eta, "one in eta goes on")
			}
		}
		check(p.brackets[0].sizes[0] == c.Trials, "the first bracket has the trials asked for")
		check(p.trials() == next, "trials are numbered without a hole")
	}
}
