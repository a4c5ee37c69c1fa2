package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/internal/journal"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer"
)

// The crash test runs the real programs against the simulated cloud and ends each
// of them with SIGKILL at random moments, over and over, until it gets through.
const (
	crashTicks    = 40
	crashStep     = 5 * time.Minute
	crashCooldown = 10 * time.Minute
)

// providerCall is one change of a group that reached the provider.
type providerCall struct {
	tick    time.Time
	group   string
	desired int
}

// system is a whole installation in a folder.
type system struct {
	t        *testing.T
	dir      string
	bin      string
	cloud    *fleet.Cloud
	endpoint string
	server   *exec.Cmd
	serverAt string
	rng      *rand.Rand
	kills    map[string]int

	mu    sync.Mutex
	tick  time.Time      // guarded by mu
	calls []providerCall // guarded by mu
}

func TestKilledAtAnyMomentNothingIsLostOrDoubled(t *testing.T) {
	s := newSystem(t)
	begin := s.cloud.Now()
	history := begin.Add(-4 * 24 * time.Hour)
	s.untilDone("collector", "-backfill", history.Format(time.RFC3339)+"/"+begin.Format(time.RFC3339))
	s.trainModel(history, begin)
	s.startServer()
	end := begin.Add(crashTicks * crashStep)
	for tick := begin.Add(crashStep); !tick.After(end); tick = tick.Add(crashStep) {
		s.at(tick)
		s.untilDone("collector", "-once", "-at", tick.Format(time.RFC3339))
		if s.rng.IntN(3) == 0 {
			s.killServer()
		}
		s.untilDone("scaler", "-once", "-at", tick.Format(time.RFC3339))
		s.startServer()
	}
	s.checkLake(history, end)
	s.checkDecisions(begin.Add(crashStep), end)
	t.Logf("killed: %v", s.kills)
	for _, name := range []string{"collector", "scaler", "server"} {
		if s.kills[name] < 5 {
			t.Errorf("the %s was killed only %d times: the test proves little", name, s.kills[name])
		}
	}
}

func newSystem(t *testing.T) *system {
	t.Helper()
	s := &system{t: t, dir: t.TempDir(), kills: map[string]int{}, rng: rand.New(rand.NewPCG(7, 7))}
	s.bin = filepath.Join(s.dir, "bin")
	build := exec.Command("go", "build", "-o", s.bin+string(filepath.Separator), "../forescale-collector", "../forescale-scaler", "../forescale-server")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	// The collector's back-fill asks only for what CloudWatch still keeps by the
	// wall clock, so the load is a recent one: a week that began on a Monday.
	monday := time.Now().UTC().Truncate(7*24*time.Hour).AddDate(0, 0, -7)
	g, err := fleet.Generate(fleet.GenerateConfig{Seed: 5, Days: 6, Start: monday})
	if err != nil {
		t.Fatal(err)
	}
	demand, err := fleet.NewDemand(g.Start, g.Step, g.Requests)
	if err != nil {
		t.Fatal(err)
	}
	// The live part begins on a rising morning, so that there is something to do.
	now := g.Start.Add(4*24*time.Hour + 6*time.Hour)
	s.cloud, err = fleet.New(fleet.Config{
		Start: g.Start, Now: now, Seed: 1,
		Groups: []fleet.GroupConfig{{Name: "web", Demand: demand, Desired: 6, Lead: fleet.Lead{Minutes: 5}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	provider := httptest.NewServer(s.record(fleet.Handler(s.cloud)))
	t.Cleanup(provider.Close)
	s.endpoint = provider.URL
	s.configure()
	return s
}

func (s *system) configure() {
	text := fmt.Sprintf(`data: file://%[1]s/data
models: file://%[1]s/models
aws:
  region: eu-central-1
  cloudwatch_endpoint: %[2]s
  autoscaling_endpoint: %[2]s
collector:
  sources:
    - cloudwatch:
        groups:
          - name: web
            load_balancer: app/web
scaler:
  id: crash-test
  server: %[3]s
  groups:
    - name: web
      mode: live
      min: 2
      cooldown: {out: %[4]s, in: %[4]s}
`, s.dir, s.endpoint, s.serverAt, crashCooldown)
	if err := os.WriteFile(filepath.Join(s.dir, "forescale.yaml"), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// record notes each SetDesiredCapacity that reaches the provider.
func (s *system) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client was killed while it sent
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if form, err := url.ParseQuery(string(body)); err == nil && form.Get("Action") == "SetDesiredCapacity" {
			n, err := strconv.Atoi(form.Get("DesiredCapacity"))
			if err != nil {
				s.t.Errorf("SetDesiredCapacity: %v", err)
			}
			s.mu.Lock()
			s.calls = append(s.calls, providerCall{s.tick, form.Get("AutoScalingGroupName"), n})
			s.mu.Unlock()
		}
		next.ServeHTTP(w, r)
	})
}

// at moves the cloud's clock to the moment at which a tick is run.
func (s *system) at(tick time.Time) {
	if err := s.cloud.Advance(tick.Add(time.Minute)); err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.tick = tick
	s.mu.Unlock()
}

func (s *system) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, "forescale-"+name), append([]string{"-config", filepath.Join(s.dir, "forescale.yaml")}, args...)...)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=simulated", "AWS_SECRET_ACCESS_KEY=simulated",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull)
	return cmd
}

// untilDone runs a program to its end, after some attempts that are killed at a
// random moment of a run's usual length.
func (s *system) untilDone(name string, args ...string) {
	s.t.Helper()
	for range s.rng.IntN(4) {
		cmd := s.command(name, args...)
		if err := cmd.Start(); err != nil {
			s.t.Fatal(err)
		}
		kill := time.AfterFunc(time.Duration(s.rng.IntN(120))*time.Millisecond, func() { cmd.Process.Kill() })
		err := cmd.Wait()
		kill.Stop()
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); err != nil && ok && status.Signaled() {
			s.kills[name]++
		}
	}
	if out, err := s.command(name, args...).CombinedOutput(); err != nil {
		s.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

func (s *system) trainModel(from, to time.Time) {
	ctx := context.Background()
	samples, err := s.lake().Scan(ctx, dataset.Query{From: from, To: to})
	if err != nil {
		s.t.Fatal(err)
	}
	grid := window.FromSamples(samples, crashStep, from, to)["web"]
	if grid == nil || !grid.AddDemand() {
		s.t.Fatalf("no demand in %d samples", len(samples))
	}
	cfg := trainer.DefaultConfig()
	cfg.Preset, cfg.Target, cfg.Epochs = trainer.PresetFast, api.SeriesDemand, 3
	result, err := trainer.Train(ctx, cfg, trainer.Data{Grid: grid})
	if err != nil {
		s.t.Fatal(err)
	}
	m := result.Manifest
	m.Name, m.Groups = "web", []string{"web"}
	if _, err := models.NewRegistry(s.store("models")).Put(ctx, m, result.Model); err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) store(name string) blob.Store {
	store, err := blob.Open(context.Background(), "file://"+filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return store
}

func (s *system) lake() *dataset.Dataset { return dataset.New(s.store("data")) }

// startServer starts the server unless it runs, on the address that it had.
func (s *system) startServer() {
	s.t.Helper()
	if s.server != nil {
		return
	}
	listen := "127.0.0.1:0"
	if s.serverAt != "" {
		listen = strings.TrimPrefix(s.serverAt, "http://")
	}
	cmd := s.command("server", "-listen", listen)
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	var line [256]byte
	n, err := out.Read(line[:])
	at, found := strings.CutPrefix(strings.TrimSpace(string(line[:n])), "listening on ")
	if !found {
		s.t.Fatalf("server: %q, %v\n%s", line[:n], err, log.Bytes())
	}
	s.server, s.serverAt = cmd, at
	s.configure()
	s.t.Cleanup(func() {
		if s.server == cmd {
			s.killServer()
		}
	})
}

func (s *system) killServer() {
	if s.server == nil {
		return
	}
	s.server.Process.Kill()
	s.server.Wait()
	s.server = nil
	s.kills["server"]++
}

// checkLake compares the lake with one that an undisturbed collector fills.
func (s *system) checkLake(from, to time.Time) {
	s.t.Helper()
	ctx := context.Background()
	got, err := s.lake().Scan(ctx, dataset.Query{From: from, To: to})
	if err != nil {
		s.t.Fatal(err)
	}
	calm := &system{t: s.t, dir: s.t.TempDir(), bin: s.bin, cloud: s.cloud, endpoint: s.endpoint, serverAt: s.serverAt,
		rng: rand.New(rand.NewPCG(1, 1)), kills: map[string]int{}}
	calm.configure()
	if out, err := calm.command("collector", "-backfill", from.Format(time.RFC3339)+"/"+to.Format(time.RFC3339)).CombinedOutput(); err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	want, err := calm.lake().Scan(ctx, dataset.Query{From: from, To: to})
	if err != nil {
		s.t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("the lake has %d samples, an undisturbed one %d, and they differ", len(got), len(want))
	}
	if slots := int(to.Sub(from) / crashStep); len(want) < 4*slots {
		s.t.Errorf("the comparison holds only %d samples for %d slots", len(want), slots)
	}
}

// checkDecisions compares the audit log with what reached the provider.
func (s *system) checkDecisions(first, last time.Time) {
	s.t.Helper()
	records, err := journal.New(s.store("data")).Scan(context.Background(), first, last.Add(time.Second))
	if err != nil {
		s.t.Fatal(err)
	}
	asked := map[time.Time][]int{} // by tick: the sizes that the provider was asked for
	for _, c := range s.calls {
		asked[c.tick] = append(asked[c.tick], c.desired)
	}
	tick, predicted := first, 0
	var lastAction time.Time
	for _, r := range records {
		if !r.Tick.Equal(tick) || len(r.Decisions) != 1 {
			s.t.Fatalf("record of %s with %d decisions, expected one of %s", r.Tick, len(r.Decisions), tick)
		}
		tick = tick.Add(crashStep)
		d := r.Decisions[0]
		if d.Basis == api.BasisPredictive {
			predicted++
		}
		sizes := asked[r.Tick]
		delete(asked, r.Tick)
		if d.Outcome.Status == api.OutcomeAccepted {
			if len(sizes) == 0 {
				s.t.Errorf("%s: recorded as accepted, but the provider was never asked", r.Tick)
			}
			if !lastAction.IsZero() && r.Tick.Sub(lastAction) < crashCooldown {
				s.t.Errorf("%s: acted within the cooldown of the action of %s", r.Tick, lastAction)
			}
			lastAction = r.Tick
		} else if len(sizes) > 0 {
			s.t.Errorf("%s: recorded as %s, but the provider was asked for %v", r.Tick, d.Outcome.Status, sizes)
		}
		for _, n := range sizes {
			if n != d.Desired {
				s.t.Errorf("%s: the provider was asked for %d, the decision was %d", r.Tick, n, d.Desired)
			}
		}
	}
	if !tick.Equal(last.Add(crashStep)) {
		s.t.Errorf("the audit log ends before %s, the last tick was %s", tick, last)
	}
	if len(asked) > 0 {
		s.t.Errorf("the provider was asked at ticks without a record: %v", slices.Collect(maps.Keys(asked)))
	}
	if lastAction.IsZero() || predicted < crashTicks/3 {
		s.t.Errorf("too little happened: last action %v, %d of %d decisions with a forecast", lastAction, predicted, crashTicks)
	}
}
