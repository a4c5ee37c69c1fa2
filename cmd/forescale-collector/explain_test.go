package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/cli"
)

func TestCheckShowsTheExpressionsOfPresets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "forescale.yaml")
	write(t, path, "data: file:///tmp/lake\nstep: 1m\ncollector:\n  settle: 30s\n  sources:\n    - prometheus: {url: \"http://127.0.0.1:1\", istio: {namespaces: [shop]}}\n")
	code, out := execute(t, "-config", path, "-check")
	const want = `collector.sources[0].prometheus.istio: request_count of group {destination_workload_namespace}/{destination_workload} = sum by (destination_workload_namespace, destination_workload) (increase(istio_requests_total{reporter="destination",destination_workload!="unknown",destination_workload_namespace=~"shop"}[60s]))`
	if code != cli.ExitOK || !strings.Contains(out, "configuration is valid\n") || !strings.Contains(out, want) {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}
