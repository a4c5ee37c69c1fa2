//go:build system && referee

package backtest_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/internal/tidy"
)

const goldenDir = "../../testdata/golden/fleet"

// demandOf reads a column of a trace as its load.
func demandOf(t *testing.T, path, target string) *fleet.Demand {
	t.Helper()
	table, err := tidy.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	grid, err := table.Grid("web")
	if err != nil {
		t.Fatal(err)
	}
	d, err := fleet.NewDemand(grid.Start, grid.Step, grid.Columns[target])
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// refereed fails the test unless the reference implementation finds the report's
// own figures, every digit of them, in the capacity files of all policies.
func refereed(t *testing.T, path, target string, lead int) {
	t.Helper()
	c := configured(demandOf(t, path, target))
	c.Lead, c.Rehearsal = lead, nil
	r := run(t, c)
	for _, p := range r.Report.Policies {
		var b bytes.Buffer
		if err := r.Plans[p.Name].Write(&b); err != nil {
			t.Fatal(err)
		}
		capacity := filepath.Join(t.TempDir(), p.Name+".csv")
		if err := os.WriteFile(capacity, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/usr/bin/python3", os.Getenv("FORESCALE_REFEREE"), path, target, capacity, "--lead", strconv.Itoa(lead))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("referee: %v\n%s", err, stderr.String())
		}
		var want map[string]any
		if err := json.Unmarshal(out, &want); err != nil {
			t.Fatal(err)
		}
		got := map[string]any{
			"violation_pct": p.ViolationPct, "unserved_pct": p.UnservedPct, "instance_hours": p.InstanceHours,
			"ratio_to_oracle": p.RatioToOracle, "actions": float64(p.Actions), "reversals_per_day": p.ReversalsPerDay,
			"oracle_instance_hours": r.Report.OracleInstanceHours, "score_from": r.Report.ScoreFrom.Format("2006-01-02T15:04:05Z"),
		}
		for name, value := range got {
			if value != want[name] {
				t.Errorf("%s, lead %d: %s is %v, the reference says %v", p.Name, lead, name, value, want[name])
			}
		}
	}
}

func TestSystemReportsAgreeWithTheReferenceOnGoldenTraces(t *testing.T) {
	traces, err := filepath.Glob(filepath.Join(goldenDir, "*.trace.csv"))
	if err != nil || len(traces) != 4 {
		t.Fatalf("traces %v (%v)", traces, err)
	}
	slices.Sort(traces)
	for _, path := range traces {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".trace.csv"), func(t *testing.T) {
			for _, lead := range []int{3, 5, 10} {
				refereed(t, path, "request_count", lead)
			}
		})
	}
}
