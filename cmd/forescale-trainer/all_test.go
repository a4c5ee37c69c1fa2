package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer"
	"github.com/forescale/forescale/trainer/checkpoint"
)

// executeWith is execute with a training of its own.
func executeWith(ctx context.Context, train training, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	p := &program{stdout: &out, stderr: &errs, train: train}
	code = cli.Execute(ctx, p.command(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// world is a data lake of requests, slots of five minutes.
type world struct {
	t     *testing.T
	url   string
	lake  *dataset.Dataset
	start time.Time
}

const worldSlots = 900

func newWorld(t *testing.T, groups ...string) *world {
	t.Helper()
	w := &world{t: t, url: "file://" + t.TempDir(), start: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)}
	store, err := blob.Open(t.Context(), w.url)
	if err != nil {
		t.Fatal(err)
	}
	w.lake = dataset.New(store)
	for _, group := range groups {
		w.put(group, 0, worldSlots)
	}
	return w
}

// put appends the slots [from, to) of a group.
func (w *world) put(group string, from, to int) {
	w.t.Helper()
	var samples []api.Sample
	for i := from; i < to; i++ {
		samples = append(samples, api.Sample{Group: group, Metric: api.MetricRequests, Stat: api.DefaultStat(api.MetricRequests),
			Time: w.at(i), Value: 100 + float64(len(group)) + 50*math.Sin(float64(i)/40)})
	}
	if err := w.lake.Append(w.t.Context(), "test", w.at(from), samples, w.at(to)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) at(slot int) time.Time { return w.start.Add(time.Duration(slot) * 5 * time.Minute) }

// args are those of a quick run over all groups, up to a slot.
func (w *world) args(out string, until int, more ...string) []string {
	args := []string{"-all-groups", "-data", w.url, "-out", out, "-until", w.at(until).Format(time.RFC3339)}
	return append(append(args, quick...), more...)
}

// told returns "group status, …" of a summary file.
func told(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, row := range rows[1:] {
		words = append(words, row[0]+" "+row[1])
	}
	return strings.Join(words, ", ")
}

func TestEveryGroupOfALakeGetsAModel(t *testing.T) {
	w, out, registry := newWorld(t, "api", "web/eu", "web/us"), t.TempDir(), t.TempDir()
	prom := filepath.Join(t.TempDir(), "run.prom")
	// So little memory that a lot is a group, and jobs run one after the other.
	args := w.args(out, worldSlots, "-models", "file://"+registry, "-memory", "1MiB", "-metrics-file", prom, "-metrics-by-group")
	code, stdout, stderr := execute(t.Context(), args...)
	if code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if !strings.Contains(stdout, "3 groups in") || !strings.Contains(stdout, "3 trained, 0 skipped, 0 failed") || !strings.Contains(stderr, "3 of 3") {
		t.Errorf("%s\n%s", stdout, stderr)
	}
	if got := told(t, filepath.Join(out, "summary.csv")); got != "api trained, web/eu trained, web/us trained" {
		t.Error(got)
	}
	store, err := blob.Open(t.Context(), "file://"+registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range []string{"api", "web/eu", "web/us"} {
		if champion, err := models.NewRegistry(store).Champion(t.Context(), group); err != nil || champion.Version != 1 {
			t.Errorf("%s: champion %+v, %v", group, champion, err)
		}
		var m models.Manifest
		readJSON(t, filepath.Join(out, blob.Escape(group), "manifest.json"), &m)
		if m.Name != group || m.Version != 1 || !slices.Equal(m.Groups, []string{group}) || m.TrainedFrom != w.start {
			t.Errorf("%s: manifest %+v", group, m)
		}
	}
	raw, err := os.ReadFile(prom)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`forescale_trainer_groups{shard="0-of-1",status="trained"} 3`, `forescale_trainer_model_mae{group="web/eu",horizon_minutes="10",shard="0-of-1"}`} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("the metrics lack %s:\n%s", want, raw)
		}
	}
}

func TestNamesOfGroupsCannotGetInTheWayOfEachOther(t *testing.T) {
	long := strings.Repeat("ä", 100) // 600 bytes, encoded
	names := []string{"summary.csv", "summary.json", ".ledger", "..", "a/b", "summary", long}
	w, out := newWorld(t, names...), t.TempDir()
	code, _, stderr := execute(t.Context(), w.args(out, worldSlots)...)
	if code != cli.ExitFailed || !strings.Contains(stderr, "1 of 7 groups failed") || !strings.Contains(stderr, "longer than the 255 bytes") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	found, err := filepath.Glob(filepath.Join(out, "*", "model.onnx"))
	if err != nil || len(found) != 6 {
		t.Errorf("models in %v, %v", found, err)
	}
	if got := told(t, filepath.Join(out, "summary.csv")); strings.Count(got, "trained") != 6 {
		t.Error(got)
	}
}

// The models of a run do not depend on how many are trained at a time.
func TestAGroupOfManyHasTheModelThatItHasAlone(t *testing.T) {
	w, out, alone := newWorld(t, "api", "web"), t.TempDir(), t.TempDir()
	if code, _, stderr := execute(t.Context(), w.args(out, worldSlots, "-jobs", "2")...); code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	args := append([]string{"-data", w.url, "-group", "web", "-out", alone, "-until", w.at(worldSlots).Format(time.RFC3339)}, quick...)
	if code, _, stderr := execute(t.Context(), args...); code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	a, err := os.ReadFile(filepath.Join(out, "web", "model.onnx"))
	b, err2 := os.ReadFile(filepath.Join(alone, "model.onnx"))
	if err != nil || err2 != nil || !bytes.Equal(a, b) {
		t.Errorf("the models differ (%v, %v)", err, err2)
	}
}

func TestFailedGroupsAreNamedAndTriedAgain(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	move := func(name string, slots int, columns ...string) {
		t.Helper()
		if err := os.Rename(csvFile(t, slots, columns...), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	move("web.csv", 900, "cpu_utilization")
	move("short.csv", 30, "cpu_utilization")
	move("two.csv", 900, "a", "b")
	for name, content := range map[string]string{"broken.csv.gz": "no gzip", "notes.txt": "not data"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := append([]string{"-all-groups", "-data", dir, "-out", out, "-resume"}, quick...)
	code, stdout, stderr := execute(t.Context(), args...)
	if code != cli.ExitFailed {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"3 of 4 groups failed", "short: ", "30 slots", "two: -target is missing", "broken: ", "summary.csv", "-resume"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("the message does not say %q: %s", want, stderr)
		}
	}
	summary := filepath.Join(out, "summary.csv")
	if got := told(t, summary); got != "broken failed, short failed, two failed, web trained" || !strings.Contains(stdout, "1 trained, 0 skipped, 3 failed") {
		t.Errorf("%s\n%s", got, stdout)
	}
	move("short.csv", 900, "cpu_utilization")
	for _, name := range []string{"two.csv", "broken.csv.gz"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		name, want string
		args       []string
	}{
		{"what was mended", "short trained, web skipped", args},
		{"nothing is left", "short skipped, web skipped", args},
		{"another configuration", "short trained, web trained", append(slices.Clone(args), "-seed", "9")},
		{"without -resume", "short trained, web trained", append(slices.Clone(args), "-resume=false")},
	} {
		code, _, stderr := execute(t.Context(), step.args...)
		if got := told(t, summary); code != cli.ExitOK || got != step.want {
			t.Errorf("%s: exit code %d, %s, want %s: %s", step.name, code, got, step.want, stderr)
		}
	}
	if err := os.RemoveAll(filepath.Join(out, "web")); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := execute(t.Context(), args...); code != cli.ExitOK || told(t, summary) != "short skipped, web trained" {
		t.Errorf("a model that was removed: exit code %d, %s: %s", code, told(t, summary), stderr)
	}
}

func TestShardsTrainEveryGroupOnce(t *testing.T) {
	groups := []string{"a", "b", "c", "d", "e"}
	w, out := newWorld(t, groups...), t.TempDir()
	var all []string
	for i := range 3 {
		t.Setenv("JOB_COMPLETION_INDEX", fmt.Sprint(i))
		code, _, stderr := execute(t.Context(), w.args(out, worldSlots, "-shard", "auto/3", "-resume")...)
		if code != cli.ExitOK {
			t.Fatalf("shard %d: exit code %d: %s", i, code, stderr)
		}
		if s := told(t, filepath.Join(out, fmt.Sprintf("summary-%d-of-3.csv", i))); s != "" {
			all = append(all, strings.Split(s, ", ")...)
		}
	}
	slices.Sort(all)
	if got := strings.Join(all, ", "); got != "a trained, b trained, c trained, d trained, e trained" {
		t.Error(got)
	}
	code, _, stderr := execute(t.Context(), w.args(t.TempDir(), worldSlots, "-shard", "12/1000")...)
	if code != cli.ExitOK || !strings.Contains(stderr, "shard 12/1000 has none of the 5 groups") {
		t.Errorf("a shard without groups: exit code %d, %s", code, stderr)
	}
}

func TestAPanicInOneGroupStopsNoOther(t *testing.T) {
	w, out := newWorld(t, "api", "web"), t.TempDir()
	code, _, stderr := executeWith(t.Context(), func(ctx context.Context, c trainer.Config, d trainer.Data, k *checkpoint.Dir) (*trainer.Result, error) {
		if d.Grid.Group == "api" {
			panic("impossible")
		}
		return train(ctx, c, d, k)
	}, w.args(out, worldSlots)...)
	if got := told(t, filepath.Join(out, "summary.csv")); code != cli.ExitFailed || got != "api failed, web trained" || !strings.Contains(stderr, "api: panic: impossible") {
		t.Errorf("exit code %d, %s: %s", code, got, stderr)
	}
}

// A stopped run must not look like a completed one to whoever started it, and is
// continued on the data that it began with, although the lake has grown since.
func TestAStoppedRunIsContinuedOnTheSameData(t *testing.T) {
	w, out := newWorld(t, "api", "web"), t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	begin := func(ctx context.Context, c trainer.Config, d trainer.Data, k *checkpoint.Dir) (*trainer.Result, error) {
		if d.Grid.Group == "web" {
			stop()
		}
		return train(ctx, c, d, k)
	}
	code, _, stderr := executeWith(ctx, begin, w.args(out, worldSlots, "-jobs", "1")...)
	summary := filepath.Join(out, "summary.csv")
	if got := told(t, summary); code != cli.ExitFailed || got != "api trained, web stopped" {
		t.Errorf("exit code %d, %s", code, got)
	}
	if !strings.Contains(stderr, "stopped after 1 of 2 groups") || !strings.Contains(stderr, "-resume") {
		t.Error(stderr)
	}
	for _, group := range []string{"api", "web"} {
		w.put(group, worldSlots, worldSlots+300)
	}
	again := w.args(out, worldSlots, "-resume")
	at := slices.Index(again, "-until")
	again = slices.Delete(again, at, at+2)
	again = append(again, "-history", "100000h")
	code, _, stderr = execute(t.Context(), again...)
	if got := told(t, summary); code != cli.ExitOK || got != "api skipped, web trained" || !strings.Contains(stderr, "continuing the run on the data up to 2026-03-05T03:00:00Z") {
		t.Fatalf("exit code %d, %s: %s", code, got, stderr)
	}
	// The run is complete now: the next one reads up to the present, and trains all.
	code, _, stderr = execute(t.Context(), again...)
	if got := told(t, summary); code != cli.ExitOK || got != "api trained, web trained" {
		t.Errorf("exit code %d, %s: %s", code, got, stderr)
	}
}

func TestStoppingWhileTheDataIsReadSaysSo(t *testing.T) {
	w := newWorld(t, "web")
	ctx, stop := context.WithCancel(t.Context())
	stop()
	code, stdout, stderr := execute(ctx, "-data", w.url, "-out", t.TempDir(), "-history", "100000h")
	if code != cli.ExitOK || stdout != "" || !strings.Contains(stderr, "stopped; nothing was written") {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
	code, _, stderr = execute(ctx, w.args(t.TempDir(), worldSlots)...)
	if code != cli.ExitFailed || !strings.Contains(stderr, "stopped before any group was trained") {
		t.Errorf("all groups: exit code %d, %q", code, stderr)
	}
}

func TestAPushThatFailsIsAWarningWithoutCredentials(t *testing.T) {
	pushed := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pushed = r.Method + " " + r.URL.Path
		w.WriteHeader(http.StatusTeapot)
	}))
	defer server.Close()
	out := t.TempDir()
	address := strings.Replace(server.URL, "http://", "http://anna:secret@", 1)
	args := append([]string{"-data", csvFile(t, 900, "cpu_utilization"), "-out", out, "-push-gateway", address}, quick...)
	code, _, stderr := execute(t.Context(), args...)
	if code != cli.ExitOK || !strings.Contains(stderr, "warning: push metrics to "+server.URL) || !strings.Contains(stderr, "418") || strings.Contains(stderr, "secret") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if pushed != "POST /metrics/job/forescale_trainer/shard/0-of-1" {
		t.Errorf("pushed %s", pushed)
	}
}

func TestMetricsTellOfATrainingThatFailed(t *testing.T) {
	prom := filepath.Join(t.TempDir(), "run.prom")
	code, _, stderr := execute(t.Context(), "-data", csvFile(t, 30, "a"), "-out", t.TempDir(), "-metrics-file", prom)
	raw, err := os.ReadFile(prom)
	if code != cli.ExitFailed || err != nil || !strings.Contains(string(raw), `forescale_trainer_groups{shard="0-of-1",status="failed"} 1`) {
		t.Errorf("exit code %d, %v: %s\n%s", code, err, stderr, raw)
	}
}
