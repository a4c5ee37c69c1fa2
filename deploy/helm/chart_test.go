//go:build system

package helm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	chart     = "forescale"
	release   = "prod"
	namespace = "forescale"
)

// values are the values files of the tests.
var values = []string{"aws", "kube", "small"}

func valuesFile(name string) string { return filepath.Join("testdata", name+".yaml") }

// helm runs the real Helm, which finds nothing of this machine's own.
func helm(t *testing.T, env []string, args ...string) (out string, err error) {
	t.Helper()
	program := os.Getenv("FORESCALE_HELM")
	if program == "" {
		t.Fatal("FORESCALE_HELM is not set: run the tests with 'make test-system'")
	}
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append([]string{"HOME=" + home, "KUBECONFIG=" + filepath.Join(home, "none"), "PATH=" + os.Getenv("PATH")}, env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	raw, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, stderr.String())
	}
	return string(raw), err
}

// render returns the objects of a values file and further settings.
func render(t *testing.T, name string, set ...string) []object {
	t.Helper()
	args := []string{"template", release, chart, "-n", namespace, "-f", valuesFile(name)}
	for _, s := range set {
		args = append(args, "--set", s) // an empty one sets nothing
	}
	out, err := helm(t, nil, args...)
	if err != nil {
		t.Fatal(err)
	}
	var all []object
	for dec := yaml.NewDecoder(strings.NewReader(out)); ; {
		var o map[string]any // of an object the decoder would make objects all the way down
		switch err := dec.Decode(&o); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		case o != nil:
			all = append(all, o)
		}
	}
}

// object is one of Kubernetes.
type object map[string]any

// at returns what is at a path of keys, nil when there is nothing.
func (o object) at(path ...string) any {
	var v any = map[string]any(o)
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

func (o object) text(path ...string) string {
	if v := o.at(path...); v != nil {
		return fmt.Sprint(v)
	}
	return ""
}

func (o object) list(path ...string) (all []object) {
	items, _ := o.at(path...).([]any)
	for _, item := range items {
		m, _ := item.(map[string]any)
		all = append(all, m)
	}
	return all
}

func (o object) kind() string { return o.text("kind") }
func (o object) name() string { return o.text("metadata", "name") }

// template returns the pod template of a workload, nil of anything else.
func (o object) template() object {
	path := []string{"spec", "template"}
	if o.kind() == "CronJob" {
		path = []string{"spec", "jobTemplate", "spec", "template"}
	}
	t, _ := o.at(path...).(map[string]any)
	return t
}

// find returns the object of a kind and name.
func find(t *testing.T, all []object, kind, name string) object {
	t.Helper()
	for _, o := range all {
		if o.kind() == kind && o.name() == name {
			return o
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return nil
}

// workloads returns those with pods.
func workloads(all []object) []object {
	return slices.DeleteFunc(slices.Clone(all), func(o object) bool { return o.template() == nil })
}

func TestSystemHelmFindsNoFaultWithTheChart(t *testing.T) {
	args := [][]string{{"lint", "--strict", chart}}
	for _, name := range values {
		args = append(args, []string{"lint", "--strict", chart, "-f", valuesFile(name)})
	}
	for _, a := range args {
		if out, err := helm(t, nil, a...); err != nil || strings.Contains(out, "[WARN") {
			t.Errorf("helm %s: %v\n%s", strings.Join(a, " "), err, out)
		}
	}
}

// What cannot work is refused before anything is installed, with what to do.
func TestSystemTheChartRefusesWhatCannotWork(t *testing.T) {
	for name, c := range map[string]struct{ set, says string }{
		"no data lake":                     {"data=", "data: is empty"},
		"a lake on a pod's disk":           {"data=file:///data", "does not match pattern"},
		"a password in a URL":              {"data=s3://me:secret@bucket/x", "does not match pattern"},
		"no registry":                      {"models=", "models: is empty"},
		"nothing to scale":                 {"config.scaler.groups=null", "config.scaler.groups: is empty"},
		"no metrics":                       {"config.collector.sources=null", "config.collector.sources: is empty"},
		"nobody may ask the server":        {"server.clients=null", "server.clients: is empty"},
		"a token where its hash belongs":   {"server.clients[0].token=Zm9yZXNjYWxl", "does not match pattern"},
		"tokens in clear text":             {"server.tls.secretName=", "server.tls.secretName: is empty"},
		"a scaler without a token":         {"scaler.serverToken.secretName=", "scaler.serverToken.secretName: is empty"},
		"monitoring without a token":       {"monitoring.enabled=true,monitoring.serverToken.secretName=", "monitoring.serverToken.secretName: is empty"},
		"a value that is not there":        {"scalar.live=true", "scalar"},
		"a value of another kind":          {"scaler.replicas=many", "got string, want integer"},
		"what the chart writes itself":     {"config.data=s3://other", "data"},
		"another server than the chart's":  {"config.scaler.server=http://other", "server"},
		"an address than others can't use": {"config.server.listen=127.0.0.1:1", "listen"},
		"a target name of other tools":     {"config.scaler.groups[0].target=kube", "write NAMESPACE/deployments/NAME"},
		"no request of cpu":                {"server.resources.requests.cpu=null", "cpu"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := helm(t, nil, "template", release, chart, "-f", valuesFile("aws"), "--set", c.set)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("it says %v\n%.500s", err, out)
			}
		})
	}
}

// What every pod must be, whatever the values.
func TestSystemEveryPodIsAsItShouldBe(t *testing.T) {
	for _, name := range values {
		all := render(t, name)
		there := map[string]bool{}
		for _, o := range all {
			there[o.kind()+" "+o.name()] = true
			if ns := o.text("metadata", "namespace"); ns != namespace && o.text("metadata", "labels", "app.kubernetes.io/component") != "scaler" {
				t.Errorf("%s: %s %s is in namespace %q", name, o.kind(), o.name(), ns)
			}
		}
		if n := len(workloads(all)); n < 3 {
			t.Errorf("%s: %d workloads", name, n)
		}
		for _, w := range workloads(all) {
			checkPod(t, name+": "+w.name(), w, there)
		}
	}
}

func checkPod(t *testing.T, where string, w object, there map[string]bool) {
	bad := func(format string, args ...any) { t.Errorf("%s: %s", where, fmt.Sprintf(format, args...)) }
	pod := w.template()
	if !there["ServiceAccount "+pod.text("spec", "serviceAccountName")] {
		bad("its account %s is not there", pod.text("spec", "serviceAccountName"))
	}
	// Only the scaler speaks to the API server.
	if want := fmt.Sprint(strings.HasSuffix(w.name(), "-scaler")); pod.text("spec", "automountServiceAccountToken") != want {
		bad("automountServiceAccountToken is not %s", want)
	}
	selector, _ := w.at("spec", "selector", "matchLabels").(map[string]any)
	for key, v := range selector {
		if pod.text("metadata", "labels", key) != v {
			bad("its pods have no label %s: %s", key, v)
		}
	}
	volumes := map[string]bool{}
	for _, v := range append(pod.list("spec", "volumes"), w.list("spec", "volumeClaimTemplates")...) {
		volumes[v.text("name")+v.name()] = true
		if mode := v.text("secret", "defaultMode"); v["secret"] != nil && mode != "288" && v.at("secret", "items") == nil { // 0440
			bad("the Secret %s has mode %q", v.text("name"), mode)
		}
	}
	for _, c := range pod.list("spec", "containers") {
		if c.text("resources", "requests", "cpu") == "" || c.text("resources", "requests", "memory") == "" || c.text("resources", "limits", "memory") == "" {
			bad("resources are %v", c["resources"])
		}
		for _, key := range []string{"allowPrivilegeEscalation false", "readOnlyRootFilesystem true", "capabilities map[drop:[ALL]]"} {
			field, want, _ := strings.Cut(key, " ")
			if got := c.text("securityContext", field); got != want {
				bad("%s is %s", field, got)
			}
		}
		for _, e := range c.list("env") {
			if e["value"] != nil {
				bad("%s is not a reference", e.text("name"))
			}
		}
		mounted := map[string]bool{}
		for _, m := range c.list("volumeMounts") {
			if !volumes[m.text("name")] {
				bad("%s is mounted and not there", m.text("name"))
			}
			mounted[m.text("name")] = true
		}
		if len(mounted) != len(volumes) {
			bad("mounts %v of %v", mounted, volumes)
		}
		if w.kind() != "CronJob" && c["livenessProbe"] == nil {
			bad("it has no livenessProbe")
		}
	}
}

// A pod lives as long as it takes to drain.
func TestSystemTheGracePeriodFitsTheDrain(t *testing.T) {
	for set, want := range map[string]string{"": "30", "server.drain.delaySeconds=20,server.drain.timeoutSeconds=100": "130"} {
		all := render(t, "aws", set)
		server := find(t, all, "Deployment", "prod-forescale-server").template()
		if got := server.text("spec", "terminationGracePeriodSeconds"); got != want {
			t.Errorf("%q: %s seconds, want %s", set, got, want)
		}
	}
}
