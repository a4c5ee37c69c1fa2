package sources

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/conf"
)

func load(t *testing.T, text string) (Config, conf.Common, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "forescale.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig()
	common, err := conf.Load(path, "collector", &c)
	return c, common, err
}

func TestConfig(t *testing.T) {
	t.Run("reads the collector's own settings and its sources from one section", func(t *testing.T) {
		c, common, err := load(t, `
aws: {region: eu-central-1, cloudwatch_endpoint: "http://127.0.0.1:1"}
collector:
  look_back: 4
  settle: 90s
  sources:
    - cloudwatch:
        groups:
          - name: web
          - {name: api, load_balancer: app/api/1, metrics: [cpu_utilization, slow]}
        metrics:
          slow: {namespace: AWS/ApplicationELB, name: TargetResponseTime, stat: p95, of: [load_balancer]}
    - name: other
      cloudwatch: {region: us-east-1, groups: [{name: web2}]}
`)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(common.Step); err != nil {
			t.Fatal(err)
		}
		if c.LookBack != 4 || c.Settle != 90*time.Second || c.Writer != "collector" {
			t.Errorf("got %+v", c.Config)
		}
		srcs, err := Open(t.Context(), c, Deps{AWS: common.AWS, Step: common.Step, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if len(srcs) != 2 || srcs[0].Name() != "cloudwatch" || srcs[1].Name() != "other" {
			t.Errorf("opened %v", srcs)
		}
	})
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"names an unknown key of a driver":  {"collector:\n  sources:\n    - cloudwatch: {grups: []}\n", []string{"grups"}},
		"names an unknown key of a source":  {"collector:\n  sources:\n    - cloudwach: {}\n", []string{"cloudwach"}},
		"names an unknown key of a section": {"collector:\n  lookback: 3\n", []string{"lookback"}},
		"wants a driver":                    {"collector:\n  sources:\n    - name: x\n", []string{"sources[0]", "no driver"}},
		"wants names that differ": {
			"collector:\n  sources:\n    - cloudwatch: {groups: [{name: a}]}\n    - cloudwatch: {groups: [{name: b}]}\n", []string{"sources[1]", "twice"}},
		"names one driver an entry": {"collector:\n  sources:\n    - {prometheus: {}, azure_monitor: {}}\n", []string{"sources[0]", "two drivers", "prometheus", "azure_monitor"}},
		"names every fault of prometheus with its path": {
			"collector:\n  sources:\n    - prometheus: {url: x, queries: [{metric: m, expr: a_total, group: '{s}'}], istio: {namespaces: [A]}}\n",
			[]string{"sources[0]: prometheus.url", "sources[0]: prometheus.queries[0].expr", "sources[0]: prometheus.istio.namespaces[0]"}},
		"names every fault of azure_monitor with its path": {
			"collector:\n  sources:\n    - azure_monitor: {endpoint: x, groups: [{name: a}]}\n",
			[]string{"sources[0]: azure_monitor.endpoint", "sources[0]: azure_monitor.groups[0].resource"}},
		"names an unknown key of a preset": {"collector:\n  sources:\n    - prometheus: {istio: {namespace: [a]}}\n", []string{"namespace"}},
		"reports faults of the collector and of a driver together": {
			"collector:\n  look_back: 0\n  sources:\n    - cloudwatch: {groups: [{name: a, metrics: [zzz]}]}\n", []string{"look_back", "zzz"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, common, err := load(t, c.text)
			if err == nil {
				err = cfg.Validate(common.Step)
			}
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v does not mention %q", err, want)
				}
			}
		})
	}
}

func TestOpenWantsARegion(t *testing.T) {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	c, common, err := load(t, "collector:\n  sources:\n    - cloudwatch: {groups: [{name: a}]}\n")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), c, Deps{AWS: common.AWS, Step: common.Step, Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "region") {
		t.Errorf("got %v", err)
	}
}

// A push driver is configured like any other source, and opened beside them.
func TestSourcesThatPushAreOpenedAsStreams(t *testing.T) {
	c, common, err := load(t, "aws: {region: eu-central-1}\ncollector:\n  sources:\n    - cloudwatch: {groups: [{name: web}]}\n")
	if err != nil {
		t.Fatal(err)
	}
	streams, err := OpenStreams(t.Context(), c, Deps{AWS: common.AWS, Step: common.Step, Log: slog.New(slog.DiscardHandler)})
	if err != nil || len(streams) != 0 || c.Streams() {
		t.Errorf("a source that is asked was opened as a stream: %v, %v", streams, err)
	}
}

func TestSourcesOfPrometheusAndAzure(t *testing.T) {
	c, common, err := load(t, `
collector:
  sources:
    - prometheus:
        url: http://127.0.0.1:1/prometheus
        bearer_token: {env: FORESCALE_TEST_TOKEN}
        headers: {X-Scope-OrgID: shop}
        queries:
          - metric: response_time
            stat: p95
            expr: histogram_quantile(0.95, sum by (service, le) (rate(latency_ms_bucket[$step])))
            group: "shop/{service}"
            from: milliseconds
          - {metric: queue_length, expr: "avg_over_time(queue[$step])", group: "{queue}", aggregate: max, scale: 2}
        istio: {namespaces: [shop], reporter: destination}
        kube_state_metrics: {namespaces: [shop], group: "{workload}"}
        container_cpu: {}
    - name: azure
      azure_monitor:
        token: {env: FORESCALE_TEST_TOKEN}
        groups:
          - name: web
            resource: /subscriptions/0/resourceGroups/shop/providers/Microsoft.Compute/virtualMachineScaleSets/web
            metrics: [cpu_utilization, errors]
        metrics:
          errors: {name: Http5xx, namespace: Microsoft.Web/sites, stat: sum, metric: error_count}
`)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(common.Step); err != nil {
		t.Fatal(err)
	}
	deps := Deps{AWS: common.AWS, Step: common.Step, Log: slog.New(slog.DiscardHandler)}
	if _, err := Open(t.Context(), c, deps); err == nil || !strings.Contains(err.Error(), "prometheus.bearer_token") || !strings.Contains(err.Error(), "azure_monitor.token") {
		t.Errorf("without the token: %v", err)
	}
	t.Setenv("FORESCALE_TEST_TOKEN", "x")
	srcs, err := Open(t.Context(), c, deps)
	if err != nil {
		t.Fatal(err)
	}
	if len(srcs) != 2 || srcs[0].Name() != "prometheus" || srcs[1].Name() != "azure" {
		t.Errorf("opened %v", srcs)
	}
	lines := c.Describe(common.Step)
	if len(lines) != 11 || !strings.HasPrefix(lines[0], "collector.sources[0].prometheus.queries[0]: response_time_p95 of group shop/{service}, from milliseconds = histogram_quantile(") ||
		!strings.Contains(strings.Join(lines, "\n"), `istio: request_count of group {destination_workload_namespace}/{destination_workload} = sum by`) {
		t.Errorf("described as\n%s", strings.Join(lines, "\n"))
	}
}

func TestFingerprintsTellConfigurationsApart(t *testing.T) {
	prints := func(groups string) map[string]string {
		t.Helper()
		c, _, err := load(t, "collector:\n  sources:\n    - cloudwatch: {groups: ["+groups+"]}\n    - {name: other, cloudwatch: {groups: [{name: x}]}}\n")
		if err != nil {
			t.Fatal(err)
		}
		p, err := c.Fingerprints()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	one, same, more := prints("{name: a}"), prints("{name: a}"), prints("{name: a}, {name: b}")
	if one["cloudwatch"] == "" || one["cloudwatch"] != same["cloudwatch"] || one["cloudwatch"] == more["cloudwatch"] {
		t.Errorf("got %v, %v, %v", one, same, more)
	}
	if one["other"] == "" || one["other"] != more["other"] {
		t.Errorf("a source that did not change has another hash: %v, %v", one, more)
	}
}
