//go:build system && referee && traces

package backtest_test

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSystemReportsAgreeWithTheReferenceOnRealTraces(t *testing.T) {
	for name, target := range map[string]string{
		"nasa_http_1995":         "request_count",
		"ms_mongo_app01":         "request_count",
		"azure_v2_cluster":       "cpu_cores_used",
		"google2019_service_113": "cpu_utilization",
		"aws_asg_cpu":            "cpu_utilization",
		"twitter_mentions_amzn":  "event_count",
		"metro_traffic_hourly":   "demand_count",
	} {
		t.Run(name, func(t *testing.T) {
			refereed(t, filepath.Join(os.Getenv("FORESCALE_TRACES"), name+".csv.gz"), target, 5)
		})
	}
}
