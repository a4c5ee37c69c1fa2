package plan

import (
	"fmt"
	"math"
	"time"

	"github.com/forescale/forescale/api"
)

// Safety says when a group's forecasts are trusted. Zero values stand for the
// defaults of DefaultSafety.
//
//	          usable forecast, fresh metrics, in band: Recover ticks in a row
//	      ┌────────────────────────────────────────────────────────────────┐
//	      ▼                                                                │
//	PREDICTIVE ──no usable forecast──────► REACTIVE_NO_MODEL ──────────────┤
//	      ├──────metrics too old─────────► REACTIVE_STALE ─────────────────┤
//	      └──────astray ≥ DriftEnter─────► REACTIVE_DRIFT ─astray < Leave──┘
//
// It falls at once and rises slowly. Of several faults the first in the order
// stale, no model, drift names the state. FROZEN and PAUSED are orders and lie
// over whatever the evidence says.
type Safety struct {
	// Recover is how many ticks in a row must be good before forecasts decide again.
	Recover int `json:"recover,omitempty"`
	// DriftEnter and DriftLeave are shares of the newest slots outside of the band
	// between the forecasts' lower and upper quantile; a calibrated forecast leaves
	// a fifth outside.
	DriftEnter float64 `json:"drift_enter,omitempty"`
	DriftLeave float64 `json:"drift_leave,omitempty"`
	// Anomaly is the part of what was expected below which a measured load is not
	// believed at first; AnomalyTicks is for how many ticks.
	Anomaly      float64 `json:"anomaly,omitempty"`
	AnomalyTicks int     `json:"anomaly_ticks,omitempty"`
	// ErrorRate is the share of failed requests from which on nothing is scaled in.
	ErrorRate float64 `json:"error_rate,omitempty"`
}

// DefaultSafety returns the defaults. With a fifth of the slots outside, the
// fading share over twelve exceeds DriftEnter about once in ten million.
func DefaultSafety() Safety {
	return Safety{Recover: 2, DriftEnter: 0.85, DriftLeave: 0.5, Anomaly: 0.1, AnomalyTicks: 3, ErrorRate: 0.2}
}

func (s Safety) complete() Safety {
	d := DefaultSafety()
	fill := func(v *float64, or float64) {
		if *v == 0 {
			*v = or
		}
	}
	fill(&s.DriftEnter, d.DriftEnter)
	fill(&s.DriftLeave, d.DriftLeave)
	fill(&s.Anomaly, d.Anomaly)
	fill(&s.ErrorRate, d.ErrorRate)
	if s.Recover == 0 {
		s.Recover = d.Recover
	}
	if s.AnomalyTicks == 0 {
		s.AnomalyTicks = d.AnomalyTicks
	}
	return s
}

// SeriesErrorRate is the series, a share from 0 to 1, that says how many of a
// group's requests fail.
const SeriesErrorRate = "error_rate"

// Trust is how far a group's forecasts are trusted, from tick to tick.
type Trust struct {
	State api.SafetyState `json:"state,omitempty"` // by the evidence; empty: no tick yet
	Good  int             `json:"good,omitempty"`  // good ticks in a row while State is not PREDICTIVE
	Shown api.SafetyState `json:"shown,omitempty"` // with orders: what the last decision said
	Low   int             `json:"low,omitempty"`   // ticks in a row with an unbelievably low load
}

// judge moves the trust by what this tick knows.
func (t Trust) judge(g Group, c Calibration, noForecast, stale string) (Trust, string) {
	s := g.Safety.complete()
	drift := ""
	if t.State == api.SafetyDrift && c.Astray >= s.DriftLeave || c.Astray >= s.DriftEnter {
		drift = fmt.Sprintf("%.0f %% of the newest slots lay outside of the forecasts' band", 100*c.Astray)
	}
	to, why := api.SafetyPredictive, "the forecasts are usable"
	switch {
	case stale != "":
		to, why = api.SafetyStale, stale
	case g.Signal == SignalObserved:
		to, why = api.SafetyNoModel, "the group is scaled on observed load"
	case noForecast != "":
		to, why = api.SafetyNoModel, noForecast
	case drift != "":
		to, why = api.SafetyDrift, drift
	}
	switch {
	case to != api.SafetyPredictive:
		t.Good = 0
	case t.State == "" || t.State == api.SafetyPredictive:
		t.Good = 0
	default:
		if t.Good++; t.Good < s.Recover {
			return t, fmt.Sprintf("%d of %d good ticks in a row", t.Good, s.Recover)
		}
		t.Good = 0
	}
	t.State = to
	return t, why
}

// show returns the state with the order in force over it.
func (t Trust) show(c *api.Control) api.SafetyState {
	if c == nil {
		return t.State
	}
	switch c.Kind {
	case api.ControlPause:
		return api.SafetyPaused
	case api.ControlFreeze:
		return api.SafetyFrozen
	}
	return t.State
}

// doubtful returns why the measured load is not low enough to be believed, "" when
// it is: a fault of the metrics looks like an idle group at first. It returns the
// trust with the ticks counted.
func (t Trust) doubtful(s Safety, e Evidence, before Calibration, slot time.Time, step time.Duration) (Trust, string) {
	s = s.complete()
	expected := math.NaN()
	for _, f := range before.Issued {
		if k := int(slot.Sub(f.At) / step); !slot.Before(f.At) && k < len(f.Steps) {
			expected = float64(f.Steps[k].Median)
			break
		}
	}
	if !(e.Demand < s.Anomaly*expected) {
		t.Low = 0
		return t, ""
	}
	if t.Low++; t.Low > s.AnomalyTicks {
		return t, "" // it lasts: it is true
	}
	return t, fmt.Sprintf("the measured load of %.2f is less than %.0f %% of the %.2f that were expected: not believed for %d ticks (this is number %d)",
		e.Demand, 100*s.Anomaly, expected, s.AnomalyTicks, t.Low)
}

// live returns how many instances the live load needs to be within the objective,
// and why; 0 when nobody knows.
func (e Evidence) live(objective float64) (int, string) {
	if e.Saturated {
		n := int(math.Ceil(saturatedGrowth * float64(e.Serving)))
		return n, fmt.Sprintf("CPU %s is saturated, and the demand may be anything: a quarter more than the %d that serve", percent(e.CPU), e.Serving)
	}
	cpu := e.LiveCPU()
	if !(cpu > 0) || math.IsInf(cpu, 1) {
		return 0, ""
	}
	demand := cpu / 100 * float64(e.Desired)
	n := instances(demand, objective)
	if e.Young == 0 || n <= e.Desired {
		return n, fmt.Sprintf("the live load of %.2f instance-equivalents needs %d at %.0f %%", demand, n, 100*objective)
	}
	// A start may keep an instance busy. Counted as load it would order more
	// instances, whose starts would order more.
	n = max(e.Desired, instances(demand-float64(e.Young), objective))
	return n, fmt.Sprintf("the live load of %.2f instance-equivalents, of which up to %d may be instances that have just started, needs %d at %.0f %%",
		demand, e.Young, n, 100*objective)
}

// saturatedGrowth is by how much a group grows whose load nobody can measure,
// because it fills the instances: as often as a tick comes.
const saturatedGrowth = 1.25
