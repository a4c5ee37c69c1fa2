package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/cli"
)

// childEnv makes the test binary the command itself, for a test that kills it.
const childEnv = "ACCURACY_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		cli.Main(new(program).command())
	}
	os.Exit(m.Run())
}

// accuracyOf runs the command with a clock that stands still.
func accuracyOf(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, log bytes.Buffer
	p := &program{stdout: &out, stderr: &log}
	p.config.Now = func() time.Time { return time.Time{} }
	code = cli.Execute(context.Background(), p.command(), args, &out, &log)
	return code, out.String(), log.String()
}

// load is a wave over the hours of a day, with noise.
func load(hours int, seed uint64) []float64 {
	rng := rand.New(rand.NewPCG(seed, 2))
	y := make([]float64, hours)
	for i := range y {
		y[i] = 20 + 8*math.Sin(2*math.Pi*float64(i)/24) + rng.NormFloat64()
	}
	return y
}

func writeTrace(t *testing.T, dir, name, column string, y []float64) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, name+".csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := gzip.NewWriter(f)
	fmt.Fprintf(z, "timestamp,%s\n", column)
	start := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	for i, v := range y {
		fmt.Fprintf(z, "%s,%.4f\n", start.Add(time.Duration(i)*time.Hour).Format(time.RFC3339), v)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
}

func writeText(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// traces is a folder of two traces, the first of them a core trace, with baselines.
func traces(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	writeTrace(t, dir, "ms_mongo_app01", "request_count", load(260, 1))
	writeTrace(t, dir, "other", "cpu_utilization", load(280, 2))
	writeText(t, dir, "manifest.csv", "name,file,target,kind\n"+
		"ms_mongo_app01,ms_mongo_app01.csv.gz,request_count,query rate\nother,other.csv.gz,cpu_utilization,instance CPU\n")
	writeText(t, dir, "baselines.csv", "trace,target,h,model,WAPE\n"+
		"ms_mongo_app01,request_count,1,xgboost,0.08\nms_mongo_app01,request_count,12,ridge,0.05\n"+
		"ms_mongo_app01,another,1,persistence,0.0001\n")
	return dir
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestTheCommandMeasuresEveryTraceAndWritesTheDocument(t *testing.T) {
	dir, out := traces(t), t.TempDir()
	args := []string{"-traces", dir, "-preset", "fast", "-cache", filepath.Join(out, "cache"),
		"-out", filepath.Join(out, "accuracy.md"), "-json", filepath.Join(out, "accuracy.json")}
	code, stdout, stderr := accuracyOf(t, args...)
	if code != cli.ExitOK || stdout != "" {
		t.Fatalf("exit code %d, standard output %q: %s", code, stdout, stderr)
	}
	doc := read(t, filepath.Join(out, "accuracy.md"))
	for _, want := range []string{
		"preset `fast`", "### ms_mongo_app01 *", "### other\n", "with seed 1",
		"| XGBoost | 8.00 % |", "| ridge | 5.00 % |", "| a day before |", // of the file at 1 and 12 steps, measured at others
		"Without a group of features", "| clock | 1 |", "| constant spread |",
	} {
		if !strings.Contains(doc, want) {
			t.Errorf("the document lacks %q", want)
		}
	}
	for _, not := range []string{"0.01 %", dir, out, "The reference data", "NaN"} {
		if strings.Contains(doc, not) {
			t.Errorf("the document holds %q", not)
		}
	}
	if t.Failed() {
		t.Log(doc)
	}
	var figures struct {
		CoreTraces int              `json:"core_traces"`
		Headline   []map[string]any `json:"headline"`
		Traces     []map[string]any `json:"traces"`
	}
	if err := json.Unmarshal([]byte(read(t, filepath.Join(out, "accuracy.json"))), &figures); err != nil {
		t.Fatal(err)
	}
	if figures.CoreTraces != 1 || len(figures.Traces) != 2 || len(figures.Headline) != 3 {
		t.Errorf("the figures are of %d core traces, %d in all, %d horizons; want 1, 2 and 3", figures.CoreTraces, len(figures.Traces), len(figures.Headline))
	}
	// WAPE over 0.08, as the table of the trace shows it.
	ratio, _ := figures.Headline[1]["wape_over_best_baseline"].(float64)
	if row := regexp.MustCompile(`\| XGBoost \| 8\.00 % \| ([0-9.]+) \|`).FindStringSubmatch(doc); row == nil || row[1] != fmt.Sprintf("%.3f", ratio) {
		t.Errorf("the headline is %v, the table says %q", ratio, row)
	}

	t.Run("again it measures nothing and writes the same", func(t *testing.T) {
		_, _, stderr := accuracyOf(t, args...)
		if !strings.Contains(stderr, "2 measurements, 2 of them done before") {
			t.Errorf("it says %q", stderr)
		}
		if read(t, filepath.Join(out, "accuracy.md")) != doc {
			t.Error("the document is another")
		}
	})
	t.Run("measured afresh with another number of workers it writes the same", func(t *testing.T) {
		if code, _, stderr := accuracyOf(t, append(args, "-fresh", "-workers", "3")...); code != cli.ExitOK {
			t.Fatal(stderr)
		}
		if read(t, filepath.Join(out, "accuracy.md")) != doc {
			t.Error("the document is another")
		}
	})
	t.Run("a trace that changed is measured again, the other is not", func(t *testing.T) {
		writeTrace(t, dir, "other", "cpu_utilization", load(281, 2))
		_, _, stderr := accuracyOf(t, args...)
		if !strings.Contains(stderr, "1 of them done before") || !strings.Contains(stderr, "[2/2] other") || strings.Contains(stderr, "[1/2]") {
			t.Errorf("it says %q", stderr)
		}
	})
}

// A measurement that is killed while the second trace is at work goes on with that
// trace and ends with the document of one that was never interrupted.
func TestAMeasurementThatWasKilledGoesOn(t *testing.T) {
	dir, out := traces(t), t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := func(name string) []string {
		return []string{"-traces", dir, "-preset", "fast", "-program", "p", "-cache", filepath.Join(out, "cache"+name), "-out", filepath.Join(out, name+".md")}
	}
	child := exec.Command(exe, command("killed")...)
	child.Env = append(os.Environ(), childEnv+"=1")
	stderr, err := child.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var log []byte
	buffer := make([]byte, 256)
	for !bytes.Contains(log, []byte("[2/2]")) {
		n, err := stderr.Read(buffer)
		log = append(log, buffer[:n]...)
		if err != nil {
			break
		}
	}
	_ = child.Process.Kill() // at work on the second trace, or already gone: the log says
	_ = child.Wait()
	if !bytes.Contains(log, []byte("[2/2]")) {
		t.Fatalf("it never came to the second trace: %s", log)
	}
	if _, err := os.Stat(filepath.Join(out, "killed.md")); !os.IsNotExist(err) {
		t.Fatalf("a killed measurement left a document (%v)", err)
	}
	if code, _, stderr := accuracyOf(t, command("killed")...); code != cli.ExitOK || !strings.Contains(stderr, "2 measurements, 1 of them done before") {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if code, _, stderr := accuracyOf(t, command("whole")...); code != cli.ExitOK {
		t.Fatal(stderr)
	}
	got, want := withoutTimes(read(t, filepath.Join(out, "killed.md"))), withoutTimes(read(t, filepath.Join(out, "whole.md")))
	if got != want || !strings.Contains(want, "### other") {
		t.Errorf("continued, the document is\n%s\nuninterrupted\n%s", got, want)
	}
}

// withoutTimes removes the line that says which it is.
func withoutTimes(doc string) string {
	return strings.TrimSpace(regexp.MustCompile(`(?m)^\*Training times, the one line .*$`).ReplaceAllString(doc, ""))
}

func TestCancelledItStopsAndKeepsWhatIsDone(t *testing.T) {
	dir, out := traces(t), t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	p := &program{stdout: new(bytes.Buffer), stderr: cancelling{"[2/2]", cancel}}
	doc := filepath.Join(out, "accuracy.md")
	args := []string{"-traces", dir, "-preset", "fast", "-cache", filepath.Join(out, "cache"), "-out", doc}
	if code := cli.Execute(ctx, p.command(), args, p.stdout, new(bytes.Buffer)); code != cli.ExitOK {
		t.Errorf("exit code %d after a signal, want 0", code)
	}
	if _, err := os.Stat(doc); !os.IsNotExist(err) {
		t.Errorf("a stopped measurement left a document (%v)", err)
	}
	kept, err := filepath.Glob(filepath.Join(out, "cache", "ms_mongo_app01-fast-*.json"))
	if err != nil || len(kept) != 1 {
		t.Errorf("kept are %q (%v), want the first trace", kept, err)
	}
}

// cancelling cancels when something is written.
type cancelling struct {
	when   string
	cancel func()
}

func (c cancelling) Write(b []byte) (int, error) {
	if strings.Contains(string(b), c.when) {
		c.cancel()
	}
	return len(b), nil
}

// What -dev prints does not depend on the last fifth: only on what is before it.
func TestDevDoesNotDependOnTheLastFifth(t *testing.T) {
	dir := traces(t)
	dev := func() string {
		t.Helper()
		code, stdout, stderr := accuracyOf(t, "-traces", dir, "-preset", "fast", "-dev", "-only", "ms_mongo_app01", "-cache", "")
		if code != cli.ExitOK {
			t.Fatal(stderr)
		}
		return stdout
	}
	y := load(260, 1)
	before := dev()
	for i := 208; i < len(y); i++ {
		y[i] = 1000 * float64(i)
	}
	writeTrace(t, dir, "ms_mongo_app01", "request_count", y)
	if after := dev(); after != before || !strings.Contains(before, "Without the last fifth") {
		t.Errorf("with another last fifth it prints\n%s\nbefore it was\n%s", after, before)
	}
	y[150]++
	writeTrace(t, dir, "ms_mongo_app01", "request_count", y)
	if dev() == before {
		t.Error("with another slot before the last fifth it prints the same: the test proves nothing")
	}
	if strings.Contains(before, "XGBoost |") {
		t.Error("-dev compares with baselines of the last fifth")
	}
}

func TestACommandLineWithFaultsIsRefused(t *testing.T) {
	t.Setenv("FORESCALE_TRACES", "")
	dir := traces(t)
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"no traces", nil, "-traces or FORESCALE_TRACES must name"},
		{"no such folder", []string{"-traces", filepath.Join(dir, "none")}, "is no folder"},
		{"an unknown preset", []string{"-traces", dir, "-preset", "best"}, `"best"`},
		{"-dev over the document", []string{"-traces", dir, "-dev", "-out", "docs/accuracy.md"}, "-dev writes elsewhere"},
		{"-dev with baselines", []string{"-traces", dir, "-dev", "-baselines", "b.csv"}, "never sees"},
		{"a document in no folder", []string{"-traces", dir, "-out", filepath.Join(dir, "none", "a.md")}, "-out: there is no folder"},
		{"figures in place of a folder", []string{"-traces", dir, "-out", "-", "-json", dir}, "-json: " + dir + " is a folder"},
		{"an argument", []string{"-traces", dir, "-out", "-", "more"}, `"more"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, stderr := accuracyOf(t, c.args...)
			if code != cli.ExitUsage || !strings.Contains(stderr, c.want) {
				t.Errorf("exit code %d, %q; want %d and %q", code, stderr, cli.ExitUsage, c.want)
			}
		})
	}
	if code, _, stderr := accuracyOf(t, "-traces", dir, "-only", "nobody", "-preset", "fast", "-cache", ""); code != cli.ExitFailed || !strings.Contains(stderr, `"nobody"`) {
		t.Errorf("a trace that is not there: exit code %d, %q", code, stderr)
	}
}

// The document that people trust is about every trace, whole.
func TestOnlyAWholeMeasurementReplacesTheDocument(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("docs", 0o755); err != nil {
		t.Fatal(err)
	}
	dir := traces(t)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"whole": {nil, document},
		"-dev":  {[]string{"-dev"}, "-"},
		"-only": {[]string{"-only", "other"}, "-"},
		"-out":  {[]string{"-only", "other", "-out", "mine.md"}, "mine.md"},
	} {
		p := new(program)
		var out, log bytes.Buffer
		if code := cli.Execute(context.Background(), p.command(), append([]string{"-check", "-traces", dir}, c.args...), &out, &log); code != cli.ExitOK {
			t.Fatalf("%s: %s", name, &log)
		}
		if p.out != c.want {
			t.Errorf("%s: the document goes to %s, want %s", name, p.out, c.want)
		}
	}
}

func TestATraceThatCannotBeTrainedIsNamed(t *testing.T) {
	dir := traces(t)
	writeTrace(t, dir, "other", "cpu_utilization", load(60, 2))
	code, _, stderr := accuracyOf(t, "-traces", dir, "-preset", "fast", "-cache", "", "-out", filepath.Join(t.TempDir(), "a.md"))
	if code != cli.ExitFailed || !strings.Contains(stderr, "other, preset fast") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestTheManualNamesEveryMode(t *testing.T) {
	p := new(program)
	manual := p.command().Manual
	for _, word := range []string{"-dev", "-cache", "-only", "manifest.csv", "baselines.csv"} {
		if !slices.Contains(strings.FieldsFunc(manual, func(r rune) bool { return strings.ContainsRune(" \n[],:;", r) }), word) {
			t.Errorf("the manual does not speak of %s", word)
		}
	}
}
