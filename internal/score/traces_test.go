//go:build traces

package score_test

import (
	"encoding/csv"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/internal/tidy"
	"github.com/forescale/forescale/models"
)

// TestPublishedBaselinesAreReproduced compares with the errors that another
// implementation found on public traces: on every test slot with an observed
// target, to all five digits printed. Two hourly traces with long gaps were
// scored there on fewer slots, those where the whole history of its richer models
// was known; n then differs, and the errors agree to some percent only.
func TestPublishedBaselinesAreReproduced(t *testing.T) {
	dir := os.Getenv("FORESCALE_TRACES")
	f, err := os.Open(filepath.Join(dir, "baselines.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := make(map[string]int)
	for i, name := range rows[0] {
		column[name] = i
	}
	baseline := map[string]string{"persistence": score.Persistence, "snaive_hour": score.SeasonalNaiveHour,
		"snaive_day": score.SeasonalNaiveDay, "snaive_week": score.SeasonalNaiveWeek}
	tables := make(map[string]*tidy.Table)
	exact, partial := 0, 0
	for _, row := range rows[1:] {
		name, known := baseline[row[column["model"]]]
		if !known {
			continue
		}
		trace, target := row[column["trace"]], row[column["target"]]
		want := func(field string) float64 {
			v, err := strconv.ParseFloat(row[column[field]], 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		if tables[trace] == nil {
			if tables[trace], err = tidy.ReadFile(filepath.Join(dir, trace+".csv.gz")); err != nil {
				t.Fatal(err)
			}
		}
		n, got := baselineScore(t, tables[trace], target, name, int(want("h")))
		tolerance := 5.1e-5 // half a unit of the fifth digit
		if missed := n - int(want("n_test")); missed > 0 {
			if missed*50 > n {
				t.Errorf("%s: %d slots scored, %v published", trace, n, want("n_test"))
			}
			tolerance = 0.03
			partial++
		} else {
			exact++
		}
		for field, v := range map[string]float64{"MAE": got.MAE, "RMSE": got.RMSE, "R2": got.R2, "WAPE": got.WAPE, "MASE": got.MASE, "skill_vs_persistence": got.Skill} {
			w := want(field)
			allowed := tolerance * max(math.Abs(w), 0.1)
			if tolerance > 0.01 && (field == "R2" || field == "skill_vs_persistence") { // ratios of errors, taken from 1
				allowed = max(0.01, tolerance*(1-w))
			}
			if !(math.Abs(v-w) <= allowed) { // NaN is a failure too
				t.Errorf("%s %s h=%v %s: %s is %.6g, published %v", trace, target, want("h"), name, field, v, w)
			}
		}
	}
	if exact < 120 || partial != 18 {
		t.Errorf("compared %d rows exactly and %d in part; expected 120 or more, and 18", exact, partial)
	}
}

func baselineScore(t *testing.T, table *tidy.Table, target, name string, h int) (int, models.Score) {
	t.Helper()
	g, err := table.Grid("trace")
	if err != nil {
		t.Fatal(err)
	}
	y := g.Columns[target]
	split := score.NewSplit(len(y))
	var cases []score.Case
	for i := split.TestStart(); i < len(y); i++ {
		if !math.IsNaN(y[i]) {
			cases = append(cases, score.Case{Origin: i - h, Actual: y[i], Forecast: y[i]})
		}
	}
	got := score.Horizon(cases, nil, h, g.Step, score.NewBaselines(y, g.Step), score.Naive(y[:split.Train]))
	return got.N, got.Baselines[name]
}
