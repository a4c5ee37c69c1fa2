//go:build traces

package trainer

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/internal/tidy"
)

// TestFastOnRealTraces: an hour ahead the fast preset beats persistence, and one
// step ahead it is never more than 5 % worse, on the untouched last fifth.
func TestFastOnRealTraces(t *testing.T) {
	dir := os.Getenv("FORESCALE_TRACES")
	for trace, target := range map[string]string{
		"google2019_service_113": "cpu_utilization",
		"aws_asg_cpu":            "cpu_utilization",
		"nasa_http_1995":         "request_count",
	} {
		t.Run(trace, func(t *testing.T) {
			table, err := tidy.ReadFile(filepath.Join(dir, trace+".csv.gz"))
			if err != nil {
				t.Fatal(err)
			}
			g, err := table.Grid(trace)
			if err != nil {
				t.Fatal(err)
			}
			c := DefaultConfig()
			c.Preset, c.Target, c.Seed = PresetFast, target, 1
			r, err := Train(context.Background(), c, Data{Grid: g})
			if err != nil {
				t.Fatal(err)
			}
			if got, want := len(r.Predictions.Rows), 12*knownTestSlots(g.Columns[target]); got != want {
				t.Errorf("%d predictions, want %d: one for each known test slot at each of 12 horizons", got, want)
			}
			for steps, limit := range map[int]float64{1: 1.05, 12: 1} {
				h := r.Report.Horizons[steps-1]
				ours, persistence := h.Model.MAE, h.Baselines[score.Persistence].MAE
				t.Logf("%d steps: MAE %.4g, persistence %.4g, ratio %.3f", steps, ours, persistence, ours/persistence)
				if ours > limit*persistence {
					t.Errorf("%d steps ahead: MAE %.4g is more than %.2f times that of persistence, %.4g", steps, ours, limit, persistence)
				}
			}
		})
	}
}

// knownTestSlots counts the slots of the test part that have a value.
func knownTestSlots(y []float64) (n int) {
	for _, v := range y[score.NewSplit(len(y)).TestStart():] {
		if !math.IsNaN(v) {
			n++
		}
	}
	return n
}
