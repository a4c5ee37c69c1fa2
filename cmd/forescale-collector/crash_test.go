package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector/cloudwatch"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/fleet"
)

const step = 5 * time.Minute

// evening is when the rounds of the crash test begin: they cross midnight.
var evening = time.Date(2026, 3, 2, 20, 0, 0, 0, time.UTC)

// system is the real binary, a simulated cloud for it and a lake in a directory.
type system struct {
	t                *testing.T
	began            time.Time // start of slot 0
	cloud            *fleet.Cloud
	url, binary      string
	lake, configFile string
}

func newSystem(t *testing.T, began time.Time, traps fleet.Traps) *system {
	t.Helper()
	trace, err := fleet.Generate(fleet.GenerateConfig{Start: began, Days: 2, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	demand, err := trace.Demand()
	if err != nil {
		t.Fatal(err)
	}
	c, err := fleet.New(fleet.Config{Start: began, Now: began.Add(6 * step), PublishDelay: 30 * time.Second,
		Groups: []fleet.GroupConfig{{Name: "web", Demand: demand}, {Name: "../../x", Demand: demand}}})
	if err != nil {
		t.Fatal(err)
	}
	c.SetTraps(traps)
	srv := httptest.NewServer(fleet.Handler(c))
	t.Cleanup(srv.Close)
	s := &system{t: t, began: began, cloud: c, url: srv.URL, lake: filepath.Join(t.TempDir(), "lake")}
	dir := t.TempDir()
	s.binary = filepath.Join(dir, "forescale-collector")
	build := exec.Command("go", "build", "-o", s.binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as the releases are built
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	calendar := filepath.Join(dir, "business_calendar.json")
	s.configFile = filepath.Join(dir, "forescale.yaml")
	write(t, calendar, `{"is_sale_active": 1}`)
	write(t, s.configFile, fmt.Sprintf(`
data: file://%s
calendar: %s
aws: {region: us-east-1, cloudwatch_endpoint: %q}
collector:
  sources:
    - cloudwatch:
        groups:
          - {name: web, load_balancer: app/web}
          - {name: ../../x, load_balancer: app/../../x}
`, s.lake, calendar, s.url))
	return s
}

func (s *system) slot(i int) time.Time { return s.began.Add(time.Duration(i) * step) }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// command returns the binary with credentials for the simulated cloud, and with
// nothing else of the environment that the SDK might heed.
func (s *system) command(args ...string) *exec.Cmd {
	cmd := exec.Command(s.binary, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.t.TempDir(), "AWS_EC2_METADATA_DISABLED=true",
		"AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret"}
	return cmd
}

// once runs the tick at the end of slot i-1 to its end.
func (s *system) once(i int) {
	s.t.Helper()
	s.advance(i)
	if out, err := s.command("-config", s.configFile, "-once", "-at", s.slot(i).Format(time.RFC3339)).CombinedOutput(); err != nil {
		s.t.Fatalf("tick %d: %v\n%s", i, err, out)
	}
}

func (s *system) advance(i int) {
	s.t.Helper()
	if err := s.cloud.Advance(s.slot(i).Add(time.Minute)); err != nil {
		s.t.Fatal(err)
	}
}

// offered returns what the cloud has of the slots [from, to) now.
func (s *system) offered(from, to int) []api.Sample {
	s.t.Helper()
	s.t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	s.t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	cfg := cloudwatch.Config{Endpoint: s.url, Groups: []cloudwatch.Group{
		{Name: "web", LoadBalancer: "app/web"}, {Name: "../../x", LoadBalancer: "app/../../x"}}}
	client, err := cloudwatch.NewClient(s.t.Context(), cfg, conf.AWS{Region: "us-east-1"}, slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	src, err := cloudwatch.New("oracle", cfg, client, step, slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	samples, err := src.Fetch(s.t.Context(), s.slot(from), s.slot(to))
	if err != nil {
		s.t.Fatal(err)
	}
	return samples
}

// compare reports every sample that the lake lacks, has twice, has with another
// value, or has although nobody offered it. Flags are compared to the calendar.
func (s *system) compare(from, to int) {
	s.t.Helper()
	store, err := blob.Open(context.Background(), "file://"+s.lake)
	if err != nil {
		s.t.Fatal(err)
	}
	rows, err := dataset.New(store).Scan(s.t.Context(), dataset.Query{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.compareRows(rows, s.offered(from, to), from, to)
}

// compareRows is compare for rows and for what was sent, each beside the flags.
func (s *system) compareRows(rows, sent []api.Sample, from, to int) {
	s.t.Helper()
	want := map[string]float64{}
	for _, o := range sent {
		want[key(o)] = o.Value
		o.Metric, o.Stat, o.Value = "is_sale_active", api.StatAvg, 1
		want[key(o)] = o.Value
	}
	if len(want) < (to-from)*10 {
		s.t.Fatalf("the cloud offered %d samples only", len(want))
	}
	seen := map[string]bool{}
	for _, r := range rows {
		k := key(r)
		v, ok := want[k]
		switch {
		case seen[k]:
			s.t.Errorf("%s is there twice", k)
		case !ok:
			s.t.Errorf("%s = %v was never offered", k, r.Value)
		case v != r.Value:
			s.t.Errorf("%s: the lake has %v, the cloud %v", k, r.Value, v)
		}
		seen[k] = true
	}
	for k := range want {
		if !seen[k] {
			s.t.Errorf("%s is lost", k)
		}
	}
}

func key(s api.Sample) string {
	return fmt.Sprintf("%s %s %s %s", s.Group, s.Metric, s.Stat, s.Time.Format(time.RFC3339))
}

// A kill at any moment, and a new start, lose nothing and double nothing: the
// real binary on a real directory is killed at a random moment of each tick.
func TestKillingTheCollectorAtAnyMomentLosesNothing(t *testing.T) {
	const first, rounds = 6, 100
	s := newSystem(t, evening, fleet.Traps{
		Gaps: []fleet.Gap{{Points: fleet.Points{Metric: "CPUUtilization", Share: 0.05}}},
		Late: []fleet.Late{{Points: fleet.Points{Share: 0.2}, Delay: 4 * time.Minute}},
	})
	start := time.Now()
	s.once(first)
	usual := time.Since(start)
	rng := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	killed := 0
	for i := first + 1; i < first+rounds; i++ {
		s.advance(i)
		cmd := s.command("-config", s.configFile, "-once", "-at", s.slot(i).Format(time.RFC3339))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(rng.Int64N(int64(usual))), func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		timer.Stop()
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			killed++
		}
	}
	t.Logf("%d of %d runs were killed; an undisturbed one takes %s", killed, rounds-1, usual)
	if killed < rounds/5 {
		t.Errorf("only %d of %d runs were killed: the test proves little", killed, rounds-1)
	}
	const end = first + rounds + 3
	for i := first + rounds; i <= end; i++ {
		s.once(i)
	}
	s.compare(first-3, end)
}
