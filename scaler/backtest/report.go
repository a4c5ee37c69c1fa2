package backtest

import (
	"context"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/forescale/forescale/internal/fleet"
)

// Allowed is the percentage of violation minutes at which policies are compared.
const Allowed = 0.5

// Report is the content of report.json. Percentages and ratios are rounded to six
// decimals, as a judge of the capacity files prints them.
type Report struct {
	Trace       string `json:"trace"`
	LeadMinutes int    `json:"lead_minutes"`

	StepSeconds         int       `json:"step_seconds"`
	Slots               int       `json:"slots"`
	Start               time.Time `json:"start"`          // of the history
	RehearsedFrom       time.Time `json:"rehearsed_from"` // policy and knob are recommended by what lies from here on
	ScoreFrom           time.Time `json:"score_from"`     // to here; what follows is the test
	ScoreTo             time.Time `json:"score_to"`       // exclusive
	ScoredMinutes       int       `json:"scored_minutes"`
	Unit                float64   `json:"unit"` // value of one instance-equivalent, in the unit of the data
	OracleInstanceHours float64   `json:"oracle_instance_hours"`
	// Model is the model that forecast the test part; its owner fills it in.
	Model *Model `json:"model,omitempty"`
	// ForecastSkill is 1 - MAE/MAE of the last value, for the last slot that an order
	// has to answer for, over the test part. Null without forecasts.
	ForecastSkill *float64 `json:"forecast_skill"`

	Policies []PolicyReport `json:"policies"`
	// WorstHours are those with the most violations, for each policy at its default.
	WorstHours []WorstHour `json:"worst_hours"`

	DefaultPolicy string       `json:"default_policy"`
	DefaultKnob   float64      `json:"default_knob"`
	Recommended   *Recommended `json:"recommended"` // null: there was no rehearsal
	// Refitted is how what ships would have fared with models fitted anew.
	Refitted *Refitted `json:"refitted,omitempty"`
	Verdict  string    `json:"verdict"`
}

// Model says where forecasts came from.
type Model struct {
	Name         string    `json:"name"`
	Version      int       `json:"version,omitempty"`
	Preset       string    `json:"preset,omitempty"`
	SHA256       string    `json:"sha256"`
	TrainedUntil time.Time `json:"trained_until"`
	// Rehearsal says by what model the rehearsal was forecast.
	Rehearsal string `json:"rehearsal,omitempty"`
}

// PolicyReport is how a policy fared in the test part.
type PolicyReport struct {
	Name            string  `json:"name"`
	Title           string  `json:"title"`
	KnobName        string  `json:"knob_name"`
	Knob            float64 `json:"knob"` // the default, which the figures are of
	ViolationPct    float64 `json:"violation_pct"`
	UnservedPct     float64 `json:"unserved_pct"`
	InstanceHours   float64 `json:"instance_hours"`
	RatioToOracle   float64 `json:"ratio_to_oracle"`
	Actions         int     `json:"actions"`
	ActionsPerDay   float64 `json:"actions_per_day"`
	ReversalsPerDay float64 `json:"reversals_per_day"`
	// Curve is what turning the knob can reach: [violation_pct, instance_hours,
	// knob], without what is worse in both, by ascending violations.
	Curve [][3]float64 `json:"curve"`
	// HoursAtAllowed are the instance-hours at 0.5 % violation minutes, between
	// neighbouring points of the curve; null where no knob gets there.
	HoursAtAllowed *float64 `json:"instance_hours_at_0_5_pct"`
	RatioAtAllowed *float64 `json:"ratio_at_0_5_pct"`
	// ViolationAtTracking is the violation percentage at the instance-hours that
	// target tracking needs at its default; null where no knob gets there.
	ViolationAtTracking *float64 `json:"violation_pct_at_target_tracking"`

	curve fleet.Curve
	ships bool
}

// worstHours is how many of the worst hours are reported of each policy.
const worstHours = 5

// WorstHour is an hour of the test part in which a policy's fleet was too small.
type WorstHour struct {
	From             time.Time `json:"from"` // a full hour since the test began
	Policy           string    `json:"policy"`
	ViolationMinutes int       `json:"violation_minutes"`
	Required         int       `json:"required"`   // the most instances that were needed in it
	InService        int       `json:"in_service"` // the fewest that there were
}

// worst returns the hours of a run in which there were violations, the worst first,
// and of equals the earlier.
func worst(s *stage, policy string, run fleet.Run) []WorstHour {
	var hours []WorstHour
	for begin := 0; begin < len(s.offered); begin += 60 {
		h := WorstHour{From: s.demand.Time(s.from + begin), Policy: policy, InService: math.MaxInt}
		for i := begin; i < min(begin+60, len(s.offered)); i++ {
			if !s.scored[i] {
				continue
			}
			if fleet.Violated(s.offered[i], run.InService[i]) {
				h.ViolationMinutes++
			}
			h.Required, h.InService = max(h.Required, fleet.Required(s.offered[i])), min(h.InService, run.InService[i])
		}
		if h.ViolationMinutes > 0 {
			hours = append(hours, h)
		}
	}
	slices.SortStableFunc(hours, func(a, b WorstHour) int { return b.ViolationMinutes - a.ViolationMinutes })
	return hours[:min(len(hours), worstHours)]
}

// Refitted is how what ships fared with models fitted anew every EveryHours.
type Refitted struct {
	EveryHours float64        `json:"every_hours"`
	Policies   []PolicyReport `json:"policies"`
}

func newReport(c Config, s *stage, w *sweep) Report {
	d := c.Demand
	r := Report{
		Trace: c.Trace, LeadMinutes: c.Lead, StepSeconds: int(d.Step / time.Second), Slots: len(d.Slots), Start: d.Start,
		RehearsedFrom: d.Time(d.TrainEnd() * d.SlotMinutes()), ScoreFrom: d.Time(s.from), ScoreTo: d.Time(s.to),
		ScoredMinutes: s.best.ScoredMinutes, Unit: d.Unit, OracleInstanceHours: s.best.InstanceHours,
		DefaultPolicy: DefaultPolicy,
	}
	for _, p := range Policies() {
		if p.Name == DefaultPolicy {
			r.DefaultKnob = p.Default(d)
		}
	}
	r.Policies = policyReports(c.Policies, s, w)
	r.WorstHours = []WorstHour{}
	for _, p := range c.Policies {
		if t := w.atDefault(p); t != nil {
			r.WorstHours = append(r.WorstHours, worst(s, p.Name, t.run)...)
		}
	}
	r.Policies = append(r.Policies, PolicyReport{Name: Oracle, Title: "oracle: knows the future", Curve: [][3]float64{}}.with(s, s.best))
	return r
}

func refittedReport(c Config, w *sweep) *Refitted {
	r := &Refitted{EveryHours: c.RefitEvery.Hours()}
	for _, p := range policyReports(c.Policies, w.stage, w) {
		p.HoursAtAllowed, p.RatioAtAllowed, p.ViolationAtTracking = nil, nil, nil // one knob is no curve
		r.Policies = append(r.Policies, p)
	}
	return r
}

// policyReports reports on the policies that the sweep has.
func policyReports(policies []Policy, s *stage, w *sweep) (out []PolicyReport) {
	tracking := math.NaN()
	for _, t := range w.trials {
		if t.policy.Name == TargetTracking && t.keep {
			tracking = t.metrics.InstanceHours
		}
	}
	for _, p := range policies {
		standard := w.atDefault(p)
		if standard == nil {
			continue
		}
		r := PolicyReport{Name: p.Name, Title: p.Title, KnobName: p.KnobName, Knob: standard.knob, Curve: [][3]float64{}, ships: p.Ships}
		r = r.with(s, standard.metrics)
		r.curve = w.curve(p.Name)
		for _, point := range r.curve {
			r.Curve = append(r.Curve, [3]float64{point.ViolationPct, point.InstanceHours, point.Knob})
		}
		if hours, ok := r.curve.HoursAt(Allowed); ok {
			r.HoursAtAllowed, r.RatioAtAllowed = rounded(hours), rounded(hours/s.best.InstanceHours)
		}
		if v, ok := r.curve.ViolationAt(tracking); ok {
			r.ViolationAtTracking = rounded(v)
		}
		out = append(out, r)
	}
	return out
}

// with returns the report with the figures of a run.
func (r PolicyReport) with(s *stage, m fleet.Metrics) PolicyReport {
	r.ViolationPct, r.UnservedPct, r.InstanceHours = m.ViolationPct, m.UnservedPct, m.InstanceHours
	r.RatioToOracle = *rounded(m.InstanceHours / s.best.InstanceHours)
	r.Actions, r.ActionsPerDay, r.ReversalsPerDay = m.Actions, *rounded(float64(m.Actions) / s.days()), m.ReversalsPerDay
	return r
}

// Policy returns the report on a policy, nil where it was not replayed.
func (r *Report) Policy(name string) *PolicyReport {
	for i := range r.Policies {
		if r.Policies[i].Name == name {
			return &r.Policies[i]
		}
	}
	return nil
}

// rounded rounds to six decimals, half to even on the exact binary value. The
// oracle of a stage without a scored minute has no instance-hours, and a ratio to
// it is 0.
func rounded(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return new(float64)
	}
	v, err := strconv.ParseFloat(strconv.FormatFloat(x, 'f', 6, 64), 64)
	if err != nil {
		panic(err) // FormatFloat's output always parses
	}
	return &v
}

// skill compares the point forecasts of the last slot that an order has to answer
// for with the last known value; nil where there are none.
func skill(ctx context.Context, c Config, s *stage) (*float64, error) {
	if c.Forecasts == nil {
		return nil, nil
	}
	d := c.Demand
	steps := Steps(d.Step, time.Duration(c.Lead)*time.Minute)
	model, last, known := 0.0, 0.0, 0.0
	for origin := s.from/d.SlotMinutes() - 1; origin+steps < len(d.Slots); origin++ {
		known = d.Slots[origin]
		f, err := c.Forecasts.Forecast(ctx, origin)
		if err != nil {
			return nil, err
		}
		if f.Error != nil || len(f.Point) < steps || d.Missing[origin+steps] {
			continue
		}
		actual := d.Slots[origin+steps]
		model += math.Abs(f.Point[steps-1] - actual)
		last += math.Abs(known - actual)
	}
	if last == 0 {
		return nil, nil
	}
	return rounded(1 - model/last), nil
}
