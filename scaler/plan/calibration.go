package plan

import (
	"math"
	"slices"
	"time"

	"github.com/forescale/forescale/api"
)

// Calibration is what a group's own recent past says of its forecasts. It is
// carried from tick to tick, and a few hundred bytes large.
//
// A forecast's quantiles are right on average over the data that it was
// calibrated on, and drift away from there. So each slot that comes true is
// compared with the forecasts that were issued for it (Residuals), and what is
// decided upon is the forecast's median and spread with the distribution that
// residuals have really had of late. Sources: Gibbs and Candès 2021 for the
// feedback, Lei et al. 2018 for residuals in units of a learned spread.
type Calibration struct {
	Residuals Residuals `json:"residuals"`
	// Issued are the newest forecasts, the newest first, as long as a step of theirs
	// has not come true.
	Issued []Issued `json:"issued,omitempty"`
	// Error is the usual size of the error one step ahead, in instance-equivalents:
	// the spread of forecasts that have none themselves.
	Error float64 `json:"error,omitempty"`
	// Peaks are the greatest demands of the last days, the newest last.
	Peaks []Peak `json:"peaks,omitempty"`
	// Recent are the newest demands, the newest last.
	Recent []float32 `json:"recent,omitempty"`
	// Above and Below are the shares of slots, fading with coverageMemory, that
	// exceeded the upper or fell below the lower quantile of the forecast for one
	// step ahead, and Seen is how many slots they rest on.
	Above float64 `json:"above,omitempty"`
	Below float64 `json:"below,omitempty"`
	// Astray is the share of the last few slots outside of both, see Safety.
	Astray float64 `json:"astray,omitempty"`
	Seen   int     `json:"seen,omitempty"`
	// Slot is the newest slot that has been entered.
	Slot time.Time `json:"slot,omitzero"`
}

// Issued is a forecast that was made at a tick.
type Issued struct {
	At    time.Time `json:"at"`
	Steps []Spread  `json:"steps"`
}

// Peak is the greatest demand of a day, in UTC.
type Peak struct {
	Day    int     `json:"day"` // since 1970-01-01
	Demand float32 `json:"demand"`
}

const (
	// priorResiduals is how many residuals the forecast's own claim counts for, and
	// memory how many fade to 1/e: of three steps a slot, about a day and five days
	// of five-minute slots. Both were chosen on the first 80 % of the traces, where
	// half or twice of either changes little.
	priorResiduals = 1000
	memory         = 4000
	// peakDays is how many days the greatest demand is remembered for.
	peakDays = 14
	// recentDemands is how many of the newest demands are remembered.
	recentDemands = 3
	// coverageMemory and astrayMemory are in slots.
	coverageMemory = 288
	astrayMemory   = 12
	// firstError is the error of a point forecast of which none has come true, as a
	// part of the demand.
	firstError = 0.1
)

// learn enters the slot that has just been measured: its demand, in
// instance-equivalents. A slot that was only seen from below teaches that the
// demand was at least so much, which no residual can hold: it is left out.
func (c Calibration) learn(slot time.Time, demand float64, step time.Duration) Calibration {
	if !slot.After(c.Slot) || !finite(demand) {
		return c
	}
	c.Slot = slot
	c.Peaks = remember(c.Peaks, slot, demand)
	c.Recent = append(slices.Clone(c.Recent), float32(demand))
	c.Recent = c.Recent[max(0, len(c.Recent)-recentDemands):]
	for _, f := range c.Issued {
		k := int(slot.Sub(f.At)/step) + 1 // step 1 is the slot that begins at the tick
		if slot.Before(f.At) || k > len(f.Steps) {
			continue
		}
		s := f.Steps[k-1]
		c.Residuals = c.Residuals.add(s.residual(demand), memory)
		if k == 1 {
			c = c.cover(s, demand)
		}
	}
	return c
}

// cover enters the slot into the shares that tell how good the forecasts are.
func (c Calibration) cover(s Spread, demand float64) Calibration {
	above, below := 0.0, 0.0
	if demand > float64(s.Median+s.Up) {
		above = 1
	}
	if demand < float64(s.Median-s.Down) {
		below = 1
	}
	fade := func(v *float64, x, memory float64) {
		rate := max(1/memory, 1/float64(c.Seen+1))
		*v += rate * (x - *v)
	}
	fade(&c.Above, above, coverageMemory)
	fade(&c.Below, below, coverageMemory)
	fade(&c.Error, math.Abs(demand-float64(s.Median)), coverageMemory)
	c.Astray += (above + below - c.Astray) / astrayMemory
	c.Seen++
	return c
}

// issue enters the forecast of a tick and returns the outlook that it gives.
func (c Calibration) issue(f *api.Forecast, steps int, tick time.Time, step time.Duration) (Calibration, *Outlook) {
	scale := c.Error
	if scale <= 0 {
		scale = max(leastSpread, firstError*f.Point[0])
	}
	ahead := spreads(f, steps, scale)
	if c.Residuals.Empty() {
		c.Residuals = prior(priorResiduals, claimed(f, ahead[0]))
	}
	last := tick.Add(-time.Duration(steps-1) * step) // older ones have come true
	kept := slices.DeleteFunc(slices.Clone(c.Issued), func(i Issued) bool { return i.At.Before(last) || !i.At.Before(tick) })
	c.Issued = append([]Issued{{tick, ahead}}, kept...)
	return c, &Outlook{Steps: ahead, tail: c.Residuals.tail(), Reach: c.reach()}
}

// Coverage returns the share of slots between the forecasts' lower and upper
// quantile, NaN when none has come true.
func (c Calibration) Coverage() float64 {
	if c.Seen == 0 {
		return math.NaN()
	}
	return 1 - c.Above - c.Below
}

const (
	reachDays  = 1.1 // times the greatest demand of the last days
	reachLevel = 1.5 // times the greatest of the newest demands
	reachKnown = 7   // days that must be known
)

// reach is the demand that the tail of the residuals is believed up to: what has
// not been seen for two weeks, is not near and is not forecast either, is no
// reason to order instances.
//
//	reach = max(1.1 · greatest of 14 days, 1.5 · greatest of the last 3 slots)
//
// It is infinite until a week is known.
func (c Calibration) reach() float64 {
	if len(c.Peaks) < reachKnown {
		return math.Inf(1)
	}
	peak := 0.0
	for _, p := range c.Peaks {
		peak = max(peak, float64(p.Demand))
	}
	level := float32(0)
	for _, v := range c.Recent {
		level = max(level, v)
	}
	return max(reachDays*peak, reachLevel*float64(level))
}

// usual returns the median of the daily peaks, 0 when there is none.
func (c Calibration) usual() float64 {
	if len(c.Peaks) == 0 {
		return 0
	}
	demands := make([]float32, len(c.Peaks))
	for i, p := range c.Peaks {
		demands[i] = p.Demand
	}
	slices.Sort(demands)
	return float64(demands[len(demands)/2])
}

// remember enters a demand into the daily peaks.
func remember(peaks []Peak, slot time.Time, demand float64) []Peak {
	day := int(slot.Unix() / (24 * 60 * 60))
	peaks = slices.Clone(peaks)
	if n := len(peaks); n > 0 && peaks[n-1].Day == day {
		peaks[n-1].Demand = max(peaks[n-1].Demand, float32(demand))
		return peaks
	}
	peaks = append(peaks, Peak{day, float32(demand)})
	return peaks[max(0, len(peaks)-peakDays):]
}

// Recall returns the state of a group whose past demand is known, in
// instance-equivalents, one value per step from start on, NaN where it is not.
// A first decision then knows what the group has borne before.
func (s State) Recall(start time.Time, step time.Duration, demands []float64) State {
	for i, d := range demands {
		s.Calibration = s.Calibration.learn(start.Add(time.Duration(i)*step), d, step)
	}
	return s
}

// Remind returns the state of a group that has decided already, with the daily peaks
// of its past, which is given as to Recall.
func (s State) Remind(start time.Time, step time.Duration, demands []float64) State {
	past := State{}.Recall(start, step, demands).Calibration.Peaks
	own := slices.Clone(s.Calibration.Peaks)
	if len(own) > 0 {
		for len(past) > 0 && past[len(past)-1].Day >= own[0].Day {
			if last := past[len(past)-1]; last.Day == own[0].Day {
				own[0].Demand = max(own[0].Demand, last.Demand)
			}
			past = past[:len(past)-1]
		}
	}
	peaks := append(past, own...)
	s.Calibration.Peaks = peaks[max(0, len(peaks)-peakDays):]
	return s
}
