//go:build system && traces && referee

package fleet_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/forescale/forescale/internal/fleet"
)

// The reference implementation is a script that needs python3-numpy;
// FORESCALE_REFEREE is its path.
func TestSystemVerdictsAgreeWithTheReferenceOnRealTraces(t *testing.T) {
	traces := os.Getenv("FORESCALE_TRACES")
	for name, target := range map[string]string{
		"nasa_http_1995":          "request_count",
		"aws_asg_cpu":             "cpu_utilization",
		"google2019_service_113":  "cpu_utilization",
		"twitter_mentions_amzn":   "event_count",
		"aws_elb_requests_8c0756": "request_count",
		"ms_ecommerce_api_hourly": "request_count",
	} {
		t.Run(name, func(t *testing.T) {
			trace := filepath.Join(traces, name+".csv.gz")
			d := readTrace(t, trace, target)
			for planName, content := range goldenPlans(t, d) {
				capacity := filepath.Join(t.TempDir(), planName+".csv")
				if err := os.WriteFile(capacity, content, 0o600); err != nil {
					t.Fatal(err)
				}
				for _, lead := range []int{3, 5, 10} {
					verdict, err := fleet.Judge(d, readPlan(t, capacity), lead)
					if err != nil {
						t.Fatal(err)
					}
					agree(t, verdict, referee(t, trace, target, capacity, lead))
				}
			}
		})
	}
}
