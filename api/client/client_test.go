package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

const answer = `{"model":"m","version":3,"forecasts":[{"group":"web","point":[1.5]}]}`

var oneWindow = api.PredictRequest{Windows: []api.Window{{Group: "web", StepSeconds: 300, Series: map[string]api.Series{"demand": {1}}}}}

// serve answers the n-th request with handlers[n], and with the last from then on.
func serve(t *testing.T, handlers ...http.HandlerFunc) (url string, calls *atomic.Int64) {
	calls = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(calls.Add(1)) - 1
		handlers[min(n, len(handlers)-1)](w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, calls
}

func good(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(answer)) }

func busy(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", api.ProblemType)
	w.WriteHeader(http.StatusTooManyRequests)
	w.Write([]byte(`{"title":"Too Many Requests","status":429,"detail":"too many requests are waiting"}`))
}

func refuse(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", api.ProblemType)
	w.WriteHeader(http.StatusBadRequest)
	w.Write([]byte(`{"title":"Bad Request","status":400,"field":"windows[0].group"}`))
}

func hangUp(w http.ResponseWriter, _ *http.Request) {
	panic(http.ErrAbortHandler)
}

func TestPredictTriesAgainWhereThatHelpsAndOnlyThere(t *testing.T) {
	for name, c := range map[string]struct {
		handlers []http.HandlerFunc
		calls    int64
		status   int    // of the problem that is expected; 0: none
		text     string // in the error; empty: success
	}{
		"an answer at once":                {[]http.HandlerFunc{good}, 1, 0, ""},
		"a busy server":                    {[]http.HandlerFunc{busy, busy, good}, 3, 0, ""},
		"a connection that breaks":         {[]http.HandlerFunc{hangUp, good}, 2, 0, ""},
		"a server that stays busy":         {[]http.HandlerFunc{busy}, 4, 429, "gave up after 4 attempts"},
		"a server that is never there":     {[]http.HandlerFunc{hangUp}, 4, 0, "gave up after 4 attempts"},
		"a request that is wrong":          {[]http.HandlerFunc{refuse}, 1, 400, "windows[0].group"},
		"an answer that is no JSON":        {[]http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) }}, 1, 0, "answer:"},
		"an answer with too few forecasts": {[]http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"forecasts":[]}`)) }}, 1, 0, "0 forecasts for 1 windows"},
		"an error of some proxy":           {[]http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no route", http.StatusBadGateway) }}, 1, 502, "no route"},
		"a redirect":                       {[]http.HandlerFunc{http.RedirectHandler("/elsewhere", http.StatusFound).ServeHTTP}, 1, 302, "Found"},
		"an answer without an end":         {[]http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 5000)) }}, 1, 0, "larger than 4096 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, calls := serve(t, c.handlers...)
			client, err := New(url+"/", WithMaxResponse(4096))
			if err != nil {
				t.Fatal(err)
			}
			response, err := client.Predict(context.Background(), oneWindow)
			if calls.Load() != c.calls {
				t.Errorf("%d calls, want %d", calls.Load(), c.calls)
			}
			if c.text == "" {
				if err != nil || response.Version != 3 || response.Forecasts[0].Point[0] != 1.5 {
					t.Errorf("got %+v, %v", response, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v", err)
			}
			var p *api.Problem
			if errors.As(err, &p) != (c.status != 0) || p != nil && p.Status != c.status {
				t.Errorf("problem %+v, want status %d", p, c.status)
			}
		})
	}
}

func TestTheAttemptsOfOneCallAreAnOption(t *testing.T) {
	for name, c := range map[string]struct {
		attempts int
		wrong    bool
	}{
		"enough to see the server come back": {6, false},
		"one too few":                        {5, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, calls := serve(t, hangUp, hangUp, busy, hangUp, hangUp, good)
			client, err := New(url, WithAttempts(c.attempts))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.Predict(context.Background(), oneWindow); (err != nil) != c.wrong || calls.Load() != int64(c.attempts) {
				t.Errorf("%d calls, %v", calls.Load(), err)
			}
		})
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "1")
		busy(w, r)
	}, good)
	client, err := New(url)
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	if _, err := client.Predict(context.Background(), oneWindow); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(started); took < time.Second {
		t.Errorf("tried again after %s", took)
	}
}

func TestACallEndsAtItsDeadline(t *testing.T) {
	release := make(chan struct{})
	url, _ := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-release:
		}
	})
	defer close(release)
	client, err := New(url, WithTimeout(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Predict(context.Background(), oneWindow); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestARetryAfterBeyondTheDeadlineIsNotWaitedFor(t *testing.T) {
	url, calls := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "60")
		busy(w, r)
	})
	client, err := New(url, WithTimeout(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	if _, err := client.Predict(context.Background(), oneWindow); err == nil || time.Since(started) > 500*time.Millisecond || calls.Load() != 1 {
		t.Errorf("%v after %s and %d calls", err, time.Since(started), calls.Load())
	}
}

func TestTheRequestIsWhatTheServerReads(t *testing.T) {
	var got api.PredictRequest
	url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != api.RoutePredict || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s, %s", r.Method, r.URL, r.Header)
		}
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		good(w, r)
	})
	client, err := New(url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Predict(context.Background(), oneWindow); err != nil || got.Windows[0].Group != "web" {
		t.Errorf("%v, %+v", err, got)
	}
}

func TestAForecastComesWithEverythingThatTheServerSays(t *testing.T) {
	want := api.PredictResponse{Model: "m", Version: 3, Forecasts: []api.Forecast{{Group: "web", IssuedAt: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC),
		StepSeconds: 300, Model: "m", Version: 3, Point: []float64{1.5, 2}, Quantiles: []float64{0.1, 0.9},
		Values: [][]float64{{1, 2}, {0.5, 3}}, Peaks: [][]float64{{1, 2}, {1.25, 3.5}}}}}
	url, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(w).Encode(want); err != nil {
			t.Error(err)
		}
	})
	client, err := New(url)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := client.Predict(context.Background(), oneWindow); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestNewRefusesWhatIsNoBaseURL(t *testing.T) {
	for _, bad := range []string{"", "127.0.0.1:8650", "ftp://host", "http://", "http://host/?x=1", "http://host:port:1"} {
		if _, err := New(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
