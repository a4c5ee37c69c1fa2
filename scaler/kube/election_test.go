package kube

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

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
