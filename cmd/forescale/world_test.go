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

// Of every installation that the tests make.
const (
	systemStep     = 5 * time.Minute
	systemCooldown = 10 * time.Minute
)

// built is the folder of all programs; they are built once, by whichever test
// needs them first.
var built struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// programs returns the folder in which all programs are.
func programs(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "forescale-programs-"); built.err != nil {
			return
		}
		out, err := exec.Command("go", "build", "-o", built.dir+string(filepath.Separator),
			".", "../forescale-collector", "../forescale-trainer", "../forescale-server", "../forescale-scaler").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.dir
}

// providerCall is one change of a group that reached the provider.
type providerCall struct {
	tick    time.Time
	group   string
	desired int
}

// places are the URLs of what the programs share.
type places struct{ data, models string }

// directory returns places in a folder of this machine, and puts credentials for
// the simulated cloud, which takes any, into the environment.
func directory(t *testing.T) places {
	t.Setenv("AWS_ACCESS_KEY_ID", "simulated")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "simulated")
	dir := t.TempDir()
	return places{data: "file://" + filepath.Join(dir, "data"), models: "file://" + filepath.Join(dir, "models")}
}

// dataDir returns the folder of the lake, for places that directory returned.
func (p places) dataDir() string { return strings.TrimPrefix(p.data, "file://") }

// system is a whole installation over the simulated cloud.
type system struct {
	t        *testing.T
	places   places
	dir      string // of the configuration
	bin      string
	cloud    *fleet.Cloud
	endpoint string
	server   *exec.Cmd
	serverAt string
	// metricsListen is where the collector offers its metrics; empty: nowhere.
	metricsListen string
	rng           *rand.Rand
	kills         map[string]int // by program
	moments       map[string]int // by name of a moment
	onAction      func()         // called before the provider hears of a change; may be nil

	mu    sync.Mutex
	tick  time.Time      // guarded by mu
	calls []providerCall // guarded by mu: those that took effect
	trap  *trap          // guarded by mu; nil: none
}

func newSystem(t *testing.T, p places) *system {
	t.Helper()
	s := &system{t: t, places: p, dir: t.TempDir(), bin: programs(t), kills: map[string]int{}, moments: map[string]int{}, rng: rand.New(rand.NewPCG(7, 7))}
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
	text := fmt.Sprintf(`data: %[1]s
models: %[2]s
aws:
  region: eu-central-1
  cloudwatch_endpoint: %[3]s
  autoscaling_endpoint: %[3]s
collector:
  metrics_listen: %[6]q
  sources:
    - cloudwatch:
        groups:
          - name: web
            load_balancer: app/web
scaler:
  id: test
  server: %[4]s
  deadlines: {store: 3s} # short, so that a test can wait until it gives up
  groups:
    - name: web
      mode: live
      min: 2
      policy: {rule: threshold, out: 60, in: 55}
      cooldown: {out: %[5]s, in: %[5]s}
`, s.places.data, s.places.models, s.endpoint, s.serverAt, systemCooldown, s.metricsListen)
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
		t := s.trap
		when := t.request()
		s.mu.Unlock()
		if when == before {
			t.spring()
			panic(http.ErrAbortHandler)
		}
		if form, err := url.ParseQuery(string(body)); err == nil && form.Get("Action") == "SetDesiredCapacity" {
			s.noteChange(form)
		}
		if when == after {
			next.ServeHTTP(httptest.NewRecorder(), r)
			t.spring()
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(w, r)
	})
}

func (s *system) noteChange(form url.Values) {
	n, err := strconv.Atoi(form.Get("DesiredCapacity"))
	if err != nil {
		s.t.Errorf("SetDesiredCapacity: %v", err)
	}
	s.mu.Lock()
	s.calls = append(s.calls, providerCall{s.tick, form.Get("AutoScalingGroupName"), n})
	s.mu.Unlock()
	if s.onAction != nil {
		s.onAction()
	}
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
	cmd.Env = append(os.Environ(), "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull)
	return cmd
}

func (s *system) trainModel(from, to time.Time) {
	ctx := context.Background()
	samples, err := s.lake().Scan(ctx, dataset.Query{From: from, To: to})
	if err != nil {
		s.t.Fatal(err)
	}
	grid := window.FromSamples(samples, systemStep, from, to)["web"]
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
	if _, err := models.NewRegistry(s.store(s.places.models)).Put(ctx, m, result.Model); err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) store(url string) blob.Store {
	s.t.Helper()
	store, err := blob.Open(context.Background(), url)
	if err != nil {
		s.t.Fatal(err)
	}
	return store
}

func (s *system) lake() *dataset.Dataset { return dataset.New(s.store(s.places.data)) }

// between writes a range as -backfill takes it.
func between(from, to time.Time) string {
	return from.Format(time.RFC3339) + "/" + to.Format(time.RFC3339)
}

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
