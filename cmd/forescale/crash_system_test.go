package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer"
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
	kills    map[string]int // by program
	moments  map[string]int // by name of a moment

	mu    sync.Mutex
	tick  time.Time      // guarded by mu
	calls []providerCall // guarded by mu: those that took effect
	trap  *trap          // guarded by mu; nil: none
}

func newSystem(t *testing.T) *system {
	t.Helper()
	s := &system{t: t, dir: t.TempDir(), kills: map[string]int{}, moments: map[string]int{}, rng: rand.New(rand.NewPCG(7, 7))}
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
	provider := httptest.NewServer(s.provider(fleet.Handler(s.cloud)))
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
      policy: {out: 60, in: 55}
      cooldown: {out: %[4]s, in: %[4]s}
`, s.dir, s.endpoint, s.serverAt, crashCooldown)
	if err := os.WriteFile(filepath.Join(s.dir, "forescale.yaml"), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// provider notes each SetDesiredCapacity that takes effect, and springs the trap.
func (s *system) provider(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client was killed while it sent
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		s.mu.Lock()
		defer s.mu.Unlock()
		when := s.trap.request()
		if when == before {
			s.trap.spring()
			panic(http.ErrAbortHandler)
		}
		if form, err := url.ParseQuery(string(body)); err == nil && form.Get("Action") == "SetDesiredCapacity" {
			n, err := strconv.Atoi(form.Get("DesiredCapacity"))
			if err != nil {
				s.t.Errorf("SetDesiredCapacity: %v", err)
			}
			s.calls = append(s.calls, providerCall{s.tick, form.Get("AutoScalingGroupName"), n})
		}
		if when == after {
			next.ServeHTTP(httptest.NewRecorder(), r)
			s.trap.spring()
			panic(http.ErrAbortHandler)
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
