package backtest

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
)

// JSON returns the content of report.json.
func (r Report) JSON() ([]byte, error) {
	raw, err := json.MarshalIndent(r, "", "  ")
	return append(raw, '\n'), err
}

// Print writes the report for people.
func (r Report) Print(out io.Writer) error {
	days := r.ScoreTo.Sub(r.ScoreFrom).Hours() / 24
	fmt.Fprintf(out, "\n%s, the last %.1f days (%s to %s UTC), instances take %d minutes to start\n\n", r.Trace, days,
		r.ScoreFrom.Format("2006-01-02 15:04"), r.ScoreTo.Format("2006-01-02 15:04"), r.LeadMinutes)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "policy\tat\tviolations\tunserved\tinstance-hours\tof oracle\tactions/day\treversals/day\tof oracle at 0.5 %\t")
	for _, p := range r.Policies {
		knob := strconv.FormatFloat(p.Knob, 'g', -1, 64)
		if p.Name == Oracle {
			knob = ""
		}
		fmt.Fprintf(w, "%s\t%s\t%.3f %%\t%.3f %%\t%.1f\t%.3f\t%.1f\t%.1f\t%s\t\n", p.Name, knob,
			p.ViolationPct, p.UnservedPct, p.InstanceHours, p.RatioToOracle, p.ActionsPerDay, p.ReversalsPerDay, atLimit(p))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if r.Refitted != nil {
		fmt.Fprintf(out, "\nWith models fitted anew every %g hours:\n", r.Refitted.EveryHours)
		for _, p := range r.Refitted.Policies {
			fmt.Fprintf(out, "  %s at %g: %.3f %% violations, %.3f of the oracle\n", p.Name, p.Knob, p.ViolationPct, p.RatioToOracle)
		}
	}
	if r.Verdict != "" {
		fmt.Fprintf(out, "\n%s\n", r.Verdict)
	}
	if c := r.Recommended; c != nil {
		fmt.Fprintf(out, "\n%s\n", c.Sentence())
	}
	return nil
}

// atLimit is what a policy needs for the allowed violations, or that it cannot.
func atLimit(p PolicyReport) string {
	switch {
	case p.Name == Oracle:
		return ""
	case p.RatioAtAllowed == nil:
		return "never"
	}
	return fmt.Sprintf("%.3f", *p.RatioAtAllowed)
}

// Sentence says what is recommended, on what grounds, and how it then fared.
func (c Recommended) Sentence() string {
	return fmt.Sprintf("Recommended: %s at %g, because %s. In the test it then had %.2f %% violation minutes at %.2f times the least possible instance-hours.",
		c.Policy, c.Knob, c.Reason, c.Tested.ViolationPct, c.Tested.RatioToOracle)
}
