//go:build traces

package tidy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPublicTraces reads every trace of the collection that FORESCALE_TRACES
// names, and finds its manifest true.
func TestPublicTraces(t *testing.T) {
	dir := os.Getenv("FORESCALE_TRACES")
	files, err := filepath.Glob(filepath.Join(dir, "*.csv.gz"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%d traces, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".csv.gz")
		t.Run(name, func(t *testing.T) {
			table, err := ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			g, err := table.Grid(name)
			if err != nil {
				t.Fatal(err)
			}
			step := 5 * time.Minute
			if strings.HasSuffix(name, "_hourly") {
				step = time.Hour
			}
			// The reference's rows keep five minutes exactly, off the whole ones of the clock.
			aligned := g.Start.Equal(g.Start.Truncate(step))
			if g.Step != step || g.Len() != len(table.Times) || !g.Start.Equal(table.Times[0]) || aligned == (name == "reference_multi_metric") {
				t.Errorf("step %v, %d slots for %d rows, start %v", g.Step, g.Len(), len(table.Times), g.Start)
			}
			for _, column := range append(table.Inputs(), table.Flags()...) {
				if !same(g.Columns[column], table.Columns[column]) {
					t.Errorf("%s: the rows are not the slots", column)
				}
			}
			if slices.Contains(table.Inputs(), "is_anomaly_label") || g.Columns["is_anomaly_label"] != nil {
				t.Error("a label became an input")
			}
			if regular := name != "reference_multi_metric"; regular != (len(table.Notes) == 0) {
				t.Errorf("notes %q", table.Notes)
			}
		})
	}
}
