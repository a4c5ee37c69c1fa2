package backtest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/scaler"
	"github.com/forescale/forescale/scaler/plan"
)

// Names of policies that something here speaks of.
const (
	Oracle         = "oracle"
	TargetTracking = "target-tracking"
	HPA            = "hpa"
	Rule           = "rule" // the reference rule on observed CPU
	Static         = "static"

	// DefaultPolicy is what a group gets whose owner says nothing else.
	DefaultPolicy = "cost"
)

// Policy is a way to run a fleet, with one knob.
type Policy struct {
	Name     string
	Title    string // for people
	KnobName string // what the knob is, with its unit
	// Knobs is the sweep, ascending.
	Knobs []float64
	// Default is the knob of somebody who does not tune.
	Default func(d *fleet.Demand) float64
	// Predictive policies need forecasts.
	Predictive bool
	// Ships is true for the policies of package plan, which Forescale itself runs.
	Ships bool

	fly func(s scene, knob float64) controller
}

// scene is what a policy is replayed on.
type scene struct {
	ctx       context.Context
	group     string
	demand    *fleet.Demand
	lead      int // minutes
	forecasts Forecaster
}

// controller is a fleet's controller that may fail for want of a forecast.
type controller interface {
	fleet.Controller
	Err() error
}

// sure is a controller that cannot fail.
type sure struct{ fleet.Controller }

func (sure) Err() error { return nil }

// Policies returns every policy: those that ship first, then the others. The
// oracle is none: it has no knob, and nobody can run it.
func Policies() []Policy {
	percent := func(p float64) float64 { return p / 100 }
	utilisations := append(upTo(15, 85, 5), 88, 90, 92, 95, 98, 100)
	return []Policy{
		shipped("cost", "Forescale: cost", "what a violation minute costs, in minutes of the group at its usual peak", plan.DefaultViolationPeaks,
			[]float64{0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 30, 45, 70, 100, 150, 250},
			func(g *plan.Group, knob float64) { g.Policies.Cost.ViolationPeaks = knob }),
		shipped("target", "Forescale: target", "quantile of demand that is covered", scaler.DefaultPolicy().Quantile,
			[]float64{0.5, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.9925, 0.995, 0.9965, 0.998, 0.999, 0.9995},
			func(g *plan.Group, knob float64) {
				cost := g.Policies.Cost
				g.Policies = plan.Policies{Target: &plan.Target{Quantile: knob, Utilisation: cost.Utilisation, Fallback: cost.Fallback}}
			}),
		shipped("threshold", "Forescale: threshold", "CPU above which an instance is added, percent", 70, utilisations,
			func(g *plan.Group, knob float64) {
				g.Policies = plan.Policies{Threshold: &plan.Threshold{Out: knob, In: knob / 2, Step: 1}}
			}),
		{
			Name: TargetTracking, Title: "target tracking", KnobName: "target CPU, percent",
			Knobs: utilisations, Default: always(60),
			fly: func(_ scene, knob float64) controller { return sure{fleet.NewTargetTracking(percent(knob))} },
		},
		{
			Name: HPA, Title: "Kubernetes HPA", KnobName: "target CPU, percent",
			Knobs: utilisations, Default: always(60),
			fly: func(_ scene, knob float64) controller { return sure{fleet.NewHPA(percent(knob))} },
		},
		{
			Name: "aws-predictive", Title: "AWS-predictive style", KnobName: "target CPU, percent",
			Knobs: utilisations, Default: always(60),
			fly: func(s scene, knob float64) controller {
				return sure{fleet.NewAWSPredictive(percent(knob), s.lead)}
			},
		},
		{
			Name: Rule, Title: "reference rule, observed CPU", KnobName: "CPU above which an instance is added, percent",
			Knobs: append(upTo(20, 90, 10), 95), Default: always(70),
			fly: func(_ scene, knob float64) controller {
				return sure{fleet.Rule{High: percent(knob), Low: percent(knob) / 2}}
			},
		},
		{
			Name: "rule-predicted", Title: "reference rule, predicted CPU", KnobName: "CPU above which an instance is added, percent",
			Knobs: append(upTo(20, 90, 10), 95), Default: always(70), Predictive: true,
			fly: func(s scene, knob float64) controller { return newSeer(s, percent(knob)) },
		},
		{
			Name: Static, Title: "static capacity", KnobName: "instances",
			Knobs: upTo(fleet.MinInstances, fleet.MaxInstances, 1), Default: func(d *fleet.Demand) float64 { return float64(fleet.StaticPeak(d)) },
			fly: func(_ scene, knob float64) controller { return sure{fleet.Static(knob)} },
		},
	}
}

// shipped returns a policy of package plan; set puts a knob into a group that has
// everything else as an owner gets it who sets nothing.
func shipped(name, title, knobName string, knob float64, knobs []float64, set func(g *plan.Group, knob float64)) Policy {
	return Policy{
		Name: name, Title: title, KnobName: knobName, Knobs: knobs, Default: always(knob), Predictive: true, Ships: true,
		fly: func(s scene, knob float64) controller {
			g := baseGroup(s)
			set(&g, knob)
			return newPilot(s.ctx, g, s.forecasts)
		},
	}
}

// delay is the time from the end of a slot until an order is carried out: the slot
// becomes visible a minute later.
const delay = time.Minute

// Steps returns how many slots ahead a forecast must reach, for slots of step and
// instances that take lead to start.
func Steps(step, lead time.Duration) int { return plan.LaunchSteps(step, lead+delay) }

// baseGroup returns the group as its defaults have it, within the bounds of the
// evaluation.
func baseGroup(s scene) plan.Group {
	g := scaler.DefaultGroup()
	g.Name, g.Mode = s.group, api.ModeLive
	g.Min, g.Max = fleet.MinInstances, fleet.MaxInstances
	g.LeadTime = time.Duration(s.lead) * time.Minute
	return g.Plan(s.demand.Step, delay)
}

func always(knob float64) func(*fleet.Demand) float64 {
	return func(*fleet.Demand) float64 { return knob }
}

func upTo(least, most, step float64) (knobs []float64) {
	for i := 0; least+float64(i)*step <= most; i++ {
		knobs = append(knobs, least+float64(i)*step)
	}
	return knobs
}

// seer is the reference rule on the CPU that is forecast.
type seer struct {
	fleet.Rule
	err error
}

func newSeer(s scene, high float64) *seer {
	r := &seer{Rule: fleet.Rule{High: high, Low: high / 2}}
	r.Next = func(slot int) float64 {
		v, err := next(s.ctx, s.forecasts, slot)
		if err != nil {
			r.err, v = err, math.NaN()
		}
		return v
	}
	return r
}

// Err implements controller.
func (s *seer) Err() error { return s.err }

// Select returns the named policies, in the order of Policies; "all" names all of
// them. The error names what is not there and what is.
func Select(names []string) ([]Policy, error) {
	all := Policies()
	if len(names) == 0 || slices.Contains(names, "all") {
		return all, nil
	}
	var known []string
	for _, p := range all {
		known = append(known, p.Name)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("policy %q is unknown; there are %s", name, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(all, func(p Policy) bool { return !slices.Contains(names, p.Name) }), nil
}
