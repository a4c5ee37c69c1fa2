package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/models"
)

// Report is the content of demo.json.
type Report struct {
	Workload string    `json:"workload"`
	From     time.Time `json:"from"` // of the live part, inclusive
	To       time.Time `json:"to"`   // exclusive
	// Horizons compares the forecasts made live with their baselines, against the
	// demand that really came.
	Horizons []models.HorizonScore `json:"horizons"`
	// Policies says how each group fared, by the way it was steered.
	Policies map[string]Policy `json:"policies"`
	// Decisions counts the records of the audit log, of all groups; ByBasis says
	// what they rested on.
	Decisions int            `json:"decisions"`
	ByBasis   map[string]int `json:"decisions_by_basis"`
	// Gaps counts the decisions that had to do without a forecast because metrics
	// were missing.
	Gaps int `json:"gaps"`
	// Readings counts what the sensors published over MQTT and the lake has.
	Readings int `json:"sensor_readings"`
	// Errors counts what went wrong at any caller; Messages names the first few.
	Errors   int      `json:"errors"`
	Messages []string `json:"error_messages,omitempty"`
	// ServerRestarts counts how often the server died and was started again.
	ServerRestarts int                `json:"server_restarts"`
	Seconds        map[string]float64 `json:"seconds"` // wall clock, by phase
}

// Policy is how one group fared over the live part.
type Policy struct {
	ViolationMinutes int     `json:"violation_minutes"`
	ViolationPct     float64 `json:"violation_pct"`
	UnservedPct      float64 `json:"unserved_pct"`
	InstanceHours    float64 `json:"instance_hours"`
	Actions          int     `json:"actions"`
	MeanUtilisation  float64 `json:"mean_utilisation"`
}

// Names of the two ways to steer.
const (
	predictive = "predictive"
	reactive   = "reactive"
)

// reportHorizons are the steps ahead that the report speaks of, as far as the
// model reaches.
var reportHorizons = []int{1, 3, 6, 12}

func policyOf(m fleet.Metrics) Policy {
	return Policy{
		ViolationMinutes: m.ViolationMinutes, ViolationPct: m.ViolationPct, UnservedPct: m.UnservedPct,
		InstanceHours: m.InstanceHours, Actions: m.Actions, MeanUtilisation: m.MeanUtilisation,
	}
}

// liveScores compares the forecasts in the audit log with the demand that came.
func liveScores(d *fleet.Demand, liveFrom time.Time, group string, records []api.TickRecord) []models.HorizonScore {
	slot := func(t time.Time) int { return int(t.Sub(d.Start) / d.Step) }
	seen := make([]float64, len(d.Slots))
	copy(seen, d.Slots)
	for i, missing := range d.Missing {
		if missing {
			seen[i] = nan
		}
	}
	baselines := score.NewBaselines(seen, d.Step)
	naive := score.Naive(seen[:slot(liveFrom)])
	var out []models.HorizonScore
	for _, h := range reportHorizons {
		var cases []score.Case
		for _, r := range records {
			for _, decision := range r.Decisions {
				f := decision.Forecast
				// The forecast for slot T+(h-1)S was issued at T, when slot T-S was the newest.
				at := slot(decision.Tick) + h - 1
				if decision.Group != group || f == nil || f.Error != nil || len(f.Point) < h || at >= len(seen) || isNaN(seen[at]) {
					continue
				}
				cases = append(cases, score.Case{Origin: at - h, Actual: seen[at], Forecast: f.Point[h-1]})
			}
		}
		if len(cases) > 0 {
			out = append(out, score.Horizon(cases, nil, h, d.Step, baselines, naive))
		}
	}
	return out
}

// Write puts the report into a file, whole or not at all.
func (r Report) Write(path string) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".report-*")
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(raw, '\n'))
	if e := tmp.Chmod(0o644); err == nil {
		err = e
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write report %s: %w", path, err)
	}
	return nil
}

// print writes the summary for people.
func (r Report) print(w io.Writer) {
	days := r.To.Sub(r.From).Hours() / 24
	fmt.Fprintf(w, "\n%s, %.1f days live (%s to %s UTC)\n", r.Workload, days,
		r.From.Format("2006-01-02 15:04"), r.To.Format("2006-01-02 15:04"))
	if len(r.Horizons) > 0 {
		fmt.Fprintf(w, "\n  forecast error (MAE, instance-equivalents)\n  %-12s %10s %12s %14s %8s\n", "ahead", "model", "persistence", "same time", "skill")
		fmt.Fprintf(w, "  %-12s %10s %12s %14s %8s\n", "", "", "", "the day before", "")
		for _, h := range r.Horizons {
			p := h.Baselines[score.Persistence]
			fmt.Fprintf(w, "  %-12s %10.3f %12.3f %14.3f %7.0f%%\n", time.Duration(h.Minutes*float64(time.Minute)).String(),
				h.Model.MAE, p.MAE, h.Baselines[score.SeasonalNaiveDay].MAE, 100*(1-h.Model.MAE/p.MAE))
		}
	}
	fmt.Fprintf(w, "\n  %-12s %18s %16s %10s %12s\n", "steered by", "violation minutes", "instance-hours", "actions", "mean load")
	for _, name := range []string{predictive, reactive} {
		p := r.Policies[name]
		fmt.Fprintf(w, "  %-12s %9d (%4.1f%%)  %16.1f %10d %11.0f%%\n", name, p.ViolationMinutes, p.ViolationPct, p.InstanceHours, p.Actions, 100*p.MeanUtilisation)
	}
	fmt.Fprintf(w, "\n%s\n", r.verdict())
	if r.Gaps > 0 {
		fmt.Fprintf(w, "At %d ticks the metrics had a gap; the measured load decided then.\n", r.Gaps)
	}
	if r.Readings > 0 {
		fmt.Fprintf(w, "%d readings of sensors came over MQTT; the lake has them as %s and %s of both groups.\n", r.Readings, metricTemperature, metricPower)
	}
	fmt.Fprintf(w, "%d decisions, %d errors\n", r.Decisions, r.Errors)
	if r.ServerRestarts > 0 {
		fmt.Fprintf(w, "the server died and was started again: %d\n", r.ServerRestarts)
	}
	for _, m := range r.Messages {
		fmt.Fprintf(w, "  error: %s\n", m)
	}
}

// verdict says in words what forecasting changed, whichever way it went.
func (r Report) verdict() string {
	p, q := r.Policies[predictive], r.Policies[reactive]
	var b strings.Builder
	fmt.Fprintf(&b, "Steered by forecasts, the group had %s and used %s.",
		change(float64(p.ViolationMinutes), float64(q.ViolationMinutes), "violation minutes"),
		change(p.InstanceHours, q.InstanceHours, "instance-hours"))
	switch {
	case p.ViolationMinutes < q.ViolationMinutes && p.InstanceHours > q.InstanceHours:
		fmt.Fprintf(&b, " Each violation minute avoided cost %.2f instance-hours.",
			(p.InstanceHours-q.InstanceHours)/float64(q.ViolationMinutes-p.ViolationMinutes))
	case p.ViolationMinutes > q.ViolationMinutes && p.InstanceHours < q.InstanceHours:
		fmt.Fprintf(&b, " Each violation minute accepted saved %.2f instance-hours; its price is in the policy (violation_peaks, violation_minute).",
			(q.InstanceHours-p.InstanceHours)/float64(p.ViolationMinutes-q.ViolationMinutes))
	case p.ViolationMinutes > q.ViolationMinutes:
		b.WriteString(" On this workload forecasts did not help.")
	}
	return b.String()
}

// change says how a compares with b: "12 fewer violation minutes (34 instead of 46)".
func change(a, b float64, what string) string {
	switch {
	case a < b:
		return fmt.Sprintf("%.4g fewer %s (%.5g instead of %.5g)", b-a, what, a, b)
	case a > b:
		return fmt.Sprintf("%.4g more %s (%.5g instead of %.5g)", a-b, what, a, b)
	}
	return fmt.Sprintf("as many %s (%.5g)", what, a)
}
