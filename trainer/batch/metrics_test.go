package batch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// values returns "name{label="value",…}" to value of what is in a family.
func values(families map[string]*dto.MetricFamily) map[string]float64 {
	all := map[string]float64{}
	for name, family := range families {
		for _, m := range family.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			key := name + "{" + strings.Join(labels, ",") + "}"
			if h := m.Histogram; h != nil {
				all[key+" count"], all[key+" sum"] = float64(h.GetSampleCount()), h.GetSampleSum()
				continue
			}
			all[key] = m.Gauge.GetValue()
		}
	}
	return all
}

// told reads a file in the text format as node_exporter does.
func told(t *testing.T, path string) map[string]float64 {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%v in\n%s", err, raw)
	}
	return values(families)
}

func check(t *testing.T, got, want map[string]float64) {
	t.Helper()
	for key, v := range want {
		if g, ok := got[key]; !ok || g != v {
			t.Errorf("%s is %v (there: %v), want %v", key, g, ok, v)
		}
	}
}

func TestTheMetricsFileTellsOfTheRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "forescale.prom")
	if err := mixed().WriteMetrics(path, Shard{Index: 1, Count: 4}, false); err != nil {
		t.Fatal(err)
	}
	got := told(t, path)
	check(t, got, map[string]float64{
		`forescale_trainer_groups{shard="1-of-4",status="trained"}`:      1,
		`forescale_trainer_groups{shard="1-of-4",status="failed"}`:       1,
		`forescale_trainer_groups{shard="1-of-4",status="skipped"}`:      1,
		`forescale_trainer_groups{shard="1-of-4",status="stopped"}`:      1,
		`forescale_trainer_group_duration_seconds{shard="1-of-4"} count`: 1,
		`forescale_trainer_group_duration_seconds{shard="1-of-4"} sum`:   2.5,
		`forescale_trainer_run_duration_seconds{shard="1-of-4"}`:         60,
		`forescale_trainer_samples_per_second{shard="1-of-4"}`:           100,
		`forescale_trainer_last_run_timestamp_seconds{shard="1-of-4"}`:   float64(ended.Unix()),
	})
	for key := range got {
		if strings.Contains(key, "model_") || strings.Contains(key, "last_success") {
			t.Errorf("%s is there", key)
		}
	}
}

func TestErrorsByGroupAreThereWhenAskedForOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "forescale.prom")
	if err := mixed().WriteMetrics(path, Shard{}, true); err != nil {
		t.Fatal(err)
	}
	check(t, told(t, path), map[string]float64{
		`forescale_trainer_model_mae{group="api",horizon_minutes="5",shard="0-of-1"}`:          1,
		`forescale_trainer_model_mae{group="api",horizon_minutes="60",shard="0-of-1"}`:         3,
		`forescale_trainer_model_mae{group="cron",horizon_minutes="60",shard="0-of-1"}`:        6,
		`forescale_trainer_model_skill_ratio{group="api",horizon_minutes="60",shard="0-of-1"}`: 0.25,
	})
}

func TestTheTimeOfTheLastSuccessOutlivesAFailure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "forescale.prom")
	key := lastSuccess + `{shard="0-of-1"}`
	good := Summary{Started: ended.Add(-time.Minute), Finished: ended, Results: mixed().Results[:2]}
	bad := mixed()
	bad.Finished = ended.Add(24 * time.Hour)
	for i, s := range []Summary{good, bad, bad} {
		if err := s.WriteMetrics(path, Shard{}, false); err != nil {
			t.Fatal(err)
		}
		if got := told(t, path); got[key] != float64(ended.Unix()) {
			t.Errorf("after run %d: %v", i+1, got[key])
		}
	}
	if err := os.WriteFile(path, []byte("{ no metrics"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := bad.WriteMetrics(path, Shard{}, false); err != nil {
		t.Errorf("a file that is not ours: %v", err)
	}
	if _, ok := told(t, path)[key]; ok {
		t.Error("a success out of nowhere")
	}
}

// received is a request to a Pushgateway.
type received struct {
	method, path, user, password string
	families                     map[string]*dto.MetricFamily
}

// gateway speaks the API of the Pushgateway and answers with a status.
func gateway(t *testing.T, status int) (address string, got *received) {
	t.Helper()
	got = &received{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.method, got.path, got.families = r.Method, r.URL.Path, map[string]*dto.MetricFamily{}
		got.user, got.password, _ = r.BasicAuth()
		decoder := expfmt.NewDecoder(r.Body, expfmt.ResponseFormat(r.Header))
		for {
			var family dto.MetricFamily
			err := decoder.Decode(&family)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Errorf("decode: %v", err)
				break
			}
			got.families[family.GetName()] = &family
		}
		w.WriteHeader(status)
		fmt.Fprint(w, "said the gateway")
	}))
	t.Cleanup(server.Close)
	return server.URL, got
}

func TestTheRunIsPushedUnderItsShard(t *testing.T) {
	address, got := gateway(t, http.StatusOK)
	g, err := ParseGateway(strings.Replace(address, "http://", "http://anna:secret@", 1))
	if err != nil {
		t.Fatal(err)
	}
	if err := mixed().Push(t.Context(), g, Shard{Index: 2, Count: 4}, false); err != nil {
		t.Fatal(err)
	}
	if got.method != http.MethodPost || got.path != "/metrics/job/forescale_trainer/shard/2-of-4" || got.user != "anna" || got.password != "secret" {
		t.Errorf("%+v", got)
	}
	check(t, values(got.families), map[string]float64{
		`forescale_trainer_groups{status="failed"}`:        1,
		`forescale_trainer_group_duration_seconds{} count`: 1,
		`forescale_trainer_run_duration_seconds{}`:         60,
		`forescale_trainer_last_run_timestamp_seconds{}`:   float64(ended.Unix()),
	})
	if _, ok := got.families[lastSuccess]; ok {
		t.Error("a run with failures overwrites the time of the last success")
	}
}

func TestAFailedPushNamesTheAddressWithoutCredentials(t *testing.T) {
	refusing, _ := gateway(t, http.StatusBadGateway)
	for name, c := range map[string]struct{ address, want string }{
		"an answer that is no success": {refusing, "502"},
		"nobody listens":               {"http://127.0.0.1:1", "connect"},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := ParseGateway(strings.Replace(c.address, "http://", "http://anna:secret@", 1))
			if err != nil {
				t.Fatal(err)
			}
			err = mixed().Push(t.Context(), g, Shard{}, false)
			if err == nil || !strings.Contains(err.Error(), "push metrics to "+c.address) || !strings.Contains(err.Error(), c.want) ||
				strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "anna") {
				t.Errorf("%v", err)
			}
		})
	}
	g, err := ParseGateway(refusing)
	if err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := mixed().Push(stopped, g, Shard{}, false); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestAnAddressThatIsNoneIsRefusedWithoutRepeatingIt(t *testing.T) {
	for _, text := range []string{"", "anna:secret@gateway:9091", "gateway:9091", "ftp://anna:secret@x", "http://", "http://anna:secret@x:y:z", "http://x?token=secret", "http://a\x7f:secret@x"} {
		if g, err := ParseGateway(text); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q is %v, %v", text, g, err)
		}
	}
	if g, err := ParseGateway("https://anna:secret@metrics.example/push"); err != nil || g.String() != "https://metrics.example/push" {
		t.Errorf("%v, %v", g, err)
	}
}
