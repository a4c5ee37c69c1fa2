//go:build system

package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/kubetest"
	"github.com/forescale/forescale/scaler"
)

// TestSystemARealAPIServer holds the package against kube-apiserver and etcd.
func TestSystemARealAPIServer(t *testing.T) {
	cluster, err := kubetest.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Stop)
	server, etcd := cluster.Memory()
	t.Logf("ready after %s, %d MiB and etcd %d MiB", cluster.Took.Round(10*time.Millisecond), server>>20, etcd>>20)
	c := real{cluster}
	c.widgets(t)
	c.workloads(t, "shop")
	c.workloads(t, "other")
	c.apply(t, "account.yaml")
	c.apply(t, "namespace.yaml", "forescale-scale")
	c.await(t, "shop", shipped)

	t.Run("the account can scale and do nothing else", c.nothingElse)
	c.do(t, http.MethodPost, collectionOf("Role", "shop"), map[string]any{"metadata": map[string]any{"name": "widgets"},
		"rules": []any{map[string]any{"apiGroups": []any{"example.com"}, "resources": []any{"widgets/scale"}, "verbs": []any{"get", "update"}}}})
	c.do(t, http.MethodPost, collectionOf("RoleBinding", "shop"), map[string]any{"metadata": map[string]any{"name": "widgets"},
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "widgets"},
		"subjects": []any{map[string]any{"kind": "ServiceAccount", "namespace": "forescale", "name": "forescale-scaler"}}})
	c.await(t, "shop", "[get update] [example.com] [widgets/scale]")
	t.Run("with the role that is needed alone, workloads scale", c.scales)
	t.Run("a conflict is retried, and another's number respected", c.conflicts)
	t.Run("what the server refuses has its error", c.refusals)
	c.apply(t, "namespace.yaml", "forescale-observe")
	c.await(t, "shop", "[list] [] [pods]", "[list] [autoscaling] [horizontalpodautoscalers]")
	t.Run("with the optional role, pods count and autoscalers are noticed", c.observes)
	t.Run("a kubeconfig works with each kind of credential", c.kubeconfigs)
	t.Run("the cluster's role covers every namespace", c.everywhere)
}

// shipped is the permission that the role in deploy/kubernetes gives.
const shipped = "[get update] [apps] [deployments/scale statefulsets/scale]"

var realGroups = []string{"shop/deployments/web", "shop/statefulsets/web", "shop/widgets.example.com/web", "shop/widgets.example.com/v1/web"}

func (c real) scales(t *testing.T) {
	target := c.scaler(t)
	c.do(t, http.MethodPatch, "/apis/apps/v1/namespaces/shop/deployments/web/status", map[string]any{"status": map[string]any{"replicas": 3}})
	for _, group := range realGroups {
		for _, n := range []int{7, 0, 5} {
			if err := target.Scale(t.Context(), group, n); err != nil {
				t.Fatal(err)
			}
			got, err := one(t.Context(), target, group)
			switch unknown := strings.Contains(group, "widgets") && n > 0; {
			case unknown && (err == nil || !strings.Contains(err.Error(), "unknown")):
				t.Errorf("%s, whose status nobody has written: %+v, %v", group, got, err)
			case !unknown && (err != nil || got.Desired != n || got.Max != DefaultMaxReplicas || len(got.Rivals) > 0):
				t.Errorf("%s at %d: %+v, %v", group, n, got, err)
			}
		}
	}
	if got, err := one(t.Context(), target, realGroups[0]); err != nil || got.InService != 3 || got.Pending != 2 {
		t.Errorf("without pods the Scale's status counts: %+v, %v", got, err)
	}
	for _, path := range []string{"deployments/web", "statefulsets/web"} {
		if spec := c.do(t, http.MethodGet, "/apis/apps/v1/namespaces/shop/"+path, nil)["spec"].(map[string]any); spec["replicas"] != 5.0 {
			t.Errorf("%s has %v replicas", path, spec["replicas"])
		}
	}
}

func (c real) nothingElse(t *testing.T) {
	token := c.token(t, "forescale", "forescale-scaler")
	scale := `{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"name":"web","namespace":"other"},"spec":{"replicas":9}}`
	pod := `{"metadata":{"name":"x"},"spec":{"containers":[{"name":"c","image":"none"}]}}`
	for _, call := range [][3]string{
		{"GET", "/apis/apps/v1/namespaces/shop/deployments/web", ""},
		{"GET", "/apis/apps/v1/namespaces/shop/deployments", ""},
		{"GET", "/apis/apps/v1/namespaces/shop/deployments/web/status", ""},
		{"PATCH", "/apis/apps/v1/namespaces/shop/deployments/web", `{"spec":{"replicas":9}}`},
		{"PATCH", "/apis/apps/v1/namespaces/shop/deployments/web/scale", `{"spec":{"replicas":9}}`},
		{"DELETE", "/apis/apps/v1/namespaces/shop/deployments/web", ""},
		{"GET", "/apis/apps/v1/namespaces/other/deployments/web/scale", ""},
		{"PUT", "/apis/apps/v1/namespaces/other/deployments/web/scale", scale},
		{"GET", "/apis/apps/v1/namespaces/shop/replicasets/web/scale", ""},
		{"GET", "/api/v1/namespaces/shop/pods", ""},
		{"POST", "/api/v1/namespaces/shop/pods", pod},
		{"GET", "/api/v1/namespaces/shop/secrets", ""},
		{"GET", "/api/v1/nodes", ""},
		{"GET", "/apis/autoscaling/v1/namespaces/shop/horizontalpodautoscalers", ""},
		{"POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings", `{"metadata":{"name":"x"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"}}`},
		{"POST", "/api/v1/namespaces/forescale/serviceaccounts/forescale-scaler/token", `{"spec":{}}`},
	} {
		if code, answer := c.as(t, token, call[0], call[1], call[2]); code != http.StatusForbidden {
			t.Errorf("%s %s: %d %v", call[0], call[1], code, answer["message"])
		}
	}
	if rules := c.rules(t, "shop"); !slices.Equal(rules, []string{shipped}) {
		t.Errorf("the account may %q", rules)
	}
	if rules := c.rules(t, "other"); len(rules) > 0 {
		t.Errorf("elsewhere the account may %q", rules)
	}
}

// between lets something happen before the first write that passes.
type between struct {
	http.RoundTripper
	happen func()
}

func (b *between) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPut && b.happen != nil {
		b.happen()
		b.happen = nil
	}
	return b.RoundTripper.RoundTrip(r)
}

func (c real) conflicts(t *testing.T) {
	for name, path := range map[string]string{"shop/deployments/web": "/apis/apps/v1/namespaces/shop/deployments/web",
		"shop/statefulsets/web": "/apis/apps/v1/namespaces/shop/statefulsets/web", "shop/widgets.example.com/web": "/apis/example.com/v1/namespaces/shop/widgets/web"} {
		for _, k := range []struct {
			patch   string
			to      int
			want    error
			becomes float64
		}{
			{`{"metadata":{"annotations":{"touched":"%d"}}}`, 6, nil, 6},
			{`{"spec":{"replicas":8},"metadata":{"annotations":{"touched":"%d"}}}`, 3, scaler.ErrBusy, 8},
			{`{"spec":{"replicas":2},"metadata":{"annotations":{"touched":"%d"}}}`, 2, nil, 2},
		} {
			target := c.scaler(t)
			target.client.http.Transport = &between{target.client.http.Transport, func() {
				c.do(t, http.MethodPatch, path, json.RawMessage(fmt.Sprintf(k.patch, time.Now().UnixNano())))
			}}
			err := target.Scale(t.Context(), name, k.to)
			if !errors.Is(err, k.want) {
				t.Errorf("%s to %d: %v", name, k.to, err)
			}
			if got := c.do(t, http.MethodGet, path, nil)["spec"].(map[string]any)["replicas"]; got != k.becomes {
				t.Errorf("%s has %v replicas, want %v", name, got, k.becomes)
			}
		}
	}
}

func (c real) refusals(t *testing.T) {
	target := c.scaler(t)
	for _, k := range []struct {
		group string
		to    int
		want  error
		text  string
	}{
		{"shop/deployments/nobody", 3, scaler.ErrUnknownGroup, "not found"},
		{"shop/gadgets.example.com/web", 3, scaler.ErrUnknownGroup, "no such namespaced resource"},
		{"shop/widgets.example.org/web", 3, scaler.ErrUnknownGroup, "no such API group"},
		{"other/deployments/web", 3, scaler.ErrRefused, "Forbidden"},
		{"shop/widgets.example.com/web", 11, scaler.ErrBounds, "less than or equal to 10"},
		{"shop/deployments/web", 1001, scaler.ErrBounds, "0 to 1000"},
	} {
		if err := target.Scale(t.Context(), k.group, k.to); !errors.Is(err, k.want) || !strings.Contains(err.Error(), k.text) {
			t.Errorf("%s to %d: %v", k.group, k.to, err)
		}
	}
	stranger := c.open(t, c.mount(t, "not.a.token"))
	if err := stranger.Scale(t.Context(), "shop/deployments/web", 3); !errors.Is(err, scaler.ErrRefused) || strings.Contains(err.Error(), "not.a.token") {
		t.Errorf("a token of nobody: %v", err)
	}
}

func (c real) observes(t *testing.T) {
	if err := c.scaler(t).Scale(t.Context(), "shop/deployments/web", 4); err != nil {
		t.Fatal(err)
	}
	for i, ready := range []string{"True", "True", "False", ""} {
		name := fmt.Sprint("web-", i)
		c.do(t, http.MethodPost, "/api/v1/namespaces/shop/pods", map[string]any{
			"metadata": map[string]any{"name": name, "labels": map[string]any{"app": "web"}},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": "c", "image": "none"}}}})
		status := map[string]any{"phase": "Running", "conditions": []any{map[string]any{"type": "Ready", "status": ready}}}
		if ready == "" {
			status = map[string]any{"conditions": []any{map[string]any{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/0 nodes are available"}}}
		}
		c.do(t, http.MethodPatch, "/api/v1/namespaces/shop/pods/"+name+"/status", map[string]any{"status": status})
	}
	c.do(t, http.MethodPost, "/api/v1/namespaces/shop/pods", map[string]any{
		"metadata": map[string]any{"name": "stranger", "labels": map[string]any{"app": "db"}},
		"spec":     map[string]any{"containers": []any{map[string]any{"name": "c", "image": "none"}}}})
	c.do(t, http.MethodPost, "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers", map[string]any{
		"metadata": map[string]any{"name": "cpu"},
		"spec":     map[string]any{"scaleTargetRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "minReplicas": 2, "maxReplicas": 9}})
	c.do(t, http.MethodPost, "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers", map[string]any{
		"metadata": map[string]any{"name": "widget"},
		"spec":     map[string]any{"scaleTargetRef": map[string]any{"apiVersion": "example.com/v1", "kind": "Widget", "name": "web"}, "maxReplicas": 5}})
	c.do(t, http.MethodPatch, "/apis/example.com/v1/namespaces/shop/widgets/web/status", map[string]any{"status": map[string]any{"replicas": 2, "selector": "app=db"}})

	target := c.scaler(t)
	for group, want := range map[string]string{
		"shop/deployments/web":         "2 serve, 2 pending, 4 desired, [horizontal-autoscaler: HorizontalPodAutoscaler shop/cpu keeps it at 2 to 9 replicas], pod web-3: Unschedulable: 0/0 nodes are available",
		"shop/statefulsets/web":        "2 serve, 2 pending, 2 desired, [], pod web-3: Unschedulable: 0/0 nodes are available",
		"shop/widgets.example.com/web": "0 serve, 1 pending, 2 desired, [horizontal-autoscaler: HorizontalPodAutoscaler shop/widget keeps it at 1 to 5 replicas], ",
	} {
		got, err := one(t.Context(), target, group)
		if text := fmt.Sprintf("%d serve, %d pending, %d desired, %s, %s", got.InService, got.Pending, got.Desired, got.Rivals, got.LaunchError); err != nil || text != want {
			t.Errorf("%s: %s, %v", group, text, err)
		}
	}
}

func (c real) kubeconfigs(t *testing.T) {
	dir := t.TempDir()
	token := c.token(t, "forescale", "forescale-scaler")
	write(t, dir, "token", token)
	path := write(t, dir, "config", fmt.Sprintf(`
contexts:
- {name: certificate, context: {cluster: c, user: certificate}}
- {name: token, context: {cluster: c, user: token}}
- {name: file, context: {cluster: c, user: file}}
- {name: plugin, context: {cluster: c, user: plugin}}
- {name: anonymous, context: {cluster: c}}
clusters: [{name: c, cluster: {server: %q, certificate-authority: %q}}]
users:
- {name: certificate, user: {client-certificate: %q, client-key: %q}}
- {name: token, user: {token: %q}}
- {name: file, user: {tokenFile: token}}
- {name: plugin, user: %s}
`, c.URL, filepath.Join(c.Dir, "ca.crt"), filepath.Join(c.Dir, "admin.crt"), filepath.Join(c.Dir, "admin.key"), token,
		execUser(t, execCredential(token, time.Now().Add(time.Hour).UTC().Format(time.RFC3339)), os.DevNull)))
	for i, context := range []string{"certificate", "token", "file", "plugin"} {
		target := c.open(t, Config{Kubeconfig: path, Context: context})
		if err := target.Scale(t.Context(), "shop/deployments/web", i); err != nil {
			t.Errorf("%s: %v", context, err)
		}
		if got, err := one(t.Context(), target, "shop/deployments/web"); err != nil || got.Desired != i {
			t.Errorf("%s: %+v, %v", context, got, err)
		}
	}
	if err := c.open(t, Config{Kubeconfig: path, Context: "anonymous"}).Scale(t.Context(), "shop/deployments/web", 1); !errors.Is(err, scaler.ErrRefused) {
		t.Errorf("anonymous: %v", err)
	}
	// The file's token is replaced by another account's, which may do nothing.
	target := c.open(t, Config{Kubeconfig: path, Context: "file"})
	c.do(t, http.MethodPost, "/api/v1/namespaces/forescale/serviceaccounts", map[string]any{"metadata": map[string]any{"name": "nobody"}})
	for _, k := range []struct {
		token string
		want  error
	}{{token, nil}, {c.token(t, "forescale", "nobody"), scaler.ErrRefused}, {token, nil}} {
		write(t, dir, "token", k.token)
		if err := target.Scale(t.Context(), "shop/deployments/web", 5); !errors.Is(err, k.want) {
			t.Errorf("after the replacement: %v, want %v", err, k.want)
		}
	}
}

func (c real) everywhere(t *testing.T) {
	group := "other/deployments/web"
	if err := c.scaler(t).Scale(t.Context(), group, 5); !errors.Is(err, scaler.ErrRefused) {
		t.Errorf("before: %v", err)
	}
	c.apply(t, "cluster.yaml")
	c.await(t, "other", shipped, "[list] [] [pods]", "[list] [autoscaling] [horizontalpodautoscalers]")
	target := c.scaler(t)
	if err := target.Scale(t.Context(), group, 5); err != nil {
		t.Error(err)
	}
	if got, err := one(t.Context(), target, group); err != nil || got.Desired != 5 || got.InService != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	token := c.token(t, "forescale", "forescale-scaler")
	for _, path := range []string{"/apis/apps/v1/deployments", "/api/v1/secrets", "/apis/apps/v1/namespaces/other/deployments/web"} {
		if code, _ := c.as(t, token, http.MethodGet, path, ""); code != http.StatusForbidden {
			t.Errorf("GET %s: %d", path, code)
		}
	}
}
