package fleet

// Oracle returns the cheapest fleet that knows the whole demand in advance and
// has no violation minute, for a lead time in minutes. From names its first
// minute; demand has one entry per minute.
//
// The levels of a fleet do not depend on each other: the k-th instance is needed
// wherever the required number is at least k. A gap of at most lead minutes
// between two such runs is bridged; before a longer gap the instance is
// terminated, and its next launch is billed lead minutes ahead of time (not
// before the window). Choosing the cheaper way in each gap of each level is
// exact, because starting early costs exactly the lead time.
func Oracle(demand []float64, from, lead int) Run {
	minutes := len(demand)
	run := Run{From: from, InService: make([]int, minutes), Billed: make([]int, minutes), Before: -1}
	required := make([]int, minutes)
	top := MinInstances
	for m, d := range demand {
		required[m] = clip(Required(d), MinInstances, MaxInstances)
		top = max(top, required[m])
		run.InService[m], run.Billed[m] = MinInstances, MinInstances
	}
	for level := MinInstances + 1; level <= top; level++ {
		run.addLevel(required, level, lead)
	}
	return run
}

// addLevel adds the instance that is needed wherever required >= level.
func (r *Run) addLevel(required []int, level, lead int) {
	lastEnd := -1 // end of the level's previous run, exclusive
	for m := 0; m < len(required); m++ {
		if required[m] < level {
			continue
		}
		start := m
		for m < len(required) && required[m] >= level {
			r.InService[m]++
			r.Billed[m]++
			m++
		}
		if lastEnd >= 0 && start-lastEnd <= lead {
			for k := lastEnd; k < start; k++ {
				r.InService[k]++
				r.Billed[k]++
			}
		} else {
			for k := max(0, start-lead); k < start; k++ {
				r.Billed[k]++
			}
		}
		lastEnd = m
	}
}
