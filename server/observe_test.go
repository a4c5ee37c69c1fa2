package server_test

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server"
)

// spans is a collector of traces that speaks OTLP over HTTP.
type spans struct {
	mu  sync.Mutex
	all []*tracepb.Span
}

func (s *spans) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request collector.ExportTraceServiceRequest
	if err != nil || r.Header.Get("Content-Type") != "application/x-protobuf" || proto.Unmarshal(body, &request) != nil {
		http.Error(w, "that is no trace", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, resource := range request.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			s.all = append(s.all, scope.Spans...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// of returns the names of the spans of a trace.
func (s *spans) of(trace string) map[string]*tracepb.Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string]*tracepb.Span{}
	for _, span := range s.all {
		if hex.EncodeToString(span.TraceId) == trace {
			found[span.Name] = span
		}
	}
	return found
}

const parentSpan = "00f067aa0ba902b7"

// traced posts a prediction in a trace of somebody else, sampled there or not.
func (r *running) traced(trace, flags string) reply {
	return r.do(http.MethodPost, api.RoutePredict, []byte(foreignRequest), http.Header{"Traceparent": {"00-" + trace + "-" + parentSpan + "-" + flags}}, false)
}

func TestRequestsAreTracedAsPartsOfTheirCallersTraces(t *testing.T) {
	var got spans
	collect := httptest.NewServer(&got)
	defer collect.Close()
	registry := newShelf()
	registry.put("foreign", models.Manifest{}, onnxtest.Foreign())
	r := start(t, registry, func(c *server.Config, _ *server.Deps) {
		c.Tracing = server.Tracing{Endpoint: collect.URL + "/v1/traces", Share: 1}
		c.AccessLog = 1
	})
	const sampled, unsampled = "4bf92f3577b34da6a3ce929d0e0e4736", "5bf92f3577b34da6a3ce929d0e0e4736"
	for trace, flags := range map[string]string{sampled: "01", unsampled: "00"} {
		if answer := r.traced(trace, flags); answer.status != http.StatusOK {
			t.Fatalf("status %d", answer.status)
		}
	}
	if err := r.close(); err != nil { // sends the last ones
		t.Fatal(err)
	}
	found := got.of(sampled)
	request, run := found["POST /predict"], found["run"]
	if request == nil || run == nil || len(found) != 2 {
		t.Fatalf("spans %v", found)
	}
	if hex.EncodeToString(request.ParentSpanId) != parentSpan || string(run.ParentSpanId) != string(request.SpanId) {
		t.Error("the spans do not hang together")
	}
	if len(got.of(unsampled)) > 0 {
		t.Error("a trace that its caller does not sample is sent")
	}
	if !strings.Contains(r.logs.String(), "trace="+sampled) {
		t.Error("the access log does not name the trace")
	}
}

func TestNoRequestWaitsForACollectorOfTracesThatIsAway(t *testing.T) {
	registry := newShelf()
	registry.put("foreign", models.Manifest{}, onnxtest.Foreign())
	r := start(t, registry, func(c *server.Config, _ *server.Deps) {
		c.Tracing = server.Tracing{Endpoint: "http://127.0.0.1:1/v1/traces", Share: 1}
	})
	for range 20 {
		if answer := r.post(foreignRequest); answer.status != http.StatusOK {
			t.Fatalf("status %d", answer.status)
		}
	}
	if err := r.close(); err != nil {
		t.Error(err)
	}
}

func TestTheAccessLogIsSampledAndTellsOfEveryFaultOfTheServer(t *testing.T) {
	manifest, _ := onnxtest.Persistence(onnxtest.Spec(4, 2), 1)
	registry := newShelf()
	registry.put("foreign", models.Manifest{}, onnxtest.Foreign())
	registry.put("broken", manifest, []byte("not a model"))
	r := start(t, registry, func(c *server.Config, _ *server.Deps) { c.AccessLog = 10 })
	for range 30 {
		r.post(foreignRequest)
	}
	lines := func(pattern string) int {
		return len(regexp.MustCompile(`msg=access protocol=http method=POST route=/predict code=`+pattern).FindAllString(r.logs.String(), -1))
	}
	if n := lines("200 .*took=.*sampled=true bytes="); n != 3 {
		t.Errorf("%d of 30 requests are in the log, want every tenth", n)
	}
	if got := r.post(`{"model":"broken","instances":[[1]]}`); got.status != http.StatusServiceUnavailable {
		t.Fatalf("status %d", got.status)
	}
	eventually(t, "the fault is in the log", func() bool { return lines("503 .*sampled=false .*cannot be served") == 1 })
	if r := start(t, registry, nil); r.post(foreignRequest).status != http.StatusOK || strings.Contains(r.logs.String(), "msg=access") {
		t.Error("there is an access log unasked")
	}
}

func TestProfilesAreOnAPortOfTheirOwnForThisMachineAlone(t *testing.T) {
	r := start(t, newShelf(), func(c *server.Config, _ *server.Deps) { c.PprofListen = "127.0.0.1:0" })
	found := regexp.MustCompile(`msg="listening for profiles" url=(\S+)`).FindStringSubmatch(r.logs.String())
	if found == nil {
		t.Fatalf("the log does not tell where: %s", r.logs)
	}
	ask := func(host string) (int, string) {
		req, err := http.NewRequest(http.MethodGet, found[1]+"goroutine?debug=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		if host != "" {
			req.Host = host
		}
		response, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	if status, body := ask(""); status != http.StatusOK || !strings.Contains(body, "goroutine profile") {
		t.Errorf("status %d: %s", status, body)
	}
	if status, _ := ask("evil.example:80"); status != http.StatusForbidden {
		t.Errorf("under another name: status %d", status)
	}
	if got := r.get(api.RouteHealth); got.status != http.StatusOK {
		t.Error(got.status)
	}
	response, err := http.Get(r.url + "/debug/pprof/")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusNotFound {
		t.Errorf("profiles are on the port of the predictions, too: %d", response.StatusCode)
	}
	if err := r.close(); err != nil {
		t.Error(err)
	}
	if _, err := (&http.Client{Timeout: time.Second}).Get(found[1]); err == nil {
		t.Error("they outlive the server")
	}
	for field, change := range map[string]func(*server.Config){
		"server.pprof_listen":     func(c *server.Config) { c.PprofListen, c.AllowAnonymous, c.AllowPlaintext = "0.0.0.0:6060", true, true },
		"server.tracing.endpoint": func(c *server.Config) { c.Tracing.Endpoint = "collector:4318" },
		"server.tracing.share":    func(c *server.Config) { c.Tracing.Share = 1.5 },
		"server.access_log":       func(c *server.Config) { c.AccessLog = -1 },
		"server.latest":           func(c *server.Config) { c.Latest = -1 },
	} {
		c := server.Defaults()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
