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
