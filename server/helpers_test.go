package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server"
	"github.com/forescale/forescale/server/catalog"
	"github.com/forescale/forescale/server/ort"
)

// shelf is a registry in memory, which a test may break.
type shelf struct {
	mu       sync.Mutex
	versions map[string][]held // by name; version n is at n-1
	champion map[string]int
	orders   map[string]models.Orders
	away     error // when set, every call fails with it
}

type held struct {
	manifest models.Manifest
	model    []byte
}

func newShelf() *shelf {
	return &shelf{versions: map[string][]held{}, champion: map[string]int{}, orders: map[string]models.Orders{}}
}

// put adds a version and makes it champion.
func (s *shelf) put(name string, m models.Manifest, model []byte) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.Name, m.Version, m.SizeBytes = name, len(s.versions[name])+1, int64(len(model))
	sum := sha256.Sum256(model)
	m.SHA256 = hex.EncodeToString(sum[:])
	s.versions[name] = append(s.versions[name], held{m, model})
	s.champion[name] = m.Version
	return m.Version
}

// crown makes a version champion.
func (s *shelf) crown(name string, version int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.champion[name] = version
}

// order sets the orders for a model.
func (s *shelf) order(name string, o models.Orders) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orders[name] = o
}

func (s *shelf) setAway(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = err
}

func (s *shelf) Standings(context.Context) ([]models.Standing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []models.Standing
	for name, versions := range s.versions {
		one := models.Standing{Name: name, Champion: versions[s.champion[name]-1].manifest, Orders: s.orders[name]}
		for _, v := range versions {
			one.Versions = append(one.Versions, v.manifest.Version)
		}
		list = append(list, one)
	}
	return list, s.away
}

func (s *shelf) Versions(_ context.Context, name string) ([]int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var versions []int
	for i := range s.versions[name] {
		versions = append(versions, i+1)
	}
	return versions, s.away
}

func (s *shelf) Get(_ context.Context, name string, version int) (models.Manifest, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return models.Manifest{}, nil, s.away
	}
	v := s.versions[name][version-1]
	return v.manifest, v.model, nil
}

var openRuntime = sync.OnceValue(func() error {
	path, err := ort.Find(os.Getenv("FORESCALE_ONNXRUNTIME"))
	if err != nil {
		return err
	}
	return ort.Open(path)
})

// loadORT is the catalog.Load of production.
func loadORT(model []byte) (catalog.Session, error) {
	s, err := ort.Load(model, ort.Options{})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// running is a server under test.
type running struct {
	t    testing.TB
	url  string
	stop context.CancelFunc
	done chan error
	spec routers.Router
	logs *logBuffer
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs a server over a registry. change may alter its configuration and
// dependencies.
func start(t testing.TB, registry catalog.Registry, change func(*server.Config, *server.Deps)) *running {
	t.Helper()
	if err := openRuntime(); err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, done: make(chan error, 1), logs: &logBuffer{}}
	cfg := server.Defaults()
	cfg.Listen, cfg.Reload, cfg.DrainDelay = "127.0.0.1:0", 20*time.Millisecond, 0
	cfg.LoadAhead = false // tests say themselves what is loaded
	listening := make(chan string, 1)
	deps := server.Deps{Registry: registry, Load: loadORT, Step: 5 * time.Minute, Now: time.Now,
		Log: slog.New(slog.NewTextHandler(r.logs, nil)), Listening: func(url string) { listening <- url }}
	if change != nil {
		change(&cfg, &deps)
	}
	s, err := server.New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() { r.done <- s.Run(ctx) }()
	select {
	case r.url = <-listening:
	case err := <-r.done:
		t.Fatal(err)
	}
	t.Cleanup(func() { r.close() })
	doc, err := openapi3.NewLoader().LoadFromData(api.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	doc.Servers = openapi3.Servers{{URL: r.url}}
	if r.spec, err = gorillamux.NewRouter(doc); err != nil {
		t.Fatal(err)
	}
	return r
}

// close drains the server and returns what Run returned. It may be called twice.
func (r *running) close() error {
	r.stop()
	select {
	case err := <-r.done:
		r.done <- err
		return err
	case <-time.After(20 * time.Second):
		r.t.Error("the server does not end")
		return errors.New("the server does not end")
	}
}

// reply is an answer, read whole.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// problem decodes a problem body, and fails the test when it is none.
func (r reply) problem(t testing.TB) api.Problem {
	t.Helper()
	var p api.Problem
	if got := r.header.Get("Content-Type"); got != api.ProblemType {
		t.Fatalf("status %d with content type %q: %s", r.status, got, r.body)
	}
	if err := json.Unmarshal(r.body, &p); err != nil || p.Status != r.status || p.Title == "" {
		t.Fatalf("status %d, problem %s: %v", r.status, r.body, err)
	}
	return p
}

// do sends a request. Unless it is meant to be wrong, it is held to openapi.yaml;
// the answer always is.
func (r *running) do(method, path string, body []byte, header http.Header, wrong bool) reply {
	r.t.Helper()
	req, err := http.NewRequest(method, r.url+path, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	for key, values := range header {
		req.Header[key] = values
	}
	response, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	got := reply{response.StatusCode, response.Header, answer}
	if err := r.validate(req, body, got, wrong); err != nil {
		r.t.Errorf("%s %s does not agree with openapi.yaml: %v\n%s", method, path, err, answer)
	}
	return got
}

func (r *running) validate(req *http.Request, body []byte, got reply, wrong bool) error {
	route, params, err := r.spec.FindRoute(req)
	if err != nil {
		if wrong {
			return nil
		}
		return err
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	input := &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: false, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
	if !wrong {
		if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil {
			return fmt.Errorf("request: %w", err)
		}
	}
	return openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: got.status, Header: got.header,
		Body: io.NopCloser(bytes.NewReader(got.body)), Options: input.Options})
}

func (r *running) get(path string) reply {
	r.t.Helper()
	return r.do(http.MethodGet, path, nil, nil, false)
}

func (r *running) post(body string) reply {
	r.t.Helper()
	return r.do(http.MethodPost, api.RoutePredict, []byte(body), nil, false)
}

// predict sends windows and returns the forecasts.
func (r *running) predict(req api.PredictRequest) api.PredictResponse {
	r.t.Helper()
	body, err := json.Marshal(req)
	if err != nil {
		r.t.Fatal(err)
	}
	got := r.post(string(body))
	var response api.PredictResponse
	if err := json.Unmarshal(got.body, &response); err != nil || got.status != http.StatusOK {
		r.t.Fatalf("status %d: %s (%v)", got.status, got.body, err)
	}
	return response
}

// eventually waits until check returns true.
func eventually(t testing.TB, what string, check func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !check(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never came true: %s", what)
		}
	}
}

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// ramp is a window whose newest value is newest.
func ramp(spec models.Spec, group string, newest float64) api.Window {
	values := make(api.Series, spec.Lookback)
	for i := range values {
		values[i] = newest - float64(spec.Lookback-1-i)
	}
	return api.Window{Group: group, End: noon, StepSeconds: spec.StepSeconds, Series: map[string]api.Series{spec.Target: values}}
}
