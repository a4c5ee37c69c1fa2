//go:build system

package compose

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The whole composition, from images that were built line by line, each service in a
// root file system of its own with the very commands, configurations and addresses of
// docker-compose.yml. Models are trained with the preset fast, to be done in time.
func TestSystemTheCompositionDecides(t *testing.T) {
	if os.Getenv(insideEnv) == "" {
		stages := build(t)
		inside(t, filepath.Dir(stages["cli"]))
		return
	}
	settle(t)
	e := open(t)
	defer func() {
		for name, state := range e.down() {
			if e.project.Services[name].Build != nil && name != "s3" && !state.Success() {
				t.Errorf("%s ended with %v", name, state)
			}
		}
	}()
	e.up()

	e.until("a decision is in the journal", func() error {
		out, err := e.exec("scaler", "forescale", "explain", "web", "-config", "/etc/forescale/forescale.yaml")
		if err == nil && !strings.Contains(out, "dry-run") {
			err = errors.New("it is not in dry-run mode")
		}
		return with(err, out)
	})
	e.until("a model serves", func() error {
		out, err := e.exec("trainer", "forescale", "models", "list", "-config", "/etc/forescale/forescale.yaml")
		if err == nil && !strings.Contains(out, "\nweb ") {
			err = errors.New("there is no model")
		}
		return with(err, out)
	})
	t.Run("the commands of the page on Docker do what they say", func(t *testing.T) { checkPage(t, e) })
	t.Run("nobody is let in without a token", func(t *testing.T) { checkTokens(t, e) })
	t.Run("nobody is let in without a password", func(t *testing.T) { checkBroker(t, e) })
	t.Run("Prometheus and Alertmanager see everything", func(t *testing.T) { checkPrometheus(t, e) })
	t.Run("no secret is in a log", func(t *testing.T) { checkLogs(t, e) })
	t.Run("the root file system cannot be written to", func(t *testing.T) {
		if out, err := e.exec("trainer", "forescale", "key", "-out", "/usr/local/bin/x"); err == nil || !strings.Contains(out, "read-only") {
			t.Errorf("%v: %s", err, out)
		}
	})
}

func with(err error, out string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", err, out)
}

// open returns the engine of the composition.
func open(t *testing.T) *engine {
	t.Helper()
	dir := os.Getenv("FORESCALE_COMPOSE_IMAGES")
	e := &engine{t: t, dir: filepath.Join(dir, "run"), stages: map[string]string{}, images: images(t, readDockerfile(t)),
		project: project(t), running: map[string]*container{}, foreign: map[string][]string{
			"eclipse-mosquitto": {fromEnv(t, "FORESCALE_MOSQUITTO"), "-c", "/mosquitto/config/mosquitto.conf"},
			"prom/prometheus":   {fromEnv(t, "FORESCALE_PROMETHEUS")},
			"prom/alertmanager": {fromEnv(t, "FORESCALE_ALERTMANAGER")},
		}}
	for target := range e.images {
		e.stages[target] = filepath.Join(dir, target)
	}
	e.must(os.MkdirAll(e.dir, 0o755))
	raw, err := os.ReadFile("forescale.yaml")
	e.must(err)
	text := strings.Replace(string(raw), "preset: default", "preset: fast", 1)
	if text == string(raw) {
		t.Fatal("the configuration has no preset to replace")
	}
	e.config = filepath.Join(e.dir, "config.yaml")
	e.must(os.WriteFile(e.config, []byte(text), 0o644))
	return e
}

// fromEnv returns the program that a variable names.
func fromEnv(t *testing.T, name string) string {
	t.Helper()
	path := os.Getenv(name)
	if path == "" {
		t.Fatalf("set %s to the path of the program; `make test-system` does", name)
	}
	return path
}

// secret returns a secret that forescale init has made.
func (e *engine) secret(path string) string {
	e.t.Helper()
	raw, err := os.ReadFile(filepath.Join(e.dir, "volumes", "secrets", path))
	e.must(err)
	return strings.TrimSpace(string(raw))
}

// status asks for a path of the server with a token, and returns the status.
func status(t *testing.T, path, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:8650"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func checkTokens(t *testing.T, e *engine) {
	for _, c := range []struct {
		path, client string
		want         int
	}{
		{"/api/v1/groups", "", 401}, {"/metrics", "", 401}, {"/readyz", "", 200},
		{"/api/v1/groups", "operator", 200}, {"/metrics", "operator", 200},
		{"/metrics", "prometheus", 200}, {"/api/v1/groups", "prometheus", 403}, {"/metrics", "scaler", 403},
	} {
		token := ""
		if c.client != "" {
			token = e.secret(c.client + "/server-token")
		}
		if got := status(t, c.path, token); got != c.want {
			t.Errorf("%s as %q: %d, want %d", c.path, c.client, got, c.want)
		}
	}
	shown, err := e.exec("scaler", "forescale", "init", "-dir", "/run/secrets", "-show", "operator")
	if err == nil {
		t.Errorf("the scaler sees the operator's token: %s", shown)
	}
}

// checkPage runs the commands of docs/docker.md that need no engine of their own.
func checkPage(t *testing.T, e *engine) {
	ran := 0
	for _, line := range pageCommands(t) {
		args := words(line)
		rest := args[2:]
		var out string
		var err error
		switch {
		case slices.Equal(args[:3], []string{"docker", "compose", "exec"}):
			out, err = e.exec(rest[1], rest[2:]...)
		case slices.Equal(args[:4], []string{"docker", "compose", "run", "--rm"}):
			out, err = e.run(rest[2], rest[3:]...)
		default:
			continue
		}
		ran++
		if err != nil || out == "" {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
		if _, client, shows := strings.Cut(line, "-show "); shows {
			if want := e.secret(client + "/" + map[string]string{"operator": "server-token", "sensor": "mqtt-password"}[client]); strings.TrimSpace(out) != want {
				t.Errorf("%s: it shows %q", line, out)
			}
		}
	}
	if ran < 8 {
		t.Errorf("only %d commands were run", ran)
	}
}

func checkBroker(t *testing.T, e *engine) {
	publish := func(args ...string) error {
		args = append([]string{"-h", "127.0.0.1", "-V", "mqttv5", "-q", "1", "-t", "forescale/v1/web/rack-1/temperature",
			"-m", fmt.Sprintf(`{"time":%d,"value":21.5}`, time.Now().UnixMilli())}, args...)
		out, err := exec.Command(fromEnv(t, "FORESCALE_MOSQUITTO_PUB"), args...).CombinedOutput()
		return with(err, string(out))
	}
	for name, args := range map[string][]string{"nobody": nil, "a wrong password": {"-u", "sensor", "-P", "sensor"}} {
		if publish(args...) == nil {
			t.Errorf("%s may publish", name)
		}
	}
	if err := publish("-u", "sensor", "-P", e.secret("sensor/mqtt-password")); err != nil {
		t.Fatal(err)
	}
	e.until("the collector has the reading", func() error {
		_, body, err := get("http://127.0.0.1:9464/metrics")
		if err == nil && !strings.Contains(body, `forescale_collector_mqtt_readings_total{source="mqtt"} 1`) {
			err = errors.New("it counts no reading")
		}
		return err
	})
}

func get(address string) (status int, body string, err error) {
	resp, err := http.Get(address)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(raw), err
}

func checkPrometheus(t *testing.T, e *engine) {
	for _, query := range []string{
		`count(up{job="forescale"} == 1) == 3`,
		`forescale_scaler_last_tick_timestamp_seconds > 0`,
		`forescale_collector_last_tick_timestamp_seconds > 0`,
		`forescale_model_info{model="web"} == 1`,
	} {
		e.until(query, func() error {
			_, body, err := get("http://127.0.0.1:9090/api/v1/query?query=" + url.QueryEscape(query))
			var answer struct{ Data struct{ Result []any } }
			if err = errors.Join(err, json.Unmarshal([]byte(body), &answer)); err == nil && len(answer.Data.Result) == 0 {
				err = errors.New("no result")
			}
			return err
		})
	}
	_, body, err := get("http://127.0.0.1:9090/api/v1/rules")
	if err != nil || !strings.Contains(body, "ForescaleNoDecisions") || !strings.Contains(body, "ForescaleServerSlow") || strings.Contains(body, `"health":"err"`) {
		t.Errorf("rules: %v\n%.2000s", err, body)
	}
	if _, body, err = get("http://127.0.0.1:9090/api/v1/alertmanagers"); err != nil || !strings.Contains(body, "alertmanager:9093") {
		t.Errorf("alertmanagers: %v\n%s", err, body)
	}
	if code, _, err := get("http://127.0.0.1:9093/-/ready"); err != nil || code != http.StatusOK {
		t.Errorf("Alertmanager: %d, %v", code, err)
	}
}

func checkLogs(t *testing.T, e *engine) {
	for _, path := range []string{"scaler/server-token", "operator/server-token", "prometheus/server-token", "s3/secret-key", "collector/mqtt-password", "sensor/mqtt-password"} {
		secret := e.secret(path)
		for name, c := range e.running {
			if raw, err := os.ReadFile(c.log.Name()); err != nil || strings.Contains(string(raw), secret) {
				t.Errorf("the log of %s has %s (%v)", name, path, err)
			}
		}
	}
}

func TestSystemTheOthersAcceptTheirConfigurations(t *testing.T) {
	rules, err := filepath.Abs("../prometheus")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(t.TempDir(), "token")
	config := filepath.Join(t.TempDir(), "prometheus.yml")
	text := strings.NewReplacer("/etc/prometheus/rules", rules, "/run/secrets/prometheus/server-token", token).Replace(string(raw))
	for path, content := range map[string]string{token: "x", config: text} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, argv := range [][]string{{fromEnv(t, "FORESCALE_PROMTOOL"), "check", "config", config}, {fromEnv(t, "FORESCALE_AMTOOL"), "check-config", "alertmanager.yml"}} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", argv, err, out)
		}
	}
}
