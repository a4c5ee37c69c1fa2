package fleet

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// The constants of the evaluation. Demand is scaled so that the 99.5th
// percentile of the training part needs peakInstances at peakUtilisation.
const (
	MinInstances = 2   // smallest fleet; a desired capacity is clipped to it
	MaxInstances = 60  // largest fleet
	Objective    = 0.9 // utilisation above which a minute is a violation

	peakInstances   = 20
	peakUtilisation = 0.6
	peakQuantile    = 0.995

	// tolerance keeps a demand that fills its instances exactly, up to rounding,
	// from asking for one more.
	tolerance = 1e-9
)

// Demand is the load offered to a fleet: constant within each slot, in
// instance-equivalents. It is immutable once made and may be shared.
type Demand struct {
	Start   time.Time     // start of slot 0, UTC
	Step    time.Duration // length of a slot, a whole number of minutes
	Slots   []float64     // instance-equivalents, >= 0, finite; a missing slot carries the last known value
	Missing []bool        // slots that were not observed: simulated, but not scored
	// Unit is what one instance-equivalent is worth in the unit of the values
	// that the demand was scaled from: value = demand x Unit.
	Unit float64
}

// NewDemand scales a trace to instance-equivalents. Value i belongs to the slot
// that starts at start + i·step; NaN marks a slot without observation. Leading
// missing slots are dropped, later ones carry the last known value forward.
//
//	P = 99.5th percentile of the observed values of slots 0 .. floor(0.7 N)-1
//	d_i = 12 · y_i / P          12 = 20 instances at 60 %
//
// It is an error when the step is not a whole number of minutes, when a value is
// negative or infinite, and when P is not positive.
func NewDemand(start time.Time, step time.Duration, values []float64) (*Demand, error) {
	if step < time.Minute || step%time.Minute != 0 {
		return nil, fmt.Errorf("demand: step %v is not a whole number of minutes; give a row per minute or per several, with the sum or the mean of what is in between", step)
	}
	first := slices.IndexFunc(values, func(v float64) bool { return !math.IsNaN(v) })
	if first < 0 {
		return nil, fmt.Errorf("demand: none of the %d slots has a value", len(values))
	}
	for i, v := range values {
		if v < 0 || math.IsInf(v, 0) {
			return nil, fmt.Errorf("demand: slot %d is %v (at %s), must be a finite number that is not negative", i, v, start.Add(time.Duration(i)*step).UTC().Format(time.RFC3339))
		}
	}
	values = values[first:]
	d := &Demand{
		Start:   start.UTC().Add(time.Duration(first) * step),
		Step:    step,
		Slots:   make([]float64, len(values)),
		Missing: make([]bool, len(values)),
	}
	peak := percentile(values[:d.TrainEnd()], peakQuantile)
	if !(peak > 0) {
		return nil, fmt.Errorf("demand: there is no load to speak of: the 99.5th percentile of the first 70 %% of %d slots is %v, must be positive; begin the history where the load does", len(values), peak)
	}
	const peakDemand = peakInstances * peakUtilisation
	d.Unit = peak / peakDemand
	factor := peakDemand / peak
	for i, v := range values {
		if d.Missing[i] = math.IsNaN(v); d.Missing[i] {
			d.Slots[i] = d.Slots[i-1]
		} else {
			d.Slots[i] = v * factor
		}
	}
	return d, nil
}

// percentile returns the q-quantile of the values that are not NaN, linearly
// interpolated at position q·(count-1) of their sorted order; NaN for none.
func percentile(values []float64, q float64) float64 {
	sorted := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if len(sorted) == 0 {
		return math.NaN()
	}
	slices.Sort(sorted)
	pos := q * float64(len(sorted)-1)
	lo := int(pos)
	hi := min(lo+1, len(sorted)-1)
	// The conversion keeps the compiler from fusing the product into the sum,
	// which would change the last digit from one machine to another.
	return sorted[lo] + float64((pos-float64(lo))*(sorted[hi]-sorted[lo]))
}

// TrainEnd returns floor(0.7 N): models are trained on slots before it.
func (d *Demand) TrainEnd() int { return len(d.Slots) * 7 / 10 }

// ScoreStart returns floor(0.8 N), the first slot that is scored.
func (d *Demand) ScoreStart() int { return len(d.Slots) * 8 / 10 }

// SlotMinutes returns the length of a slot in minutes.
func (d *Demand) SlotMinutes() int { return int(d.Step / time.Minute) }

// Minutes returns the number of minutes that the demand covers.
func (d *Demand) Minutes() int { return len(d.Slots) * d.SlotMinutes() }

// End returns the end of the last slot.
func (d *Demand) End() time.Time { return d.Start.Add(time.Duration(len(d.Slots)) * d.Step) }

// At returns the demand of minute m, which must lie in [0, Minutes()).
func (d *Demand) At(m int) float64 { return d.Slots[m/d.SlotMinutes()] }

// Scored reports whether minute m belongs to a slot that was observed.
func (d *Demand) Scored(m int) bool { return !d.Missing[m/d.SlotMinutes()] }

// Minute returns the index of the minute that holds t. It is negative before
// Start and may lie past the last minute.
func (d *Demand) Minute(t time.Time) int {
	return int(math.Floor(t.Sub(d.Start).Minutes()))
}

// Time returns the start of minute m.
func (d *Demand) Time(m int) time.Time { return d.Start.Add(time.Duration(m) * time.Minute) }

// Required returns the smallest number of instances, at least MinInstances, that
// serves a demand without a violation.
func Required(demand float64) int {
	return max(MinInstances, int(math.Ceil(demand/Objective-tolerance)))
}

// clip bounds a desired capacity.
func clip(desired, least, most int) int { return max(least, min(most, desired)) }
