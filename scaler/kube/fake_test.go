package kube

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeToken is what the fake API server lets in.
const fakeToken = "fake.token"

// fake is an API server in small: the Scale of a few objects, pods and
// autoscalers, on the wire as the real one speaks it. TestSystem… in this folder
// holds the package against the real one.
type fake struct {
	*httptest.Server

	mu      sync.Mutex
	version int                   // of the last change of anything
	scales  map[string]*fakeScale // by path
	lists   map[string][]any      // by path
	kinds   map[string]string     // of the lists
	docs    map[string]any        // discovery and whatever else, by path
	traps   []trap
	calls   []string          // METHOD path, in order
	queries map[string]string // the newest, by path
	waits   []time.Duration   // of the target that world returns, which does not wait
	token   string            // that is let in
	page    int               // the most objects on a page, whatever is asked for
}

type fakeScale struct {
	replicas, observed int64
	selector           string
	version            int
}

// A trap stands in the way of calls whose "METHOD path" has a prefix, some times
// or (0) always. It returns whether it has answered.
type trap struct {
	prefix string
	times  int
	spring func(w http.ResponseWriter, r *http.Request, f *fake) bool
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{version: 100, scales: map[string]*fakeScale{}, lists: map[string][]any{}, kinds: map[string]string{}, queries: map[string]string{}, docs: map[string]any{}, token: fakeToken, page: pageSize}
	f.Server = httptest.NewTLSServer(f)
	t.Cleanup(f.Close)
	return f
}

// world is a fake with the deployment shop/web of 4 replicas.
func world(t *testing.T) (*fake, *Target) {
	t.Helper()
	f := newFake(t)
	f.scales[webScale] = &fakeScale{replicas: 4, observed: 4, selector: "app=web,tier in (a,b)", version: 100}
	f.setPods("shop")
	f.setAutoscalers("shop")
	target := f.open(t)
	target.client.sleep = func(ctx context.Context, d time.Duration) bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.waits = append(f.waits, d)
		return d <= maxPause && ctx.Err() == nil
	}
	return f, target
}

const (
	web      = "shop/deployments/web"
	webScale = "/apis/apps/v1/namespaces/shop/deployments/web/scale"
	shopPods = "/api/v1/namespaces/shop/pods"
	shopHPAs = "/apis/autoscaling/v1/namespaces/shop/horizontalpodautoscalers"
)

func (f *fake) setPods(namespace string, pods ...any) {
	path := "/api/v1/namespaces/" + namespace + "/pods"
	f.lists[path], f.kinds[path] = pods, "PodList"
}

func (f *fake) setAutoscalers(namespace string, as ...any) {
	path := "/apis/autoscaling/v1/namespaces/" + namespace + "/horizontalpodautoscalers"
	f.lists[path], f.kinds[path] = as, "HorizontalPodAutoscalerList"
}

// set puts a trap in the way.
func (f *fake) set(prefix string, times int, spring func(http.ResponseWriter, *http.Request, *fake) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.traps = append(f.traps, trap{prefix, times, spring})
}

// count returns how many calls had the prefix.
func (f *fake) count(prefix string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.calls {
		if strings.HasPrefix(c, prefix) {
			n++
		}
	}
	return n
}

func (f *fake) replicas(path string) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.scales[path].replicas
}

// change is somebody else's write.
func (f *fake) change(path string, replicas int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version++
	f.scales[path].replicas, f.scales[path].version = replicas, f.version
}

// touch is a controller's write of a status: another version, the same replicas.
func (f *fake) touch(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version++
	f.scales[path].version = f.version
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.sprung(w, r) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+f.token {
		answer(w, 401, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "Unauthorized", "reason": "Unauthorized", "code": 401})
		return
	}
	path := r.URL.Path
	switch s := f.scales[path]; {
	case s != nil && r.Method == http.MethodGet:
		answer(w, 200, s.object(path))
	case s != nil && r.Method == http.MethodPut:
		f.put(w, r, path, s)
	case f.kinds[path] != "" && r.Method == http.MethodGet:
		f.list(w, r, path)
	case f.docs[path] != nil && r.Method == http.MethodGet:
		answer(w, 200, f.docs[path])
	default:
		refuse(w, 404, "NotFound", `deployments.apps "x" not found`)
	}
}

func (f *fake) sprung(w http.ResponseWriter, r *http.Request) bool {
	call := r.Method + " " + r.URL.Path
	f.mu.Lock()
	f.calls = append(f.calls, call)
	f.queries[r.URL.Path] = r.URL.RawQuery
	var spring func(http.ResponseWriter, *http.Request, *fake) bool
	for i := range f.traps {
		if t := &f.traps[i]; t.times >= 0 && strings.HasPrefix(call, t.prefix) {
			if spring = t.spring; t.times == 1 {
				t.times = -1
			} else if t.times > 1 {
				t.times--
			}
			break
		}
	}
	f.mu.Unlock()
	return spring != nil && spring(w, r, f)
}

// object is the Scale as the API's encoder writes it: without zero replicas.
func (s *fakeScale) object(path string) map[string]any {
	parts := strings.Split(path, "/")
	spec := map[string]any{}
	if s.replicas != 0 {
		spec["replicas"] = s.replicas
	}
	status := map[string]any{"replicas": s.observed}
	if s.selector != "" {
		status["selector"] = s.selector
	}
	return map[string]any{"kind": "Scale", "apiVersion": "autoscaling/v1", "spec": spec, "status": status, "metadata": map[string]any{
		"name": parts[len(parts)-2], "namespace": parts[5], "uid": "5108d91f", "resourceVersion": strconv.Itoa(s.version),
		"creationTimestamp": "2026-03-02T00:00:00Z",
	}}
}

func (f *fake) put(w http.ResponseWriter, r *http.Request, path string, s *fakeScale) {
	var in scaleObject
	err := json.NewDecoder(r.Body).Decode(&in)
	switch {
	case err != nil || in.Kind != "Scale" || in.APIVersion != "autoscaling/v1" || in.Spec == nil || r.Header.Get("Content-Type") != "application/json":
		refuse(w, 400, "BadRequest", "the object provided is unrecognized")
	case in.Metadata.ResourceVersion != strconv.Itoa(s.version):
		refuse(w, 409, "Conflict", `Operation cannot be fulfilled on deployments.apps "web": the object has been modified; please apply your changes to the latest version and try again`)
	default:
		if s.replicas != in.Spec.Replicas { // a write that changes nothing is none
			f.version++
			s.replicas, s.version = in.Spec.Replicas, f.version
		}
		answer(w, 200, s.object(path))
	}
}

func (f *fake) list(w http.ResponseWriter, r *http.Request, path string) {
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil {
		limit = 1 << 30
	}
	from, _ := strconv.Atoi(r.URL.Query().Get("continue"))
	items := f.lists[path]
	to := min(from+min(limit, f.page), len(items))
	meta := map[string]any{"resourceVersion": "100"}
	if to < len(items) {
		meta["continue"] = strconv.Itoa(to)
	}
	answer(w, 200, map[string]any{"kind": f.kinds[path], "apiVersion": "v1", "metadata": meta, "items": slices.Concat([]any{}, items[from:to])})
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, code int, reason, message string) {
	answer(w, code, map[string]any{"kind": "Status", "apiVersion": "v1", "metadata": map[string]any{}, "status": "Failure", "message": message, "reason": reason, "code": code})
}

// The traps.

func refusing(code int, reason string) func(http.ResponseWriter, *http.Request, *fake) bool {
	return func(w http.ResponseWriter, _ *http.Request, _ *fake) bool {
		refuse(w, code, reason, "trap")
		return true
	}
}

// later is 429 or 503 as API Priority and Fairness sends it.
func later(code, after int) func(http.ResponseWriter, *http.Request, *fake) bool {
	return func(w http.ResponseWriter, _ *http.Request, _ *fake) bool {
		w.Header().Set("Retry-After", strconv.Itoa(after))
		http.Error(w, "Too many requests, please try again later.", code)
		return true
	}
}

func saying(contentType, text string) func(http.ResponseWriter, *http.Request, *fake) bool {
	return func(w http.ResponseWriter, _ *http.Request, _ *fake) bool {
		w.Header().Set("Content-Type", contentType)
		fmt.Fprint(w, text)
		return true
	}
}

// lostRequest ends the connection before anything was done.
func lostRequest(http.ResponseWriter, *http.Request, *fake) bool { panic(http.ErrAbortHandler) }

// lostAnswer ends it after everything was.
func lostAnswer(_ http.ResponseWriter, r *http.Request, f *fake) bool {
	f.mu.Lock()
	f.put(httptest.NewRecorder(), r, r.URL.Path, f.scales[r.URL.Path])
	f.mu.Unlock()
	panic(http.ErrAbortHandler)
}

func hanging(_ http.ResponseWriter, r *http.Request, _ *fake) bool {
	_, _ = io.Copy(io.Discard, r.Body) // a server sees a client go only after that
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// meanwhile lets somebody else change the object just before.
func meanwhile(replicas int64) func(http.ResponseWriter, *http.Request, *fake) bool {
	return func(_ http.ResponseWriter, r *http.Request, f *fake) bool {
		f.change(r.URL.Path, replicas)
		return false
	}
}

// kubeconfig writes a kubeconfig file for the server and returns its path.
func (f *fake) kubeconfig(t *testing.T, user string) string {
	t.Helper()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw})
	return write(t, t.TempDir(), "config", fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: here
preferences: {}
contexts:
- {name: here, context: {cluster: local, user: me, namespace: ignored}}
clusters:
- name: local
  cluster: {server: %q, certificate-authority-data: %s}
users:
- name: me
  user: %s
`, f.URL, base64.StdEncoding.EncodeToString(ca), user))
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// open returns a target over the server.
func (f *fake) open(t *testing.T) *Target {
	t.Helper()
	target, err := Open(Config{Kubeconfig: f.kubeconfig(t, "{token: "+fakeToken+"}")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(target.client.http.CloseIdleConnections)
	return target
}

// one reads one group.
func one(ctx context.Context, target *Target, group string) (c struct {
	InService, Pending, Desired, Min, Max int
	LaunchError                           string
	Rivals                                []string
}, err error) {
	found, err := target.Capacities(ctx, []string{group})
	if got, ok := found[group]; ok {
		c.InService, c.Pending, c.Desired, c.Min, c.Max, c.LaunchError = got.InService, got.Pending, got.Desired, got.Min, got.Max, got.LaunchError
		for _, r := range got.Rivals {
			c.Rivals = append(c.Rivals, string(r.Kind)+": "+r.Detail)
		}
		return c, err
	}
	if err == nil {
		err = fmt.Errorf("%s is absent without an error", group)
	}
	return c, err
}

// invalid is how the API answers a number that it will not have.
func invalid(w http.ResponseWriter, _ *http.Request, _ *fake) bool {
	answer(w, 422, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422,
		"message": `Scale.autoscaling "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0`,
		"details": map[string]any{"name": "web", "group": "autoscaling", "kind": "Scale", "causes": []any{
			map[string]any{"reason": "FieldValueInvalid", "message": "Invalid value: -1", "field": "spec.replicas"}}}})
	return true
}

// webhook admits the change and makes another number of it.
func webhook(w http.ResponseWriter, r *http.Request, f *fake) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version++
	f.scales[r.URL.Path].version = f.version
	answer(w, 200, f.scales[r.URL.Path].object(r.URL.Path))
	return true
}

func appliedThenHanging(w http.ResponseWriter, r *http.Request, f *fake) bool {
	f.mu.Lock()
	f.put(httptest.NewRecorder(), r, r.URL.Path, f.scales[r.URL.Path])
	f.mu.Unlock()
	return hanging(w, r, f)
}

func changedThenLost(w http.ResponseWriter, r *http.Request, f *fake) bool {
	f.touch(r.URL.Path)
	return lostRequest(w, r, f)
}

func redirect(w http.ResponseWriter, r *http.Request, _ *fake) bool {
	http.Redirect(w, r, "/login", http.StatusFound)
	return true
}

// refusingFor says in the Status, not in a header, when to come back.
func refusingFor(after int) func(http.ResponseWriter, *http.Request, *fake) bool {
	return func(w http.ResponseWriter, _ *http.Request, _ *fake) bool {
		answer(w, 429, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "TooManyRequests", "code": 429,
			"details": map[string]any{"retryAfterSeconds": after}})
		return true
	}
}
