package plan

import (
	"cmp"
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
	// Stuck is true when instances are missing for longer than they take to start,
	// and Failing when that is because launches fail: the provider then tries for
	// Desired all the time, and to ask for more is of no use.
	Stuck, Failing bool
	// Missing is how many instances are stuck: all that are missing, or, where
	// launches fail, those of them that have been launched.
	Missing int
	// Ahead is the forecast demand of the slots 1 .. LaunchSteps, never negative.
	// Nil: there is no usable forecast.
	Ahead []float64
	// Demand is the newest measured demand, from below when Saturated.
	Demand float64
	// CPU is the measured utilisation in percent as it stands, that is over the
	// instances that were in service then. NaN when it is not fresh: a figure
	// that no action of ours can move must not be acted upon again and again.
	CPU float64
	// Saturated is true when the fresh CPU is so high that demand may be anything.
	Saturated bool
	InService int // instances in service now
	// Outlook is the calibrated distribution of demand ahead; nil: there is no usable
	// forecast, or it is not trusted.
	Outlook *Outlook
	// Order is the time that an order made now answers for: from when it serves
	// until the next one can. Hold is the time in which an instance that is let go
	// now cannot be had back, a quarter of an hour at least.
	Order, Hold span
	// Young is how many instances of the group's own orders came into service in the
	// newest slot or just before: their CPU is their start, and not load.
	Young int
	// UsualPeak is the median of the last days' greatest demands, 0 when unknown.
	UsualPeak float64
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

// LiveDemand returns the newest measured load in instance-equivalents, NaN when it
// is not known. Without a measured demand it is the CPU of as many instances as
// are in service by now; where instances are stuck, and have not come since, the
// greater of both.
func (e Evidence) LiveDemand() float64 {
	byCPU := e.CPU / 100 * float64(e.InService)
	switch {
	case !finite(e.Demand):
		return byCPU
	case e.Stuck && byCPU > e.Demand:
		return byCPU
	}
	return e.Demand
}

// LiveCPU returns the utilisation in percent that the newest measured load means
// for the desired capacity, NaN when it is not known. When instances are stuck,
// what runs must carry the load alone.
func (e Evidence) LiveCPU() float64 {
	cpu := utilisation(e.LiveDemand(), e.Desired)
	if e.Stuck && e.CPU > cpu {
		return e.CPU
	}
	return cpu
}

// utilisation is 100 · demand / n percent, NaN of an unknown demand. No instance
// means no limit.
func utilisation(demand float64, n int) float64 {
	if n <= 0 && !math.IsNaN(demand) {
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

// holdLeast is for how long at least an instance must not be missed that is let
// go: the next quarter of an hour, however fast instances start.
const holdLeast = 15 * time.Minute

// launchSteps returns how many steps of a forecast an order needs to know.
func (g Group) launchSteps() int { return LaunchSteps(g.Step, max(0, g.Lead)+max(0, g.Delay)) }

// Steps returns how many steps of a forecast a decision about the group reads, if
// there are so many.
func (g Group) Steps() int {
	return max(g.launchSteps(), int((holdLeast+g.Step-1)/g.Step))
}

// spans returns the times that an order, and a release, answer for, in a forecast
// of so many steps.
func (g Group) spans(steps int) (order, hold span) {
	delay, lead := max(0, g.Delay), max(0, g.Lead)
	end := delay + lead + g.Step
	return shares(g.Step, delay+lead, end, steps), shares(g.Step, delay, max(end, holdLeast), steps)
}

// gather weighs what is known, learns from it and moves the safety state. What
// may not be used leaves a note on the path.
func (s *stage) gather(p *path, d *api.Decision) {
	g, o, c := s.Group, s.Observation, s.c
	s.e = Evidence{
		Basis: api.BasisReactive, Desired: c.Desired, Serving: c.Desired, InService: c.InService,
		Demand: value(o.Values, api.SeriesDemand), CPU: value(o.Values, api.MetricCPU),
	}
	e := &s.e
	if u := o.Unit; u != nil && u.Doubt != "" {
		p.note(RuleUnit, "%s: %s", u.Series, u.Doubt)
		p.alert(AlertUnit)
	}
	if why := stuck(g, s.State, c, s.Tick); why != "" {
		e.Stuck, e.Failing, e.Serving, e.Missing = true, c.LaunchError != "", c.InService, c.Desired-c.InService
		if e.Failing {
			e.Missing = min(e.Missing, c.Pending)
		}
		p.note(RuleStuck, "%s: they count neither as help nor as a reason to wait", why)
		p.alert(AlertStuck)
	}
	if !o.Offered {
		e.Young = s.State.young(g, s.Tick)
	}
	stale := staleness(g, o, s.Tick, *e)
	e.Saturated = stale == "" && e.CPU >= SaturatedCPU && !o.Offered
	before := s.State.Calibration
	if before.Slot.After(s.Tick) {
		before.Slot = time.Time{} // a clock was wrong: it must not keep the group from learning
	}
	if stale == "" && !e.Saturated {
		s.State.Trust, s.doubt = s.State.Trust.doubtful(g.Safety, e.Demand, before.expect(o.Slot, g.Step), o.Slot)
		if s.doubt == "" {
			s.State.Calibration = before.learn(o.Slot, e.Demand, g.Step)
		}
	}
	e.UsualPeak = s.State.Calibration.usual()
	missing := s.foresee(p)
	if stale != "" {
		e.CPU = math.NaN()
		p.note(RuleStale, "%s: no scale-in", stale)
	}
	s.failing = failing(g.Safety, o)
	s.judge(p, d, missing, cmp.Or(stale, s.doubt, s.failing), stale != "")
}

// failing returns why the load says little, because the group answers with
// errors; "" when it does not.
func failing(s Safety, o Observation) string {
	rate := value(o.Values, SeriesErrorRate)
	if !(rate >= s.complete().ErrorRate) {
		return ""
	}
	return fmt.Sprintf("%.0f %% of the requests fail: whatever the load looks like, it is not what was asked for", 100*rate)
}

// foresee checks the forecast and turns it into an outlook. It returns why there
// is none, "" when there is.
func (s *stage) foresee(p *path) string {
	g, f := s.Group, s.Forecast
	if g.Signal == SignalObserved {
		return "not asked for"
	}
	if err := check(g, f, s.Tick); err != nil {
		p.note(RuleForecast, "the forecast is not used: %v", err)
		return "the forecast is not used: " + err.Error()
	}
	s.e.Basis = api.BasisPredictive
	s.e.Ahead = make([]float64, g.launchSteps())
	for i := range s.e.Ahead {
		s.e.Ahead[i] = max(0, f.Point[i]) // a slightly negative demand is none
	}
	steps := min(g.Steps(), len(f.Point))
	s.e.Order, s.e.Hold = g.spans(steps)
	s.State.Calibration, s.e.Outlook = s.State.Calibration.issue(f, steps, s.Tick, g.Step)
	return ""
}

// judge moves the safety state and takes from the evidence what it does not
// trust.
func (s *stage) judge(p *path, d *api.Decision, missing, distrusted string, stale bool) {
	trust, why := s.State.Trust.judge(s.Group, s.State.Calibration, missing, distrusted)
	shown := trust.show(s.Control)
	if before := s.State.Trust.Shown; before != "" && before != shown {
		d.Moved = &api.Move{From: before, To: shown, Why: why}
		if c := s.Control; c != nil {
			d.Moved.Why = fmt.Sprintf("%s by %s until %s: %s", c.Kind, c.By, clock(c.Until), c.Reason)
		}
		p.note(RuleSafety, "%s, was %s: %s", shown, before, d.Moved.Why)
	}
	trust.Shown = shown
	s.State.Trust, d.Safety = trust, shown
	switch trust.State {
	case api.SafetyDrift:
		p.alert(AlertDrift)
		fallthrough
	case api.SafetyNoModel:
		if s.e.Basis == api.BasisPredictive {
			s.e.Basis = api.BasisReactive
			p.note(RuleSafety, "%s: the live load decides (%s)", trust.State, why)
		}
		s.e.Ahead, s.e.Outlook = nil, nil
	case api.SafetyStale:
		s.e.Basis = api.BasisHold
		if !stale {
			p.note(RuleSafety, "%s: no scale-in (%s)", trust.State, why)
		}
	}
	d.Basis = s.e.Basis
}

// stuck returns why the missing instances are not waited for, "" when they are:
// a launch failed, or they are missing for longer than a start takes, counted from
// the later of the first tick that saw them missing and the last accepted
// scale-out. A scale-out after this tick was one by a clock that was wrong.
func stuck(g Group, s State, c api.Capacity, tick time.Time) string {
	if c.InService >= c.Desired {
		return ""
	}
	missing := c.Desired - c.InService
	if c.LaunchError != "" {
		return fmt.Sprintf("%d of %d instances are missing, and the last launch failed: %s", missing, c.Desired, c.LaunchError)
	}
	if s.ShortSince.IsZero() {
		return ""
	}
	since := s.ShortSince
	if s.LastOut.After(since) && !s.LastOut.After(tick) {
		since = s.LastOut
	}
	if tick.Sub(since) <= g.Lead+g.Step {
		return ""
	}
	return fmt.Sprintf("%d of %d instances have been missing for longer than a start takes (%s)", missing, c.Desired, g.Lead+g.Step)
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
	need := g.launchSteps()
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
		if !(math.Abs(v) <= maxInstances) {
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
			if !(math.Abs(v) <= maxInstances) {
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
	if v, ok := values[name]; ok && v >= 0 && v <= maxInstances {
		return v
	}
	return math.NaN()
}

func clock(t time.Time) string { return t.UTC().Format("15:04") }
