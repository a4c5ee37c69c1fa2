package fleet

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// warmUpMinutes is how long before the scoring window a replay begins.
const warmUpMinutes = 24 * 60

// Replay carries out a capacity plan against a demand and returns minutes
// [from, to). lead is the lead time in minutes. It begins warmUpMinutes before
// from, or at the plan's first order when that is later, with that moment's
// desired capacity in service. The plan must reach back to from.
func Replay(d *Demand, plan Plan, from, to, lead int) (Run, error) {
	if len(plan) == 0 {
		return Run{}, fmt.Errorf("replay: the capacity plan is empty")
	}
	if from < 0 || from >= to || to > d.Minutes() {
		return Run{}, fmt.Errorf("replay: minutes %d to %d are not within the %d minutes of the demand", from, to, d.Minutes())
	}
	orders := slices.Clone(plan)
	slices.SortStableFunc(orders, func(a, b Order) int { return d.Minute(a.Time) - d.Minute(b.Time) })
	first := max(d.Minute(orders[0].Time), from-warmUpMinutes)
	if first > from {
		return Run{}, fmt.Errorf("replay: the capacity plan begins at %s, after the scoring window opens at %s",
			orders[0].Time.UTC().Format(time.RFC3339), d.Time(from).Format(time.RFC3339))
	}
	initial := orders[0].Desired
	for len(orders) > 0 && d.Minute(orders[0].Time) <= first {
		initial, orders = orders[0].Desired, orders[1:]
	}
	sim := NewSimulation(d, first, clip(initial, MinInstances, MaxInstances))
	fixed := func() int { return lead }
	for sim.Minute() < to {
		for len(orders) > 0 && d.Minute(orders[0].Time) <= sim.Minute() {
			sim.Pool.Order(sim.Minute(), clip(orders[0].Desired, MinInstances, MaxInstances), fixed)
			orders = orders[1:]
		}
		sim.Step()
	}
	return sim.run(from, to), nil
}

// Simulate lets a controller run a fleet and returns minutes [from, to). lead is
// the lead time in minutes. It begins warmUpMinutes before from, or at minute 0,
// with enough instances for 60 % utilisation.
func Simulate(d *Demand, c Controller, from, to, lead int) (Run, error) {
	run, _, err := SimulatePlan(d, c, from, to, lead)
	return run, err
}

// SimulatePlan is Simulate; it returns the plan as well that reproduces the run
// from the warm-up's first minute on, so that Judge finds in it what Measure
// finds in the run.
func SimulatePlan(d *Demand, c Controller, from, to, lead int) (Run, Plan, error) {
	if from < 0 || from >= to || to > d.Minutes() {
		return Run{}, nil, fmt.Errorf("simulate: minutes %d to %d are not within the %d minutes of the demand", from, to, d.Minutes())
	}
	first := WarmUp(from)
	initial := int(math.Ceil(d.At(first)/peakUtilisation - tolerance))
	sim := NewSimulation(d, first, clip(initial, MinInstances, MaxInstances))
	sim.grow(to - first)
	fixed := func() int { return lead }
	for sim.Minute() < to {
		desired := clip(c.Decide(sim.View()), MinInstances, MaxInstances)
		if desired != sim.Pool.Billed() {
			sim.Pool.Order(sim.Minute(), desired, fixed)
		}
		sim.Step()
	}
	return sim.run(from, to), sim.run(first, to).Plan(d), nil
}

// WarmUp returns the minute at which a simulation of the minutes from on begins.
func WarmUp(from int) int { return max(0, from-warmUpMinutes) }

// Plan returns the run as the orders that reproduce it: one for its first minute
// and one for each change of what is billed.
func (r Run) Plan(d *Demand) Plan {
	var plan Plan
	for i, n := range r.Billed {
		if i == 0 || n != r.Billed[i-1] {
			plan = append(plan, Order{Time: d.Time(r.From + i), Desired: n})
		}
	}
	return plan
}

// Verdict is the judgement of a capacity plan against the last 20 % of a demand.
type Verdict struct {
	Metrics
	OracleInstanceHours float64   `json:"oracle_instance_hours"`
	OracleViolationPct  float64   `json:"oracle_violation_pct"`
	RatioToOracle       float64   `json:"ratio_to_oracle"` // instance-hours over the oracle's
	LeadMinutes         int       `json:"lead_minutes"`
	IntervalSeconds     int       `json:"interval_s"`
	Slots               int       `json:"slots"`
	ScoreFrom           time.Time `json:"score_from"`
	ScoreTo             time.Time `json:"score_to"`
	PeakDemand          float64   `json:"peak_demand"` // of the scored minutes, instance-equivalents
	MeanDemand          float64   `json:"mean_demand"`
}

// Judge replays a plan over the last 20 % of a demand and compares it with the
// oracle of the same lead time, in minutes.
func Judge(d *Demand, plan Plan, lead int) (Verdict, error) {
	from, to := d.ScoreStart()*d.SlotMinutes(), d.Minutes()
	run, err := Replay(d, plan, from, to, lead)
	if err != nil {
		return Verdict{}, err
	}
	demand, scored := d.Window(from, to)
	best := Measure(demand, scored, Oracle(demand, from, lead))
	v := Verdict{
		Metrics:             Measure(demand, scored, run),
		OracleInstanceHours: best.InstanceHours,
		OracleViolationPct:  best.ViolationPct,
		LeadMinutes:         lead,
		IntervalSeconds:     int(d.Step / time.Second),
		Slots:               len(d.Slots),
		ScoreFrom:           d.Time(from),
		ScoreTo:             d.Time(to),
		PeakDemand:          round6(slices.Max(demand)),
		MeanDemand:          round6(mean(demand)),
	}
	v.RatioToOracle = round6(ratio(v.InstanceHours, v.OracleInstanceHours))
	return v, nil
}

// Window returns the demand of minutes [from, to) and whether each is scored.
func (d *Demand) Window(from, to int) (demand []float64, scored []bool) {
	for m := from; m < to; m++ {
		demand = append(demand, d.At(m))
		scored = append(scored, d.Scored(m))
	}
	return demand, scored
}
