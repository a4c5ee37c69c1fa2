package plan

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/forescale/forescale/api"
)

// Safety says when a group's forecasts are trusted. Zero values stand for the
// defaults of DefaultSafety.
//
//	        usable forecast, trustworthy metrics, in band: Recover ticks in a row
//	      ┌────────────────────────────────────────────────────────────────┐
//	      ▼                                                                │
//	PREDICTIVE ──no usable forecast──────► REACTIVE_NO_MODEL ──────────────┤
//	      ├──────metrics not to trust────► REACTIVE_STALE ─────────────────┤
//	      └──────astray ≥ DriftEnter─────► REACTIVE_DRIFT ─astray < Leave──┘
//
// It falls at once and rises slowly. Of several faults the first in the order
// stale, no model, drift names the state. Metrics are not to be trusted when they
// are too old, when the load is too low to be believed, and when so many requests
// fail that the load says little of what is asked for. FROZEN and PAUSED are
// orders and lie over whatever the evidence says.
type Safety struct {
	// Recover is how many ticks in a row must be good before forecasts decide again.
	Recover int `json:"recover,omitempty"`
	// DriftEnter and DriftLeave are shares of the newest slots outside of the band
	// between the forecasts' lower and upper quantile; a calibrated forecast leaves
	// a fifth outside.
	DriftEnter float64 `json:"drift_enter,omitempty"`
	DriftLeave float64 `json:"drift_leave,omitempty"`
	// Anomaly is the part of what was expected below which a measured load is not
	// believed at first; AnomalySlots is for how many slots.
	Anomaly      float64 `json:"anomaly,omitempty"`
	AnomalySlots int     `json:"anomaly_slots,omitempty"`
	// ErrorRate is the share of failed requests from which on nothing is scaled in.
	ErrorRate float64 `json:"error_rate,omitempty"`
}

// DefaultSafety returns the defaults. With a fifth of the slots outside, each
// independent of the others, the fading share over twelve is beyond DriftEnter in
// less than one slot of 10^12.
func DefaultSafety() Safety {
	return Safety{Recover: 2, DriftEnter: 0.85, DriftLeave: 0.5, Anomaly: 0.1, AnomalySlots: 3, ErrorRate: 0.2}
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
	if s.AnomalySlots == 0 {
		s.AnomalySlots = d.AnomalySlots
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
	Low   int             `json:"low,omitempty"`   // slots in a row with an unbelievably low load
	// LowSlot is the newest of them.
	LowSlot time.Time `json:"low_slot,omitzero"`
}

// judge moves the trust by what this tick knows: why there is no forecast, why the
// metrics are not to be trusted, and how the forecasts have fared.
func (t Trust) judge(g Group, c Calibration, noForecast, distrust string) (Trust, string) {
	s := g.Safety.complete()
	drift := ""
	if t.State == api.SafetyDrift && c.Astray >= s.DriftLeave || c.Astray >= s.DriftEnter {
		drift = fmt.Sprintf("%.0f %% of the newest slots lay outside of the forecasts' band", 100*c.Astray)
	}
	to, why := api.SafetyPredictive, "the forecasts are usable"
	switch {
	case distrust != "":
		to, why = api.SafetyStale, distrust
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

// expect returns the demand that was expected of a slot: what the newest forecast
// said of it, or, where there is none, the greatest of the newest demands. NaN:
// nothing was.
func (c Calibration) expect(slot time.Time, step time.Duration) float64 {
	for _, f := range c.Issued {
		if k := int(slot.Sub(f.At) / step); !slot.Before(f.At) && k < len(f.Steps) {
			return float64(f.Steps[k].Median)
		}
	}
	if len(c.Recent) == 0 {
		return math.NaN()
	}
	return float64(slices.Max(c.Recent))
}

// doubtful returns why the measured load is not low enough to be believed, "" when
// it is: a fault of the metrics looks like an idle group at first. It returns the
// trust with the slots counted.
func (t Trust) doubtful(s Safety, demand, expected float64, slot time.Time) (Trust, string) {
	s = s.complete()
	if !(demand < s.Anomaly*expected) {
		t.Low, t.LowSlot = 0, time.Time{}
		return t, ""
	}
	if !slot.Equal(t.LowSlot) { // one that is looked at again says nothing new
		t.Low, t.LowSlot = t.Low+1, slot
	}
	if t.Low > s.AnomalySlots {
		return t, "" // it lasts: it is true
	}
	return t, fmt.Sprintf("the measured load of %.2f is less than %.0f %% of the %.2f that were expected: not believed for %d slots (this is number %d)",
		demand, 100*s.Anomaly, expected, s.AnomalySlots, t.Low)
}
