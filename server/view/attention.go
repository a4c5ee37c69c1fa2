package view

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
)

// staleSteps is the age, in steps, from which on data or decisions count as stale
// here: collector and scaler wait for late points, and miss a tick now and then.
const staleSteps = 4

// finding is something about a group that a person should know.
type finding struct {
	attention int
	text      string
}

// judge fills in state, attention and reason of a row. d may be nil.
func (r *row) judge(out *api.FleetRow, d *api.Decision) {
	stale := out.DataAgeSeconds == nil || time.Duration(*out.DataAgeSeconds)*time.Second > staleSteps*r.view.Step
	var found []finding
	note := func(attention int, format string, args ...any) {
		found = append(found, finding{attention, fmt.Sprintf(format, args...)})
	}
	state, why := r.state(d, stale)
	out.State = state
	switch {
	case stale && out.DataAgeSeconds == nil:
		note(api.AttentionFault+40, "nothing has been measured in the last %s", short(sparkSlots*r.view.Step))
	case stale:
		note(api.AttentionFault+40, "the newest data is %s old", short(time.Duration(*out.DataAgeSeconds)*time.Second))
	}
	if d == nil {
		note(api.AttentionNotice, "%s", why)
	} else {
		r.faults(out, d, note)
		r.doubts(out, d, why, note)
	}
	if m := out.Model; m != nil && m.Problem != "" {
		note(api.AttentionWarning+30, "model %s: %s", m.Name, m.Problem)
	}
	worst := finding{api.AttentionNone, why}
	for _, f := range found {
		if f.attention > worst.attention {
			worst = f
		}
	}
	out.Attention, out.Reason = worst.attention, worst.text
}

// state says in a word, and a sentence, what decides about a group.
func (r *row) state(d *api.Decision, stale bool) (api.GroupState, string) {
	switch {
	case d == nil:
		return api.StateUnknown, "no scaler decides on this group"
	case r.late:
		return api.StateStale, "no decision for " + short(r.present.Sub(d.Tick))
	case stale && d.Safety != api.SafetyPaused && d.Safety != api.SafetyFrozen:
		return api.StateStale, "no metrics that can be trusted: it is never scaled in"
	}
	switch d.Safety {
	case api.SafetyPaused:
		return api.StatePaused, "paused" + orderOf(d)
	case api.SafetyFrozen:
		return api.StateFrozen, "frozen" + orderOf(d)
	case api.SafetyStale:
		return api.StateStale, "no metrics that can be trusted: it is never scaled in"
	case api.SafetyDrift:
		return api.StateDrift, "what came true falls out of the forecasts' band: the live load decides"
	case api.SafetyNoModel:
		if r.setting(d).Signal == signalObserved { // it has lost nothing
			return api.StateReactive, "its policy follows the live load"
		}
		return api.StateNoModel, "there is no usable forecast" + detailOf(d, "forecast") + ": the live load decides"
	}
	switch d.Basis {
	case api.BasisPredictive:
		return api.StatePredictive, "forecasts decide"
	case api.BasisHold:
		return api.StateHold, "nothing fresh was known at the newest tick: it is never scaled in"
	}
	if detail := detailOf(d, "forecast"); detail != "" {
		return api.StateNoModel, "there is no usable forecast" + detail + ": the live load decides"
	}
	return api.StateReactive, "its policy follows the live load"
}

// orderOf says by whom and why, as far as it is known.
func orderOf(d *api.Decision) string {
	if c := d.Control; c != nil {
		return fmt.Sprintf(" by %s until %s: %s", c.By, c.Until.UTC().Format(time.RFC3339), c.Reason)
	}
	return " by order"
}

// detailOf returns what a rule had to say, in brackets.
func detailOf(d *api.Decision, rule string) string {
	for _, reason := range d.Reasons {
		if reason.Rule == rule {
			return " (" + reason.Detail + ")"
		}
	}
	return ""
}

// faults notes what is wrong now, or will be before anything can be done about it.
func (r *row) faults(out *api.FleetRow, d *api.Decision, note func(int, string, ...any)) {
	if r.late {
		note(api.AttentionFault+30, "no decision for %s", short(r.present.Sub(d.Tick)))
	}
	if d.Outcome.Status == api.OutcomeFailed {
		note(api.AttentionFault+50, "the last action failed: %s", d.Outcome.Detail)
	}
	if d.CapacityError != "" || !d.Capacity.Known() {
		note(api.AttentionFault+45, "its capacity is not known: %s", d.CapacityError)
		return
	}
	objective := r.setting(d).Objective
	if cpu, seen := d.Observed[api.MetricCPU]; seen && cpu > 100*objective {
		note(api.AttentionFault+60, "CPU was %.0f %% in the newest slot, the objective is %.0f %%", cpu, 100*objective)
	}
	f := d.Forecast
	if f == nil || f.Error != nil || len(f.Point) == 0 || f.StepSeconds <= 0 {
		return
	}
	k := r.setting(d).leadSteps(time.Duration(f.StepSeconds)*time.Second, len(f.Point))
	if work := f.Point[k-1]; work > objective*float64(d.Desired) && d.Desired > 0 {
		at := f.IssuedAt.Add(time.Duration((k-1)*f.StepSeconds) * time.Second).UTC()
		note(api.AttentionFault+20, "%d instances are too few for what is forecast for %s: CPU would be %.0f %%, the objective is %.0f %%",
			d.Desired, at.Format("15:04 UTC"), 100*work/float64(d.Desired), 100*objective)
	}
}

// doubts notes what somebody should look into, and what was ordered.
func (r *row) doubts(out *api.FleetRow, d *api.Decision, why string, note func(int, string, ...any)) {
	switch out.State {
	case api.StateDrift, api.StateNoModel, api.StateHold:
		note(api.AttentionWarning+40, "%s", why)
	case api.StateFrozen, api.StatePaused:
		note(api.AttentionNotice+20, "%s", why)
	}
	if d.Capacity.LaunchError != "" {
		note(api.AttentionWarning+60, "instances do not start: %s", d.Capacity.LaunchError)
	}
	if d.Outcome.Status == api.OutcomeSkipped && out.State != api.StatePaused {
		note(api.AttentionWarning+15, "the last action was not carried out: %s", d.Outcome.Detail)
	}
	for _, reason := range d.Reasons {
		if reason.From > reason.To && (reason.Rule == "max" || reason.Rule == "budget") {
			note(api.AttentionWarning+50, "%s", reason.Detail)
		}
	}
	if len(d.Alerts) > 0 {
		note(api.AttentionWarning+20, "%s", alertText(d))
	}
}

// alertText says what a decision's alerts are about, in the words of the rules where
// these have some.
func alertText(d *api.Decision) string {
	for _, reason := range d.Reasons {
		if slices.Contains(d.Alerts, reason.Rule) {
			return reason.Detail
		}
	}
	if len(d.Capacity.Rivals) > 0 && slices.Contains(d.Alerts, "rival") {
		return fmt.Sprintf("somebody else scales it: %s (%s)", d.Capacity.Rivals[0].Kind, d.Capacity.Rivals[0].Detail)
	}
	return "alerts: " + strings.Join(d.Alerts, ", ")
}

// short writes a length of time for a sentence.
func short(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
