package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/calendar"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/models"
)

// execute runs the command and returns its exit code and what it printed.
func execute(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	p := &program{stdout: &out, stderr: &errs}
	code = cli.Execute(ctx, p.command(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// csvFile writes a CSV of n five-minute slots with the given columns.
func csvFile(t *testing.T, n int, columns ...string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("timestamp," + strings.Join(columns, ",") + "\n")
	start := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	for i := range n {
		b.WriteString(start.Add(time.Duration(i) * 5 * time.Minute).Format(time.RFC3339))
		for c := range columns {
			fmt.Fprintf(&b, ",%.3f", 10+float64(c)+5*math.Sin(2*math.Pi*float64(i)/288))
		}
		b.WriteString("\n")
	}
	path := filepath.Join(t.TempDir(), "web.csv")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// quick is what makes training end in a second.
var quick = []string{"-preset", "fast", "-epochs", "1", "-horizon", "2", "-lookback", "6", "-seed", "3"}

func TestAFileBecomesAModelWithItsReport(t *testing.T) {
	data, out, registry := csvFile(t, 900, "cpu_utilization"), filepath.Join(t.TempDir(), "out"), t.TempDir()
	args := append([]string{"-data", data, "-out", out, "-models", "file://" + registry}, quick...)
	code, stdout, stderr := execute(t.Context(), args...)
	if code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, want := range []string{"persistence MAE", "registered as web version 1"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the summary does not say %q:\n%s", want, stdout)
		}
	}
	var report score.Report
	readJSON(t, filepath.Join(out, "report.json"), &report)
	var m models.Manifest
	readJSON(t, filepath.Join(out, "manifest.json"), &m)
	if report.Target != "cpu_utilization" || report.StepSeconds != 300 || report.Seed != 3 || len(report.Horizons) != 2 ||
		report.Split != (score.Split{Train: 630, Validation: 90, Test: 180}) || report.Training.SamplesPerSecond <= 0 {
		t.Errorf("report %+v", report)
	}
	if m.Name != "web" || m.Version != 1 || m.SHA256 != report.ModelSHA256 || m.CreatedAt.IsZero() || m.Spec.Horizon != 2 {
		t.Errorf("manifest %+v", m)
	}
	f, err := os.Open(filepath.Join(out, "predictions.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 1+2*180 || strings.Join(rows[0], ",") != "timestamp,issued_at,horizon_steps,actual,forecast,q0.05,q0.1,q0.5,q0.9,q0.95,q0.99,split" {
		t.Errorf("%d rows, header %v, error %v", len(rows), rows[0], err)
	}
	store, err := blob.Open(t.Context(), "file://"+registry)
	if err != nil {
		t.Fatal(err)
	}
	champion, err := models.NewRegistry(store).Champion(t.Context(), "web")
	if err != nil || champion.Version != 1 {
		t.Errorf("champion %+v, %v", champion, err)
	}
	model, err := os.ReadFile(filepath.Join(out, "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := execute(t.Context(), append(args, "-workers", "3")...); code != cli.ExitOK {
		t.Fatalf("second run: exit code %d: %s", code, stderr)
	}
	again, err := os.ReadFile(filepath.Join(out, "model.onnx"))
	if err != nil || !bytes.Equal(model, again) {
		t.Errorf("three workers give another model.onnx (%v)", err)
	}
	readJSON(t, filepath.Join(out, "manifest.json"), &m)
	if champion, err = models.NewRegistry(store).Champion(t.Context(), "web"); err != nil || m.Version != 2 || champion.Version != 1 {
		t.Errorf("version %d, champion %+v, %v; a second version is a challenger", m.Version, champion, err)
	}
	if left, err := filepath.Glob(filepath.Join(out, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

func TestALakeBecomesAModelOfDemand(t *testing.T) {
	url := "file://" + t.TempDir()
	store, err := blob.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	lake := dataset.New(store)
	now := time.Now().UTC().Truncate(5 * time.Minute)
	start := now.Add(-900 * 5 * time.Minute)
	put := func(group string, metrics ...string) {
		var samples []api.Sample
		for i := range 900 {
			for _, metric := range metrics {
				samples = append(samples, api.Sample{Group: group, Metric: metric, Stat: api.DefaultStat(metric),
					Time: start.Add(time.Duration(i) * 5 * time.Minute), Value: 10 + 5*math.Sin(float64(i)/40)})
			}
		}
		if err := lake.Append(t.Context(), "test", start, samples, now); err != nil {
			t.Fatal(err)
		}
	}
	put("web", api.MetricCPU, api.MetricInService, api.MetricRequests)
	out := t.TempDir()
	run := func(args ...string) (int, string) {
		code, _, stderr := execute(t.Context(), append(append([]string{"-data", url, "-out", out}, quick...), args...)...)
		return code, stderr
	}
	if code, stderr := run(); code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var m models.Manifest
	readJSON(t, filepath.Join(out, "manifest.json"), &m)
	if m.Spec.Target != api.SeriesDemand || strings.Join(m.Spec.Series, " ") != "demand request_count" || m.Name != "web" {
		t.Errorf("manifest %+v", m)
	}
	put("api", api.MetricNetworkIn, api.MetricRequests)
	if code, stderr := run(); code != cli.ExitUsage || !strings.Contains(stderr, "api, web") {
		t.Errorf("two groups, no -group: exit code %d, %s", code, stderr)
	}
	if code, stderr := run("-group", "api"); code != cli.ExitUsage || !strings.Contains(stderr, "network_in, request_count") {
		t.Errorf("no demand, no -target: exit code %d, %s", code, stderr)
	}
	if code, stderr := run("-group", "nobody"); code != cli.ExitFailed || !strings.Contains(stderr, `"nobody"`) {
		t.Errorf("an unknown group: exit code %d, %s", code, stderr)
	}
}

func TestFaultsNameTheInputAndTheFix(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.csv")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	yaml := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(yaml, []byte("trainer:\n  preset: huge\n  horizon: -2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	two, short, labelled := csvFile(t, 900, "a", "b"), csvFile(t, 30, "a"), csvFile(t, 900, "a_label", "is_sale_active")
	for name, c := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"no data":                   {[]string{"-out", "x"}, cli.ExitUsage, []string{"-data is missing"}},
		"no output directory":       {[]string{"-data", two}, cli.ExitUsage, []string{"-out is missing"}},
		"an argument too many":      {[]string{"-data", two, "-out", "x", "more"}, cli.ExitUsage, []string{`"more"`}},
		"several columns":           {[]string{"-data", two}, cli.ExitUsage, []string{"-target is missing", "a, b"}},
		"a missing column":          {[]string{"-data", two, "-target", "c"}, cli.ExitFailed, []string{`"c"`, "a, b"}},
		"nothing to forecast":       {[]string{"-data", labelled}, cli.ExitFailed, []string{"no metric"}},
		"an empty file":             {[]string{"-data", empty}, cli.ExitFailed, []string{"empty.csv"}},
		"no such file":              {[]string{"-data", "/does/not/exist.csv"}, cli.ExitFailed, []string{"exist.csv"}},
		"too few slots":             {[]string{"-data", short}, cli.ExitFailed, []string{short, "30 slots", "at least"}},
		"a URL of no known scheme":  {[]string{"-data", "ftp://x/y"}, cli.ExitUsage, []string{"data:", "ftp"}},
		"a slash too few":           {[]string{"-data", "s3:/lake/x"}, cli.ExitUsage, []string{"data:", "s3:/lake/x", "s3://BUCKET"}},
		"a registry that is not":    {[]string{"-data", two, "-target", "a", "-models", "flie:///x"}, cli.ExitUsage, []string{"models:", "flie"}},
		"a name that is too long":   {[]string{"-data", two, "-name", strings.Repeat("é", 50)}, cli.ExitUsage, []string{"-name"}},
		"a file in the way of -out": {[]string{"-data", two, "-target", "a", "-out", filepath.Join(empty, "x")}, cli.ExitFailed, []string{"empty.csv"}},
		"two faults of a file":      {[]string{"-config", yaml, "-check"}, cli.ExitUsage, []string{"huge", "horizon: -2"}},
		"a preset that is not":      {[]string{"-preset", "slow", "-check"}, cli.ExitUsage, []string{"slow", "advanced, default, fast, reference"}},
		"a flag that is not":        {[]string{"-nope"}, cli.ExitUsage, []string{"-nope"}},
		"a flag that is no number":  {[]string{"-data", two, "-epochs", "few"}, cli.ExitUsage, []string{"few", "-epochs"}},
		"a number out of range":     {[]string{"-data", two, "-horizon", "-3"}, cli.ExitUsage, []string{"horizon: -3"}},
		"a label as the target":     {[]string{"-data", labelled, "-target", "a_label"}, cli.ExitUsage, []string{"a_label", "is a label"}},
		"a directory alone":         {[]string{"-data", t.TempDir()}, cli.ExitUsage, []string{"is a directory", "-all-groups"}},
		"all groups of a file":      {[]string{"-all-groups", "-data", two}, cli.ExitUsage, []string{"must be a directory of CSV files"}},
		"all groups of nothing":     {[]string{"-all-groups", "-data", t.TempDir()}, cli.ExitFailed, []string{"has no files *.csv"}},
		"all groups of no lake":     {[]string{"-all-groups", "-data", "file://" + t.TempDir()}, cli.ExitFailed, []string{"has no samples between"}},
		"all groups and one":        {[]string{"-all-groups", "-group", "x", "-name", "y", "-data", two}, cli.ExitUsage, []string{"-group: with -all-groups", "-name: with"}},
		"parts of one group":        {[]string{"-shard", "0/2", "-jobs", "3", "-memory", "1GiB", "-data", two}, cli.ExitUsage, []string{"-shard: it takes -all-groups", "-jobs: it", "-memory: it"}},
		"a shard too many":          {[]string{"-all-groups", "-shard", "2/2", "-data", two}, cli.ExitUsage, []string{"must be 0 to 1"}},
		"a memory that is none":     {[]string{"-all-groups", "-memory", "lots", "-jobs", "-1", "-data", two}, cli.ExitUsage, []string{`"lots"`, "2GiB", "-jobs: -1"}},
		"metrics nobody would read": {[]string{"-metrics-file", "x.txt", "-data", two}, cli.ExitUsage, []string{"x.txt", ".prom"}},
		"metrics for nobody":        {[]string{"-metrics-by-group", "-data", two}, cli.ExitUsage, []string{"-metrics-file or -push-gateway"}},
		"a gateway that is none":    {[]string{"-push-gateway", "anna:secret@x", "-data", two}, cli.ExitUsage, []string{"http://HOST:PORT"}},
		"an end of a file":          {[]string{"-until", "2026-03-01T00:00:00Z", "-data", two}, cli.ExitUsage, []string{"-until: only a data lake"}},
		"an end that is no time":    {[]string{"-until", "tomorrow", "-data", "file:///x"}, cli.ExitUsage, []string{`"tomorrow"`}},
		"a configuration that fits": {[]string{"-preset", "fast", "-check"}, cli.ExitOK, nil},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			args := c.args
			if !strings.Contains(strings.Join(args, " "), "-out") && name != "no output directory" {
				args = append(args, "-out", out)
			}
			t.Chdir(t.TempDir())
			code, _, stderr := execute(t.Context(), args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d: %s", code, c.code, stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("the message does not say %q: %s", want, stderr)
				}
			}
			if _, err := os.Stat(filepath.Join(out, "model.onnx")); err == nil {
				t.Error("a model was written")
			}
		})
	}
}

func TestStoppingWritesNothingAndSaysSo(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	ctx, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	code, stdout, stderr := execute(ctx, "-data", csvFile(t, 4000, "cpu_utilization"), "-preset", "reference", "-out", out)
	if code == cli.ExitUsage || stdout != "" || !strings.Contains(stderr, "stopped; nothing was written") {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
	if files, err := os.ReadDir(out); err != nil || len(files) > 0 {
		t.Errorf("the output directory holds %v, %v", files, err)
	}
}

// interrupted is a context that ends when the manifest has been written: between
// the files and the registry.
type interrupted struct {
	context.Context
	dir string
}

func (c interrupted) Err() error {
	if _, err := os.Stat(filepath.Join(c.dir, "manifest.json")); err == nil {
		return context.Canceled
	}
	return nil
}

func TestStoppingBeforeTheModelIsRegisteredSaysSo(t *testing.T) {
	out, registry := t.TempDir(), t.TempDir()
	args := append([]string{"-data", csvFile(t, 900, "cpu_utilization"), "-out", out, "-models", "file://" + registry}, quick...)
	code, stdout, stderr := execute(interrupted{t.Context(), out}, args...)
	if code != cli.ExitOK || !strings.Contains(stderr, "is not registered") || strings.Contains(stdout, "registered as") {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
	if left, err := os.ReadDir(registry); err != nil || len(left) > 0 {
		t.Errorf("the registry holds %v, %v", left, err)
	}
}

func TestTheManualTeachesWithExamples(t *testing.T) {
	code, manual, _ := execute(t.Context(), "-help")
	if code != cli.ExitOK {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"-target cpu_utilization", "s3://", "-known", "-workers", "-models", "data lake's demand", "-all-groups", "-shard", "-resume", "-push-gateway", "-search default"} {
		if !strings.Contains(manual, want) {
			t.Errorf("the manual does not mention %s", want)
		}
	}
}

// Whoever changes the calendar is to learn which models were trained with another.
func TestTheManifestNamesTheCalendarThatAModelWasTrainedWith(t *testing.T) {
	data, dir := csvFile(t, 900, "cpu_utilization"), t.TempDir()
	plans := filepath.Join(dir, "business_calendar.json")
	if err := os.WriteFile(plans, []byte(`{"events": [{"name": "sale", "start": "2026-03-03", "end": "2026-03-04", "zone": "Europe/Berlin", "flag": "is_sale_active"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	read, err := calendar.Load(plans)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config string
		hash   string
	}{
		"with a calendar": {"calendar: " + plans + "\n", read.Hash()},
		"without one":     {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			out := t.TempDir()
			config := filepath.Join(out, "forescale.yaml")
			if err := os.WriteFile(config, []byte("data: file://"+dir+"\n"+c.config), 0o600); err != nil {
				t.Fatal(err)
			}
			args := append([]string{"-config", config, "-data", data, "-target", "cpu_utilization", "-out", out}, quick...)
			if code, _, stderr := execute(t.Context(), args...); code != cli.ExitOK {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			var m models.Manifest
			readJSON(t, filepath.Join(out, "manifest.json"), &m)
			if m.CalendarHash != c.hash {
				t.Errorf("the manifest has the hash %q, want %q", m.CalendarHash, c.hash)
			}
		})
	}
}
