package main

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/models"
)

// sharedArgs are those of a quick run of one model for all groups of a lake.
func (w *world) sharedArgs(out string, until int, more ...string) []string {
	args := []string{"-shared", "-data", w.url, "-out", out, "-until", w.at(until).Format(time.RFC3339)}
	return append(append(args, quick...), more...)
}

func TestOneModelIsMadeForAllGroupsOfALake(t *testing.T) {
	w, out, registry := newWorld(t, "api", "web/eu", "web/us"), t.TempDir(), t.TempDir()
	prom := filepath.Join(t.TempDir(), "run.prom")
	code, stdout, stderr := execute(t.Context(), w.sharedArgs(out, worldSlots, "-models", "file://"+registry, "-name", "any",
		"-memory", "1MiB", "-compare", "1", "-metrics-file", prom)...)
	if code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, want := range []string{"over all 3 groups", "of them 1 compared", "own model's WAPE", "registered as any version 1", "3 trained, 0 skipped, 0 failed"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the summary does not say %q:\n%s", want, stdout)
		}
	}
	if !strings.Contains(stderr, "3 groups read") {
		t.Errorf("progress: %s", stderr)
	}
	if got := told(t, filepath.Join(out, "summary.csv")); got != "api trained, web/eu trained, web/us trained" {
		t.Error(got)
	}
	var report score.SharedReport
	readJSON(t, filepath.Join(out, "report.json"), &report)
	var m models.Manifest
	readJSON(t, filepath.Join(out, "manifest.json"), &m)
	if len(report.Groups) != 3 || report.Groups[1].Own == nil || report.Target != "request_count" || report.ModelSHA256 != m.SHA256 {
		t.Errorf("report %+v", report)
	}
	if m.Name != "any" || m.Version != 1 || !slices.Equal(m.Groups, []string{models.AnyGroup}) || len(m.Calibration["web/eu"]) != 2 || m.CreatedAt.IsZero() {
		t.Errorf("manifest %+v", m)
	}
	store, err := blob.Open(t.Context(), "file://"+registry)
	if err != nil {
		t.Fatal(err)
	}
	if champion, err := models.NewRegistry(store).Champion(t.Context(), "any"); err != nil || champion.Version != 1 {
		t.Errorf("champion %+v, %v", champion, err)
	}
	if metrics, err := os.ReadFile(prom); err != nil || !strings.Contains(string(metrics), "forescale_") {
		t.Errorf("metrics: %v\n%s", err, metrics)
	}
	if left, err := filepath.Glob(filepath.Join(out, ".checkpoint")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestOneModelIsMadeForAllFilesOfADirectory(t *testing.T) {
	data, out := t.TempDir(), t.TempDir()
	for _, name := range []string{"a.csv", "b.csv"} {
		raw, err := os.ReadFile(csvFile(t, 900, "cpu_utilization", "is_sale_active"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(data, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(data, "c.csv"), []byte("timestamp,cpu_utilization\n2026-03-02T00:00:00Z,\n2026-03-02T00:05:00Z,\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := execute(t.Context(), append([]string{"-shared", "-data", data, "-out", out}, quick...)...)
	if code != cli.ExitOK || !strings.Contains(stderr, `left out: group "c"`) {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var m models.Manifest
	readJSON(t, filepath.Join(out, "manifest.json"), &m)
	if m.Name != "shared" || !slices.Equal(m.Spec.Future, []string{"is_sale_active"}) || !slices.Equal(m.Spec.Series, []string{"cpu_utilization", "is_sale_active"}) {
		t.Errorf("manifest %+v", m.Spec)
	}
}

func TestASharedRunThatWasStoppedGoesOn(t *testing.T) {
	w, out := newWorld(t, "api", "web"), t.TempDir()
	args := w.sharedArgs(out, worldSlots)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code, _, stderr := execute(ctx, args...); code == cli.ExitUsage || !strings.Contains(stderr, "stopped") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if _, err := os.Stat(filepath.Join(out, "model.onnx")); err == nil {
		t.Error("a stopped run left a model")
	}
	if code, _, stderr := execute(t.Context(), append(args, "-resume")...); code != cli.ExitOK {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestFaultsOfASharedRunAreNamed(t *testing.T) {
	w := newWorld(t, "api")
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"a group", []string{"-shared", "-group", "api"}, "-group: with -shared"},
		{"both kinds of a fleet", []string{"-shared", "-all-groups"}, "-all-groups trains one for each"},
		{"a shard", []string{"-shared", "-shard", "0/2"}, "-shard: it takes -all-groups"},
		{"jobs", []string{"-shared", "-jobs", "2"}, "-jobs: it takes -all-groups"},
		{"a comparison with nothing", []string{"-compare", "2"}, "-compare: it takes -shared"},
		{"windows of nothing", []string{"-shared-windows", "2"}, "-shared-windows: it takes -shared"},
		{"a negative number", []string{"-shared", "-compare", "-1"}, "compare: -1 must not be negative"},
		{"negative windows", []string{"-shared", "-shared-windows", "-1"}, "shared_windows: -1 must be positive"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, _, stderr := execute(t.Context(), append([]string{"-data", w.url, "-out", t.TempDir()}, tt.args...)...)
			if code != cli.ExitUsage || !strings.Contains(stderr, tt.want) {
				t.Errorf("exit code %d, want %q:\n%s", code, tt.want, stderr)
			}
		})
	}
	// Of one group it is a model like any other.
	out := t.TempDir()
	if code, _, stderr := execute(t.Context(), w.sharedArgs(out, worldSlots)...); code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var report score.SharedReport
	readJSON(t, filepath.Join(out, "report.json"), &report)
	if mae := report.Groups[0].Horizons[1].Model.MAE; math.IsNaN(mae) || math.Abs(report.Horizons[1].Model.MAE*report.Groups[0].Scale-mae) > 1e-9*mae {
		t.Errorf("pooled MAE %v of a scale of %v, the group's is %v", report.Horizons[1].Model.MAE, report.Groups[0].Scale, mae)
	}
}
