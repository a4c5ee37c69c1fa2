package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/internal/function"
	"github.com/forescale/forescale/internal/lambdahost"
)

// newFunction returns a system whose present is now, and a folder as Lambda unpacks
// the archive: the bootstrap, built as it is for Lambda, and the configuration.
func newFunction(t *testing.T) (s *system, dir string) {
	t.Helper()
	began := time.Now().UTC().Truncate(step).Add(-30 * step)
	s = newSystem(t, began, fleet.Traps{})
	s.advance(30)
	config, err := os.ReadFile(s.configFile)
	if err != nil {
		t.Fatal(err)
	}
	return s, lambdahost.Unpack(t, ".", map[string]string{"forescale.yaml": string(config)})
}

var lambdaKeys = []string{"AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "AWS_REGION=us-east-1"}

// environment returns an execution environment of the function in dir.
func environment(t *testing.T, dir, name string, env ...string) *lambdahost.Environment {
	t.Helper()
	return lambdahost.New(t, dir, "forescale-collector", name, append(env, lambdaKeys...)...)
}

func outcome(t *testing.T, e *lambdahost.Environment, r lambdahost.Result) (out function.Outcome) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.Payload), &out); err != nil {
		t.Fatalf("%+v: %v\n%s", r, err, e.Log())
	}
	return out
}

func TestTheFunctionCollectsATickAtEachInvocation(t *testing.T) {
	s, dir := newFunction(t)
	e := environment(t, dir, "a")
	first := outcome(t, e, e.Invoke(`{"source": "aws.events", "time": "2020-01-01T00:00:00Z"}`, time.Minute))
	if age := time.Since(first.Tick); age < time.Minute || age > 2*step || first.Counts["Rows"] == 0 {
		t.Errorf("the first: %+v", first)
	}
	// The same process has no memory of it, and the lake has everything already.
	again := outcome(t, e, e.Invoke("", time.Minute))
	if again.Tick.Before(first.Tick) || again.Tick.Equal(first.Tick) && again.Counts["Rows"] != 0 {
		t.Errorf("again: %+v", again)
	}
	if !strings.Contains(e.Log(), `"Namespace":"Forescale"`) || !strings.Contains(e.Log(), `"Function":"forescale-collector"`) {
		t.Errorf("the log has no metrics:\n%s", e.Log())
	}
	if _, err := os.Stat(filepath.Join(dir, ".local")); err == nil || strings.Contains(e.Log(), "spool") {
		t.Errorf("a spool on a disk that does not last:\n%s", e.Log())
	}
	s.compare(int(first.Tick.Sub(s.began)/step)-3, int(again.Tick.Sub(s.began)/step))
}

func TestInvocationsAtOnceStoreEverythingOnce(t *testing.T) {
	s, dir := newFunction(t)
	var pair sync.WaitGroup
	envs := []*lambdahost.Environment{environment(t, dir, "a"), environment(t, dir, "b")}
	ticks := make([]time.Time, len(envs))
	for n, e := range envs {
		pair.Go(func() {
			r := e.Invoke("{}", time.Minute)
			var out function.Outcome
			if err := json.Unmarshal([]byte(r.Payload), &out); err != nil {
				t.Errorf("%+v: %v\n%s", r, err, e.Log())
			}
			ticks[n] = out.Tick
		})
	}
	pair.Wait()
	first, last := ticks[0], ticks[1]
	if last.Before(first) { // a slot ended in between, and each has one of its own
		first, last = last, first
	}
	if first.IsZero() || last.Sub(first) > step {
		t.Fatalf("ticks %s", ticks)
	}
	s.compare(int(first.Sub(s.began)/step)-3, int(last.Sub(s.began)/step))
}

func TestAnInvocationWhoseTimeIsUpLosesNothing(t *testing.T) {
	s, dir := newFunction(t)
	s.cloud.SetTraps(fleet.Traps{Faults: []fleet.Fault{{Operation: "GetMetricData", Kind: fleet.FaultHang}}})
	e := environment(t, dir, "a")
	// The program ends by itself before its time is up, and says why.
	r := e.Invoke("{}", 4*time.Second)
	if r.TimedOut || !strings.Contains(r.Error, "time of the invocation was up") || !strings.Contains(r.Error, "cloudwatch") {
		t.Errorf("%+v\n%s", r, e.Log())
	}
	// A process that is killed in the middle, as for lack of memory, is no other case.
	e.Interrupt(500 * time.Millisecond)
	if r := e.Invoke("{}", time.Minute); !r.Exited {
		t.Errorf("%+v", r)
	}
	s.cloud.SetTraps(fleet.Traps{})
	out := outcome(t, e, e.Invoke("{}", time.Minute))
	i := int(out.Tick.Sub(s.began) / step)
	s.compare(i-3, i)
}

func TestAnErrorIsReportedAsTheInvocations(t *testing.T) {
	s, dir := newFunction(t)
	s.cloud.SetTraps(fleet.Traps{Faults: []fleet.Fault{{Operation: "GetMetricData", Kind: fleet.FaultDenied}}})
	e := environment(t, dir, "a")
	if r := e.Invoke("{}", time.Minute); r.Error == "" || r.Exited || !strings.Contains(r.Error, "source cloudwatch") {
		t.Errorf("a source that refuses: %+v\n%s", r, e.Log())
	}
	s.cloud.SetTraps(fleet.Traps{}) // the process goes on
	if out := outcome(t, e, e.Invoke("{}", time.Minute)); out.Counts["Rows"] == 0 {
		t.Errorf("%+v", out)
	}
	t.Run("every fault of a configuration in the environment is named", func(t *testing.T) {
		dir := lambdahost.Unpack(t, ".", nil)
		e := environment(t, dir, "b", "FORESCALE_CONFIG=env:FORESCALE_YAML", "FORESCALE_YAML=dta: x\ncollector: {look_back: 0}\n")
		r := e.Invoke("{}", time.Minute)
		for _, want := range []string{"env:FORESCALE_YAML", `line 1: unknown key "dta"`, "look_back"} {
			if !strings.Contains(r.Error, want) {
				t.Errorf("no %q in %+v", want, r)
			}
		}
	})
}

func TestTheFunctionCompactsTheLake(t *testing.T) {
	s, dir := newFunction(t)
	if out, err := s.command("-config", s.configFile, "-backfill", "2h").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	e := environment(t, dir, "a", "FORESCALE_COMPACT=1")
	if out := outcome(t, e, e.Invoke("{}", time.Minute)); !out.Tick.IsZero() {
		t.Errorf("an upkeep has no tick: %+v", out)
	}
	store, err := blob.Open(t.Context(), s.lake)
	if err != nil {
		t.Fatal(err)
	}
	recent := 0
	for info, err := range store.List(t.Context(), "recent/", "") {
		if err != nil {
			t.Fatal(err)
		}
		recent += int(info.Size)
	}
	if recent == 0 || !strings.Contains(e.Log(), "made recent/ anew") {
		t.Errorf("recent/ was not made:\n%s", e.Log())
	}
}
