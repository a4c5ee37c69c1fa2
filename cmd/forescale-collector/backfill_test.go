package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/fleet"
)

// past replaces the system's cloud by one whose demand lies in the last days
// before now, because a back-fill ends at the wall clock, and its lake by an empty
// one.
func (s *system) past(days int) {
	s.t.Helper()
	s.began = time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -days)
	trace, err := fleet.Generate(fleet.GenerateConfig{Start: s.began, Days: days + 1, Seed: 3})
	if err != nil {
		s.t.Fatal(err)
	}
	demand, err := trace.Demand()
	if err != nil {
		s.t.Fatal(err)
	}
	s.cloud, err = fleet.New(fleet.Config{Start: s.began, Now: s.slot(days * 288), Groups: []fleet.GroupConfig{
		{Name: "web", Demand: demand}, {Name: "../../x", Demand: demand}}})
	if err != nil {
		s.t.Fatal(err)
	}
	srv := httptest.NewServer(fleet.Handler(s.cloud))
	s.t.Cleanup(srv.Close)
	s.url, s.lake = srv.URL, filepath.Join(s.t.TempDir(), "lake")
	write(s.t, s.configFile, fmt.Sprintf(`
data: file://%s
aws: {region: us-east-1, cloudwatch_endpoint: %q}
collector:
  sources:
    - cloudwatch: {groups: [{name: web, load_balancer: app/web}, {name: ../../x, load_balancer: app/../../x}]}
`, s.lake, s.url))
}

// calls returns how often GetMetricData was called.
func (s *system) calls() int {
	n := 0
	for call, count := range s.cloud.Calls() {
		if call.Operation == "GetMetricData" {
			n += count
		}
	}
	return n
}

// rows returns what the lake of the system holds, by series and slot.
func (s *system) rows() map[string]float64 {
	s.t.Helper()
	rows := map[string]float64{}
	for _, r := range scan(s.t, s.lake) {
		if _, twice := rows[key(r)]; twice {
			s.t.Errorf("%s is there twice", key(r))
		}
		rows[key(r)] = r.Value
	}
	return rows
}

// A back-fill of the real binary that is killed again and again, at random moments,
// ends with the lake of one that nobody disturbed, and asks for little twice.
func TestABackfillThatIsKilledGoesOn(t *testing.T) {
	const days = 12
	s := newSystem(t, evening, fleet.Traps{})
	s.past(days)
	span := s.slot(0).Format(time.RFC3339) + "/" + s.slot(days*288).Format(time.RFC3339)
	run := func() time.Duration {
		cmd := s.command("-config", s.configFile, "-backfill", span)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		start := time.Now()
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		return time.Since(start)
	}
	usual := run()
	undisturbed, once := s.rows(), s.calls()
	if len(undisturbed) < days*288*8 {
		t.Fatalf("an undisturbed back-fill brings %d rows only", len(undisturbed))
	}

	s.past(days)
	rng := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	kills, done := 0, false
	for !done && kills < 12 {
		cmd := s.command("-config", s.configFile, "-backfill", span)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(rng.Int64N(int64(usual/3))), func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		timer.Stop()
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			kills++
		}
		// It may be complete though it was killed, just before its end.
		note, err := os.ReadFile(filepath.Join(s.lake, "collector", "backfill", "collector", "cloudwatch.json"))
		done = err == nil && !bytes.Contains(note, []byte(`"from"`))
	}
	if !done {
		run()
	}
	if kills < 2 {
		t.Fatalf("it was killed %d times only: the test proves little", kills)
	}
	got := s.rows()
	for k, v := range undisturbed {
		if g, ok := got[k]; !ok || g != v {
			t.Errorf("%s: %v (there: %t), undisturbed %v", k, g, ok, v)
		}
	}
	if len(got) != len(undisturbed) {
		t.Errorf("%d rows, undisturbed %d", len(got), len(undisturbed))
	}
	// A kill costs the chunk that it hit, which was not stored, or stored and not noted.
	if total := s.calls(); total > once+2*kills {
		t.Errorf("%d calls with %d kills, undisturbed %d", total, kills, once)
	} else {
		t.Logf("%d calls with %d kills, undisturbed %d", total, kills, once)
	}
}

func TestProgressIsLoggedWithTheTimeThatIsLeft(t *testing.T) {
	var out bytes.Buffer
	p := &program{log: slog.New(slog.NewTextHandler(&out, nil))}
	now := evening
	show := p.logProgress(func() time.Time { return now })
	for i, after := range []time.Duration{time.Second, time.Second, 18 * time.Second, time.Second} {
		now = now.Add(after)
		show(collector.Progress{Source: "cloudwatch", Done: time.Duration(i+1) * 24 * time.Hour, Total: 4 * 24 * time.Hour})
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 { // the first, one ten seconds later, and the last
		t.Fatalf("%d lines:\n%s", len(lines), out.String())
	}
	for i, want := range []string{"left=3s", "left=7s", "left=0s"} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %d: %s, want %s", i, lines[i], want)
		}
	}
}

func TestSourceChoosesOne(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f.yaml")
	write(t, file, "data: file:///tmp/lake\naws: {region: us-east-1}\ncollector:\n  sources:\n"+
		"    - {name: a, cloudwatch: {groups: [{name: web}]}}\n    - {name: b, cloudwatch: {groups: [{name: web2}]}}\n")
	code, out := execute(t, "-config", file, "-backfill", "1d", "-source", "b", "-check")
	if code != 0 || !strings.Contains(out, "source b") || strings.Contains(out, "source a") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if code, out := execute(t, "-config", file, "-backfill", "1d", "-source", "c", "-check"); code != 2 || !strings.Contains(out, `"c"`) {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if code, out := execute(t, "-config", file, "-source", "b", "-check"); code != 2 || !strings.Contains(out, "only with -backfill") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

// scan returns all that a lake in a directory holds.
func scan(t *testing.T, dir string) []api.Sample {
	t.Helper()
	store, err := blob.Open(t.Context(), "file://"+dir)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := dataset.New(store).Scan(t.Context(), dataset.Query{})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}
