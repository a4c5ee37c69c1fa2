//go:build system

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	collectorprometheus "github.com/forescale/forescale/collector/prometheus"
)

// The alert rules that we ship, seen from here.
const (
	alertRules = "../../deploy/prometheus/forescale.rules.yml"
	alertTests = "../../deploy/prometheus/forescale.rules.test.yml"

	serverRules     = "../../deploy/prometheus/server.rules.yml"
	serverRuleTests = "../../deploy/prometheus/server.rules.test.yml"
)

// A whole installation on the wall clock, each part a process of its own, under
// the eyes of the real Prometheus with our alert rules.
func TestSystemPrometheusScrapesServerCollectorAndScaler(t *testing.T) {
	w := startWallClock(t)
	// A metric by outcome is there once it has happened: one window of a group without a model.
	post(t, w.server+"/predict", `{"windows": [{"group": "of no model", "end": "2026-03-02T12:00:00Z", "step_seconds": 300, "series": {}}]}`)
	prometheus := startPrometheus(t, w.server, w.collector, w.scaler)
	for _, query := range []string{
		`count(up{job="forescale"} == 1) == 3`,
		`forescale_model_info{model="web",version="1"} == 1`,
		`forescale_predict_rows_total{model="web"} > 0`,
		`sum(forescale_http_requests_total{route="/predict",code="200"}) > 0`,
		`histogram_quantile(0.99, sum by (le) (forescale_predict_run_duration_seconds_bucket)) < 10`,
		`time() - forescale_registry_last_read_timestamp_seconds < 120`,
		`forescale_model_version{model="web"} == 1`,
		`forescale_model_failing{model="web"} == 0`,
		`forescale_model_training_score{model="web",measure="wape"} > 0`,
		`time() - forescale_model_trained_until_timestamp_seconds{model="web"} > 0`,
		`forescale_predict_batch_rows_count > 0`,
		`forescale_predict_wait_duration_seconds_count > 0`,
		`forescale:model_age_seconds{model="web"} > 0`,
		`forescale_collector_ticks_total{result="ok"} > 0`,
		`forescale_collector_samples_total > 0`,
		`time() - forescale_collector_last_tick_timestamp_seconds < 900`,
		`time() - forescale_scaler_last_tick_timestamp_seconds < 900`,
		`forescale_scaler_group_instances{group="web",kind="desired"} > 0`,
		`sum(forescale_scaler_groups) == 1`,
	} {
		prometheus.until(query)
	}
	prometheus.checkRules()
	prometheus.readBack()
	for name, base := range map[string]string{"server": w.server, "collector": w.collector, "scaler": w.scaler} {
		cmd := exec.Command(fromEnv(t, "FORESCALE_PROMTOOL"), "check", "metrics")
		cmd.Stdin = bytes.NewReader(get(t, base+"/metrics"))
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("promtool finds fault with the metrics of the %s (%v):\n%s", name, err, out)
		}
	}
}

func TestSystemPrometheusAlertsFireWhenTheyShould(t *testing.T) {
	promtool := fromEnv(t, "FORESCALE_PROMTOOL")
	for _, args := range [][]string{{"check", "rules", alertRules, serverRules}, {"test", "rules", alertTests, serverRuleTests}} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// wallClock is an installation whose cloud, collector, server and scaler run by the
// wall clock, with base URLs.
type wallClock struct{ server, collector, scaler string }

func startWallClock(t *testing.T) wallClock {
	t.Helper()
	s := &system{t: t, places: directory(t), dir: t.TempDir(), bin: programs(t), kills: map[string]int{}}
	cloud := exec.Command(filepath.Join(s.bin, "forescale"), "cloud", "-listen", "127.0.0.1:0", "-history", "168h")
	s.endpoint = daemon(t, cloud, `listening on (http://[0-9.:]+)`)
	s.configure()
	s.mustRun("collector", "-backfill", "3d")
	s.mustRun("trainer", "-group", "web", "-epochs", "2", "-out", filepath.Join(s.dir, "model"))
	s.startServer()
	s.mustRun("scaler", "-once")
	s.metricsListen = "127.0.0.1:0"
	s.configure()
	collector := "http://" + daemon(t, s.command("collector"), `msg="serving metrics" addr=([0-9.:]+)`)
	scaler := "http://" + daemon(t, s.command("scaler", "-listen", "127.0.0.1:0"), `msg="serving metrics" addr=([0-9.:]+)`)
	return wallClock{server: s.serverAt, collector: collector, scaler: scaler}
}

func (s *system) mustRun(name string, args ...string) {
	s.t.Helper()
	if out, err := s.command(name, args...).CombinedOutput(); err != nil {
		s.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// daemon starts a program that runs until the test ends, and returns what the
// pattern's group matches in its output.
func daemon(t *testing.T, cmd *exec.Cmd, pattern string) string {
	t.Helper()
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait(); w.Close() }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(10 * time.Second):
			t.Errorf("%s does not stop", cmd.Path)
			cmd.Process.Kill()
			<-exited
		}
	})
	wanted, found := regexp.MustCompile(pattern), make(chan string, 1)
	var log bytes.Buffer
	go func() { // reads to the end, so that the program never waits for us
		defer close(found)
		for lines := bufio.NewScanner(r); lines.Scan(); {
			if m := wanted.FindStringSubmatch(lines.Text()); m != nil && len(found) == 0 {
				found <- m[1]
			}
			if log.Len() < 1<<16 {
				log.WriteString(lines.Text() + "\n")
			}
		}
	}()
	select {
	case at, ok := <-found:
		if !ok {
			t.Fatalf("%s ended:\n%s", cmd.Path, log.Bytes())
		}
		return at
	case <-time.After(2 * time.Minute):
		t.Fatalf("%s never said %s", cmd.Path, pattern)
	}
	return ""
}

// prometheusServer is the real one.
type prometheusServer struct {
	t    *testing.T
	base string
}

func startPrometheus(t *testing.T, targets ...string) *prometheusServer {
	t.Helper()
	dir := t.TempDir()
	rules, err := filepath.Abs(alertRules)
	if err != nil {
		t.Fatal(err)
	}
	ofServer := filepath.Join(filepath.Dir(rules), filepath.Base(serverRules))
	hosts := make([]string, len(targets))
	for i, target := range targets {
		hosts[i] = fmt.Sprintf("%q", strings.TrimPrefix(target, "http://"))
	}
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf(`global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q, %q]
scrape_configs:
  - job_name: forescale
    static_configs: [{targets: [%s]}]
`, rules, ofServer, strings.Join(hosts, ", "))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // it says nothing of the port that it got for 0
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	l.Close()
	cmd := exec.Command(fromEnv(t, "FORESCALE_PROMETHEUS"), "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "tsdb"),
		"--web.listen-address="+at)
	daemon(t, cmd, `(Server is ready to receive web requests)`)
	return &prometheusServer{t: t, base: "http://" + at}
}

// ask decodes the data of an answer of the HTTP interface.
func (p *prometheusServer) ask(path string, data any) {
	p.t.Helper()
	answer := struct{ Data any }{data}
	if err := json.Unmarshal(get(p.t, p.base+"/api/v1/"+path), &answer); err != nil {
		p.t.Fatalf("%s: %v", path, err)
	}
}

// until waits until a query has a result.
func (p *prometheusServer) until(query string) {
	p.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		var data struct{ Result []any }
		p.ask("query?query="+url.QueryEscape(query), &data)
		if len(data.Result) > 0 {
			return
		}
	}
	p.t.Errorf("never true: %s", query)
}

// readBack asks for what was scraped of our own server as the collector does: at the
// next full minute, when a slot has ended.
func (p *prometheusServer) readBack() {
	p.t.Helper()
	const step = time.Minute
	source, err := collectorprometheus.Open("prometheus", collectorprometheus.Config{URL: p.base, Queries: []collectorprometheus.Query{
		{Metric: "models_loaded", Stat: api.StatAvg, Expr: "max by (model) (forescale_model_info)", Group: "{model}"}}}, step, slog.New(slog.DiscardHandler))
	if err != nil {
		p.t.Fatal(err)
	}
	var samples []api.Sample
	var to time.Time
	for deadline := time.Now().Add(3 * step / 2); len(samples) == 0 && time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		to = time.Now().Truncate(step)
		if samples, err = source.Fetch(p.t.Context(), to.Add(-step), to); err != nil {
			p.t.Fatal(err)
		}
	}
	want := []api.Sample{{Group: "web", Metric: "models_loaded", Stat: api.StatAvg, Time: to.Add(-step).UTC(), Value: 1}}
	if !slices.Equal(samples, want) {
		p.t.Errorf("read back %+v, want %+v", samples, want)
	}
}

// checkRules tells whether Prometheus evaluates our rules, none of them fires on
// a sound installation, and each metric that they speak of exists.
func (p *prometheusServer) checkRules() {
	p.t.Helper()
	var names []string
	p.ask("label/__name__/values", &names)
	known := map[string]bool{}
	for _, name := range names {
		known[name] = true
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Name, Query, Health, State, LastError string }
		}
	}
	p.ask("rules", &rules)
	metric := regexp.MustCompile(`forescale_[a-z_]+`)
	count := 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			count++
			if r.Health != "ok" || r.State == "firing" {
				p.t.Errorf("alert %s is %s and %s on a sound installation: %s", r.Name, r.Health, r.State, r.LastError)
			}
			for _, name := range metric.FindAllString(r.Query, -1) {
				if !known[name] && !strings.HasPrefix(name, "forescale_shadow_") { // no model has a shadow here
					p.t.Errorf("alert %s asks for %s, which nothing exports", r.Name, name)
				}
			}
		}
	}
	if count == 0 {
		p.t.Error("no rules are loaded")
	}
}

func get(t *testing.T, url string) []byte { t.Helper(); return request(t, http.MethodGet, url, "") }

func post(t *testing.T, url, body string) { t.Helper(); request(t, http.MethodPost, url, body) }

func request(t *testing.T, method, url, content string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if content != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v\n%s", url, resp.Status, err, body)
	}
	return body
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
