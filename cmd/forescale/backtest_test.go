package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/internal/reports"
	"github.com/forescale/forescale/scaler/backtest"
	"github.com/forescale/forescale/trainer"
)

// writeTrace writes a generated workload of some days and returns its path.
func writeTrace(t *testing.T, days int) string {
	t.Helper()
	trace, err := fleet.Generate(fleet.GenerateConfig{Seed: 5, Days: days})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := trace.WriteCSV(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "shop.csv")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// parsed returns the command line after its check.
func parsed(t *testing.T, args ...string) *backtestFlags {
	t.Helper()
	f := &backtestFlags{}
	fs := flag.NewFlagSet("backtest", flag.ContinueOnError)
	f.declare(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	if err := f.check(); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestABacktestOfAFileWritesWhatItSays(t *testing.T) {
	path, dir := writeTrace(t, 12), t.TempDir()
	f := parsed(t, "-data", path, "-preset", "fast", "-lead", "3m",
		"-report", filepath.Join(dir, "report.json"), "-html", filepath.Join(dir, "page.html"), "-capacity", filepath.Join(dir, "fleets"))
	var stdout, stderr bytes.Buffer
	if err := f.run(t.Context(), &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	raw, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r backtest.Report
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	if r.Trace != "shop" || r.LeadMinutes != 3 || r.Model == nil || r.ForecastSkill == nil || r.Recommended == nil {
		t.Errorf("report %+v", r)
	}
	if r.Model.TrainedUntil.After(r.ScoreFrom) {
		t.Errorf("the model was trained until %s, and the test begins at %s", r.Model.TrainedUntil, r.ScoreFrom)
	}
	h, err := f.load(t.Context(), &stderr)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Policies {
		file, err := os.Open(filepath.Join(dir, "fleets", p.Name+".csv"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		plan, err := fleet.ReadPlan(file)
		if err != nil {
			t.Fatal(err)
		}
		v, err := fleet.Judge(h.demand, plan, 3)
		if err != nil {
			t.Fatal(err)
		}
		if p.ViolationPct != v.ViolationPct || p.InstanceHours != v.InstanceHours || p.RatioToOracle != v.RatioToOracle || p.Actions != v.Actions {
			t.Errorf("%s: the report says %+v, a judge of its capacity file %+v", p.Name, p, v)
		}
		if !strings.Contains(stdout.String(), p.Name) {
			t.Errorf("%s is not in the table", p.Name)
		}
	}
	if !strings.Contains(stdout.String(), r.Verdict) || !strings.Contains(stdout.String(), "Recommended: ") {
		t.Errorf("printed:\n%s", stdout.String())
	}
	page, err := os.ReadFile(filepath.Join(dir, "page.html"))
	if err != nil || !bytes.Contains(page, []byte("Backtest of shop")) {
		t.Errorf("page of %d bytes: %v", len(page), err)
	}
}

// A history that ends otherwise trains the same model and has the same forecasts
// up to there: nothing of the test is learned, not even its scale.
func TestForecastsKnowNothingOfWhatComes(t *testing.T) {
	f := parsed(t, "-data", writeTrace(t, 12), "-preset", "fast")
	load := func() *history {
		h, err := f.load(t.Context(), os.Stderr)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	h, other := load(), load()
	changed := h.demand.ScoreStart() + 100
	column := other.grid.Columns[other.target]
	for i := changed; i < len(column); i++ {
		column[i] = 2*column[i] + 1000
	}
	var err error
	if other.demand, err = fleet.NewDemand(other.grid.Start, other.grid.Step, column); err != nil {
		t.Fatal(err)
	}
	var configs [2]backtest.Config
	for i, h := range []*history{h, other} {
		if _, err := f.foresee(t.Context(), h, &configs[i], newMeter(&bytes.Buffer{})); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(configs[0].Rehearsal, configs[1].Rehearsal) {
		t.Error("the rehearsal's forecasts know of the test")
	}
	a, b := configs[0].Forecasts.(backtest.Forecasts), configs[1].Forecasts.(backtest.Forecasts)
	for origin := a.First; origin < a.First+len(a.All); origin++ {
		same := reflect.DeepEqual(a.All[origin-a.First], b.All[origin-b.First])
		if origin < changed && !same {
			t.Fatalf("the forecast of slot %d knows of slot %d", origin, changed)
		}
		if origin == changed && same {
			t.Errorf("another value of slot %d does not change its forecast, so this test shows nothing", origin)
		}
	}
}

func TestAModelThatHasSeenTheTestIsRefused(t *testing.T) {
	path := writeTrace(t, 12)
	f := parsed(t, "-data", path, "-preset", "fast")
	h, err := f.load(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	c := trainer.DefaultConfig()
	c.Preset, c.Target = "fast", h.target
	result, err := trainer.Train(t.Context(), c, trainer.Data{Grid: h.grid})
	if err != nil {
		t.Fatal(err)
	}
	first := h.demand.Time(h.demand.ScoreStart() * h.demand.SlotMinutes())
	for name, x := range map[string]struct {
		until  time.Time
		target string
		lead   string
		spoil  bool
		want   string // part of the error; "": it will do
	}{
		"trained until the test begins":                 {until: first},
		"trained a slot into the test":                  {until: first.Add(h.grid.Step), want: "it has learned from what it would be tested on"},
		"trained until nobody knows when":               {want: "does not say until when"},
		"that looks less far ahead than instances take": {until: first, lead: "60m", want: "-horizon 14 or more"},
		"of another target":                             {until: first, target: "cpu_utilization", want: `forecasts "cpu_utilization"`},
		"whose file is not the manifest's":              {until: first, spoil: true, want: "SHA-256 differs"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			m := result.Manifest
			m.TrainedUntil = x.until
			if x.target != "" {
				m.Spec.Target, m.Spec.Series = x.target, []string{x.target}
				m.Spec.Lags = nil
			}
			raw, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			model := slices.Clone(result.Model)
			if x.spoil {
				model[len(model)/2]++
			}
			if err := errors.Join(os.WriteFile(filepath.Join(dir, "manifest.json"), raw, 0o600), os.WriteFile(filepath.Join(dir, "model.onnx"), model, 0o600)); err != nil {
				t.Fatal(err)
			}
			var stdout, stderr bytes.Buffer
			err = parsed(t, "-data", path, "-model", dir, "-policy", "threshold,target-tracking", "-lead", cmp.Or(x.lead, "5m")).run(t.Context(), &stdout, &stderr)
			if x.want == "" && err != nil || x.want != "" && (err == nil || !strings.Contains(err.Error(), x.want)) {
				t.Errorf("error %v, want %q", err, x.want)
			}
			if err == nil && !strings.Contains(stdout.String(), "threshold") {
				t.Errorf("printed %q", stdout.String())
			}
		})
	}
}

func TestABacktestOfADataLake(t *testing.T) {
	trace, err := fleet.Generate(fleet.GenerateConfig{Seed: 6, Days: 12})
	if err != nil {
		t.Fatal(err)
	}
	url := "file://" + t.TempDir()
	store, err := blob.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	var samples []api.Sample
	for i, v := range trace.Requests {
		at := trace.Start.Add(time.Duration(i) * trace.Step)
		if !math.IsNaN(v) {
			const perInstance = 200_000
			samples = append(samples,
				api.Sample{Group: "web", Metric: api.MetricCPU, Stat: api.StatAvg, Time: at, Value: 100 * v / perInstance / 2},
				api.Sample{Group: "web", Metric: api.MetricInService, Stat: api.StatAvg, Time: at, Value: 2})
		}
	}
	end := trace.Start.Add(time.Duration(len(trace.Requests)) * trace.Step)
	if err := dataset.New(store).Append(t.Context(), "test", trace.Start, samples, end); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	f := parsed(t, "-data", url, "-end", end.Format(time.RFC3339), "-preset", "fast", "-policy", "rule,threshold", "-publish", url)
	if err := f.run(t.Context(), &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	published, err := reports.New(store).List(t.Context())
	if err != nil || len(published) != 1 || published[0].Name != "web until "+end.Format("2006-01-02 15:04") || !strings.Contains(stderr.String(), `published as "web until `) {
		t.Fatalf("published %+v, %v\n%s", published, err, stderr.String())
	}
	raw, err := reports.New(store).Get(t.Context(), published[0].Name)
	var report backtest.Report
	if err != nil || json.Unmarshal(raw, &report) != nil || report.Trace != "web" || len(report.Policies) != 3 || report.WorstHours == nil {
		t.Errorf("report %.300s, %v", raw, err)
	}
	if !strings.Contains(stdout.String(), "\nweb, the last 2.4 days") {
		t.Errorf("printed:\n%s", stdout.String())
	}
	// Nothing is known of the time before.
	err = parsed(t, "-data", url, "-group", "db", "-end", end.Format(time.RFC3339)).run(t.Context(), &stdout, &stderr)
	if err == nil || !strings.Contains(err.Error(), `no samples of group "db"`) {
		t.Errorf("error %v", err)
	}
}

func TestTheHistoryEndsWhereItIsToldTo(t *testing.T) {
	path := writeTrace(t, 12)
	whole, err := parsed(t, "-data", path).load(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	end := whole.grid.Time(1000)
	cut, err := parsed(t, "-data", path, "-end", end.Format(time.RFC3339)).load(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	if got := cut.grid.Len(); got != 1000 || len(cut.demand.Slots) != 1000 {
		t.Errorf("%d slots before %s, want 1000", got, end)
	}
}

func TestAWrongCommandLineIsSaidAtOnce(t *testing.T) {
	several := filepath.Join(t.TempDir(), "several.csv")
	if err := os.WriteFile(several, []byte("timestamp,a,b\n2026-01-01T00:00:00Z,1,2\n2026-01-01T00:05:00Z,1,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	negative := filepath.Join(t.TempDir(), "negative.csv")
	if err := os.WriteFile(negative, []byte("timestamp,a\n2026-01-01T00:00:00Z,1\n2026-01-01T00:05:00Z,-2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	absent := filepath.Join(t.TempDir(), "absent")
	for name, x := range map[string]struct {
		args []string
		want []string
		code int
	}{
		"no data":                       {nil, []string{"-data is missing"}, cli.ExitUsage},
		"an argument":                   {[]string{"-data", several, "x"}, []string{`unexpected argument "x"`}, cli.ExitUsage},
		"all faults together":           {[]string{"-data", several, "-lead", "90s", "-end", "today", "-policy", "magic", "-preset", "x", "-report", "/no/such/r.json"}, []string{"-lead 1m30s", `-end: "today"`, `"magic" is unknown; there are `, `-preset: "x" is unknown; there are advanced`, "-report: the folder /no/such"}, cli.ExitUsage},
		"a target that is missing":      {[]string{"-data", several}, []string{"-target is missing", "has a, b"}, cli.ExitUsage},
		"a target that is not there":    {[]string{"-data", several, "-target", "c"}, []string{`no column "c"`, "it has a, b"}, cli.ExitUsage},
		"a file that is not there":      {[]string{"-data", "/no/such.csv"}, []string{"/no/such.csv"}, cli.ExitFailed},
		"a directory":                   {[]string{"-data", filepath.Dir(several)}, []string{"is a directory"}, cli.ExitUsage},
		"a load below zero":             {[]string{"-data", negative}, []string{"column a", "slot 1 is -2 (at 2026-01-01T00:05:00Z)"}, cli.ExitFailed},
		"a model that is not there":     {[]string{"-data", several, "-target", "a", "-model", "/no/such"}, []string{"-model", "forescale-trainer -out"}, cli.ExitFailed},
		"a history too short to train":  {[]string{"-data", several, "-target", "a"}, []string{several}, cli.ExitFailed},
		"a lake that is not there":      {[]string{"-data", "file://" + absent}, []string{"-data: ", absent, "no such file"}, cli.ExitFailed},
		"an empty lake":                 {[]string{"-data", "file://" + t.TempDir()}, []string{"-data: ", "is empty"}, cli.ExitFailed},
		"an end before the beginning":   {[]string{"-data", several, "-target", "a", "-end", "2025-12-31"}, []string{"0 rows before 2025-12-31T00:00:00Z", "first is of 2026-01-01T00:00:00Z"}, cli.ExitFailed},
		"folders in place of files":     {[]string{"-data", several, "-report", filepath.Dir(several), "-html", filepath.Dir(several)}, []string{"-report: ", "-html: ", "is a folder; name a file", "both are"}, cli.ExitUsage},
		"a file in place of a folder":   {[]string{"-data", several, "-capacity", filepath.Join(several, "x")}, []string{"-capacity: "}, cli.ExitUsage},
		"a store of an unknown kind":    {[]string{"-data", "ftp://x/y"}, []string{"-data: "}, cli.ExitUsage},
		"a history too short to replay": {[]string{"-data", several, "-target", "a", "-policy", "static"}, []string{"too short"}, cli.ExitFailed},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := cli.Execute(context.Background(), backtestCommand(), x.args, &stdout, &stderr)
			if code != x.code {
				t.Errorf("exit code %d, want %d", code, x.code)
			}
			for _, want := range x.want {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("%q does not contain %q", stderr.String(), want)
				}
			}
			if _, err := os.Stat(absent); err == nil {
				t.Error("a lake that was not there was made")
			}
		})
	}
}

// What was found after minutes of work is printed, whether or not it can be written.
func TestWhatCannotBeWrittenIsToldAllTheSame(t *testing.T) {
	dir := t.TempDir()
	f := parsed(t, "-data", writeTrace(t, 12), "-policy", "static", "-report", filepath.Join(dir, "r.json"), "-capacity", filepath.Join(dir, "fleets"))
	// As if somebody had put it there since.
	if err := os.MkdirAll(filepath.Join(dir, "fleets", "static.csv"), 0o755); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if err := f.run(t.Context(), &stdout, &stderr); err == nil || !strings.Contains(err.Error(), "static.csv") {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(stdout.String(), "static") {
		t.Errorf("printed %q", stdout.String())
	}
}
