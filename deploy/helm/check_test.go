//go:build system

package helm

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/certtest"
)

// build returns a folder with the real programs.
func build(t *testing.T, programs ...string) string {
	t.Helper()
	dir := t.TempDir()
	args := []string{"build", "-o", dir + string(filepath.Separator)}
	for _, p := range programs {
		args = append(args, "../../cmd/"+p)
	}
	if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return dir
}

// pod is a folder with what a workload's pods have under /etc/forescale: what is
// mounted, and nothing else. The folder of /var/lib/forescale is it, too.
func pod(t *testing.T, bin string, w object) string {
	t.Helper()
	dir := t.TempDir()
	mounted := map[string]bool{}
	for _, m := range w.template().list("spec", "containers")[0].list("volumeMounts") {
		mounted[m.text("mountPath")] = true
	}
	cert, key := certtest.New(t, "authority").Issue("prod-forescale-server.forescale.svc", time.Now().Add(time.Hour))
	for path, content := range map[string]string{
		"tls/tls.crt": string(cert), "tls/tls.key": string(key), "server-ca/ca.crt": string(cert), "server-token/token": "token", "server-token/scaler": "token",
		"calendar/business_calendar.json": `{"is_holiday": 0}`, "secrets/prometheus/token": "token", "signing-key/.keep": "",
	} {
		if !mounted["/etc/forescale/"+filepath.Dir(path)] {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !mounted["/etc/forescale/signing-key"] {
		return dir
	}
	if out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "forescale"), "key", "-out", filepath.Join(dir, "signing-key/models.key")).CombinedOutput(); err != nil {
		t.Fatalf("forescale key: %v\n%s", err, out)
	}
	return dir
}

// Each program accepts the configuration that its pod has, with the command line
// that its pod has.
func TestSystemTheProgramsAcceptTheConfiguration(t *testing.T) {
	bin := build(t, "forescale", "forescale-collector", "forescale-scaler", "forescale-server")
	for _, name := range values {
		all := render(t, name)
		config := find(t, all, "ConfigMap", "prod-forescale").text("data", "forescale.yaml")
		for _, w := range workloads(all) {
			dir := pod(t, bin, w)
			text := strings.NewReplacer("/etc/forescale/", dir+"/", "/var/lib/forescale", dir,
				"http://s3.storage.svc:7070", "http://127.0.0.1:1", "?region=eu-central-1", "?region=eu-central-1&endpoint=http://127.0.0.1:1",
				"?region=eu-west-1", "?region=eu-west-1&endpoint=http://127.0.0.1:1").Replace(config)
			if err := os.WriteFile(filepath.Join(dir, "forescale.yaml"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			c := w.template().list("spec", "containers")[0]
			image, _, _ := strings.Cut(filepath.Base(c.text("image")), ":")
			image = strings.TrimSuffix(image, "-cli") // of the program forescale
			var args []string
			raw, _ := json.Marshal(c["args"])
			if err := json.Unmarshal([]byte(strings.ReplaceAll(string(raw), "/etc/forescale/", dir+"/")), &args); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), filepath.Join(bin, image), append(args, "-check")...)
			cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=x", "AWS_EC2_METADATA_DISABLED=true", "JOB_COMPLETION_INDEX=1")
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "configuration is valid") {
				t.Errorf("%s: %s %v: %v\n%s\nof\n%s", name, image, args, err, out, text)
			}
		}
	}
}
