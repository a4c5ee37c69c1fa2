//go:build traces

package fleet_test

import (
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/forescale/forescale/internal/fleet"
)

// calibrationTraces are the public traces of the published table, in its order.
var calibrationTraces = []string{
	"nasa_http_1995", "ms_mongo_app01", "ms_mongo_app02", "ms_ingress_03",
	"azure_v2_cluster", "google2019_service_113", "aws_asg_cpu", "twitter_mentions_amzn",
}

// targets returns the target column of each trace of the manifest.
func targets(t *testing.T, dir string) map[string]string {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "manifest.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]string{}
	for _, row := range rows[1:] {
		of[row[0]] = row[2]
	}
	return of
}

// The table was published with two decimals, and its geometric means with three
// where two would not tell the policies apart. The knobs are those that it was
// swept with: between other ones the interpolated values differ in the last digit.
func TestBaselinesReproduceThePublishedTable(t *testing.T) {
	const lead = 5
	from := func(least, most, step float64) (knobs []float64) {
		for i := 0; least+float64(i)*step <= most+1e-9; i++ {
			knobs = append(knobs, least+float64(i)*step)
		}
		return knobs
	}
	tracked := append(from(0.30, 0.85, 0.05), 0.88, 0.90)
	table := []struct {
		policy string
		knobs  []float64
		make   func(knob float64) fleet.Controller
		want   [8]string
		mean   string
	}{
		{"static constant", from(2, 60, 1), func(k float64) fleet.Controller { return fleet.Static(k) },
			[8]string{"2.32", "2.31", "1.39", "1.43", "1.11", "1.53", "2.00", "2.00"}, "1.71"},
		{"reference rule, observed CPU", append(from(0.3, 0.9, 0.1), 0.95), func(k float64) fleet.Controller { return fleet.Rule{High: k, Low: k / 2} },
			[8]string{"1.78", "1.92", "1.32", "1.34", "1.36", "1.55", "2.30", "2.03"}, "1.67"},
		{"target tracking", tracked, func(k float64) fleet.Controller { return fleet.NewTargetTracking(k) },
			[8]string{"1.61", "1.45", "1.03", "1.05", "1.04", "1.23", "3.53", "2.02"}, "1.480"},
		{"HPA", from(0.2, 0.9, 0.05), func(k float64) fleet.Controller { return fleet.NewHPA(k) },
			[8]string{"1.75", "1.37", "1.09", "1.08", "1.11", "1.18", "3.39", "2.07"}, "1.504"},
		{"AWS-predictive", tracked, func(k float64) fleet.Controller { return fleet.NewAWSPredictive(k, lead) },
			[8]string{"1.52", "1.19", "1.04", "1.06", "1.04", "1.14", "3.51", "1.79"}, "1.400"},
	}
	dir := os.Getenv("FORESCALE_TRACES")
	columns := targets(t, dir)
	for _, row := range table {
		t.Run(row.policy, func(t *testing.T) {
			logs := 0.0
			for i, name := range calibrationTraces {
				d := readTrace(t, filepath.Join(dir, name+".csv.gz"), columns[name])
				from, to := d.ScoreStart()*d.SlotMinutes(), d.Minutes()
				demand, scored := d.Window(from, to)
				var sweep []fleet.Point
				for _, knob := range row.knobs {
					run, err := fleet.Simulate(d, row.make(knob), from, to, lead)
					if err != nil {
						t.Fatal(err)
					}
					m := fleet.Measure(demand, scored, run)
					sweep = append(sweep, fleet.Point{ViolationPct: m.ViolationPct, InstanceHours: m.InstanceHours, Knob: knob})
				}
				hours, ok := fleet.NewCurve(sweep).HoursAt(0.5)
				ratio := hours / fleet.Measure(demand, scored, fleet.Oracle(demand, from, lead)).InstanceHours
				if got := fmt.Sprintf("%.2f", ratio); !ok || got != row.want[i] {
					t.Errorf("%s: %s of the oracle (%v), published %s", name, got, ok, row.want[i])
				}
				logs += math.Log(ratio)
			}
			mean := math.Exp(logs / float64(len(calibrationTraces)))
			if got := fmt.Sprintf("%.*f", len(row.mean)-2, mean); got != row.mean {
				t.Errorf("geometric mean %s, published %s", got, row.mean)
			}
		})
	}
}
