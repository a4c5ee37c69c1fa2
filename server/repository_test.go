package server_test

import (
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/forescale/forescale/api/inference"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/server"
)

// index returns the repository index as name/version and state.
func (r *running) index(body string) map[string]string {
	r.t.Helper()
	got := r.do(http.MethodPost, "/v2/repository/index", []byte(body), nil, false)
	var list []struct{ Name, Version, State, Reason string }
	if err := json.Unmarshal(got.body, &list); err != nil || got.status != http.StatusOK {
		r.t.Fatalf("status %d: %s (%v)", got.status, got.body, err)
	}
	all := map[string]string{}
	for _, e := range list {
		all[e.Name+"/"+e.Version] = strings.TrimSpace(e.State + " " + e.Reason)
	}
	return all
}

func (r *running) control(name, verb, body string, header http.Header, wrong bool) reply {
	r.t.Helper()
	return r.do(http.MethodPost, "/v2/repository/models/"+name+"/"+verb, []byte(body), header, wrong)
}

const sumRequest = `{"inputs":[{"name":"a","shape":[1,2],"datatype":"FP32","data":[1,2]},{"name":"b","shape":[1,2],"datatype":"FP32","data":[1,2]}]}`

func TestModelsAreUnloadedAndLoadedByRequest(t *testing.T) {
	registry := newShelf()
	registry.foreign("two", onnxtest.SumAndDifference())
	registry.foreign("two", onnxtest.SumAndDifference())
	r, conn, _ := startGRPC(t, registry, func(c *server.Config, _ *server.Deps) { c.ModelControl = true })
	c := inference.NewGRPCInferenceServiceClient(conn)
	eventually(t, "ready", func() bool { return r.get("/v2/health/ready").status == http.StatusOK })
	if got := r.index(""); !reflect.DeepEqual(got, map[string]string{"two/2": "READY not loaded yet; the first request loads it"}) {
		t.Errorf("at first: %v", got)
	}
	for _, path := range []string{"two", "two/versions/1"} {
		if got := r.infer(path, sumRequest); got.status != http.StatusOK {
			t.Fatalf("status %d: %s", got.status, got.body)
		}
	}
	if got := r.index(`{"ready":true}`); !reflect.DeepEqual(got, map[string]string{"two/1": "READY", "two/2": "READY"}) {
		t.Errorf("loaded: %v", got)
	}
	if got := r.control("two", "unload", `{"parameters":{"unload_dependents":false}}`, nil, false); got.status != http.StatusOK || len(got.body) > 0 {
		t.Fatalf("unload: status %d, %s", got.status, got.body)
	}
	if got := r.index(""); !strings.HasPrefix(got["two/2"], "UNAVAILABLE the model was unloaded by request") || len(got) != 1 {
		t.Errorf("unloaded: %v", got)
	}
	for _, path := range []string{"two", "two/versions/1"} {
		got := r.infer(path, sumRequest)
		if text := got.v2Error(t); got.status != http.StatusServiceUnavailable || !strings.Contains(text, "unloaded by request") {
			t.Errorf("%s unloaded: status %d, %s", path, got.status, text)
		}
	}
	if got := r.post(`{"model":"two","instances":[[1,2]]}`).problem(t); got.Status != http.StatusServiceUnavailable {
		t.Errorf("/predict unloaded: %+v", got)
	}
	if ready, err := c.ModelReady(t.Context(), &inference.ModelReadyRequest{Name: "two"}); err != nil || ready.GetReady() {
		t.Errorf("unloaded: ready is %v, %v", ready, err)
	}
	if text := string(r.get("/metrics").body); strings.Contains(text, "forescale_model_info{") {
		t.Error("the metrics say that a model serves")
	}
	if got := r.control("two", "load", "", nil, false); got.status != http.StatusOK {
		t.Fatalf("load: status %d, %s", got.status, got.body)
	}
	if got := r.index(""); !reflect.DeepEqual(got, map[string]string{"two/2": "READY"}) {
		t.Errorf("loaded again: %v", got)
	}
	if _, err := c.RepositoryModelUnload(t.Context(), &inference.RepositoryModelUnloadRequest{ModelName: "two"}); err != nil {
		t.Error(err)
	}
	list, err := c.RepositoryIndex(t.Context(), &inference.RepositoryIndexRequest{Ready: true})
	if err != nil || len(list.GetModels()) != 0 {
		t.Errorf("unloaded, the index of what is ready is %v, %v", list, err)
	}
	if _, err := c.RepositoryModelLoad(t.Context(), &inference.RepositoryModelLoadRequest{ModelName: "two"}); err != nil {
		t.Error(err)
	}
	list, err = c.RepositoryIndex(t.Context(), &inference.RepositoryIndexRequest{Ready: true})
	if err != nil || len(list.GetModels()) != 1 || list.GetModels()[0].GetState() != "READY" || list.GetModels()[0].GetVersion() != "2" {
		t.Errorf("loaded, the index of what is ready is %v, %v", list, err)
	}
}

func TestALoadThatCannotBeIsAnErrorAndHarmsNothing(t *testing.T) {
	registry := newShelf()
	registry.foreign("two", onnxtest.SumAndDifference())
	registry.foreign("corrupt", []byte("no model"))
	r := start(t, registry, func(c *server.Config, _ *server.Deps) { c.ModelControl = true })
	if got := r.infer("two", sumRequest); got.status != http.StatusOK {
		t.Fatalf("status %d: %s", got.status, got.body)
	}
	registry.foreign("two", []byte("a champion that is no model"))
	for name, c := range map[string]struct {
		model, verb, body string
		header            http.Header
		status            int
		want              string
	}{
		"a model that cannot serve":         {"corrupt", "load", "", nil, 503, "cannot be served"},
		"a champion that cannot serve":      {"two", "load", "", nil, 503, "version 2 cannot be served"},
		"an unknown model":                  {"none", "load", "", nil, 404, `"none"`},
		"an unknown model to unload":        {"none", "unload", "", nil, 404, `"none"`},
		"a model that is brought along":     {"two", "load", `{"parameters":{"file:1/model.onnx":"AAAA"}}`, nil, 400, "parameters.file:1/model.onnx"},
		"a body that is no JSON":            {"two", "unload", `hello`, nil, 400, "not valid"},
		"a form of some other page":         {"two", "unload", `a=b`, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, 415, "content type"},
		"a request of some other page":      {"two", "unload", ``, http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403, "cross-origin"},
		"a request of some other origin":    {"two", "unload", ``, http.Header{"Origin": {"http://elsewhere.example"}}, 403, "cross-origin"},
		"an index of a switch that is text": {"", "", `{"ready":"yes"}`, nil, 400, "ready: must not be a string"},
	} {
		t.Run(name, func(t *testing.T) {
			got := r.control(c.model, c.verb, c.body, c.header, true)
			if c.verb == "" {
				got = r.do(http.MethodPost, "/v2/repository/index", []byte(c.body), nil, true)
			}
			if text := got.v2Error(t); got.status != c.status || !strings.Contains(text, c.want) {
				t.Errorf("status %d: %s", got.status, text)
			}
		})
	}
	index := r.index("")
	if index["two/1"] != "READY" || !strings.HasPrefix(index["two/2"], "UNAVAILABLE not a valid ONNX model") || !strings.HasPrefix(index["corrupt/1"], "UNAVAILABLE") {
		t.Errorf("the index is %v", index)
	}
	if got := r.infer("two", sumRequest); got.status != http.StatusOK {
		t.Errorf("the older version serves no longer: status %d, %s", got.status, got.body)
	}
	registry.setAway(io.ErrUnexpectedEOF)
	if got := r.control("two", "load", "", nil, true); got.status != http.StatusServiceUnavailable || !strings.Contains(got.v2Error(t), "registry") {
		t.Errorf("without a registry: status %d, %s", got.status, got.body)
	}
	if got := r.get("/v2/models/two"); got.status != http.StatusOK || !strings.Contains(string(got.body), `"versions":["1"]`) {
		t.Errorf("without a registry, what is loaded is described by status %d, %s", got.status, got.body)
	}
}

func TestNobodyLoadsOrUnloadsUnlessThatIsPermitted(t *testing.T) {
	registry := newShelf()
	registry.foreign("two", onnxtest.SumAndDifference())
	r, conn, _ := startGRPC(t, registry, nil)
	for _, verb := range []string{"load", "unload"} {
		if got := r.control("two", verb, "", nil, false); got.status != http.StatusForbidden || !strings.Contains(got.v2Error(t), "server.model_control") {
			t.Errorf("%s: status %d, %s", verb, got.status, got.body)
		}
	}
	if _, err := inference.NewGRPCInferenceServiceClient(conn).RepositoryModelLoad(t.Context(), &inference.RepositoryModelLoadRequest{ModelName: "two"}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("got %v", err)
	}
	if got := r.infer("two", sumRequest); got.status != http.StatusOK {
		t.Errorf("status %d: %s", got.status, got.body)
	}
}
