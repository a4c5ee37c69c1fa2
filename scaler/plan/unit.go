package plan

import (
	"fmt"
	"math"
	"slices"
)

// Unit is how much of another load, such as requests per step, makes one
// instance-equivalent: what an instance does at 100 % CPU.
type Unit struct {
	PerInstance float64 `json:"per_instance"`
	// Error is the relative standard error of PerInstance, and Spread the relative
	// standard deviation of single slots around it.
	Error  float64 `json:"error"`
	Spread float64 `json:"spread"`
	N      int     `json:"n"` // slots that it rests on
}

const (
	// unitLowCPU and unitHighCPU bound the slots that teach: an idle instance's CPU
	// is mostly not the requests', and a full one's hides how many it turned away.
	unitLowCPU, unitHighCPU = 10, 90
	// unitLeast is how many slots a fit needs.
	unitLeast = 24
	// madScale makes the median absolute deviation of normal values their standard
	// deviation, and medianScale the standard error of a mean that of a median.
	madScale, medianScale = 1.4826, 1.2533
	// unitTolerance is by how much, besides three standard errors, the newest slots
	// may differ before a unit no longer holds.
	unitTolerance = 0.15
)

// FitUnit learns the unit from slots of a group: its load, its CPU in percent and
// its instances in service, NaN where they are not known. It is the median of
//
//	load / (cpu/100 · instances)
//
// over the slots of medium CPU, which no outlier moves; its errors are of the
// median absolute deviation. ok is false when there are too few such slots.
func FitUnit(load, cpu, instances []float64) (u Unit, ok bool) {
	var ratios []float64
	for i := range load {
		if load[i] > 0 && cpu[i] >= unitLowCPU && cpu[i] <= unitHighCPU && instances[i] > 0 {
			ratios = append(ratios, load[i]/(cpu[i]/100*instances[i]))
		}
	}
	if len(ratios) < unitLeast {
		return Unit{}, false
	}
	middle := median(ratios)
	for i, r := range ratios {
		ratios[i] = math.Abs(r - middle)
	}
	u = Unit{PerInstance: middle, Spread: madScale * median(ratios) / middle, N: len(ratios)}
	u.Error = medianScale * u.Spread / math.Sqrt(float64(u.N))
	return u, finite(u.PerInstance) && u.PerInstance > 0
}

// median sorts the values and returns their median.
func median(v []float64) float64 {
	slices.Sort(v)
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}

// Holds reports whether newer slots agree with the unit, and what they say: a new
// release may serve fewer requests with the same CPU. Too few slots contradict
// nothing.
func (u Unit) Holds(load, cpu, instances []float64) (bool, string) {
	newer, ok := FitUnit(load, cpu, instances)
	if !ok {
		return true, ""
	}
	off := newer.PerInstance/u.PerInstance - 1
	limit := unitTolerance + 3*math.Hypot(u.Error, newer.Error)
	if math.Abs(off) <= limit {
		return true, ""
	}
	return false, fmt.Sprintf("an instance did %.4g at full CPU and of late %.4g, %+.0f %% (limit %.0f %%)",
		u.PerInstance, newer.PerInstance, 100*off, 100*limit)
}
