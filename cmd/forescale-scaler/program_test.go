package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/internal/journal"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/scaler/control"
)

var (
	monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	tick   = monday.Add(90 * time.Minute)
)

// setting is a directory store, a simulated cloud and a prediction server around
// the real command.
type setting struct {
	dir    string
	cloud  *fleet.Cloud
	config string
}

// arrange makes two groups of four instances: web, which is to see a peak, and
// idle, which is scaled on its observed load.
func arrange(t *testing.T) setting {
	t.Helper()
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"} {
		t.Setenv(name, value)
	}
	demand := &fleet.Demand{Start: monday, Step: 5 * time.Minute, Slots: make([]float64, 288), Missing: make([]bool, 288), Unit: 1}
	for i := range demand.Slots {
		demand.Slots[i] = 2
	}
	group := func(name string) fleet.GroupConfig {
		return fleet.GroupConfig{Name: name, Demand: demand, Min: 1, Max: 10, Desired: 4, Lead: fleet.Lead{Minutes: 5}}
	}
	cloud, err := fleet.New(fleet.Config{Start: monday, Now: monday.Add(time.Hour), Groups: []fleet.GroupConfig{group("asg-web"), group("idle")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := cloud.Advance(tick); err != nil {
		t.Fatal(err)
	}
	provider := httptest.NewServer(fleet.Handler(cloud))
	t.Cleanup(provider.Close)
	server := predictions(t, 2, 2.5, 3.2)
	s := setting{dir: t.TempDir(), cloud: cloud}
	s.fill(t, tick, 5*time.Minute)
	s.config = filepath.Join(s.dir, "forescale.yaml")
	s.write(t, fmt.Sprintf(`
data: %s/lake
models: %s/models
aws: {region: eu-central-1, autoscaling_endpoint: %q}
scaler:
  id: test
  server: %q
  groups:
    - {name: web, target_name: asg-web, mode: live, max: 9, policy: {rule: threshold}}
    - {name: idle, mode: live, policy: {rule: threshold, signal: observed}}
`, s.dir, s.dir, provider.URL, server.URL))
	return s
}

// predictions is a prediction server that forecasts the same for every group.
func predictions(t *testing.T, point ...float64) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var req api.PredictRequest
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil || r.URL.Path != api.RoutePredict {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		resp := api.PredictResponse{Model: "m", Version: 1}
		for _, win := range req.Windows {
			resp.Forecasts = append(resp.Forecasts, api.Forecast{Group: win.Group, IssuedAt: win.End, StepSeconds: win.StepSeconds, Point: point})
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(resp)
	}))
	t.Cleanup(server.Close)
	return server
}

func (s setting) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fill stores twelve slots of metrics that end by a tick, and a model that serves
// every group.
func (s setting) fill(t *testing.T, tick time.Time, step time.Duration) {
	t.Helper()
	ctx := context.Background()
	lake, err := blob.Open(ctx, s.dir+"/lake")
	if err != nil {
		t.Fatal(err)
	}
	var samples []api.Sample
	for at := tick.Add(-12 * step); at.Before(tick); at = at.Add(step) {
		for group, cpu := range map[string]float64{"web": 50, "idle": 20} {
			samples = append(samples,
				api.Sample{Group: group, Metric: api.MetricCPU, Stat: api.StatAvg, Time: at, Value: cpu},
				api.Sample{Group: group, Metric: api.MetricInService, Stat: api.StatAvg, Time: at, Value: 4})
		}
	}
	if err := dataset.New(lake).Append(ctx, "test", tick, samples, tick); err != nil {
		t.Fatal(err)
	}
	registry, err := blob.Open(ctx, s.dir+"/models")
	if err != nil {
		t.Fatal(err)
	}
	spec := models.Spec{Target: api.SeriesDemand, StepSeconds: int(step.Seconds()), Lookback: 6, Horizon: 3, Series: []string{api.SeriesDemand}}
	if _, err := models.NewRegistry(registry).Put(ctx, models.Manifest{Name: "m", Groups: []string{models.AnyGroup}, Spec: spec}, []byte("model")); err != nil {
		t.Fatal(err)
	}
}

func (s setting) run(args ...string) (code int, stdout, stderr string) {
	var out, errOut bytes.Buffer
	p := &program{out: &out, errOut: &errOut}
	code = cli.Execute(context.Background(), p.command(), append([]string{"-config", s.config}, args...), &out, &errOut)
	return code, out.String(), errOut.String()
}

func (s setting) desired(name string) int {
	for _, g := range s.cloud.State().Groups {
		if g.Name == name {
			return g.Desired
		}
	}
	return -1
}

func (s setting) audit(t *testing.T) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.dir, "lake", filepath.FromSlash(journal.New(nil).Key(tick))))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestOneTickThroughTheRealParts(t *testing.T) {
	s := arrange(t)
	code, out, errOut := s.run("-once", "-at", tick.Format(time.RFC3339))
	if code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, errOut)
	}
	for _, want := range []string{
		"web: cpu 50.0 % demand 2.00, forecast 2.00 2.50 3.20, capacity 4 -> 5 accepted (live, predictive) because threshold: predicted CPU peaks at 80.0 % in step 3",
		"idle: cpu 20.0 % demand 0.80, capacity 4 -> 3 accepted (live, reactive)",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if s.desired("asg-web") != 5 || s.desired("idle") != 3 {
		t.Errorf("web %d, idle %d", s.desired("asg-web"), s.desired("idle"))
	}
	before := s.audit(t)
	if code, again, _ := s.run("-once", "-at", tick.Add(4*time.Minute).Format(time.RFC3339)); code != cli.ExitOK || again != out {
		t.Errorf("the same tick again: exit code %d\n%s", code, again)
	}
	if s.desired("asg-web") != 5 || !bytes.Equal(before, s.audit(t)) {
		t.Error("the tick was decided again")
	}
}

func TestTheSameMomentGivesTheSameRecord(t *testing.T) {
	a, b := arrange(t), arrange(t)
	a.run("-once", "-at", tick.Format(time.RFC3339))
	b.run("-once", "-at", tick.Format(time.RFC3339))
	if !bytes.Equal(a.audit(t), b.audit(t)) {
		t.Errorf("\n%s\n%s", a.audit(t), b.audit(t))
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	s := arrange(t)
	code, out, errOut := s.run("-once", "-dry-run", "-at", tick.Format(time.RFC3339))
	if code != cli.ExitOK || !strings.Contains(out, "4 -> 5 dry-run (dry-run, predictive)") {
		t.Errorf("exit code %d\n%s%s", code, out, errOut)
	}
	if s.desired("asg-web") != 4 || s.desired("idle") != 4 {
		t.Errorf("web %d, idle %d", s.desired("asg-web"), s.desired("idle"))
	}
}

func TestAnOldTickIsHeldBecauseItsMetricsAreMissing(t *testing.T) {
	s := arrange(t)
	code, out, errOut := s.run("-once") // now, long after the simulated metrics
	if code != cli.ExitOK || strings.Count(out, "load unknown, capacity stays 4 (live, hold)") != 2 {
		t.Errorf("exit code %d\n%s%s", code, out, errOut)
	}
}

func TestFaultsOfTheConfigurationAreAllPrinted(t *testing.T) {
	s := arrange(t)
	if code, out, errOut := s.run("-check"); code != cli.ExitOK || !strings.Contains(out, "valid") {
		t.Errorf("a valid configuration: exit code %d\n%s%s", code, out, errOut)
	}
	s.write(t, "calendar: /nonexistent\nlog: {level: loud}\nscaler:\n  groups:\n    - {name: web, target: gke, mode: on}\n")
	code, _, errOut := s.run("-check", "-at", "noon")
	if code != cli.ExitUsage {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"data:", "models:", "gke", "mode:", "/nonexistent", "log.level", `-at: "noon"`, "-at: only goes with -once"} {
		if !strings.Contains(errOut, want) {
			t.Errorf("no %q in\n%s", want, errOut)
		}
	}
	// What could not be read is told once, and not that it is missing.
	s.write(t, "data: file:///x\nmodels: file:///x\naws: {region: x}\nscaler:\n  groups:\n    - {name: web, polcy: {}, lead_time: 5}\n")
	_, _, errOut = s.run("-check")
	if !strings.Contains(errOut, `unknown key "polcy"; did you mean policy?`) || !strings.Contains(errOut, `"5" is not a length of time`) || strings.Contains(errOut, "there are none") {
		t.Errorf("a group that cannot be read:\n%s", errOut)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "audit")); err == nil {
		t.Error("-check wrote something")
	}
	var out, errBuf bytes.Buffer
	if code := cli.Execute(context.Background(), (&program{out: &out, errOut: &errBuf}).command(), nil, &out, &errBuf); code != cli.ExitUsage {
		t.Errorf("without a configuration: exit code %d", code)
	}
}

func TestAStoreThatCannotBeUsedIsAFailure(t *testing.T) {
	s := arrange(t)
	if err := os.WriteFile(filepath.Join(s.dir, "lake", "scaler"), []byte("a file where a folder belongs"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errOut := s.run("-once", "-at", tick.Format(time.RFC3339))
	if code != cli.ExitFailed || !strings.Contains(errOut, "scaler/") {
		t.Errorf("exit code %d\n%s", code, errOut)
	}
	if s.desired("asg-web") != 4 {
		t.Error("acted without a store")
	}
}

// A running scaler stops cleanly when it is told to.
func TestRunStopsCleanly(t *testing.T) {
	s := arrange(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var out, errOut bytes.Buffer
	p := &program{out: &out, errOut: &errOut}
	stopping, stop := context.WithCancel(ctx)
	time.AfterFunc(time.Second, stop)
	if code := cli.Execute(stopping, p.command(), []string{"-config", s.config}, &out, &errOut); code != cli.ExitOK {
		t.Errorf("exit code %d\n%s", code, errOut.String())
	}
	if !strings.Contains(out.String(), "web:") {
		t.Errorf("no decision was printed:\n%s%s", out.String(), errOut.String())
	}
	if p := s.dir + "/lake/scaler/lease.json"; !strings.Contains(read(t, p), `"holder":"test"`) {
		t.Errorf("lease: %s", read(t, p))
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// Somebody looks what a configuration in live mode would do, beside the scaler
// that is at work on the same lake.
func TestDryRunTakesNoTickFromALiveScaler(t *testing.T) {
	s := arrange(t)
	if code, out, errOut := s.run("-once", "-dry-run", "-at", tick.Format(time.RFC3339)); code != cli.ExitOK || !strings.Contains(out, "4 -> 5 dry-run") {
		t.Fatalf("exit code %d\n%s%s", code, out, errOut)
	}
	if code, out, errOut := s.run("-once", "-at", tick.Format(time.RFC3339)); code != cli.ExitOK || !strings.Contains(out, "4 -> 5 accepted") {
		t.Errorf("the live scaler: exit code %d\n%s%s", code, out, errOut)
	}
	if s.desired("asg-web") != 5 {
		t.Errorf("web %d", s.desired("asg-web"))
	}
	lake, err := blob.Open(t.Context(), s.dir+"/lake")
	if err != nil {
		t.Fatal(err)
	}
	apart, err := journal.New(lake).Shard(dryRunShard).Get(t.Context(), tick)
	if err != nil || len(apart.Decisions) != 2 || apart.Decisions[0].Mode != api.ModeDryRun || apart.Version != cli.Version {
		t.Errorf("the dry run's own record: %+v, %v", apart, err)
	}
}

// An order that was given to the store holds at the next tick, and a store of
// orders that cannot be read freezes everything.
func TestOrdersAreObeyed(t *testing.T) {
	s := arrange(t)
	lake, err := blob.Open(t.Context(), s.dir+"/lake")
	if err != nil {
		t.Fatal(err)
	}
	pause := api.Control{Kind: api.ControlPause, Group: "web", At: tick.Add(-time.Minute), Until: tick.Add(time.Hour), Reason: "a test of the brakes", By: "somebody"}
	if err := control.New(lake).Put(t.Context(), pause); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := s.run("-once", "-at", tick.Format(time.RFC3339))
	if code != cli.ExitOK || s.desired("asg-web") != 4 || s.desired("idle") != 3 || !strings.Contains(out, "a test of the brakes") {
		t.Errorf("exit code %d, web %d, idle %d\n%s%s", code, s.desired("asg-web"), s.desired("idle"), out, errOut)
	}

	s = arrange(t)
	if err := os.MkdirAll(s.dir+"/lake/scaler", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "lake", filepath.FromSlash(control.Key)), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errOut = s.run("-once", "-at", tick.Format(time.RFC3339))
	if code != cli.ExitOK || s.desired("idle") != 4 || !strings.Contains(out, "every group is frozen") {
		t.Errorf("exit code %d, idle %d\n%s%s", code, s.desired("idle"), out, errOut)
	}
}

// A running scaler tells Prometheus of its ticks.
func TestMetricsAreServed(t *testing.T) {
	s := arrange(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out bytes.Buffer
	log := &lines{found: make(chan string, 1)}
	p := &program{out: &out, errOut: log}
	ended := make(chan int)
	go func() {
		ended <- cli.Execute(ctx, p.command(), []string{"-config", s.config, "-listen", "127.0.0.1:0"}, &out, log)
	}()
	base := "http://" + <-log.found
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get(base + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && strings.Contains(string(body), `forescale_scaler_ticks_total{result="ok"} 1`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no tick in\n%s", body)
		}
	}
	stop()
	if code := <-ended; code != cli.ExitOK {
		t.Errorf("exit code %d", code)
	}
}

// lines looks for the address that is listened on in a log.
type lines struct{ found chan string }

func (l *lines) Write(b []byte) (int, error) {
	if _, addr, ok := strings.Cut(string(b), `msg="serving metrics" addr=`); ok {
		l.found <- strings.TrimSpace(addr)
	}
	return len(b), nil
}
