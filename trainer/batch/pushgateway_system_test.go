//go:build system

package batch

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// startPushgateway starts the real Pushgateway and returns its address.
func startPushgateway(t *testing.T) string {
	t.Helper()
	program := os.Getenv("FORESCALE_PUSHGATEWAY")
	if program == "" {
		t.Fatal("FORESCALE_PUSHGATEWAY is not set: make test-system does")
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	var log bytes.Buffer
	cmd := exec.Command(program, "--web.listen-address="+address)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the Pushgateway says:\n%s", log.String())
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if r, err := http.Get("http://" + address + "/-/ready"); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return "http://" + address
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the Pushgateway does not become ready")
		}
	}
}

func TestSystemPushgatewayKeepsWhatRunsPush(t *testing.T) {
	address := startPushgateway(t)
	g, err := ParseGateway(address)
	if err != nil {
		t.Fatal(err)
	}
	good := Summary{Started: ended.Add(-time.Minute), Finished: ended, Results: mixed().Results[:2]}
	bad := mixed()
	bad.Finished = ended.Add(24 * time.Hour)
	for _, push := range []struct {
		s     Summary
		shard Shard
	}{{good, Shard{0, 2}}, {bad, Shard{0, 2}}, {good, Shard{1, 2}}} {
		if err := push.s.Push(t.Context(), g, push.shard, true); err != nil {
			t.Fatal(err)
		}
	}
	r, err := http.Get(address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	check(t, values(families), map[string]float64{
		`forescale_trainer_groups{instance="",job="forescale_trainer",shard="0-of-2",status="failed"}`:                     1,
		`forescale_trainer_groups{instance="",job="forescale_trainer",shard="1-of-2",status="failed"}`:                     0,
		`forescale_trainer_last_run_timestamp_seconds{instance="",job="forescale_trainer",shard="0-of-2"}`:                 float64(bad.Finished.Unix()),
		`forescale_trainer_last_success_timestamp_seconds{instance="",job="forescale_trainer",shard="0-of-2"}`:             float64(ended.Unix()),
		`forescale_trainer_model_mae{group="api",horizon_minutes="60",instance="",job="forescale_trainer",shard="0-of-2"}`: 3,
		`forescale_trainer_group_duration_seconds{instance="",job="forescale_trainer",shard="1-of-2"} count`:               1,
	})
}

func TestSystemPromtoolFindsNoFaultWithTheMetricsFile(t *testing.T) {
	promtool := os.Getenv("FORESCALE_PROMTOOL")
	if promtool == "" {
		t.Fatal("FORESCALE_PROMTOOL is not set: make test-system does")
	}
	path := filepath.Join(t.TempDir(), "forescale.prom")
	good := Summary{Started: ended.Add(-time.Minute), Finished: ended, Results: mixed().Results[:2]}
	if err := good.WriteMetrics(path, Shard{}, true); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = bytes.NewReader(raw)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool: %v\n%s\nof\n%s", err, out, raw)
	}
}
