//go:build system

package helm

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// page returns the text of docs/kubernetes.md, and the blocks of a language in it.
func page(t *testing.T, language string) (text string, blocks []string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "kubernetes.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(raw), -1) {
		blocks = append(blocks, m[1])
	}
	return string(raw), blocks
}

// Every command of the page that needs no more than an API server is run, in order,
// with the page's own values; of kubectl, which is not there, it is checked that what
// it names exists in what was installed.
func TestSystemTheCommandsOfThePageWork(t *testing.T) {
	c := startCluster(t)
	text, shell := page(t, "sh")
	_, yamls := page(t, "yaml")
	if len(yamls) != 1 || len(shell) < 6 {
		t.Fatalf("%d blocks of values, %d of commands", len(yamls), len(shell))
	}
	dir := t.TempDir()
	values := filepath.Join(dir, "values.yaml")
	if err := os.WriteFile(values, []byte(yamls[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	bin, chart := build(t, "forescale"), versionless(t)
	ran := map[string]int{}
	for _, line := range strings.Split(strings.TrimSpace(strings.Join(shell, "")), "\n") {
		args := strings.Fields(strings.NewReplacer("deploy/helm/forescale", chart, "values.yaml", values).Replace(line))
		ran[args[0]]++
		switch args[0] {
		case "helm":
			if out, err := helm(t, []string{"KUBECONFIG=" + c.admin}, args[1:]...); err != nil || args[1] == "upgrade" && strings.Contains(line, "live=true") != strings.Contains(out, "LIVE") {
				t.Errorf("%s: %v\n%s", line, err, out)
			}
		case "forescale":
			cmd := exec.CommandContext(t.Context(), filepath.Join(bin, args[0]), args[1:]...)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "sha256:") {
				t.Errorf("%s: %v\n%s", line, err, out)
			}
		case "kubectl":
			c.named(t, line)
		default:
			t.Errorf("nothing knows how to run %s", line)
		}
	}
	if ran["helm"] < 5 || ran["forescale"] < 2 || ran["kubectl"] < 5 {
		t.Errorf("ran %v", ran)
	}
	var v map[string]any
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join("forescale", "values.yaml"))), &v); err != nil {
		t.Fatal(err)
	}
	// What the page says of the defaults.
	for path, says := range map[string]string{
		"scaler lease duration": "`scaler.lease.duration` (15s)", "retrain shards": "`retrain.shards` pods (4)", "retrain parallelism": "at a time (2)",
		"server drain delaySeconds": "Delay (5 s)", "scaler replicas": "",
	} {
		value := object(v).text(strings.Fields(path)...)
		if value == "" || !strings.Contains(strings.ReplaceAll(text, "15 s)", "15s)"), says) || says != "" && !strings.Contains(says, strings.TrimSuffix(value, "s")) {
			t.Errorf("%s is %q, and the page says %q", path, value, says)
		}
	}
}

// named checks that what a line of kubectl names is installed, as far as it is the
// chart's.
func (c cluster) named(t *testing.T, line string) {
	t.Helper()
	for pattern, path := range map[string]string{
		`cronjob/(\S+)`:           "/apis/batch/v1/namespaces/forescale/cronjobs/",
		`exec (\S+)-0 `:           "/apis/apps/v1/namespaces/forescale/statefulsets/",
		`component=(scaler)`:      "/apis/apps/v1/namespaces/forescale/deployments/forescale-",
		`lease (\S+)`:             "/apis/apps/v1/namespaces/forescale/deployments/", // the Lease has its Deployment's name
		`label namespace (\S+) `:  "/api/v1/namespaces/",
		`create namespace (\S+)$`: "/api/v1/namespaces/",
	} {
		if m := regexp.MustCompile(pattern).FindStringSubmatch(line); m != nil {
			c.must(t, "GET", path+m[1], nil)
			return
		}
	}
	if !strings.Contains(line, "create secret generic forescale-tokens --from-file=token=") {
		t.Errorf("nothing knows how to check %s", line)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
