package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// leases is the API server's part of an election: one Lease with a version, and
// writes that are refused under another version than its own. It is a
// http.RoundTripper's other end, so that a test runs in a bubble of synctest.
type leases struct {
	mu      sync.Mutex
	object  map[string]any // guarded by mu; nil: there is none
	version int            // guarded by mu
}

// wire is the way of one process to the API server.
type wire struct {
	to *leases

	mu   sync.Mutex
	fate func(*http.Request) string // guarded by mu; what becomes of a call: "", cut, hang, lost or a status
}

func (w *wire) set(fate func(*http.Request) string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fate = fate
}

func always(what string) func(*http.Request) string {
	return func(*http.Request) string { return what }
}

// writes is a fate of the calls that write.
func writes(what string) func(*http.Request) string {
	return func(r *http.Request) string {
		if r.Method == http.MethodGet {
			return ""
		}
		return what
	}
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	fate := ""
	if w.fate != nil {
		fate = w.fate(r)
	}
	w.mu.Unlock()
	switch fate {
	case "":
		return w.to.serve(r), nil
	case "lost": // it is done, and nobody learns of it
		w.to.serve(r)
	case "hang":
		<-r.Context().Done()
		return nil, r.Context().Err()
	case "cut":
	default:
		code, _ := strconv.Atoi(fate)
		return say(code, map[string]any{"kind": "Status", "status": "Failure", "reason": http.StatusText(code), "code": code}), nil
	}
	return nil, errors.New("connection reset by peer")
}

func say(code int, body any) *http.Response {
	raw, _ := json.Marshal(body)
	return &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(raw))}
}

func (l *leases) serve(r *http.Request) *http.Response {
	l.mu.Lock()
	defer l.mu.Unlock()
	var in map[string]any
	if r.Body != nil {
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			return say(400, nil)
		}
	}
	refuse := func(code int, reason string) *http.Response {
		return say(code, map[string]any{"kind": "Status", "status": "Failure", "reason": reason, "code": code, "message": reason})
	}
	switch {
	case r.Method == http.MethodGet && l.object == nil:
		return refuse(404, "NotFound")
	case r.Method == http.MethodGet:
		return say(200, l.object)
	case r.Method == http.MethodPost && l.object != nil:
		return refuse(409, "AlreadyExists")
	case r.Method == http.MethodPut && l.object == nil:
		return refuse(404, "NotFound")
	case r.Method == http.MethodPut && in["metadata"].(map[string]any)["resourceVersion"] != fmt.Sprint(l.version):
		return refuse(409, "Conflict")
	}
	if holder, there := in["spec"].(map[string]any)["holderIdentity"]; there && holder == "" {
		return refuse(422, "Invalid") // as the API server has it
	}
	l.version++
	in["metadata"].(map[string]any)["resourceVersion"] = fmt.Sprint(l.version)
	l.object = in
	return say(200, in)
}

// edit is somebody else's write.
func (l *leases) edit(change func(metadata, spec map[string]any)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l.object["metadata"].(map[string]any), l.object["spec"].(map[string]any))
	l.version++
	l.object["metadata"].(map[string]any)["resourceVersion"] = fmt.Sprint(l.version)
}

func (l *leases) holder() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.object == nil {
		return "no lease"
	}
	spec := l.object["spec"].(map[string]any)
	return fmt.Sprint(spec["holderIdentity"])
}

// candidate is a process that stands for election.
type candidate struct {
	*Election
	wire  *wire
	kill  func()        // it is gone at once, as kill -9 does
	stop  func()        // it is told to stop
	over  chan error    // of Run
	drain time.Duration // of its work

	mu    sync.Mutex
	terms int // guarded by mu
}

// duration is that of the Lease in these tests.
const duration = 15 * time.Second

type contest struct {
	*leases
	t   *testing.T
	all []*candidate
}

// join starts a process whose clock is off by skew.
func (w *contest) join(name string, skew time.Duration, change func(*ElectionConfig, *candidate)) *candidate {
	w.t.Helper()
	c := &candidate{wire: &wire{to: w.leases}, over: make(chan error, 1)}
	cfg := ElectionConfig{Lease: "forescale-scaler", Namespace: "forescale", Identity: name, Duration: duration,
		Now: func() time.Time { return time.Now().Add(skew) }}
	if change != nil {
		change(&cfg, c)
	}
	base, _ := url.Parse("https://cluster.example")
	var err error
	if c.Election, err = newElection(&client{base: base, http: &http.Client{Transport: c.wire}, credential: fixed("t"), sleep: sleep}, cfg); err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(w.t.Context())
	dead, kill := context.WithCancel(context.Background())
	w.t.Cleanup(func() { kill(); stop() })
	c.stop, c.kill = stop, func() { c.wire.set(always("cut")); kill(); stop() }
	go func() {
		c.over <- c.Run(ctx, func(ctx context.Context) error {
			c.mu.Lock()
			c.terms++
			c.mu.Unlock()
			<-ctx.Done()
			select {
			case <-dead.Done():
			case <-time.After(c.drain):
			}
			return ctx.Err()
		})
	}()
	w.all = append(w.all, c)
	return c
}

// leaders returns who leads.
func (w *contest) leaders() string {
	var names []string
	for _, c := range w.all {
		if c.Leading() {
			names = append(names, c.cfg.Identity)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// after lets time pass, second by second, in which at most one may lead.
func (w *contest) after(d time.Duration, want string) {
	w.t.Helper()
	for range d / time.Second {
		time.Sleep(time.Second)
		synctest.Wait()
		if who := w.leaders(); strings.Contains(who, ",") {
			w.t.Errorf("%s lead at once", who)
		}
	}
	if who := w.leaders(); who != want {
		w.t.Errorf("after %s %q leads, want %q; the lease says %s", d, who, want, w.holder())
	}
}

func elect(t *testing.T, play func(*contest)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &contest{leases: &leases{}, t: t}
		defer func() {
			for _, c := range w.all {
				c.kill()
				<-c.over
			}
		}()
		play(w)
	})
}

func TestOneOfTwoLeadsAndTheOtherTakesOver(t *testing.T) {
	for name, c := range map[string]struct {
		end    func(leader *candidate)
		within time.Duration
	}{
		"at once when it is told to stop":               {func(c *candidate) { c.stop() }, duration / renewals},
		"once its lease has run out when it is killed":  {func(c *candidate) { c.kill() }, duration + 2*duration/renewals},
		"when it alone cannot reach the API server":     {func(c *candidate) { c.wire.set(always("cut")) }, duration + 2*duration/renewals},
		"when its calls hang":                           {func(c *candidate) { c.wire.set(always("hang")) }, duration + 2*duration/renewals},
		"when it may read and no longer write":          {func(c *candidate) { c.wire.set(writes("403")) }, duration + 2*duration/renewals},
		"when the API server has no time for it":        {func(c *candidate) { c.wire.set(always("429")) }, duration + 2*duration/renewals},
		"when what answers it is not the API server":    {func(c *candidate) { c.wire.set(always("302")) }, duration + 2*duration/renewals},
		"when it is stopped while its last work drains": {func(c *candidate) { c.drain = 40 * time.Second; c.stop() }, 40*time.Second + duration/renewals},
	} {
		t.Run(name, func(t *testing.T) {
			elect(t, func(w *contest) {
				first := w.join("a", 0, nil)
				w.after(time.Second, "a")
				w.join("b", 0, nil)
				w.after(time.Hour, "a")
				c.end(first)
				w.after(c.within, "b")
				if n := w.object["spec"].(map[string]any)["leaseTransitions"]; n != 1.0 {
					t.Errorf("the lease has changed hands %v times", n)
				}
			})
		})
	}
}

// A clock that is off by hours or days decides nothing; neither does what it has
// written into the Lease.
func TestClocksThatDifferChangeNothing(t *testing.T) {
	for _, skew := range []time.Duration{-1000 * time.Hour, -14 * time.Second, 14 * time.Second, time.Hour, 100_000 * time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			elect(t, func(w *contest) {
				first := w.join("a", skew, nil)
				w.after(time.Second, "a")
				w.join("b", 0, nil)
				w.after(10*time.Minute, "a")
				first.kill()
				w.after(duration-time.Second, "")
				w.after(2*duration/renewals+time.Second, "b")
				w.edit(func(_, spec map[string]any) {
					spec["renewTime"], spec["acquireTime"] = "1970-01-01T00:00:00.000000Z", "no time"
				})
				w.after(time.Minute, "b")
			})
		})
	}
}

func TestAShortOutageCostsNothingAndALongOneTheWork(t *testing.T) {
	elect(t, func(w *contest) {
		a, b := w.join("a", 0, nil), (*candidate)(nil)
		w.after(time.Second, "a")
		b = w.join("b", 0, nil)
		w.after(time.Minute, "a")
		both := func(what string) { a.wire.set(always(what)); b.wire.set(always(what)) }
		both("cut")
		w.after(6*time.Second, "a")
		both("")
		w.after(time.Minute, "a")
		both("503")
		w.after(duration, "")
		w.after(time.Hour, "")
		both("")
		w.after(duration+2*duration/renewals, w.holder())
		if w.leaders() == "" {
			t.Error("nobody leads")
		}
	})
}

// Where the work is not in the cluster, an outage of the API server stops nobody;
// several may work then, and one alone afterwards.
func TestWorkThatNeedsNoClusterGoesOnWithoutIt(t *testing.T) {
	elect(t, func(w *contest) {
		alone := func(e *ElectionConfig, _ *candidate) { e.Alone = true }
		a := w.join("a", 0, alone)
		w.after(time.Second, "a")
		b := w.join("b", 0, alone)
		w.after(time.Minute, "a")
		a.wire.set(always("cut"))
		b.wire.set(always("cut"))
		w.after(duration-duration/renewals, "a")
		time.Sleep(time.Minute)
		synctest.Wait()
		if who := w.leaders(); who != "a, b" || a.terms != 1 {
			t.Errorf("%s lead, %d terms", who, a.terms)
		}
		a.wire.set(nil)
		b.wire.set(nil)
		time.Sleep(2 * duration / renewals)
		w.after(time.Minute, w.holder())
	})
}

// A cluster that could never be reached is none that was lost: it takes as long.
func TestAProcessThatStartsInAnOutage(t *testing.T) {
	for alone, want := range map[bool]string{true: "a", false: ""} {
		elect(t, func(w *contest) {
			w.join("a", 0, func(e *ElectionConfig, c *candidate) { e.Alone = alone; c.wire.set(always("cut")) })
			w.after(duration-time.Second, "")
			w.after(time.Minute, want)
		})
	}
}

func TestAnAnswerThatIsLostIsFoundOut(t *testing.T) {
	elect(t, func(w *contest) {
		once := true
		w.join("a", 0, func(_ *ElectionConfig, c *candidate) {
			c.wire.set(func(r *http.Request) string {
				if r.Method == http.MethodPost && once {
					once = false
					return "lost"
				}
				return ""
			})
		})
		w.after(duration/renewals+time.Second, "a")
	})
}

func TestWhatOthersDoToTheLease(t *testing.T) {
	elect(t, func(w *contest) {
		a := w.join("a", 0, nil)
		w.after(time.Second, "a")
		w.edit(func(metadata, _ map[string]any) { metadata["labels"] = map[string]any{"team": "shop"} })
		w.after(time.Minute, "a")
		if labels := w.object["metadata"].(map[string]any)["labels"]; fmt.Sprint(labels) != "map[team:shop]" {
			t.Errorf("the labels are now %v", labels)
		}
		// Between reading and writing: it is still ours.
		a.wire.set(func(r *http.Request) string {
			if r.Method == http.MethodPut {
				w.edit(func(metadata, _ map[string]any) { metadata["annotations"] = map[string]any{"touched": "yes"} })
				a.wire.fate = nil // RoundTrip holds the lock
			}
			return ""
		})
		w.after(time.Minute, "a")
		w.mu.Lock()
		w.object = nil // kubectl delete
		w.mu.Unlock()
		w.after(time.Minute, "a")
		if a.terms != 1 {
			t.Errorf("%d terms, want the first to last", a.terms)
		}
		// Somebody takes it by hand: who led stops, and takes it back once it has run out.
		w.edit(func(_, spec map[string]any) { spec["holderIdentity"], spec["leaseDurationSeconds"] = "admin", 60 })
		w.after(2*duration/renewals, "")
		w.after(time.Minute-2*duration/renewals, "")
		w.after(2*duration/renewals, "a")
		// A promise without end is not waited for.
		w.edit(func(_, spec map[string]any) { spec["holderIdentity"], spec["leaseDurationSeconds"] = "admin", 1<<40 })
		w.after(maxLease, "")
		w.after(2*duration/renewals, "a")
	})
}

func TestRunEndsWithItsWork(t *testing.T) {
	broken := errors.New("broken")
	synctest.Test(t, func(t *testing.T) {
		l := &leases{}
		base, _ := url.Parse("https://cluster.example")
		e, err := newElection(&client{base: base, http: &http.Client{Transport: &wire{to: l}}, credential: fixed("t"), sleep: sleep},
			ElectionConfig{Lease: "x", Namespace: "y", Identity: "a", Duration: duration})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Run(t.Context(), func(context.Context) error { return broken }); !errors.Is(err, broken) || e.Leading() {
			t.Errorf("got %v", err)
		}
		if l.holder() != "<nil>" {
			t.Errorf("the lease is still of %s", l.holder())
		}
	})
}

func TestElectionFaults(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  ElectionConfig
		says []string
	}{
		"nothing is set":        {ElectionConfig{}, []string{"lease:", "duration:"}},
		"a name of another one": {ElectionConfig{Lease: "a/b", Namespace: "..", Duration: duration}, []string{`"a/b"`, `".."`}},
		"too short":             {ElectionConfig{Lease: "a", Duration: time.Second}, []string{"1s must be"}},
		"no whole seconds":      {ElectionConfig{Lease: "a", Duration: 15500 * time.Millisecond}, []string{"whole seconds"}},
		"too long":              {ElectionConfig{Lease: "a", Duration: time.Hour}, []string{"1h0m0s"}},
	} {
		err := c.cfg.Validate()
		for _, want := range c.says {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v does not mention %s", name, err, want)
			}
		}
	}
	if err := (ElectionConfig{Lease: "forescale-scaler", Duration: duration}).Validate(); err != nil {
		t.Error(err)
	}
}

// The namespace is the pod's own, unless one is named.
func TestTheNamespaceOfAnElection(t *testing.T) {
	dir := t.TempDir()
	f := newFake(t)
	write(t, dir, "ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw})))
	write(t, dir, "token", fakeToken)
	in := Config{Host: "127.0.0.1", Port: "1", ServiceAccount: dir}
	e := ElectionConfig{Lease: "x", Identity: "a", Duration: duration}
	if _, err := OpenElection(in, e); err == nil || !strings.Contains(err.Error(), "namespace") {
		t.Errorf("without one: %v", err)
	}
	write(t, dir, "namespace", "../x\n")
	if _, err := OpenElection(in, e); err == nil || !strings.Contains(err.Error(), `"../x"`) {
		t.Errorf("with an odd one: %v", err)
	}
	write(t, dir, "namespace", "ops\n")
	got, err := OpenElection(in, e)
	if err != nil || got.path() != "/apis/coordination.k8s.io/v1/namespaces/ops/leases/x" {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := OpenElection(Config{}, e); err == nil {
		t.Error("no cluster, and no error")
	}
}
