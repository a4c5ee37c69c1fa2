package fleet

import (
	"math"
	"strconv"
)

// Metrics is how a run fared. Percentages and rates are rounded to six decimals,
// half to even on the exact binary value, which is what gets printed.
//
// With D the demand, s the instances in service, n those billed, r the instances
// required (see [Required]) and T the number of scored minutes:
type Metrics struct {
	ScoredMinutes    int     `json:"scored_minutes"`    // T
	ViolationMinutes int     `json:"violation_minutes"` // minutes with D > 0.9·s
	ViolationPct     float64 `json:"violation_pct"`     // 100 · violation minutes / T
	UnservedPct      float64 `json:"unserved_pct"`      // 100 · Σ max(0, D-s) / Σ D
	InstanceHours    float64 `json:"instance_hours"`    // Σ n / 60
	InServiceHours   float64 `json:"in_service_hours"`  // Σ s / 60
	MeanUtilisation  float64 `json:"mean_utilisation"`  // Σ D / Σ s
	ThetaU           float64 `json:"theta_U"`           // 100/T · Σ max(r-s, 0)/r
	ThetaO           float64 `json:"theta_O"`           // 100/T · Σ max(s-r, 0)/r
	TauU             float64 `json:"tau_U"`             // 100/T · #(s < r)
	TauO             float64 `json:"tau_O"`             // 100/T · #(s > r)
	Instability      float64 `json:"instability"`       // 100/pairs · Σ min(|sgn Δs - sgn Δr|, 1)
	Actions          int     `json:"actions"`           // minutes where n differs from the minute before, missing ones included
	ScaleOuts        int     `json:"scale_outs"`
	ScaleIns         int     `json:"scale_ins"`
	ReversalsPerDay  float64 `json:"reversals_per_day"` // sign changes in the sequence of non-zero Δn, per 1440 minutes
}

// Violated reports whether a demand is more than instances in service should carry.
func Violated(demand float64, inService int) bool {
	return demand > float64(Objective*float64(inService))+tolerance
}

// Measure returns the metrics of a run against the demand of its minutes. demand
// and scored have one entry per minute of the run. Figures that would divide by
// zero (no scored minute, no demand at all) are 0.
func Measure(demand []float64, scored []bool, run Run) Metrics {
	m := Metrics{}
	required := make([]int, len(demand))
	var offered, unserved, under, over []float64
	for i, d := range demand {
		required[i] = Required(d)
		if !scored[i] {
			continue
		}
		m.ScoredMinutes++
		s, r := float64(run.InService[i]), float64(required[i])
		if Violated(d, run.InService[i]) {
			m.ViolationMinutes++
		}
		m.InstanceHours += float64(run.Billed[i])
		m.InServiceHours += s
		offered = append(offered, d)
		unserved = append(unserved, max(0, d-s))
		under = append(under, max(r-s, 0)/r)
		over = append(over, max(s-r, 0)/r)
		if s < r {
			m.TauU++
		}
		if s > r {
			m.TauO++
		}
	}
	minutes := float64(m.ScoredMinutes)
	total := sum(offered)
	m.ViolationPct = round6(100 * ratio(float64(m.ViolationMinutes), minutes))
	m.UnservedPct = round6(ratio(100*sum(unserved), total))
	m.MeanUtilisation = round6(ratio(total, m.InServiceHours))
	m.InstanceHours = round6(m.InstanceHours / 60)
	m.InServiceHours = round6(m.InServiceHours / 60)
	m.ThetaU = round6(100 * ratio(sum(under), minutes))
	m.ThetaO = round6(100 * ratio(sum(over), minutes))
	m.TauU = round6(100 * ratio(m.TauU, minutes))
	m.TauO = round6(100 * ratio(m.TauO, minutes))
	m.Instability = round6(instability(run.InService, required, scored))
	m.countActions(run)
	return m
}

// instability returns the share, in percent, of the pairs of neighbouring scored
// minutes in which supply and need moved in different directions.
func instability(inService, required []int, scored []bool) float64 {
	pairs, apart := 0, 0
	for i := 1; i < len(required); i++ {
		if !scored[i] || !scored[i-1] {
			continue
		}
		pairs++
		if sign(inService[i]-inService[i-1]) != sign(required[i]-required[i-1]) {
			apart++
		}
	}
	return 100 * ratio(float64(apart), float64(pairs))
}

func (m *Metrics) countActions(run Run) {
	before, direction, reversals := run.Before, 0, 0
	for _, n := range run.Billed {
		if before < 0 {
			before = n
		}
		d := sign(n - before)
		before = n
		if d == 0 {
			continue
		}
		if direction != 0 && d != direction {
			reversals++
		}
		direction = d
		if d > 0 {
			m.ScaleOuts++
		} else {
			m.ScaleIns++
		}
	}
	m.Actions = m.ScaleOuts + m.ScaleIns
	m.ReversalsPerDay = round6(ratio(float64(reversals), float64(len(run.Billed))/(24*60)))
}

func sign(x int) int {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

// ratio returns a/b, and 0 for b = 0.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// round6 rounds to six decimals, half to even on the exact binary value; the
// decimal conversion does exactly that, a multiplication by 1e6 does not.
func round6(x float64) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(x, 'f', 6, 64), 64)
	if err != nil {
		panic(err) // FormatFloat's output always parses
	}
	return r
}

// sum adds up pairwise, in the order of summation that numpy documents for
// contiguous arrays and that the reference implementation therefore uses: blocks
// of up to 128 values in eight interleaved partial sums, larger inputs split in
// halves at a multiple of eight. The order matters to the last printed digit,
// and pairwise summation is the more accurate one anyway.
func sum(x []float64) float64 {
	n := len(x)
	switch {
	case n < 8:
		total := 0.0
		for _, v := range x {
			total += v
		}
		return total
	case n <= 128:
		var r [8]float64
		copy(r[:], x)
		i := 8
		for ; i < n-n%8; i += 8 {
			for j := range r {
				r[j] += x[i+j]
			}
		}
		total := ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]))
		for ; i < n; i++ {
			total += x[i]
		}
		return total
	}
	half := n / 2
	half -= half % 8
	return sum(x[:half]) + sum(x[half:])
}

// mean returns the arithmetic mean, NaN for nothing.
func mean(x []float64) float64 {
	if len(x) == 0 {
		return math.NaN()
	}
	return sum(x) / float64(len(x))
}
