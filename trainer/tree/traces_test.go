//go:build traces

package tree

import (
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/internal/tidy"
)

// TestTreesKeepUpWithXGBoostOnRealLoad fits plain lag features, stops on the
// validation part and refits on both, as the XGBoost rows of baselines.csv were
// made, and compares the test error, which was never looked at.
func TestTreesKeepUpWithXGBoostOnRealLoad(t *testing.T) {
	dir := os.Getenv("FORESCALE_TRACES")
	logs, n := 0.0, 0.0
	for _, c := range []struct{ trace, target string }{
		{"azure_v2_cluster", "cpu_cores_used"},
		{"google2019_service_113", "cpu_utilization"},
		{"ms_mongo_app02", "request_count"},
		{"twitter_mentions_goog", "event_count"},
	} {
		for _, h := range []int{1, 12} {
			table, err := tidy.ReadFile(filepath.Join(dir, c.trace+".csv.gz"))
			if err != nil {
				t.Fatal(err)
			}
			grid, err := table.Grid(c.trace)
			if err != nil {
				t.Fatal(err)
			}
			ours, theirs := testError(t, grid.Columns[c.target], h), xgboost(t, dir, c.trace, c.target, h)
			t.Logf("%s, %d steps: WAPE %.4f, XGBoost %.4f", c.trace, h, ours, theirs)
			logs, n = logs+math.Log(ours/theirs), n+1
		}
	}
	if ratio := math.Exp(logs / n); ratio > 1.05 {
		t.Errorf("the error is %.3f times that of XGBoost in the mean", ratio)
	}
}

// testError returns Σ|e| / Σ|y| over the test part of a series of five-minute
// slots, h steps ahead.
func testError(t *testing.T, y []float64, h int) float64 {
	const day = 288
	at := func(i int) float64 {
		if i < 0 {
			return math.NaN()
		}
		return y[i]
	}
	split := score.NewSplit(len(y))
	var m Matrix
	var target, level []float32
	train, both := 0, 0 // rows before the validation and the test part
	for i := day; i+h < len(y); i++ {
		now, next := y[i], y[i+h]
		if now != now || next != next {
			continue
		}
		row := []float64{now, float64((i + h) % day), float64((i + h) % 12)}
		for k := 1; k < 36; k++ {
			row = append(row, at(i-k)-now)
		}
		for k := -2; k <= 2; k++ {
			row = append(row, at(min(i, i+h-day+k))-now)
		}
		for _, lag := range []int{day, 2 * day, 7 * day} {
			row = append(row, at(i+h-lag)-now, at(i+h-lag)-at(i-lag))
		}
		m.Rows, m.Cols = m.Rows+1, len(row)
		for _, v := range row {
			m.Data = append(m.Data, float32(v))
		}
		target, level = append(target, float32(next-now)), append(level, float32(now))
		if i+h < split.ValidationStart() {
			train = m.Rows
		}
		if i+h < split.TestStart() {
			both = m.Rows
		}
	}
	rows := func(from, to int) Matrix { return Matrix{to - from, m.Cols, m.Data[from*m.Cols : to*m.Cols]} }
	c := Defaults()
	e, err := Fit(t.Context(), c, Bin(rows(0, train), DefaultBins, 1), target[:train], nil, rows(train, both), target[train:both], nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Patience, c.Trees = 0, e.Len(); c.Trees > 0 {
		if e, err = Fit(t.Context(), c, Bin(rows(0, both), DefaultBins, 1), target[:both], nil, Matrix{}, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	var errors, sum float64
	for i, p := range predict(e, rows(both, m.Rows)) {
		errors += math.Abs(float64(p - target[both+i]))
		sum += math.Abs(float64(target[both+i] + level[both+i]))
	}
	return errors / sum
}

// xgboost returns the WAPE that baselines.csv has.
func xgboost(t *testing.T, dir, trace, target string, h int) float64 {
	f, err := os.Open(filepath.Join(dir, "baselines.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	for _, r := range rows[1:] {
		if r[column["trace"]] == trace && r[column["target"]] == target && r[column["h"]] == fmt.Sprint(h) && r[column["model"]] == "xgboost" {
			wape, err := strconv.ParseFloat(r[column["WAPE"]], 64)
			if err != nil {
				t.Fatal(err)
			}
			return wape
		}
	}
	t.Fatalf("baselines.csv has no XGBoost for %s of %s at %d", target, trace, h)
	return 0
}
