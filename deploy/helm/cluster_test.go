//go:build system

package helm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/kubetest"
	"github.com/forescale/forescale/scaler/kube"
)

// cluster is a real API server with the namespaces of the values files, the own of
// which admits no pod but of the Pod Security Standard restricted.
type cluster struct {
	*kubetest.Cluster
	admin string // kubeconfig
}

func startCluster(t *testing.T) cluster {
	t.Helper()
	c, err := kubetest.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	out := cluster{c, filepath.Join(c.Dir, "admin.conf")}
	out.kubeconfig(t, out.admin, fmt.Sprintf("{client-certificate: %q, client-key: %q}", filepath.Join(c.Dir, "admin.crt"), filepath.Join(c.Dir, "admin.key")))
	for _, name := range []string{namespace, "shop", "pay"} {
		labels := map[string]any{}
		if name == namespace {
			labels["pod-security.kubernetes.io/enforce"] = "restricted"
		}
		out.must(t, http.MethodPost, "/api/v1/namespaces", object{"metadata": map[string]any{"name": name, "labels": labels}})
	}
	for _, kind := range []string{"ServiceMonitor", "PrometheusRule"} {
		out.define(t, kind)
	}
	return out
}

// kubeconfig writes a kubeconfig file for a user.
func (c cluster) kubeconfig(t *testing.T, path, user string) {
	t.Helper()
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: test}}]
clusters: [{name: test, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: test, user: %s}]
`, c.URL, filepath.Join(c.Dir, "ca.crt"), user)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (c cluster) must(t *testing.T, method, path string, body any) object {
	t.Helper()
	code, raw, err := c.Do(t.Context(), method, path, body)
	var answer object
	if err != nil || code > 299 || json.Unmarshal(raw, &answer) != nil {
		t.Fatalf("%s %s: %d %s %v", method, path, code, raw, err)
	}
	return answer
}

// define makes a custom resource of the Prometheus operator, as little as is needed.
func (c cluster) define(t *testing.T, kind string) {
	t.Helper()
	plural := strings.ToLower(kind) + "s"
	c.must(t, http.MethodPost, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", object{
		"metadata": map[string]any{"name": plural + ".monitoring.coreos.com"},
		"spec": map[string]any{"group": "monitoring.coreos.com", "scope": "Namespaced", "names": map[string]any{"plural": plural, "kind": kind},
			"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true, "schema": map[string]any{"openAPIV3Schema": map[string]any{
				"type": "object", "properties": map[string]any{"spec": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}}}})
	until(t, kind+" is served", func() bool {
		code, _, err := c.Do(t.Context(), http.MethodGet, "/apis/monitoring.coreos.com/v1/"+plural, nil)
		return err == nil && code == http.StatusOK
	})
}

// until waits for what takes a while on a busy machine.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 1200 {
		if is() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("not within two minutes: %s", what)
}

// collection returns the path under which an object is created.
func collection(o object) string {
	plural := strings.ToLower(o.kind()) + "s"
	if strings.HasSuffix(plural, "ys") {
		plural = strings.TrimSuffix(plural, "ys") + "ies"
	}
	root := "/apis/" + o.text("apiVersion")
	if o.text("apiVersion") == "v1" {
		root = "/api/v1"
	}
	return root + "/namespaces/" + o.text("metadata", "namespace") + "/" + plural
}

// dryRun has the API server look at an object as if it were created, and refuse
// what it does not know.
const dryRun = "?dryRun=All&fieldValidation=Strict"

// Every object of every values file passes the API server, and every pod the Pod
// Security Standard.
func TestSystemARealAPIServerAcceptsTheChart(t *testing.T) {
	c := startCluster(t)
	plain := object{"metadata": map[string]any{"name": "plain"}, "spec": map[string]any{"containers": []any{map[string]any{"name": "c", "image": "none"}}}}
	if code, raw, err := c.Do(t.Context(), http.MethodPost, "/api/v1/namespaces/forescale/pods"+dryRun, plain); code != http.StatusForbidden {
		t.Fatalf("a pod without a security context: %d %s %v", code, raw, err)
	}
	for _, name := range values {
		for _, o := range render(t, name) {
			if code, raw, err := c.Do(t.Context(), http.MethodPost, collection(o)+dryRun, o); err != nil || code != http.StatusCreated {
				t.Errorf("%s: %s %s: %d %s %v", name, o.kind(), o.name(), code, raw, err)
			}
			if o.template() == nil {
				continue
			}
			pod := podOf(o)
			if code, raw, err := c.Do(t.Context(), http.MethodPost, "/api/v1/namespaces/forescale/pods"+dryRun, pod); err != nil || code != http.StatusCreated {
				t.Errorf("%s: a pod of %s: %d %s %v", name, o.name(), code, raw, err)
			}
		}
	}
	t.Run("it is installed, upgraded and removed", c.lives)
}

// podOf returns a pod of a workload, as its controller would make it.
func podOf(w object) object {
	spec, _ := w.template()["spec"].(map[string]any)
	volumes, _ := spec["volumes"].([]any)
	for _, claim := range w.list("spec", "volumeClaimTemplates") {
		volumes = append(volumes, map[string]any{"name": claim.name(), "persistentVolumeClaim": map[string]any{"claimName": claim.name()}})
	}
	spec["volumes"] = volumes
	return object{"metadata": map[string]any{"name": w.name() + "-0"}, "spec": spec}
}

func (c cluster) lives(t *testing.T) {
	env, chart := []string{"KUBECONFIG=" + c.admin}, versionless(t)
	install := func(set ...string) {
		t.Helper()
		args := []string{"upgrade", "--install", release, chart, "-n", namespace, "-f", valuesFile("kube"), "--set", strings.Join(set, ",")}
		if out, err := helm(t, env, args...); err != nil || !strings.Contains(out, "LIVE") {
			t.Fatalf("helm %v: %v\n%s", args, err, out)
		}
	}
	labels := map[string]any{"app": "web"}
	c.must(t, http.MethodPost, "/apis/apps/v1/namespaces/shop/deployments", object{"metadata": map[string]any{"name": "web"}, "spec": map[string]any{
		"selector": map[string]any{"matchLabels": labels}, "template": map[string]any{"metadata": map[string]any{"labels": labels},
			"spec": map[string]any{"containers": []any{map[string]any{"name": "web", "image": "none"}}}}}})
	install("scaler.replicas=2")
	if !t.Run("two scalers agree on one", c.elects) {
		return // there may be no Lease
	}
	before := c.must(t, http.MethodGet, leasePath, nil)
	install("scaler.replicas=3")
	if n := c.must(t, http.MethodGet, "/apis/apps/v1/namespaces/forescale/deployments/prod-forescale-scaler", nil).text("spec", "replicas"); n != "3" {
		t.Errorf("%s replicas after the upgrade", n)
	}
	if after := c.must(t, http.MethodGet, leasePath, nil); after.text("metadata", "resourceVersion") != before.text("metadata", "resourceVersion") {
		t.Errorf("the upgrade has changed the Lease: %v, before %v", after, before)
	}
	if out, err := helm(t, env, "uninstall", release, "-n", namespace); err != nil {
		t.Errorf("helm uninstall: %v\n%s", err, out)
	}
	if code, _, err := c.Do(t.Context(), http.MethodGet, "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/roles/prod-forescale-scale", nil); code != http.StatusNotFound {
		t.Errorf("the role in the namespace shop is still there: %d %v", code, err)
	}
}

// versionless returns a copy of the chart that asks for no version of Kubernetes: an
// API server that is built by go build knows none of its own.
func versionless(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := filepath.WalkDir(chart, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return errors.Join(err, os.MkdirAll(filepath.Join(dir, path), 0o700))
		}
		raw, err := os.ReadFile(path) // through symbolic links
		if entry.Name() == "Chart.yaml" {
			raw = regexp.MustCompile(`(?m)^kubeVersion:.*$`).ReplaceAll(raw, nil)
		}
		return errors.Join(err, os.WriteFile(filepath.Join(dir, path), raw, 0o600))
	}); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, chart)
}

const leasePath = "/apis/coordination.k8s.io/v1/namespaces/forescale/leases/prod-forescale-scaler"

// process is a real forescale-scaler, as the chart's service account.
type process struct {
	*exec.Cmd
	metrics string // address
	id      string
}

// leads reports whether the process says that it is the leader.
func (p process) leads(t *testing.T) bool {
	t.Helper()
	resp, err := http.Get("http://" + p.metrics + "/metrics")
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return err == nil && strings.Contains(string(raw), "\nforescale_scaler_leader 1\n")
}

func (c cluster) elects(t *testing.T) {
	bin := build(t, "forescale-scaler")
	account := "/api/v1/namespaces/forescale/serviceaccounts/prod-forescale-scaler/token"
	token := c.must(t, http.MethodPost, account, object{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": map[string]any{"expirationSeconds": 3600}}).text("status", "token")
	dir := t.TempDir()
	scaler := filepath.Join(dir, "scaler.conf")
	c.kubeconfig(t, scaler, "{token: "+token+"}")
	a, b := c.start(t, bin, dir, scaler, "a"), process{}
	until(t, "the first leads", func() bool { return a.leads(t) })
	b = c.start(t, bin, dir, scaler, "b")

	// A process whose clock is six weeks ahead sees every Lease as long over, were it to
	// believe its clock.
	ahead, err := kube.OpenElection(kube.Config{Kubeconfig: scaler}, kube.ElectionConfig{Lease: "prod-forescale-scaler", Namespace: namespace,
		Identity: "ahead", Duration: 15 * time.Second, Now: func() time.Time { return time.Now().Add(1000 * time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { gone <- ahead.Run(ctx, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }) }()
	for range 25 {
		time.Sleep(time.Second)
		if !a.leads(t) || b.leads(t) || ahead.Leading() {
			t.Fatalf("the first leads %t, the second %t, the one with the wrong clock %t", a.leads(t), b.leads(t), ahead.Leading())
		}
	}
	if holder := c.must(t, http.MethodGet, leasePath, nil).text("spec", "holderIdentity"); !strings.HasPrefix(holder, "a_") {
		t.Errorf("the Lease is held by %s", holder)
	}

	if err := a.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	until(t, "another takes over from the one that was killed", func() bool { return b.leads(t) != ahead.Leading() })
	stop()
	<-gone
	until(t, "the last one leads", func() bool { return b.leads(t) })

	c.must(t, http.MethodDelete, "/apis/rbac.authorization.k8s.io/v1/namespaces/forescale/rolebindings/prod-forescale-lease", nil)
	until(t, "a scaler that may not renew the Lease stands by", func() bool { return !b.leads(t) })
}

// start starts a scaler that has the Lease of the chart, with one group of the chart's.
func (c cluster) start(t *testing.T, bin, dir, kubeconfig, id string) process {
	t.Helper()
	config := filepath.Join(dir, id+".yaml")
	text := fmt.Sprintf(`data: %q
kubernetes: {kubeconfig: %q}
scaler:
  id: %s
  metrics_listen: 127.0.0.1:0
  election: {lease: prod-forescale-scaler, namespace: forescale, duration: 15s}
  groups:
    - {name: web, target: kube, target_name: shop/deployments/web, policy: {rule: threshold, signal: observed}}
`, filepath.Join(dir, "lake"), kubeconfig, id)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, id+".log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p := process{Cmd: exec.Command(filepath.Join(bin, "forescale-scaler"), "-config", config), id: id}
	p.Stdout, p.Stderr = log, log
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Process.Kill()
		_ = p.Wait()
		if raw, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("scaler %s:\n%s", id, raw)
		}
	})
	until(t, "scaler "+id+" serves its metrics", func() bool {
		raw, _ := os.ReadFile(log.Name())
		_, rest, found := strings.Cut(string(raw), `msg="serving metrics" addr=`)
		p.metrics, _, _ = strings.Cut(rest, "\n")
		return found
	})
	return p
}
