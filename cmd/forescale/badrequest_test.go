package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/models"
)

// outside is the name of a group that tries to leave its folder.
const outside = "../../x"

// service is a running forescale-server.
type service struct {
	url string
	cmd *exec.Cmd
	log *bytes.Buffer
}

// serve starts a server, which is told to stop at the end of the test.
func serve(t *testing.T, args ...string) *service {
	t.Helper()
	s := &service{cmd: exec.Command(filepath.Join(programs(t), "forescale-server"), append([]string{"-listen", "127.0.0.1:0"}, args...)...), log: new(bytes.Buffer)}
	s.cmd.Env, s.cmd.Stderr = withoutCredentials(), s.log
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Signal(os.Interrupt)
		if err := s.cmd.Wait(); err != nil {
			t.Errorf("forescale-server: %v\n%s", err, s.log)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	url, found := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !found {
		t.Fatalf("forescale-server prints %q, %v", line, err)
	}
	s.url = url
	return s
}

// ask sends a request and returns the status and the body of the answer.
func (s *service) ask(t *testing.T, method, path string, body io.Reader, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// predict asks for forecasts, and checks status and parts of the answer.
func (s *service) predict(t *testing.T, body string, status int, parts ...string) {
	t.Helper()
	got, answer := s.ask(t, http.MethodPost, api.RoutePredict, strings.NewReader(body))
	if got != status {
		t.Errorf("%.80s: status %d, want %d: %s", body, got, status, answer)
	}
	for _, part := range parts {
		if !strings.Contains(answer, part) {
			t.Errorf("%.80s: the answer does not say %q: %s", body, part, answer)
		}
	}
}

// windowOf returns a request for one group whose series has the values given.
func windowOf(group, values string) string {
	return fmt.Sprintf(`{"windows":[{"group":%q,"end":"2026-01-05T00:00:00Z","step_seconds":300,"series":{"demand":[%s]}}]}`, group, values)
}

// registered puts two versions of a small model into a registry, the first being
// the champion, for every group.
func registered(t *testing.T, dir, name string) *models.Registry {
	t.Helper()
	store, err := blob.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	registry := models.NewRegistry(store)
	for _, factor := range []float32{1, 2} {
		m, model := onnxtest.Persistence(onnxtest.Spec(3, 2), factor)
		m.Name, m.CreatedAt = name, time.Now().UTC()
		if _, err := registry.Put(t.Context(), m, model); err != nil {
			t.Fatal(err)
		}
	}
	return registry
}

// foreign puts a model that is not one of ours into a registry.
func foreign(t *testing.T, dir, name string, model []byte) {
	t.Helper()
	folder := filepath.Join(dir, name, "1")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "model.onnx"), model)
}

func TestABadModelIsNamedAndTheOthersServeOn(t *testing.T) {
	dir := t.TempDir()
	registry := registered(t, dir, "web")
	external := onnxtest.Model(onnxtest.Graph(
		onnxtest.Node("MatMul", "", []string{"input", "w"}, []string{"output"}),
		onnxtest.External("w", []int64{3, 2}, "../../../../etc/passwd"),
		onnxtest.Input("input", -1, 3), onnxtest.Output("output", -1, 2)), nil)
	foreign(t, dir, "cut", onnxtest.Foreign()[:60])
	foreign(t, dir, "noise", bytes.Repeat([]byte{0xff}, 1000))
	foreign(t, dir, "empty", nil)
	foreign(t, dir, "external", external)
	s := serve(t, "-models", dir)
	for name, want := range map[string]string{
		"cut": "cannot be served", "noise": "cannot be served", "empty": "cannot be served", "external": "external",
	} {
		s.predict(t, fmt.Sprintf(`{"model":%q,"instances":[[1,2,3]]}`, name), http.StatusServiceUnavailable, "model "+name+" version 1", want)
	}
	s.predict(t, windowOf("web", "1,2,3"), http.StatusOK, `"version":1`, `"point":[3,3]`)

	// A damaged version is not promoted. Where somebody makes it champion all the
	// same, a server that runs keeps the old one, and a new one says what is wrong.
	path := filepath.Join(dir, "web", "2", "model.onnx")
	model, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, model[:len(model)-5])
	const damaged = "changed or damaged"
	if err := registry.Promote(t.Context(), "web", 2, 1, time.Now()); err == nil || !strings.Contains(err.Error(), damaged) {
		t.Errorf("promoting it: %v", err)
	}
	write(t, filepath.Join(dir, "web", "champion.json"), []byte(`{"version": 2, "previous": 1}`))
	for deadline := time.Now().Add(soon); ; time.Sleep(50 * time.Millisecond) {
		if _, list := s.ask(t, http.MethodGet, api.RouteModels, nil); strings.Contains(list, damaged) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: the damage is noticed", soon)
		}
	}
	s.predict(t, windowOf("web", "1,2,3"), http.StatusOK, `"version":1`, `"point":[3,3]`)
	serve(t, "-models", dir).predict(t, windowOf("web", "1,2,3"), http.StatusOK, `"status":503`, "web version 2", damaged)
}

func TestABadRequestIsRefusedWithTheFieldAndCostsLittle(t *testing.T) {
	dir := t.TempDir()
	registered(t, dir, "web")
	s := serve(t, "-models", dir)
	for _, c := range []struct {
		body   string
		status int
		parts  []string
	}{
		{``, 400, []string{"end of the body"}},
		{`{"windows":[{}]}`, 400, []string{"windows[0].group"}},
		{`{"window":[]}`, 400, []string{"window"}},
		{windowOf("web", "1,NaN,3"), 400, []string{"windows[0].series.demand[1]", "NaN"}},
		{windowOf("web", "1,1e999,3"), 400, []string{"windows[0].series.demand[1]", "out of range"}},
		{windowOf("web", `1,"2",3`), 400, []string{"windows[0].series.demand[1]"}},
		{windowOf("web", "1,2"), 200, []string{`"status":422`, "windows[0].series.demand", "expected 3 values, got 2"}},
		{strings.Replace(windowOf("web", "1,2,3"), "demand", "load", 1), 200, []string{`"status":422`, "windows[0].series.demand", "no such series"}},
		{strings.Replace(windowOf("web", "1,2,3"), `300`, `60`, 1), 200, []string{`"status":422`, "step_seconds"}},
		{`{"instances":[[1,2],[3]]}`, 400, []string{"instances[1]", "1 values where others at this depth have 2"}},
		{`{"model":"web","instances":[[1,2,3,4]]}`, 422, []string{"instances", "[1, 4]", "web"}},
		{`{"model":"../../etc/passwd","instances":[[1]]}`, 404, []string{`"field":"model"`, "no such model"}},
	} {
		s.predict(t, c.body, c.status, c.parts...)
	}
	large := func() io.Reader {
		return io.MultiReader(strings.NewReader(`{"windows":[`), io.LimitReader(spaces{}, 100<<20))
	}
	bomb := zipped(t, bytes.Repeat([]byte(" "), 1<<20), 1024)
	for name, c := range map[string]struct {
		body   io.Reader
		header []string
		status int
		part   string
	}{
		"100 MB":               {large(), nil, http.StatusRequestEntityTooLarge, "larger than 16777216 bytes"},
		"a gzip bomb":          {bytes.NewReader(bomb), []string{"Content-Encoding", "gzip"}, http.StatusUnsupportedMediaType, "gzip"},
		"a gzip bomb, unnamed": {bytes.NewReader(bomb), nil, http.StatusBadRequest, "byte 0"},
	} {
		status, answer := s.ask(t, http.MethodPost, api.RoutePredict, c.body, c.header...)
		if status != c.status || !strings.Contains(answer, c.part) {
			t.Errorf("%s: status %d, %s; want %d and %q", name, status, answer, c.status, c.part)
		}
	}
	if peak := peakMemory(t, s.cmd.Process.Pid); peak > 400<<20 {
		t.Errorf("the server took %d MB of memory at its worst", peak>>20)
	}
	s.predict(t, windowOf("web", "1,2,3"), http.StatusOK, `"point":[3,3]`)
}

// spaces is a reader of spaces without end.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// peakMemory returns the most that a process has held, in bytes.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), "VmHWM:")
	var kib int64
	if _, err := fmt.Sscanf(rest, "%d kB", &kib); err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

func TestAGroupCannotLeaveItsFolder(t *testing.T) {
	dir := t.TempDir()
	nested := filepath.Join(dir, "a", "b", "c") // outside would end in dir
	lake, registry, out := filepath.Join(nested, "lake"), filepath.Join(nested, "models"), filepath.Join(nested, "out")
	data := filepath.Join(dir, "in.csv")
	write(t, data, table(recentRows(1000)...))

	invoke(t, "forescale-collector", "-data", lake, "-import", data, "-group", outside).expect(t, 0)
	if samples := scan(t, lake); len(samples) != 1000 || samples[0].Group != outside {
		t.Fatalf("%d samples in the lake", len(samples))
	}
	invoke(t, "forescale-trainer", "-data", "file://"+lake, "-group", outside, "-target", "cpu_utilization", "-epochs", "1", "-out", out, "-models", registry).expect(t, 0)
	if _, err := os.Stat(filepath.Join(registry, blob.Escape(outside), "1", "manifest.json")); err != nil {
		t.Error(err)
	}

	s := serve(t, "-models", registry, "-data", lake)
	s.predict(t, windowOf(outside, "1,2,3"), http.StatusOK, `"model":"`+outside+`"`, "windows[0].series")
	s.predict(t, fmt.Sprintf(`{"model":%q,"instances":[[1]]}`, outside), http.StatusUnprocessableEntity, outside)
	status, answer := s.ask(t, http.MethodGet, api.RouteGroup+"..%2F..%2Fx", nil)
	var view struct{ Group string }
	if err := json.Unmarshal([]byte(answer), &view); err != nil || status != http.StatusOK || view.Group != outside {
		t.Errorf("its page: status %d, %.200s", status, answer)
	}
	for _, path := range []string{"/../../../../etc/passwd", "/..%2f..%2fetc/passwd", api.RouteGroup + "%00", "/assets/../../go.mod"} {
		if status, answer := s.raw(t, path); status != http.StatusNotFound || !strings.Contains(answer, `"status":404`) {
			t.Errorf("GET %s: %d %.200s", path, status, answer)
		}
	}

	config := filepath.Join(dir, "forescale.yaml")
	write(t, config, fmt.Appendf(nil, `data: %s
models: %s
aws: {region: eu-central-1, autoscaling_endpoint: "http://127.0.0.1:9"}
scaler:
  server: %s
  groups: [{name: %q, min: 1, max: 2}]
`, lake, registry, s.url, outside))
	// The group does not exist at the provider, which is not there either: the
	// decision says so, and the audit log keeps it.
	o := invoke(t, "forescale-scaler", "-config", config, "-once")
	if !strings.Contains(o.stdout+o.stderr, outside) {
		t.Errorf("the scaler does not name the group (exit code %d):\n%s%s", o.code, o.stdout, o.stderr)
	}
	for name := range content(t, dir) {
		if !strings.HasPrefix(name, "/a/b/c/") && name != "/in.csv" && name != "/forescale.yaml" {
			t.Errorf("%s: was written outside of its folder", name)
		}
	}
}

// raw sends a path as it is, which net/http's client would clean first.
func (s *service) raw(t *testing.T, path string) (int, string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}
