package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server"
	"github.com/forescale/forescale/server/batch"
	"github.com/forescale/forescale/server/catalog"
	"github.com/forescale/forescale/server/tensor"
)

// dial opens a connection to the server and sends text.
func (r *running) dial(text string) *net.TCPConn {
	r.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		r.t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// halfRequest is a request that ends in the middle of its body.
const halfRequest = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"windows\":"

func TestClientsThatGoAwayInTheMiddleOfABodyLeaveNothingBehind(t *testing.T) {
	registry := newShelf()
	registry.put("foreign", models.Manifest{}, onnxtest.Foreign())
	r := start(t, registry, nil)
	for i := range 100 {
		conn := r.dial(halfRequest)
		if i%2 == 0 {
			if err := conn.SetLinger(0); err != nil { // a reset, not an end
				t.Fatal(err)
			}
		}
		conn.Close()
	}
	eventually(t, "all are given up", func() bool {
		return r.metric("forescale_http_requests_in_flight") == "forescale_http_requests_in_flight 1" // this one
	})
	if got := r.metric(`forescale_request_errors_total{reason="client_gone"}`); !strings.HasSuffix(got, " 100") {
		t.Errorf("counted: %s", got)
	}
	if got := r.post(foreignRequest); got.status != http.StatusOK {
		t.Errorf("status %d", got.status)
	}
	if strings.Contains(r.logs.String(), "level=ERROR") || r.metric("forescale_http_panics_total") != "forescale_http_panics_total 0" {
		t.Errorf("a client's fault is logged as the server's: %s", r.logs)
	}
}

func TestHalfClosedConnectionsAreEnded(t *testing.T) {
	r := start(t, newShelf(), nil)
	for name, text := range map[string]string{
		"before a request":      "",
		"in a header":           "POST /predict HTTP/1.1\r\nHost:",
		"in a body":             halfRequest,
		"after a whole request": "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn := r.dial(text)
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil { // well below read_timeout
				t.Fatal(err)
			}
			if answer, err := io.ReadAll(conn); err != nil {
				t.Errorf("the server holds it open: %q, %v", answer, err)
			}
		})
	}
}

func TestSlowClientsTogetherDoNotKeepOthersFromBeingServed(t *testing.T) {
	registry := newShelf()
	registry.put("foreign", models.Manifest{}, onnxtest.Foreign())
	r := start(t, registry, func(c *server.Config, _ *server.Deps) { c.ReadTimeout, c.Queue, c.Workers = time.Second, 1, 1 })
	var conns []net.Conn
	for range 200 { // they never send more
		conns = append(conns, r.dial(halfRequest))
	}
	if got := r.post(foreignRequest); got.status != http.StatusOK {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	for _, conn := range conns {
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(conn); err != nil {
			t.Fatalf("a slow client is held for ever: %v", err)
		}
	}
}

func TestNaNAndInfinityAreRefusedByNameForOurModels(t *testing.T) {
	spec := onnxtest.Spec(4, 2)
	registry := newShelf()
	m, model := onnxtest.Persistence(spec, 1)
	registry.put("web", m, model)
	r := start(t, registry, nil)
	body, err := json.Marshal(api.PredictRequest{Windows: []api.Window{ramp(spec, "web", 10)}})
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"NaN", "Infinity", "-Infinity", "1e999", "1e39"} {
		text := bytes.Replace(body, []byte(",10]"), []byte(","+value+"]"), 1)
		if bytes.Equal(text, body) {
			t.Fatalf("%s has no value to replace", body)
		}
		got := r.do(http.MethodPost, api.RoutePredict, text, nil, true)
		if !strings.Contains(string(got.body), "windows[0].series.demand") || strings.Contains(string(got.body), `"point"`) {
			t.Errorf("a window with %s: status %d, %s", value, got.status, got.body)
		}
	}
	for _, value := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		raw := make([]byte, 0, 32)
		for i := range 8 { // [1, 4, 2]
			v := float32(i)
			if i == 5 {
				v = float32(value)
			}
			bits := math.Float32bits(v)
			raw = append(raw, byte(bits), byte(bits>>8), byte(bits>>16), byte(bits>>24))
		}
		head := `{"inputs":[{"name":"series","shape":[1,4,2],"datatype":"FP32","parameters":{"binary_data_size":32}}]}`
		got := r.do(http.MethodPost, "/v2/models/web/infer", append([]byte(head), raw...),
			http.Header{"Inference-Header-Content-Length": {fmt.Sprint(len(head))}, "Content-Type": {"application/octet-stream"}}, true)
		if got.status != http.StatusBadRequest || !strings.Contains(string(got.body), `input \"series\"`) {
			t.Errorf("a tensor with %v: status %d, %s", value, got.status, got.body)
		}
	}
}

// moody is a session that fails while it is told to.
type moody struct {
	catalog.Session
	fails *atomic.Bool
}

func (m moody) Run(ctx context.Context, b batch.Batch) ([]tensor.Tensor, error) {
	if m.fails.Load() {
		return nil, errors.New("a node ran out of memory")
	}
	return m.Session.Run(ctx, b)
}

func TestAModelThatFailsAtRunTimeIsNamedAndServesAgainWhenItCan(t *testing.T) {
	spec := onnxtest.Spec(4, 2)
	registry := newShelf()
	m, model := onnxtest.Persistence(spec, 1)
	registry.put("web", m, model)
	var fails atomic.Bool
	r := start(t, registry, func(_ *server.Config, d *server.Deps) {
		d.Load = func(model []byte) (catalog.Session, error) {
			s, err := loadORT(model)
			return moody{s, &fails}, err
		}
	})
	windows := api.PredictRequest{Windows: []api.Window{ramp(spec, "web", 10)}}
	if f := r.predict(windows).Forecasts[0]; f.Error != nil {
		t.Fatal(f.Error)
	}
	fails.Store(true)
	if f := r.predict(windows).Forecasts[0]; f.Error == nil || f.Error.Status != http.StatusInternalServerError ||
		!strings.Contains(f.Error.Detail, "model web version 1: a node ran out of memory") {
		t.Errorf("answered %+v", f)
	}
	if got := r.metric(`forescale_model_faults_total{model="web"}`); !strings.HasSuffix(got, " 1") {
		t.Errorf("metric %q", got)
	}
	for range 100 {
		r.predict(windows)
	}
	if n := strings.Count(r.logs.String(), "model run failed"); n < 1 || n > 40 {
		t.Errorf("101 failures are %d lines in the log", n)
	}
	fails.Store(false)
	if f := r.predict(windows).Forecasts[0]; f.Error != nil {
		t.Error(f.Error)
	}
}
