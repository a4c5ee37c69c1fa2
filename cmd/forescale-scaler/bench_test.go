package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/api/client"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/scaler"
)

// What BenchmarkTick runs. The sizes that the project measures itself by, with
// lake and model kept for the next run of the command (make setup first):
//
//	FORESCALE_ONNXRUNTIME=$PWD/bin/lib/libonnxruntime.so.1 go test ./cmd/forescale-scaler -run '^$' \
//	    -bench Tick -benchtime 5x -timeout 1h -groups 10000 -keep /tmp/bench
//
// and with -groups 1000 -models 1000 for a model of its own for each group.
var (
	benchGroups = flag.Int("groups", 100, "`N` groups for BenchmarkTick")
	benchModels = flag.Int("models", 1, "`N` models for BenchmarkTick: 1 for all groups, or one for each group")
	benchRecent = flag.Bool("recent", true, "keep recent/ in the lake of BenchmarkTick, as a collector does")
	benchKeep   = flag.String("keep", "", "`DIR` for the lake and the model of BenchmarkTick, made where they are missing (default: a temporary one)")
)

const (
	trainDays   = 22 // of the history that the model is trained on
	trainGroups = 24
	lakeSlots   = 4 * 288 // of the history that lies before the first tick
)

// BenchmarkTick runs ticks of a fleet in live mode: the lake is a directory with a
// part for each slot, the server is the real one with ONNX Runtime in a process of
// its own, the model is one that forescale-trainer has trained. The provider
// answers from memory. An iteration is a tick of a scaler that has run before;
// first-s is how long the first tick after a start takes.
func BenchmarkTick(b *testing.B) {
	ctx := b.Context()
	w := newBenchWorld(b, *benchGroups, *benchModels)
	slot := lakeSlots
	now := w.fleet.time(slot)
	s := w.scaler(func() time.Time { return now })
	began, loading := time.Now(), cpuSeconds(b, w.server)
	w.tick(s, now)
	first := time.Since(began)
	loading = cpuSeconds(b, w.server) - loading
	own, server := cpuSeconds(b, os.Getpid()), cpuSeconds(b, w.server)
	for b.Loop() {
		b.StopTimer()
		if err := w.fleet.write(ctx, dataset.NewWithCache(w.lake, 0), slot, slot+1, 1); err != nil {
			b.Fatal(err)
		}
		slot++
		now = w.fleet.time(slot)
		if w.recent != nil {
			if _, err := w.recent.Refresh(ctx, now); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		w.tick(s, now)
	}
	b.ReportMetric(first.Seconds(), "first-s") // Loop would have forgotten it
	b.ReportMetric(loading, "first-server-cpu-s")
	b.ReportMetric((cpuSeconds(b, os.Getpid())-own)/float64(b.N), "scaler-cpu-s/op")
	b.ReportMetric((cpuSeconds(b, w.server)-server)/float64(b.N), "server-cpu-s/op")
	b.ReportMetric(float64(w.lake.audit)/float64(b.N+1)/(1<<20), "audit-MB/op")
	b.ReportMetric(float64(w.lake.state)/(1<<20), "state-MB")
}

// benchWorld is what surrounds the scaler of the benchmark.
type benchWorld struct {
	b        *testing.B
	fleet    *benchFleet
	lake     *weighed
	recent   *dataset.Refresher // nil: recent/ is not kept
	registry blob.Store
	server   int // process id
	url      string
	groups   int
	sizes    map[string]api.Capacity
}

func newBenchWorld(b *testing.B, groups, many int) *benchWorld {
	b.Helper()
	if many != 1 && many != groups {
		b.Fatal("-models is 1 or as many as there are -groups")
	}
	dir := *benchKeep
	if dir == "" {
		dir = b.TempDir()
	}
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	ctx := b.Context()
	must(os.MkdirAll(dir, 0o700))
	bin := b.TempDir()
	out, err := exec.CommandContext(ctx, "go", "build", "-o", bin+string(filepath.Separator), "../forescale-trainer", "../forescale-server").CombinedOutput()
	if err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	w := &benchWorld{b: b, groups: groups, sizes: map[string]api.Capacity{}}
	model, manifest := trainedModel(b, bin, dir)
	w.fleet, err = newBenchFleet(groups, lakeSlots/288+1)
	must(err)
	lake, err := openLake(ctx, filepath.Join(dir, fmt.Sprintf("lake-%d", groups)), w.fleet, lakeSlots, 1)
	must(err)
	w.lake = &weighed{Store: lake}
	must(w.lake.restore(ctx, w.fleet.time(lakeSlots))) // a run that was killed has left it as it was then
	b.Cleanup(func() { must(w.lake.restore(context.WithoutCancel(ctx), w.fleet.time(lakeSlots))) })
	if *benchRecent {
		w.recent, err = dataset.New(w.lake).Refresher(dataset.RefreshConfig{Step: benchStep})
		must(err)
		_, err = w.recent.Rebuild(ctx, w.fleet.time(lakeSlots))
		must(err)
	}
	models := b.TempDir()
	w.registry, err = blob.Open(ctx, "file://"+models)
	must(err)
	must(register(ctx, w.registry, manifest, model, many))
	w.start(filepath.Join(bin, "forescale-server"), models)
	for i := range groups {
		w.sizes[groupName(i)] = api.Capacity{InService: instances, Desired: instances, Max: 10 * instances}
	}
	return w
}

// trainedModel returns a model that forescale-trainer has trained on a smaller
// fleet of the same kind.
func trainedModel(b *testing.B, bin, dir string) ([]byte, models.Manifest) {
	b.Helper()
	var m models.Manifest
	out := filepath.Join(dir, "model")
	raw, err := os.ReadFile(filepath.Join(out, "manifest.json"))
	if err != nil {
		f, err := newBenchFleet(trainGroups, trainDays)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := openLake(b.Context(), filepath.Join(dir, "train"), f, trainDays*288, 288); err != nil {
			b.Fatal(err)
		}
		log, err := exec.CommandContext(b.Context(), filepath.Join(bin, "forescale-trainer"), "-shared", "-preset", "fast", "-epochs", "3",
			"-shared-windows", "20000", "-data", "file://"+filepath.Join(dir, "train"), "-out", out,
			"-until", f.time(trainDays*288).Format(time.RFC3339)).CombinedOutput()
		if err != nil {
			b.Fatalf("forescale-trainer: %v\n%s", err, log)
		}
		if raw, err = os.ReadFile(filepath.Join(out, "manifest.json")); err != nil {
			b.Fatal(err)
		}
	}
	model, err := os.ReadFile(filepath.Join(out, "model.onnx"))
	if err != nil {
		b.Fatal(err)
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		b.Fatal(err)
	}
	return model, m
}

// register puts the model into a registry once for all groups, or under the name
// of each of many groups.
func register(ctx context.Context, store blob.Store, m models.Manifest, model []byte, many int) error {
	r := models.NewRegistry(store)
	if many == 1 {
		m.Name, m.Groups = "shared", []string{models.AnyGroup}
		_, err := r.Put(ctx, m, model)
		return err
	}
	m.Calibration = nil // of groups that these do not serve
	for i := range many {
		m.Name, m.Groups = groupName(i), []string{groupName(i)}
		if _, err := r.Put(ctx, m, model); err != nil {
			return err
		}
	}
	return nil
}

// start starts the server and waits for its address.
func (w *benchWorld) start(binary, models string) {
	w.b.Helper()
	// With less than all of them need, it would load each of them anew at every tick.
	config := filepath.Join(w.b.TempDir(), "forescale.yaml")
	if err := os.WriteFile(config, []byte("server: {memory_budget: 4294967296}\n"), 0o600); err != nil {
		w.b.Fatal(err)
	}
	cmd := exec.Command(binary, "-config", config, "-models", "file://"+models, "-listen", "127.0.0.1:0", "-exit-with-stdin")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		w.b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		w.b.Fatal(err)
	}
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		w.b.Fatal(err)
	}
	w.b.Cleanup(func() {
		stdin.Close()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	w.server = cmd.Process.Pid
	lines := bufio.NewScanner(stdout)
	for w.url == "" {
		if !lines.Scan() {
			w.b.Fatalf("the server ended before it listened:\n%s", log.Bytes())
		}
		w.url, _ = strings.CutPrefix(lines.Text(), "listening on ")
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
}

func (w *benchWorld) scaler(now func() time.Time) *scaler.Scaler {
	w.b.Helper()
	cfg := scaler.DefaultConfig()
	cfg.ID = "bench"
	for i := range w.groups {
		g := scaler.DefaultGroup()
		g.Name = groupName(i)
		cfg.Groups = append(cfg.Groups, g)
	}
	c, err := client.New(w.url, client.WithTimeout(time.Minute))
	if err != nil {
		w.b.Fatal(err)
	}
	// What takes too long shall be seen as such, and not as a missing forecast.
	cfg.Deadlines.History, cfg.Deadlines.Predict, cfg.Deadlines.Specs = time.Hour, time.Hour, time.Hour
	s, err := scaler.New(cfg, benchStep, scaler.Deps{Store: w.lake, History: dataset.New(w.lake), Specs: models.NewRegistry(w.registry),
		Forecaster: c, Target: w, Now: now})
	if err != nil {
		w.b.Fatal(err)
	}
	return s
}

// tick runs one tick and makes sure that it was one: a forecast for every group
// that was observed.
func (w *benchWorld) tick(s *scaler.Scaler, now time.Time) {
	w.b.Helper()
	rec, err := s.Once(w.b.Context(), now)
	if err != nil {
		w.b.Fatal(err)
	}
	predictive, observed := 0, 0
	for _, d := range rec.Decisions {
		if d.Basis == api.BasisPredictive {
			predictive++
		}
		if len(d.Observed) > 0 && d.ObservedAt.Equal(now.Add(-benchStep)) {
			observed++
		}
	}
	if len(rec.Decisions) != w.groups || len(rec.Errors) > 0 || predictive < observed*9/10 || predictive == 0 {
		w.b.Fatalf("%d decisions of %d groups, %d with a forecast, %d observed, errors %.2000q", len(rec.Decisions), w.groups, predictive, observed, rec.Errors)
	}
}

// Capacities implements scaler.Target.
func (w *benchWorld) Capacities(_ context.Context, groups []string) (map[string]api.Capacity, error) {
	found := make(map[string]api.Capacity, len(groups))
	for _, name := range groups {
		found[name] = w.sizes[name]
	}
	return found, nil
}

// Scale implements scaler.Target.
func (w *benchWorld) Scale(context.Context, string, int) error { return nil }

// weighed is a store that knows how much is written.
type weighed struct {
	blob.Store
	audit int // bytes of all records
	state int // bytes of the state at its largest
}

func (s *weighed) Put(ctx context.Context, key string, data []byte, cond blob.Condition) (string, error) {
	switch {
	case strings.HasPrefix(key, "audit/"):
		s.audit += len(data)
	case strings.HasPrefix(key, "scaler/state"):
		s.state = max(s.state, len(data))
	}
	return s.Store.Put(ctx, key, data, cond)
}

// restore removes what ticks have left in the lake, and the slots from a midnight on.
func (s *weighed) restore(ctx context.Context, from time.Time) error {
	for prefix, after := range map[string]string{"audit/": "", "scaler/": "", "recent/": "", "open/": "open/date=" + from.Format(time.DateOnly)} {
		for info, err := range s.List(ctx, prefix, after) {
			if err == nil {
				err = s.Delete(ctx, info.Key)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// cpuSeconds returns the processor time that a process has taken so far.
//
// Source: proc_pid_stat(5), fields 14 (utime) and 15 (stime), in clock ticks of
// which there are 100 a second on Linux.
func cpuSeconds(b *testing.B, pid int) float64 {
	b.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	var user, system float64
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+2:])) // from the third on
	for i, into := range map[int]*float64{14: &user, 15: &system} {
		if _, err := fmt.Sscan(fields[i-3], into); err != nil {
			b.Fatal(err)
		}
	}
	return (user + system) / 100
}
