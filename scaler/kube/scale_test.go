package kube

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/forescale/forescale/scaler"
)

// TestScaleSaysTruthfullyWhatHappened puts each trap of an API server in the way
// of a change from 4 to 6 replicas.
func TestScaleSaysTruthfullyWhatHappened(t *testing.T) {
	const get, put = "GET " + webScale, "PUT " + webScale
	for _, c := range []struct {
		name     string
		trap     func(*fake)
		group    string
		to       int
		want     error // nil: accepted
		open     bool  // an error that leaves the effect open
		replicas int64
	}{
		{"a plain change is accepted", func(*fake) {}, web, 6, nil, false, 6},
		{"the same number is accepted", func(*fake) {}, web, 4, nil, false, 4},
		{"none at all is accepted", func(*fake) {}, web, 0, nil, false, 0},
		{"a negative number never leaves the house", func(*fake) {}, web, -1, scaler.ErrBounds, false, 4},
		{"neither does one above the configured maximum", func(*fake) {}, web, 1001, scaler.ErrBounds, false, 4},
		{"an unknown object is refused", func(*fake) {}, "shop/deployments/nobody", 6, scaler.ErrUnknownGroup, false, 4},
		{"a name that is none is refused", func(*fake) {}, "web", 6, scaler.ErrUnknownGroup, false, 4},
		{"a conflict is retried with what is there now", func(f *fake) { f.set(put, 2, meanwhile(4)) }, web, 6, nil, false, 6},
		{"conflicts without end are busy", func(f *fake) { f.set(put, 0, meanwhile(4)) }, web, 6, scaler.ErrBusy, false, 4},
		{"somebody else who scales meanwhile keeps his number", func(f *fake) { f.set(put, 1, meanwhile(9)) }, web, 6, scaler.ErrBusy, false, 9},
		{"somebody else who wants the same is fine", func(f *fake) { f.set(put, 1, meanwhile(6)) }, web, 6, nil, false, 6},
		{"missing permission to read is refused", func(f *fake) { f.set(get, 0, refusing(403, "Forbidden")) }, web, 6, scaler.ErrRefused, false, 4},
		{"missing permission to write is refused", func(f *fake) { f.set(put, 0, refusing(403, "Forbidden")) }, web, 6, scaler.ErrRefused, false, 4},
		{"a token that nobody knows is refused", func(f *fake) { f.token = "another" }, web, 6, scaler.ErrRefused, false, 4},
		{"a number that the API will not have is out of bounds", func(f *fake) { f.set(put, 0, invalid) }, web, 6, scaler.ErrBounds, false, 4},
		{"what else is invalid is refused", func(f *fake) { f.set(put, 0, refusing(422, "Invalid")) }, web, 6, scaler.ErrRefused, false, 4},
		{"an object that vanishes in between is unknown", func(f *fake) { f.set(put, 0, refusing(404, "NotFound")) }, web, 6, scaler.ErrUnknownGroup, false, 4},
		{"a webhook that makes another number of it is a refusal", func(f *fake) { f.set(put, 0, webhook) }, web, 6, scaler.ErrRefused, false, 4},
		{"a server without time is waited for", func(f *fake) { f.set(put, 1, later(429, 1)) }, web, 6, nil, false, 6},
		{"one without any time is busy", func(f *fake) { f.set(put, 0, later(429, 0)) }, web, 6, scaler.ErrBusy, false, 4},
		{"one that asks for an hour is busy at once", func(f *fake) { f.set(put, 0, later(429, 3600)) }, web, 6, scaler.ErrBusy, false, 4},
		{"a read without time is waited for", func(f *fake) { f.set(get, 2, later(429, 0)) }, web, 6, nil, false, 6},
		{"an internal error passes", func(f *fake) { f.set(put, 2, refusing(500, "InternalError")) }, web, 6, nil, false, 6},
		{"an internal error that stays leaves it open", func(f *fake) { f.set(put, 0, refusing(500, "InternalError")) }, web, 6, nil, true, 4},
		{"so does an outage of an hour", func(f *fake) { f.set(put, 0, later(503, 3600)) }, web, 6, nil, true, 4},
		{"an answer that was lost is found by reading", func(f *fake) { f.set(put, 1, lostAnswer) }, web, 6, nil, false, 6},
		{"a request that was lost is made again", func(f *fake) { f.set(put, 2, lostRequest) }, web, 6, nil, false, 6},
		{"requests that are lost every time leave it open", func(f *fake) { f.set(put, 0, lostRequest) }, web, 6, nil, true, 4},
		{"a server that hangs leaves it open", func(f *fake) { f.set(put, 0, hanging) }, web, 6, nil, true, 4},
		{"one that hangs after the change is found out by reading", func(f *fake) { f.set(put, 1, appliedThenHanging) }, web, 6, nil, false, 6},
		{"a refusal after a lost request is no certain refusal", func(f *fake) {
			f.set(put, 1, lostRequest)
			f.set(put, 0, refusing(403, "Forbidden"))
		}, web, 6, nil, true, 4},
		{"it is one when the object has changed since", func(f *fake) {
			f.set(put, 1, changedThenLost)
			f.set(put, 0, refusing(403, "Forbidden"))
		}, web, 6, scaler.ErrRefused, false, 4},
		{"a login page in place of an answer leaves it open", func(f *fake) { f.set(put, 0, saying("text/html", "<html>sign in</html>")) }, web, 6, nil, true, 4},
		{"a login page in place of the object leaves it as it was", func(f *fake) { f.set(get, 0, saying("text/html", "<html>sign in</html>")) }, web, 6, nil, true, 4},
		{"an object of another kind is no Scale", func(f *fake) {
			f.set(get, 0, saying("application/json", `{"kind":"Deployment","apiVersion":"apps/v1"}`))
		}, web, 6, nil, true, 4},
		{"a Scale without a spec has no number", func(f *fake) {
			f.set(get, 0, saying("application/json", `{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"name":"web","namespace":"shop","resourceVersion":"1"},"status":{"replicas":4}}`))
		}, web, 6, nil, true, 4},
		{"a Scale of somebody else is not ours", func(f *fake) {
			f.set(get, 0, saying("application/json", `{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"name":"db","namespace":"shop","resourceVersion":"1"},"spec":{"replicas":1}}`))
		}, web, 6, nil, true, 4},
		{"half an answer is none", func(f *fake) { f.set(get, 0, saying("application/json", `{"kind":"Scale","spec":{"repl`)) }, web, 6, nil, true, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f, target := world(t)
			c.trap(f)
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
			if strings.Contains(c.name, "hangs") {
				ctx, cancel = context.WithTimeout(t.Context(), 2*time.Second)
			}
			defer cancel()
			err := target.Scale(ctx, c.group, c.to)
			switch {
			case c.open && (err == nil || errors.Is(err, scaler.ErrRefused)):
				t.Errorf("got %v, want an error that leaves it open", err)
			case !c.open && !errors.Is(err, c.want):
				t.Errorf("got %v, want %v", err, c.want)
			case c.want != nil && !errors.Is(err, scaler.ErrRefused):
				t.Errorf("%v is no refusal", err)
			}
			if err != nil && strings.Contains(err.Error(), fakeToken) {
				t.Errorf("the error shows the token: %v", err)
			}
			if got := f.replicas(webScale); got != c.replicas {
				t.Errorf("there are %d replicas, want %d (%v)", got, c.replicas, err)
			}
		})
	}
}

func TestWaitsFollowTheServerOrDouble(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name string
		trap func(*fake)
		want []time.Duration
	}{
		{"without a word they double", func(f *fake) { f.set("PUT", 0, refusing(500, "InternalError")) }, []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms}},
		{"the server's word counts", func(f *fake) { f.set("PUT", 2, later(429, 3)) }, []time.Duration{3 * time.Second, 3 * time.Second}},
		{"also in the Status alone", func(f *fake) { f.set("PUT", 1, refusingFor(2)) }, []time.Duration{2 * time.Second}},
		{"reads wait alike", func(f *fake) { f.set("GET", 3, later(503, 1)) }, []time.Duration{time.Second, time.Second, time.Second}},
		{"nothing waits for what will not pass", func(f *fake) { f.set("GET", 0, refusing(403, "Forbidden")) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, target := world(t)
			c.trap(f)
			_ = target.Scale(t.Context(), web, 6)
			if !slices.Equal(f.waits, c.want) {
				t.Errorf("waited %v, want %v", f.waits, c.want)
			}
		})
	}
}

func TestSleepEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if began := time.Now(); !sleep(ctx, 300*time.Millisecond) || time.Since(began) != 300*time.Millisecond {
			t.Errorf("slept %s", time.Since(began))
		}
		if began := time.Now(); sleep(ctx, 700*time.Millisecond) || sleep(t.Context(), maxPause+1) || time.Since(began) != 0 {
			t.Errorf("a wait that is too long took %s", time.Since(began))
		}
		stopped, stop := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, stop)
		if began := time.Now(); sleep(stopped, 2*time.Second) || time.Since(began) != time.Second {
			t.Errorf("stopped after %s", time.Since(began))
		}
	})
}

// Two scalers and a controller write at the same time: whoever is told that his
// number was accepted has had it, and nobody's write is lost unseen.
func TestWritersAtTheSameTimeAgreeOnOneNumber(t *testing.T) {
	f, target := world(t)
	other := f.open(t)
	var wg sync.WaitGroup
	results := make([]error, 2)
	stop := make(chan struct{})
	controller := make(chan struct{})
	go func() {
		defer close(controller)
		for range 20 {
			select {
			case <-stop:
				return
			default:
				f.touch(webScale)
				time.Sleep(time.Millisecond)
			}
		}
	}()
	for i, one := range []*Target{target, other} {
		wg.Go(func() { results[i] = one.Scale(t.Context(), web, 10+i) })
	}
	wg.Wait()
	close(stop)
	<-controller
	got := f.replicas(webScale)
	for i, err := range results {
		if err != nil && !errors.Is(err, scaler.ErrBusy) {
			t.Errorf("writer %d: %v", i, err)
		}
	}
	if results[0] != nil && results[1] != nil || got != 10 && got != 11 || results[got-10] != nil {
		t.Errorf("%d replicas after %v", got, results)
	}
}

func TestAServerThatIsNotThereIsAnError(t *testing.T) {
	f, target := world(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target.client.base.Host = l.Addr().String()
	l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if found, err := target.Capacities(ctx, []string{web}); err == nil || len(found) != 0 {
		t.Errorf("capacities %v, %v", found, err)
	}
	if err := target.Scale(ctx, web, 6); err == nil || errors.Is(err, scaler.ErrRefused) {
		t.Errorf("scale: %v", err)
	}
	if len(f.calls) != 0 {
		t.Errorf("calls %v", f.calls)
	}
}
