package scaler

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/scaler/plan"
)

// The rules that a policy may name.
const (
	ruleThreshold = "threshold"
	ruleTarget    = "target"
	ruleCost      = "cost"

	ruleSchedule = "schedule" // what somebody may take for one
)

var policyRules = []string{ruleThreshold, ruleTarget, ruleCost}

// Rules are the names of rules: in the file one name, or a list of them.
type Rules []string

// UnmarshalYAML reads one name or a list.
func (r *Rules) UnmarshalYAML(decode func(any) error) error {
	var one string
	if decode(&one) == nil {
		*r = Rules{one}
		return nil
	}
	var many []string
	if err := decode(&many); err != nil {
		return err
	}
	*r = many
	return nil
}

// Policy selects the rules that decide, and configures them. Of several the one
// that asks for the most wins.
type Policy struct {
	// Rule is cost (the default), target, threshold, or a list of them.
	Rule   Rules       `yaml:"rule"`
	Signal plan.Signal `yaml:"signal"` // predicted, or observed for a purely reactive run

	// Utilisation that cost and target plan for, in (0, 1]. 0: the objective.
	Utilisation float64 `yaml:"utilisation"`
	// Fallback is the utilisation that they aim at where no forecast may be used.
	Fallback float64 `yaml:"fallback"`
	// Quantile is the quantile of demand that target covers.
	Quantile float64 `yaml:"quantile"`
	// InstanceHour and ViolationMinute are prices that cost weighs, in any currency.
	// Without the price of a violation minute it is ViolationPeaks minutes of the
	// whole group at its usual daily peak.
	InstanceHour    float64 `yaml:"instance_hour"`
	ViolationMinute float64 `yaml:"violation_minute"`
	ViolationPeaks  float64 `yaml:"violation_peaks"`

	Out  float64 `yaml:"out"`  // threshold: CPU percent above which Step instances are added
	In   float64 `yaml:"in"`   // threshold: CPU percent below which Step instances are removed
	Step int     `yaml:"step"` // threshold: instances

	// Schedule keeps capacity between floors and ceilings at known times.
	Schedule []Entry `yaml:"schedule"`
}

// Entry is a floor or a ceiling while all that it names applies: days, a time of
// day, a flag of the business calendar.
type Entry struct {
	Name string   `yaml:"name"`
	Days []string `yaml:"days"` // mon, tue, …; none: every day
	From string   `yaml:"from"` // 15:04, in the time zone
	To   string   `yaml:"to"`   // exclusive; at or before From: on the next day
	Zone string   `yaml:"zone"` // IANA name, empty: UTC
	Flag string   `yaml:"flag"`
	Min  int      `yaml:"min"` // 0: no floor
	Max  int      `yaml:"max"` // 0: no ceiling
}

// Guard is plan.Guard in the file.
type Guard struct {
	MaxOut     int           `yaml:"max_out"`      // most instances added by a decision; 0: any number
	MaxIn      int           `yaml:"max_in"`       // most instances removed by a decision; 0: any number
	MaxInShare float64       `yaml:"max_in_share"` // greatest part of the group removed by a decision
	Stabilise  time.Duration `yaml:"stabilise"`    // shrink only to the greatest wish of so long
	Flaps      int           `yaml:"flaps"`        // turns within a day, beyond which nothing is scaled in; 0: any number
	DailyHours float64       `yaml:"daily_hours"`  // instance-hours of a UTC day; 0: any number
	Quota      int           `yaml:"quota"`        // the provider's, for a warning in time; 0: unknown
}

// SafetyBand is plan.Safety in the file. What is 0 has its default.
type SafetyBand struct {
	Recover      int     `yaml:"recover"`       // good ticks in a row before forecasts decide again
	DriftEnter   float64 `yaml:"drift_enter"`   // share of the newest slots outside of the forecasts' band
	DriftLeave   float64 `yaml:"drift_leave"`   // the same, to be trusted again
	Anomaly      float64 `yaml:"anomaly"`       // part of the expected load below which a load is not believed
	AnomalySlots int     `yaml:"anomaly_slots"` // for so many slots
	ErrorRate    float64 `yaml:"error_rate"`    // share of failed requests from which on nothing is scaled in
}

// DefaultPolicy returns the policy of a group whose owner says nothing: the
// capacity that pays, with a violation minute priced by the group's own size.
func DefaultPolicy() Policy {
	return Policy{
		Rule: Rules{ruleCost}, Signal: plan.SignalPredicted, Fallback: 0.65,
		Quantile: 0.98, InstanceHour: 1, ViolationPeaks: plan.DefaultViolationPeaks,
		Out: 70, In: 35, Step: 1,
	}
}

// plan returns the policies as the decision sees them.
func (p Policy) plan(objective float64) plan.Policies {
	var out plan.Policies
	rho := p.Utilisation
	if rho == 0 {
		rho = objective
	}
	fallback := plan.Fallback{Utilisation: p.Fallback}
	for _, rule := range p.Rule {
		switch rule {
		case ruleThreshold:
			out.Threshold = &plan.Threshold{Out: p.Out, In: p.In, Step: p.Step}
		case ruleTarget:
			out.Target = &plan.Target{Quantile: p.Quantile, Utilisation: rho, Fallback: fallback}
		case ruleCost:
			out.Cost = &plan.Cost{InstanceHour: p.InstanceHour, ViolationMinute: p.ViolationMinute,
				ViolationPeaks: p.ViolationPeaks, Utilisation: rho, Fallback: fallback}
		}
	}
	if len(p.Schedule) > 0 {
		out.Schedule = &plan.Schedule{}
		for _, e := range p.Schedule {
			entry, _ := e.plan() // checked by faults
			out.Schedule.Entries = append(out.Schedule.Entries, entry)
		}
	}
	return out
}

// Flags returns the flags of the calendar that the schedule reads.
func (p Policy) Flags() []string {
	var flags []string
	for _, e := range p.Schedule {
		if e.Flag != "" && !slices.Contains(flags, e.Flag) {
			flags = append(flags, e.Flag)
		}
	}
	return flags
}

var weekdays = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// plan returns the entry as the decision sees it, or what is wrong with it.
func (e Entry) plan() (plan.Entry, error) {
	out := plan.Entry{Name: e.Name, Zone: e.Zone, Flag: e.Flag, Min: e.Min, Max: e.Max}
	if out.Name == "" {
		out.Name = "the schedule"
	}
	for _, day := range e.Days {
		day = strings.ToLower(day)
		if !slices.Contains(weekdays, day) {
			return out, fmt.Errorf("days: %q is not one of %s", day, strings.Join(weekdays, ", "))
		}
		out.Days = append(out.Days, day)
	}
	if (e.From == "") != (e.To == "") {
		return out, errors.New("from and to: give both, or neither for the whole day")
	}
	for _, t := range []struct {
		name, text string
		minute     *int
	}{{"from", e.From, &out.From}, {"to", e.To, &out.To}} {
		if t.text == "" {
			continue
		}
		at, err := time.Parse("15:04", t.text)
		if err != nil {
			return out, fmt.Errorf("%s: %q is not a time of day such as 08:30", t.name, t.text)
		}
		*t.minute = at.Hour()*60 + at.Minute()
	}
	// Local would be another zone on another machine, and to whoever replays.
	if _, err := time.LoadLocation(e.Zone); err != nil || e.Zone == "Local" {
		return out, fmt.Errorf("zone: %q is not a time zone such as Europe/Berlin, or UTC", e.Zone)
	}
	if e.Min < 0 || e.Max < 0 || e.Min > maxCount || e.Max > maxCount || e.Max > 0 && e.Max < e.Min || e.Min == 0 && e.Max == 0 {
		return out, fmt.Errorf("min, max: %d to %d is not a range of instances (0: no bound)", e.Min, e.Max)
	}
	return out, nil
}

func (p Policy) faults() (faults []error) {
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf("policy."+format, args...)) }
	if len(p.Rule) == 0 {
		bad("rule: is empty; there are %v", policyRules)
	}
	for _, rule := range p.Rule {
		if rule == ruleSchedule {
			bad("rule: a schedule is no rule but goes with one; write policy: {rule: cost, schedule: [...]}")
		} else if !slices.Contains(policyRules, rule) {
			bad("rule: %q is not one of %v", rule, policyRules)
		}
	}
	if p.Signal != plan.SignalPredicted && p.Signal != plan.SignalObserved {
		bad("signal: %q is not %s or %s", p.Signal, plan.SignalPredicted, plan.SignalObserved)
	}
	if !(p.In >= 0 && p.In < p.Out && p.Out <= 100) {
		bad("in, out: %g and %g must be 0 <= in < out <= 100, in percent", p.In, p.Out)
	}
	if p.Step < 1 || p.Step > maxCount {
		bad("step: %d is not in 1..%d", p.Step, maxCount)
	}
	if !(p.Utilisation >= 0 && p.Utilisation <= 1) {
		bad("utilisation: %g is not in 0..1 (0: the objective)", p.Utilisation)
	}
	if !(p.Fallback > 0 && p.Fallback <= 1) {
		bad("fallback: %g is not in (0, 1]", p.Fallback)
	}
	if !(p.Quantile > 0 && p.Quantile < 1) {
		bad("quantile: %g is not in (0, 1)", p.Quantile)
	}
	positive := func(v float64) bool { return v > 0 && v <= maxCount }
	if !positive(p.InstanceHour) {
		bad("instance_hour: %g is not a price above 0", p.InstanceHour)
	}
	if p.ViolationMinute != 0 && !positive(p.ViolationMinute) {
		bad("violation_minute: %g is not a price (0: by violation_peaks)", p.ViolationMinute)
	}
	if p.ViolationMinute == 0 && !positive(p.ViolationPeaks) {
		bad("violation_peaks: %g must be above 0", p.ViolationPeaks)
	}
	for i, e := range p.Schedule {
		if _, err := e.plan(); err != nil {
			bad("schedule[%d].%w", i, err)
		}
	}
	return faults
}

func (g Guard) faults() (faults []error) {
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf("guard."+format, args...)) }
	for _, f := range []struct {
		name  string
		value int
	}{{"max_out", g.MaxOut}, {"max_in", g.MaxIn}, {"flaps", g.Flaps}, {"quota", g.Quota}} {
		if f.value < 0 || f.value > maxCount {
			bad("%s: %d is not in 0..%d", f.name, f.value, maxCount)
		}
	}
	if !(g.MaxInShare >= 0 && g.MaxInShare <= 1) {
		bad("max_in_share: %g is not in 0..1", g.MaxInShare)
	}
	if g.Stabilise < 0 || g.Stabilise > 24*time.Hour {
		bad("stabilise: %s is not in 0..24h", g.Stabilise)
	}
	if !(g.DailyHours >= 0 && g.DailyHours <= 24*maxCount) {
		bad("daily_hours: %g is not in 0..%d", g.DailyHours, 24*maxCount)
	}
	return faults
}

func (s SafetyBand) faults() (faults []error) {
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf("safety."+format, args...)) }
	for _, f := range []struct {
		name  string
		value float64
	}{{"drift_enter", s.DriftEnter}, {"drift_leave", s.DriftLeave}, {"anomaly", s.Anomaly}, {"error_rate", s.ErrorRate}} {
		if !(f.value >= 0 && f.value <= 1) {
			bad("%s: %g is not in 0..1", f.name, f.value)
		}
	}
	d := plan.DefaultSafety()
	if enter, leave := cmp.Or(s.DriftEnter, d.DriftEnter), cmp.Or(s.DriftLeave, d.DriftLeave); leave > enter {
		bad("drift_leave: %g is more than drift_enter, %g: the state would be left before it is entered", leave, enter)
	}
	if s.Recover < 0 || s.Recover > 1000 || s.AnomalySlots < 0 || s.AnomalySlots > 1000 {
		bad("recover, anomaly_slots: %d and %d must be in 0..1000", s.Recover, s.AnomalySlots)
	}
	return faults
}
