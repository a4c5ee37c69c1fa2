package kube

import (
	"bytes"
	"context"
	"encoding/json"
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
