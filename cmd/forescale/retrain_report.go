package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/forescale/forescale/internal/file"
	"github.com/forescale/forescale/models/gate"
)

// What came of a group.
const (
	promoted    = "promoted"       // the challenger serves
	kept        = "kept"           // the champion stays
	passedOver  = "passed over"    // it has been retrained today
	overtaken   = "overtaken"      // somebody else moved the champion meanwhile; nothing was moved here
	failed      = "failed"         // nothing could be judged; the champion stays
	dryPromoted = "would promote"  // with -dry-run
	dryKept     = "would not move" // with -dry-run
)

// retrained is what came of a group.
type retrained struct {
	Group   string `json:"group"`
	Outcome string `json:"outcome"`
	// ChampionName and Champion say who served when it began; 0: nobody.
	ChampionName string `json:"champion_name,omitempty"`
	Champion     int    `json:"champion,omitempty"`
	Challenger   int    `json:"challenger,omitempty"` // its version in the registry; 0: it is not there
	// Input and Verdict are what was judged and found; nil: it did not come to that.
	Input   *gate.Input   `json:"input,omitempty"`
	Verdict *gate.Verdict `json:"verdict,omitempty"`
	Notes   []string      `json:"notes,omitempty"`
	Error   string        `json:"error,omitempty"`
	Seconds float64       `json:"seconds"`
}

func (res *retrained) note(text string) { res.Notes = append(res.Notes, text) }

func (res *retrained) passOver(format string, args ...any) {
	res.Outcome = passedOver
	res.note(fmt.Sprintf(format, args...))
}

// retrainReport is the file of -report.
type retrainReport struct {
	At      time.Time   `json:"at"`
	Program string      `json:"program"`
	DryRun  bool        `json:"dry_run,omitempty"`
	Groups  []retrained `json:"groups"`
}

// write replaces the file by the report.
func (r retrainReport) write(path string) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return file.Advise(file.Replace(path, append(raw, '\n')))
}

// print tells one group in full.
func (res retrained) print(w io.Writer) {
	for _, note := range res.Notes {
		fmt.Fprintf(w, "%s: %s\n", res.Group, note)
	}
	if res.Verdict != nil {
		fmt.Fprintf(w, "%s: %s\n", res.Group, res.Verdict)
	}
	switch res.Outcome {
	case promoted:
		fmt.Fprintf(w, "%s: version %d serves now\n", res.Group, res.Challenger)
	case kept, dryPromoted, dryKept, overtaken, passedOver:
		serves := "no model serves"
		if res.Champion > 0 {
			serves = fmt.Sprintf("%s version %d serves on", res.ChampionName, res.Champion)
		}
		if res.Outcome == overtaken {
			serves = "the champion was moved by somebody else"
		}
		fmt.Fprintf(w, "%s: %s; %s\n", res.Group, res.Outcome, serves)
	}
}

// retrainTable tells many groups, a line each.
func retrainTable(w io.Writer, results []retrained) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "group\toutcome\tchampion\tchallenger\thours\tviolations\tWAPE\twhy")
	for _, res := range results {
		var hours, violations, wape string
		if in := res.Input; in != nil {
			rival := in.Champion
			if rival == nil {
				rival = in.Persistence
			}
			if rival != nil {
				a, b := in.Challenger, *rival
				if a.EqualHours != nil && b.EqualHours != nil {
					hours = beside("%.0f", a.EqualHours, b.EqualHours)
				} else {
					hours = beside("%.0f", a.InstanceHours, b.InstanceHours)
				}
				violations, wape = beside("%.2f %%", a.Violations, b.Violations), beside("%.4f", a.WAPE, b.WAPE)
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", res.Group, res.Outcome, versionOf(res.Champion), versionOf(res.Challenger), hours, violations, wape, res.brief())
	}
	return t.Flush()
}

// beside sets a challenger's figure before its rival's.
func beside(format string, a, b *float64) string {
	show := func(v *float64) string {
		if v == nil {
			return "?"
		}
		return fmt.Sprintf(format, *v)
	}
	return show(a) + " (" + show(b) + ")"
}

func versionOf(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

// brief is the one thing worth saying of a group in a table.
func (res retrained) brief() string {
	text := ""
	switch {
	case res.Error != "":
		text = res.Error
	case res.Verdict != nil && !res.Verdict.Promote:
		var checks []string
		for _, reason := range res.Verdict.Reasons {
			if !reason.Passed && !slices.Contains(checks, reason.Check) {
				checks = append(checks, reason.Check)
			}
		}
		text = "failed: " + strings.Join(checks, ", ")
	case len(res.Notes) > 0 && (res.Outcome == passedOver || res.Outcome == overtaken):
		text = res.Notes[len(res.Notes)-1]
	}
	text, _, _ = strings.Cut(text, "\n")
	return text
}
