package server_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server"
	"github.com/forescale/forescale/server/batch"
	"github.com/forescale/forescale/server/catalog"
	"github.com/forescale/forescale/server/tensor"
)

// slow is a session whose runs wait for release.
type slow struct {
	catalog.Session
	started chan struct{}
	release chan struct{}
}

func (s slow) Run(ctx context.Context, b batch.Batch) ([]tensor.Tensor, error) {
	s.started <- struct{}{}
	select {
	case <-s.release:
		return s.Session.Run(ctx, b)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// startSlow starts a server of one foreign model whose runs wait.
func startSlow(t *testing.T, change func(*server.Config)) (*running, slow) {
	t.Helper()
	gate := slow{started: make(chan struct{}, 100), release: make(chan struct{})}
	registry := newShelf()
	registry.put("foreign", models.Manifest{}, onnxtest.Foreign())
	r := start(t, registry, func(c *server.Config, d *server.Deps) {
		d.Load = func(model []byte) (catalog.Session, error) {
			s, err := loadORT(model)
			return slow{s, gate.started, gate.release}, err
		}
		change(c)
	})
	return r, gate
}

const foreignRequest = `{"model":"foreign","instances":[[1,2,4]]}`

func TestDrainingTurnsNotReadyFirstAndAnswersWhatWasAccepted(t *testing.T) {
	r, gate := startSlow(t, func(c *server.Config) { c.DrainDelay = 300 * time.Millisecond })
	answers := make(chan reply, 1)
	go func() { answers <- r.post(foreignRequest) }()
	<-gate.started
	r.stop()
	eventually(t, "not ready while it still listens", func() bool { return r.get(api.RouteReady).status == http.StatusServiceUnavailable })
	time.Sleep(400 * time.Millisecond)
	if _, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://")); err == nil {
		t.Error("new connections are still accepted")
	}
	close(gate.release)
	if got := <-answers; got.status != http.StatusOK || string(got.body) != `{"predictions":[[7.25,14]]}` {
		t.Errorf("the accepted request got %d %s", got.status, got.body)
	}
	if err := r.close(); err != nil {
		t.Errorf("Run returned %v", err)
	}
}

func TestADrainEndsByForceAtItsTimeout(t *testing.T) {
	r, gate := startSlow(t, func(c *server.Config) { c.DrainTimeout = 50 * time.Millisecond })
	go http.Post(r.url+api.RoutePredict, "application/json", strings.NewReader(foreignRequest))
	<-gate.started
	if err := r.close(); err == nil || !strings.Contains(err.Error(), "still in progress") {
		t.Errorf("Run returned %v", err)
	}
}

func TestAFullQueueShedsWith429AndATimeoutIs503(t *testing.T) {
	r, gate := startSlow(t, func(c *server.Config) {
		c.Workers, c.Queue, c.RequestTimeout = 1, 1, 500*time.Millisecond
	})
	statuses := make(chan reply, 10)
	go func() { statuses <- r.post(foreignRequest) }()
	<-gate.started
	go func() { statuses <- r.post(foreignRequest) }()
	eventually(t, "one waits", func() bool {
		return strings.Contains(string(r.get(api.RouteMetrics).body), "forescale_predict_rows_waiting 1")
	})
	got := r.post(foreignRequest)
	if p := got.problem(t); p.Status != http.StatusTooManyRequests || got.header.Get("Retry-After") != "1" {
		t.Errorf("got %+v, Retry-After %q", p, got.header.Get("Retry-After"))
	}
	for range 2 {
		if p := (<-statuses).problem(t); p.Status != http.StatusServiceUnavailable || !strings.Contains(p.Detail, "in time") {
			t.Errorf("got %+v", p)
		}
	}
}

func TestAPanicIsAnswered500AndTheServerGoesOn(t *testing.T) {
	registry := newShelf()
	registry.put("foreign", models.Manifest{}, onnxtest.Foreign())
	first := true
	r := start(t, registry, func(_ *server.Config, d *server.Deps) {
		d.Load = func(model []byte) (catalog.Session, error) {
			s, err := loadORT(model)
			return panicky{s, &first}, err
		}
	})
	if p := r.post(foreignRequest).problem(t); p.Status != http.StatusInternalServerError || strings.Contains(p.Detail, "boom") {
		t.Errorf("got %+v", p)
	}
	if got := r.post(foreignRequest); got.status != http.StatusOK {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if !strings.Contains(r.logs.String(), "boom") {
		t.Error("the panic is not in the log")
	}
}

type panicky struct {
	catalog.Session
	first *bool
}

func (p panicky) Run(ctx context.Context, b batch.Batch) ([]tensor.Tensor, error) {
	if *p.first {
		*p.first = false
		panic("boom")
	}
	return p.Session.Run(ctx, b)
}

func TestAClientThatStopsHalfWayHoldsNothingForLong(t *testing.T) {
	r := start(t, newShelf(), func(c *server.Config, _ *server.Deps) { c.ReadTimeout = 200 * time.Millisecond })
	for name, text := range map[string]string{
		"in the header": "POST /predict HTTP/1.1\r\nHost: x\r\n",
		"in the body":   "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"windows\":",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
			if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(conn) // until the server hangs up
			if err != nil || len(answer) > 0 && !strings.HasPrefix(string(answer), "HTTP/1.1 4") {
				t.Errorf("got %q, %v", answer, err)
			}
		})
	}
	if got := r.get(api.RouteHealth); got.status != http.StatusOK {
		t.Errorf("status %d", got.status)
	}
}

func TestTheMetricsFollowTheConventionsAndHaveBoundedLabels(t *testing.T) {
	registry := newShelf()
	registry.put("foreign", models.Manifest{}, onnxtest.Foreign())
	r := start(t, registry, nil)
	r.post(foreignRequest)
	for _, path := range []string{"/a", "/b", "/api/v1/groups/x", "/api/v1/groups/y"} {
		r.do("BREW", path, nil, nil, true)
		r.do(http.MethodGet, path, nil, nil, true)
	}
	eventually(t, "the run is counted", func() bool {
		return strings.Contains(string(r.get(api.RouteMetrics).body), "forescale_predict_batch_rows_sum 1")
	})
	text := string(r.get(api.RouteMetrics).body)
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
	for _, want := range []string{`forescale_http_requests_total{code="200",method="POST",route="/predict"} 1`, `forescale_predict_rows_total{model="foreign"} 1`,
		`forescale_http_requests_total{code="404",method="GET",route="none"} 2`, `forescale_http_requests_total{code="404",method="GET",route="/api/v1/groups/:group"} 2`,
		`forescale_model_info{model="foreign",version="1"} 1`, `forescale_model_version{model="foreign"} 1`, `forescale_model_failing{model="foreign"} 0`,
		`forescale_request_errors_total{reason="not_found"}`, `forescale_request_errors_total{reason="too_many"} 0`,
		`forescale_predict_wait_duration_seconds_count 1`, `forescale_model_faults_total{model="foreign"} 0`, `forescale_registry_unreadable 0`, `forescale_registry_reads_total{result="ok"}`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing", want)
		}
	}
	for _, invented := range []string{"BREW", `"/a"`, "groups/x"} {
		if strings.Contains(text, invented) {
			t.Errorf("a client put %s into the metrics", invented)
		}
	}
	if t.Failed() {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "forescale_http_requests_total") {
				t.Log(line)
			}
		}
	}
}
