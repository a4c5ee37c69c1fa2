//go:build system

package kube

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/kubetest"
)

// real is a cluster with the shipped account, and the helpers of these tests.
type real struct {
	*kubetest.Cluster
}

// do makes a call as administrator, which must succeed, and returns the answer.
func (c real) do(t *testing.T, method, path string, body any) map[string]any {
	t.Helper()
	code, raw, err := c.Do(t.Context(), method, path, body)
	if err != nil || code < 200 || code > 299 {
		t.Fatalf("%s %s: %d %s %v", method, path, code, raw, err)
	}
	var answer map[string]any
	if err := json.Unmarshal(raw, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// collectionOf returns the path under which objects of a kind are created.
func collectionOf(kind, namespace string) string {
	api := "/apis/rbac.authorization.k8s.io/v1/"
	if kind == "Namespace" || kind == "ServiceAccount" {
		api = "/api/v1/"
	}
	if namespace != "" {
		api += "namespaces/" + namespace + "/"
	}
	return api + strings.ToLower(kind) + "s"
}

// apply creates the objects of a file of deploy/kubernetes whose name is one of
// names, or all.
func (c real) apply(t *testing.T, file string, names ...string) {
	t.Helper()
	for _, m := range manifests(t, file) {
		if len(names) > 0 && !slices.Contains(names, m.Metadata.Name) {
			continue
		}
		c.do(t, http.MethodPost, collectionOf(m.Kind, m.Metadata.Namespace), m)
	}
}

// token returns a token of a service account, as the kubelet asks for it.
func (c real) token(t *testing.T, namespace, name string) string {
	t.Helper()
	got := c.do(t, http.MethodPost, "/api/v1/namespaces/"+namespace+"/serviceaccounts/"+name+"/token", map[string]any{
		"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": map[string]any{"expirationSeconds": 600}})
	return got["status"].(map[string]any)["token"].(string)
}

// mount writes the folder that the kubelet mounts, and returns the configuration
// of a scaler in a pod.
func (c real) mount(t *testing.T, token string) Config {
	t.Helper()
	dir := t.TempDir()
	ca, err := os.ReadFile(filepath.Join(c.Dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "ca.crt", string(ca))
	write(t, dir, "token", token)
	u, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	return Config{Host: u.Hostname(), Port: u.Port(), ServiceAccount: dir}
}

func (c real) open(t *testing.T, cfg Config) *Target {
	t.Helper()
	target, err := Open(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(target.client.http.CloseIdleConnections)
	return target
}

// scaler is a scaler in a pod under the shipped account.
func (c real) scaler(t *testing.T) *Target {
	t.Helper()
	return c.open(t, c.mount(t, c.token(t, "forescale", "forescale-scaler")))
}

// as makes a call with a token and returns the code and the answer.
func (c real) as(t *testing.T, token, method, path, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, c.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	target := c.open(t, c.mount(t, token))
	resp, err := target.client.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// workloads creates a Deployment, a StatefulSet and a Widget named web, of 4
// replicas, in a namespace.
func (c real) workloads(t *testing.T, namespace string) {
	t.Helper()
	template := map[string]any{
		"metadata": map[string]any{"labels": map[string]any{"app": "web"}},
		"spec":     map[string]any{"containers": []any{map[string]any{"name": "c", "image": "none"}}},
	}
	spec := func(more map[string]any) map[string]any {
		more["replicas"], more["selector"], more["template"] = 4, map[string]any{"matchLabels": map[string]any{"app": "web"}}, template
		return more
	}
	meta := map[string]any{"name": "web"}
	c.do(t, http.MethodPost, "/api/v1/namespaces", map[string]any{"metadata": map[string]any{"name": namespace}})
	c.do(t, http.MethodPost, "/apis/apps/v1/namespaces/"+namespace+"/deployments", map[string]any{"metadata": meta, "spec": spec(map[string]any{})})
	c.do(t, http.MethodPost, "/apis/apps/v1/namespaces/"+namespace+"/statefulsets", map[string]any{"metadata": meta, "spec": spec(map[string]any{"serviceName": "web"})})
	c.do(t, http.MethodPost, "/apis/example.com/v1/namespaces/"+namespace+"/widgets", map[string]any{
		"apiVersion": "example.com/v1", "kind": "Widget", "metadata": meta, "spec": map[string]any{"replicas": 4}})
}

// widgets defines a custom resource with a Scale of at most 10 replicas.
func (c real) widgets(t *testing.T) {
	t.Helper()
	number := map[string]any{"type": "integer", "maximum": 10}
	object := func(properties map[string]any) map[string]any {
		return map[string]any{"type": "object", "properties": properties}
	}
	c.do(t, http.MethodPost, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", map[string]any{
		"metadata": map[string]any{"name": "widgets.example.com"},
		"spec": map[string]any{"group": "example.com", "scope": "Namespaced", "names": map[string]any{"plural": "widgets", "kind": "Widget"},
			"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": object(map[string]any{"spec": object(map[string]any{"replicas": number}),
					"status": object(map[string]any{"replicas": map[string]any{"type": "integer"}, "selector": map[string]any{"type": "string"}})})},
				"subresources": map[string]any{"status": map[string]any{}, "scale": map[string]any{
					"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}},
			}}}})
	for range 200 { // until it is served, and found by discovery
		if code, _, err := c.Do(t.Context(), http.MethodGet, "/apis/example.com/v1/widgets", nil); err == nil && code == http.StatusOK {
			if code, raw, _ := c.Do(t.Context(), http.MethodGet, "/apis/example.com", nil); code == http.StatusOK && strings.Contains(string(raw), "preferredVersion") {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the custom resource is not served")
}

// rules returns what the API server says that the shipped account may do in a
// namespace, besides what everybody may ask about oneself.
func (c real) rules(t *testing.T, namespace string) (rules []string) {
	t.Helper()
	review := fmt.Sprintf(`{"kind":"SelfSubjectRulesReview","apiVersion":"authorization.k8s.io/v1","spec":{"namespace":%q}}`, namespace)
	code, answer := c.as(t, c.token(t, "forescale", "forescale-scaler"), http.MethodPost, "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review)
	if code != http.StatusCreated {
		t.Fatalf("%d %v", code, answer)
	}
	for _, rule := range answer["status"].(map[string]any)["resourceRules"].([]any) {
		r := rule.(map[string]any)
		if text := fmt.Sprintf("%v %v %v", r["verbs"], r["apiGroups"], r["resources"]); !strings.Contains(text, "[selfsubject") {
			rules = append(rules, text)
		}
	}
	return rules
}

// await returns once the API server, which watches its own roles, knows of rules.
func (c real) await(t *testing.T, namespace string, rules ...string) {
	t.Helper()
	for range 200 {
		known := c.rules(t, namespace)
		if !slices.ContainsFunc(rules, func(r string) bool { return !slices.Contains(known, r) }) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("the account may %q, not %q", c.rules(t, namespace), rules)
}
