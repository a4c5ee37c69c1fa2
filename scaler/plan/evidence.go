package plan

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/forescale/forescale/api"
)

// Evidence is what a policy may rest its wish on. Everything in it has been
// checked; what is missing is NaN or nil.
type Evidence struct {
	Basis   api.Basis
	Desired int // the group's present desired capacity
	// Serving is the number of instances that will carry the load if nothing is
	// done: Desired, or only those in service when the others are stuck.
	Serving int
	// Stuck is true when instances are missing for longer than they take to start.
	Stuck bool
	// Ahead is the forecast demand of the slots 1 .. LaunchSteps, never negative.
	// Nil: there is no usable forecast.
	Ahead []float64
	// Forecast is the checked forecast in full, nil when Ahead is.
	Forecast *api.Forecast
	// Demand is the newest measured demand, from below when Saturated.
	Demand float64
	// CPU is the measured utilisation in percent as it stands, that is over the
	// instances that were in service then. NaN when it is not fresh: a figure
	// that no action of ours can move must not be acted upon again and again.
	CPU float64
	// Saturated is true when the fresh CPU is so high that demand may be anything.
	Saturated bool
	InService int // instances in service now
}

// SaturatedCPU is the utilisation, in percent, from which on the demand is known
// only from below. It counts as a breach whatever the limits are.
const SaturatedCPU = 99.5

// PredictedCPU returns the highest utilisation, in percent of n instances, that
// the forecast expects within the launch window, and the step (1-based) at which
// it does. It is NaN without a forecast.
func (e Evidence) PredictedCPU(n int) (cpu float64, step int) {
	if e.Ahead == nil {
		return math.NaN(), 0
	}
	peak := 0
	for i, v := range e.Ahead {
		if v > e.Ahead[peak] {
			peak = i
		}
	}
	return utilisation(e.Ahead[peak], n), peak + 1
}

// LiveCPU returns the utilisation in percent that the newest measured load means
// for the desired capacity, NaN when it is not known. Without a measured demand
// the CPU itself is scaled by the share of instances that are in service by now.
// When instances are stuck, what runs must carry the load alone.
func (e Evidence) LiveCPU() float64 {
	byDemand := math.NaN()
	if finite(e.Demand) {
		byDemand = utilisation(e.Demand, e.Desired)
	}
	switch {
	case !finite(e.CPU):
		return byDemand
	case e.Stuck && finite(byDemand):
		return max(e.CPU, byDemand)
	case e.Stuck:
		return e.CPU
	case finite(e.Demand):
		return byDemand
	case e.InService < e.Desired:
		return utilisation(e.CPU/100*float64(e.InService), e.Desired)
	}
	return e.CPU
}

// utilisation is 100 · demand / n percent. No instance means no limit.
func utilisation(demand float64, n int) float64 {
	if n <= 0 {
		if demand > 0 {
			return math.Inf(1)
		}
		return 0
	}
	return 100 * demand / float64(n)
}

// LaunchSteps returns b, the number of steps ahead that an order made now, or
// not made now, has to answer for: the order comes into service after lead, and
// the next one can only follow a step later.
//
//	b = floor((step + lead) / step) + 1
func LaunchSteps(step, lead time.Duration) int { return int((step+max(0, lead))/step) + 1 }

// gather weighs what is known. What may not be used leaves a note on the path.
func gather(g Group, s State, o Observation, f *api.Forecast, tick time.Time, p *path) Evidence {
	c := *o.Capacity
	e := Evidence{
		Basis: api.BasisReactive, Desired: c.Desired, Serving: c.Desired, InService: c.InService,
		Demand: value(o.Values, api.SeriesDemand), CPU: value(o.Values, api.MetricCPU),
	}
	if stuck(g, s, c, tick) {
		e.Stuck, e.Serving = true, c.InService
		p.note(RuleStuck, "%d of %d instances have been missing for longer than a start takes (%s): they count neither as help nor as a reason to wait",
			c.Desired-c.InService, c.Desired, g.Lead+g.Step)
	}
	if g.Signal != SignalObserved {
		if err := check(g, f, tick); err != nil {
			p.note(RuleForecast, "the forecast is not used: %v", err)
		} else {
			e.Basis = api.BasisPredictive
			e.Forecast = f
			e.Ahead = make([]float64, LaunchSteps(g.Step, g.Lead))
			for i := range e.Ahead {
				e.Ahead[i] = max(0, f.Point[i]) // a slightly negative demand is none
			}
		}
	}
	if why := staleness(g, o, tick, e); why != "" {
		e.Basis = api.BasisHold
		e.CPU = math.NaN()
		p.note(RuleStale, "%s: no scale-in", why)
	}
	e.Saturated = e.CPU >= SaturatedCPU
	return e
}

// stuck reports whether instances are missing for longer than a start takes,
// counted from the later of the first tick that saw them missing and the last
// accepted scale-out.
func stuck(g Group, s State, c api.Capacity, tick time.Time) bool {
	if c.InService >= c.Desired || s.ShortSince.IsZero() {
		return false
	}
	since := s.ShortSince
	if s.LastOut.After(since) {
		since = s.LastOut
	}
	return tick.Sub(since) > g.Lead+g.Step
}

// staleness returns why the metrics are not fresh, "" when they are.
func staleness(g Group, o Observation, tick time.Time, e Evidence) string {
	if o.Slot.IsZero() || !finite(e.Demand) && !finite(e.CPU) {
		return "no load was measured"
	}
	age := tick.Sub(o.Slot.Add(g.Step))
	if limit := time.Duration(g.StaleAfter) * g.Step; age > limit {
		return fmt.Sprintf("the newest load is of %s, %s before this tick (limit %s)", clock(o.Slot), age, limit)
	}
	if age < 0 {
		return fmt.Sprintf("the newest load is of %s, after this tick", clock(o.Slot))
	}
	return ""
}

// check returns why the forecast may not be used, nil when it may.
func check(g Group, f *api.Forecast, tick time.Time) error {
	need := LaunchSteps(g.Step, g.Lead)
	switch {
	case f == nil:
		return errors.New("it is missing")
	case f.Error != nil:
		return f.Error
	case f.Group != g.Name:
		return fmt.Errorf("it is for group %q", f.Group)
	case !f.IssuedAt.Equal(tick):
		return fmt.Errorf("it was issued at %s, not at this tick", f.IssuedAt.UTC().Format(time.RFC3339))
	case time.Duration(f.StepSeconds)*time.Second != g.Step:
		return fmt.Errorf("its step is %d s, not %s", f.StepSeconds, g.Step)
	case len(f.Point) < need:
		return fmt.Errorf("it reaches %d steps ahead, the launch window needs %d", len(f.Point), need)
	}
	for i, v := range f.Point {
		if !finite(v) {
			return fmt.Errorf("point[%d] is %v", i, v)
		}
	}
	return checkQuantiles(f)
}

func checkQuantiles(f *api.Forecast) error {
	for i, q := range f.Quantiles {
		if !(q > 0 && q < 1) || i > 0 && q <= f.Quantiles[i-1] {
			return fmt.Errorf("its quantile levels %v are not ascending within (0, 1)", f.Quantiles)
		}
	}
	if len(f.Quantiles) == 0 && len(f.Values) == 0 {
		return nil
	}
	if len(f.Values) != len(f.Point) {
		return fmt.Errorf("it has quantiles for %d of %d steps", len(f.Values), len(f.Point))
	}
	for i, row := range f.Values {
		if len(row) != len(f.Quantiles) {
			return fmt.Errorf("values[%d] has %d of %d quantiles", i, len(row), len(f.Quantiles))
		}
		for j, v := range row {
			if !finite(v) {
				return fmt.Errorf("values[%d][%d] is %v", i, j, v)
			}
			if j > 0 && v < row[j-1] {
				return fmt.Errorf("values[%d] is not in order: %v before %v", i, row[j-1], v)
			}
		}
	}
	return nil
}

// value returns a measured value, NaN when it is missing or cannot be one.
func value(values map[string]float64, name string) float64 {
	if v, ok := values[name]; ok && finite(v) && v >= 0 {
		return v
	}
	return math.NaN()
}

func clock(t time.Time) string { return t.UTC().Format("15:04") }
