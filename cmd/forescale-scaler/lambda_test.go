package main

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/internal/function"
	"github.com/forescale/forescale/internal/journal"
	"github.com/forescale/forescale/internal/lambdahost"
)

func TestMain(m *testing.M) {
	code := m.Run()
	lambdahost.Clean()
	os.Exit(code)
}

// scheduled is a setting whose present is now, and the function for it. No tick ends
// while a test runs: slots are hours, and settle puts now into the middle of one.
type scheduled struct {
	setting
	tick time.Time
}

const hour = time.Hour

func schedule(t *testing.T) scheduled {
	t.Helper()
	now := time.Now().UTC()
	settle := (now.Sub(now.Truncate(hour)) + hour/2) % hour
	tick := now.Add(-settle).Truncate(hour)
	start := tick.Add(-12 * hour)
	demand := &fleet.Demand{Start: start, Step: hour, Slots: make([]float64, 48), Missing: make([]bool, 48), Unit: 1}
	for i := range demand.Slots {
		demand.Slots[i] = 2
	}
	group := func(name string) fleet.GroupConfig {
		return fleet.GroupConfig{Name: name, Demand: demand, Min: 1, Max: 10, Desired: 4, Lead: fleet.Lead{Minutes: 5}}
	}
	cloud, err := fleet.New(fleet.Config{Start: start, Now: start.Add(hour), Groups: []fleet.GroupConfig{group("asg-web"), group("idle")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := cloud.Advance(now); err != nil {
		t.Fatal(err)
	}
	provider := httptest.NewServer(fleet.Handler(cloud))
	t.Cleanup(provider.Close)
	s := scheduled{setting{dir: lambdahost.Unpack(t, ".", nil), cloud: cloud}, tick}
	s.fill(t, tick, hour)
	s.config = filepath.Join(s.dir, "forescale.yaml") // beside the bootstrap
	s.write(t, fmt.Sprintf(`
data: %s/lake
models: %s/models
step: 1h
aws: {region: eu-central-1, autoscaling_endpoint: %q}
scaler:
  server: %q
  settle: %s
  lease_ttl: 10s
  deadlines: {act: 8s}
  groups:
    - {name: web, target_name: asg-web, mode: live, max: 9, policy: {rule: threshold}}
    - {name: idle, mode: live, policy: {rule: threshold, signal: observed}}
`, s.dir, s.dir, provider.URL, predictions(t, 3.2, 3.2, 3.2).URL, settle))
	return s
}

func (s scheduled) environment(t *testing.T, name string) *lambdahost.Environment {
	t.Helper()
	return lambdahost.New(t, s.dir, "forescale-scaler", name, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_REGION=eu-central-1")
}

// orders returns how often a size was set, of all groups together.
func (s scheduled) orders() (n int) {
	for call, times := range s.cloud.Calls() {
		if call.Operation == "SetDesiredCapacity" {
			n += times
		}
	}
	return n
}

// record returns the tick's, by its groups.
func (s scheduled) record(t *testing.T) (rec api.TickRecord, of map[string]api.Decision) {
	t.Helper()
	lake, err := blob.Open(t.Context(), s.dir+"/lake")
	if err != nil {
		t.Fatal(err)
	}
	if rec, err = journal.New(lake).Get(t.Context(), s.tick); err != nil {
		t.Fatal(err)
	}
	of = map[string]api.Decision{}
	for _, d := range rec.Decisions {
		of[d.Group] = d
	}
	return rec, of
}

// ran checks that an invocation came to the tick, with so many faults.
func (s scheduled) ran(t *testing.T, e *lambdahost.Environment, r lambdahost.Result, faults int) {
	t.Helper()
	var out function.Outcome
	if err := json.Unmarshal([]byte(r.Payload), &out); err != nil || !out.Tick.Equal(s.tick) || out.Counts["Groups"] != 2 || out.Counts["Faults"] != faults {
		t.Errorf("%+v, %v\n%s", r, err, e.Log())
	}
}

func TestTheFunctionDecidesATickOnce(t *testing.T) {
	s := schedule(t)
	e := s.environment(t, "2026/03/02/[$LATEST]a")
	for range 3 { // of them two in a process that has run before, one in a new one
		s.ran(t, e, e.Invoke(`{"time": "2020-01-01T00:00:00Z"}`, time.Minute), 0)
	}
	e.Kill()
	s.ran(t, e, e.Invoke("", time.Minute), 0)
	if s.desired("asg-web") != 5 || s.desired("idle") != 3 || s.orders() != 2 {
		t.Errorf("web %d, idle %d, %d orders", s.desired("asg-web"), s.desired("idle"), s.orders())
	}
	if rec, _ := s.record(t); rec.Scaler != "forescale-scaler/2026/03/02/[$LATEST]a" {
		t.Errorf("decided by %q", rec.Scaler)
	}
	for _, want := range []string{"web: cpu 50.0 %", `"TickAge":`, `"Faults":0`} {
		if !strings.Contains(e.Log(), want) {
			t.Errorf("no %q in the log:\n%s", want, e.Log())
		}
	}
}

func TestInvocationsAtOnceActOnce(t *testing.T) {
	s := schedule(t)
	var pair sync.WaitGroup
	for _, name := range []string{"a", "b"} {
		e := s.environment(t, name)
		pair.Go(func() { s.ran(t, e, e.Invoke("{}", time.Minute), 0) })
	}
	pair.Wait()
	if s.desired("asg-web") != 5 || s.desired("idle") != 3 || s.orders() != 2 {
		t.Errorf("web %d, idle %d, %d orders", s.desired("asg-web"), s.desired("idle"), s.orders())
	}
}

// The provider does not answer, and Lambda kills the process between its intents and
// their outcome. Whoever is invoked next completes the tick.
func TestATimeOutInTheMiddleOfATickIsCompleted(t *testing.T) {
	for name, next := range map[string]string{"by the environment that was set up again": "a", "by another environment, when the lease has ended": "b"} {
		t.Run(name, func(t *testing.T) {
			s := schedule(t)
			s.cloud.SetTraps(fleet.Traps{Faults: []fleet.Fault{{Operation: "SetDesiredCapacity", Group: "asg-web", Kind: fleet.FaultHang}}})
			e := s.environment(t, "a")
			s.interruptActing(t, e)
			if s.desired("asg-web") != 4 {
				t.Fatalf("web %d", s.desired("asg-web"))
			}
			s.cloud.SetTraps(fleet.Traps{})
			if next != "a" {
				e = s.environment(t, next)
			}
			s.ran(t, e, e.Invoke("{}", 2*time.Minute), 0)
			_, of := s.record(t)
			for group, want := range map[string]int{"web": 5, "idle": 3} {
				if d := of[group]; d.Desired != want || d.Outcome.Status != api.OutcomeAccepted {
					t.Errorf("%s: %+v", group, d)
				}
			}
			if s.desired("asg-web") != 5 || s.desired("idle") != 3 {
				t.Errorf("web %d, idle %d", s.desired("asg-web"), s.desired("idle"))
			}
			if n := s.orders(); n > 3 { // two, and the one that had no answer
				t.Errorf("%d orders", n)
			}
		})
	}
}

// interruptActing invokes until the process is killed while it acts, at a deadline
// that the host means.
func (s scheduled) interruptActing(t *testing.T, e *lambdahost.Environment) {
	t.Helper()
	if r := e.Invoke("{}", 5*time.Second); !r.TimedOut {
		t.Fatalf("it was to be killed: %+v\n%s", r, e.Log())
	}
	if s.orders() == 0 {
		t.Fatalf("it was killed before it acted:\n%s", e.Log())
	}
}

func TestTheFunctionEndsBeforeItsTimeIsUp(t *testing.T) {
	s := schedule(t)
	s.cloud.SetTraps(fleet.Traps{Faults: []fleet.Fault{{Operation: "DescribeAutoScalingGroups", Kind: fleet.FaultHang}}})
	e := s.environment(t, "a")
	r := e.Invoke("{}", 6*time.Second)
	if r.TimedOut || !strings.Contains(r.Error, "time of the invocation was up") || s.orders() != 0 {
		t.Errorf("%+v, %d orders\n%s", r, s.orders(), e.Log())
	}
	s.cloud.SetTraps(fleet.Traps{})
	s.ran(t, e, e.Invoke("{}", time.Minute), 0) // nothing was decided upon what could not be read
	if s.desired("asg-web") != 5 || s.orders() != 2 {
		t.Errorf("web %d, %d orders", s.desired("asg-web"), s.orders())
	}
}

func TestAnErrorIsReportedAsTheInvocations(t *testing.T) {
	s := schedule(t)
	blocked := filepath.Join(s.dir, "lake", "scaler")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	e := s.environment(t, "a")
	if r := e.Invoke("{}", time.Minute); !strings.Contains(r.Error, "scaler/") || r.Exited || strings.Contains(e.Log(), "TickAge") || s.orders() != 0 {
		t.Errorf("a store that cannot be used: %+v\n%s", r, e.Log())
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	config := read(t, s.config)
	s.write(t, strings.Replace(config, "mode: live", "mode: on", 1))
	if r := e.Invoke("{}", time.Minute); !strings.Contains(r.Error, `mode: "on"`) {
		t.Errorf("a configuration with a fault: %+v", r)
	}
	// What is missing or refused is in the record, and the tick a success all the same.
	s.write(t, config)
	s.cloud.SetTraps(fleet.Traps{Faults: []fleet.Fault{{Operation: "SetDesiredCapacity", Group: "idle", Kind: fleet.FaultInvalid}}})
	s.ran(t, e, e.Invoke("{}", time.Minute), 1)
}
