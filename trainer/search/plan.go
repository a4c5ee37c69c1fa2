package search

// plan says which trials are evaluated with which budget.
type plan struct {
	budgets  []int // by rung, ascending
	brackets []bracket
}

// bracket is a run of trials that are halved among themselves.
type bracket struct {
	start int   // the rung that it begins in
	first int   // the number of its first trial; the others follow
	sizes []int // trials in the rungs start, start+1, …: the last rung is the plan's last
}

// rungs returns how many rungs there are: one more for every time that both the
// trials and the budget can be divided by eta,
//
//	1 + max k: eta^k ≤ trials, min_budget·eta^k ≤ max_budget
func (c Config) rungs() int {
	n := 1
	for p := c.Eta; p <= c.Trials && c.MinBudget*p <= c.MaxBudget; p *= c.Eta {
		n++
	}
	return n
}

// plan lays out the rungs and brackets. With K+1 rungs, a bracket that begins s
// rungs before the last has (Li et al. 2018, algorithm 1, where trials = eta^K)
//
//	n_s = ⌈trials · (K+1)/(s+1) · eta^(s-K)⌉ trials at first, ⌊n_s / eta^i⌋ after i rungs,
//
// and a rung k below the last the budget max_budget / eta^k, rounded.
func (c Config) plan() plan {
	rungs := c.rungs()
	p := plan{budgets: make([]int, rungs)}
	power := 1 // eta to the number of rungs below the last
	for r := rungs - 1; r >= 0; r-- {
		p.budgets[r] = (2*c.MaxBudget + power) / (2 * power)
		power *= c.Eta
	}
	first, late := 0, 1 // late is eta to the number of rungs left out
	for start := range c.Brackets {
		left := rungs - start
		b := bracket{start: start, first: first, sizes: make([]int, left)}
		n := ceilDiv(c.Trials*rungs, left*late)
		for i := range b.sizes {
			b.sizes[i] = n
			n /= c.Eta
		}
		p.brackets = append(p.brackets, b)
		first += b.sizes[0]
		late *= c.Eta
	}
	return p
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// trials returns the number of all trials.
func (p plan) trials() int {
	last := p.brackets[len(p.brackets)-1]
	return last.first + last.sizes[0]
}

// evaluations returns the number of evaluations, if no trial fails.
func (p plan) evaluations() int {
	n := 0
	for _, b := range p.brackets {
		for _, size := range b.sizes {
			n += size
		}
	}
	return n
}
