package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/file"
	"github.com/forescale/forescale/models/gate"
)

// finding is what was found of a model.
type finding struct {
	Model   string      `json:"model"`
	Version int         `json:"version"`
	Since   time.Time   `json:"since,omitzero"`
	Live    gate.Live   `json:"live"`
	Return  gate.Return `json:"return"`
	// RolledBackTo is the version that serves again since this run.
	RolledBackTo int                     `json:"rolled_back_to,omitempty"`
	Drift        map[string]gate.Drifted `json:"drift,omitempty"` // by group
	Error        string                  `json:"error,omitempty"`

	inputs map[string][]gate.Series
	single bool // it serves the group of its name alone
}

// drifted returns the groups for which a retraining is asked for, sorted.
func (f finding) drifted() []string {
	var groups []string
	for _, group := range slices.Sorted(maps.Keys(f.Drift)) {
		if f.Drift[group].Retrain {
			groups = append(groups, group)
		}
	}
	return groups
}

// watchReport is the file of -report.
type watchReport struct {
	At      time.Time   `json:"at"`
	Program string      `json:"program"`
	DryRun  bool        `json:"dry_run,omitempty"`
	Models  []finding   `json:"models"`
	Retrain []retrained `json:"retrained,omitempty"`
}

// print tells every model in a line, and in full what is out of bounds.
func (w *watch) print(found []finding) {
	t := tabwriter.NewWriter(w.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "model\tversion\tsince\tcoverage (live slots)\tdrift")
	for _, f := range found {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\n", f.Model, f.Version, since(f.Since), coverage(f), driftOf(f))
	}
	_ = t.Flush() // a closed standard output does not make the models better
	for _, f := range found {
		if f.Return.Alert {
			fmt.Fprintf(w.out, "%s: %s\n", f.Model, f.Return.Why)
		}
		switch {
		case f.RolledBackTo > 0:
			fmt.Fprintf(w.out, "%s: rolled back, version %d serves again\n", f.Model, f.RolledBackTo)
		case f.Return.RollBack && w.dryRun:
			fmt.Fprintf(w.out, "%s: version %d would serve again\n", f.Model, f.Return.To)
		}
		for _, group := range f.drifted() {
			for _, reason := range f.Drift[group].Reasons {
				if !reason.Passed {
					fmt.Fprintf(w.out, "%s: group %s: %s\n", f.Model, group, reason)
				}
			}
		}
	}
}

func since(t time.Time) string {
	if t.IsZero() {
		return "unknown"
	}
	return stamp(t)
}

// coverage tells how often each upper quantile held.
func coverage(f finding) string {
	if f.Error != "" && len(f.Live.Counts) == 0 {
		return "not read"
	}
	var parts []string
	for _, n := range f.Live.Counts {
		parts = append(parts, fmt.Sprintf("%g: %.1f %%", n.Level, 100*float64(n.Covered)/float64(max(1, n.Slots))))
	}
	if len(parts) == 0 {
		return "not known"
	}
	return fmt.Sprintf("%s (%d)", strings.Join(parts, ", "), f.Live.Counts[0].Slots)
}

func driftOf(f finding) string {
	if n := len(f.drifted()); n > 0 {
		return fmt.Sprintf("%d of %d groups", n, len(f.Drift))
	}
	return "none"
}

// asked returns what the exit code tells, nil when nothing is to be done.
func (w *watch) asked(found []finding) error {
	var out, drifted []string
	for _, f := range found {
		if f.Return.Alert {
			out = append(out, f.Model)
		}
		if len(f.drifted()) > 0 && !(w.retrain && f.single) {
			drifted = append(drifted, f.Model)
		}
	}
	var parts []string
	for _, p := range []struct {
		what  string
		names []string
	}{{"coverage is out of its band", out}, {"a retraining is asked for", drifted}} {
		if n := len(p.names); n > 0 {
			parts = append(parts, fmt.Sprintf("%s: %s", p.what, strings.Join(p.names[:min(n, namesShown)], ", ")+moreThan(n)))
		}
	}
	if len(parts) == 0 {
		return nil
	}
	return &cli.StatusError{Code: exitAsked, Err: errors.New(strings.Join(parts, "; "))}
}

func moreThan(n int) string {
	if n <= namesShown {
		return ""
	}
	return fmt.Sprintf(" and %d more", n-namesShown)
}

// write replaces the file of -report.
func (w *watch) write(report watchReport) error {
	raw, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return file.Advise(file.Replace(w.report, append(raw, '\n')))
}
