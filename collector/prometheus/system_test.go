//go:build system

package prometheus

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/forescale/forescale/api"
)

// compare tells of samples that are not as expected, up to the rounding of sums.
func compare(t *testing.T, got []api.Sample, want map[string]float64) {
	t.Helper()
	seen := map[string]float64{}
	for _, s := range got {
		seen[fmt.Sprintf("%s/%s/%d", s.Group, api.SeriesName(s.Metric, s.Stat), int(s.Time.Sub(t0)/step))] = s.Value
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if g, ok := seen[key]; !ok || math.Abs(g-want[key]) > 1e-9*max(1, math.Abs(want[key])) {
			t.Errorf("%s: got %v (there: %t), want %v", key, g, ok, want[key])
		}
		delete(seen, key)
	}
	for _, key := range slices.Sorted(maps.Keys(seen)) {
		t.Errorf("%s = %v is not to be there", key, seen[key])
	}
}

func TestSystemSlotsAndCounterResets(t *testing.T) {
	const slots = 30
	h := &history{scrapes: (slots + 4) * 20}
	// Every slot differs, so that a value in the wrong one is seen.
	h.counter(`jobs_total{service="web",replica="a"}`, func(slot int) float64 { return float64(slot + 3) }, func(k int) bool { return k == 207 || k == 209 || k == 400 })
	h.counter(`jobs_total{service="web",replica="b"}`, flat(1), never)
	h.counter(`jobs_total{service="new",replica="a"}`, flat(2), never)
	h.each("wall_seconds", func(_ int, at time.Time) float64 { return float64(at.Unix()) })
	h.each("gap", func(_ int, at time.Time) float64 {
		if at.After(slot(10)) && !at.After(slot(14)) {
			return math.NaN()
		}
		return 1
	})
	source := open(t, Config{URL: h.load(t), Queries: []Query{
		{Metric: api.MetricRequests, Expr: "sum by (service) (increase(jobs_total[$step]))", Group: "shop/{service}"},
		{Metric: "wall", Expr: "last_over_time(wall_seconds[$step])", Group: "all"},
		{Metric: "wall", Stat: api.StatMin, Expr: "min_over_time(wall_seconds[$step] offset 1s)", Group: "all"},
		{Metric: "share", Expr: "avg_over_time(gap[$step] offset 1s)", Group: "all", Aggregate: "sum"},
	}})
	got, err := source.Fetch(t.Context(), slot(0), slot(slots))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{}
	for i := range slots {
		key := func(series string) string { return fmt.Sprintf("%s/%d", series, i) }
		want[key("shop/web/request_count")] = 20 * float64(i+3+1)
		want[key("shop/new/request_count")] = 40
		end := slot(i + 1)
		want[key("all/wall")] = float64(end.Unix())
		// One second earlier, the slot's first scrape is not its predecessor's last.
		want[key("all/wall_min")] = float64(slot(i).Unix())
		if i < 10 || i >= 14 {
			want[key("all/share")] = 1
		}
	}
	want["all/share/10"] = 1 // its first scrape, at the slot's start, was there
	compare(t, got, want)

	t.Run("a range of one slot is the same slot", func(t *testing.T) {
		one, err := source.Fetch(t.Context(), slot(7), slot(8))
		if err != nil {
			t.Fatal(err)
		}
		for key := range want {
			if !strings.HasSuffix(key, "/7") {
				delete(want, key)
			}
		}
		compare(t, one, want)
	})
	t.Run("40 days of one minute are joined of several calls", func(t *testing.T) {
		long := *source
		long.queries = source.queries[:1]
		long.step = time.Minute
		got, err := long.Fetch(t.Context(), slot(0).Add(-40*24*time.Hour), slot(slots))
		if err != nil || len(got) < slots*5 {
			t.Errorf("%d samples, %v", len(got), err)
		}
		if calls := long.Calls().Made; calls < 6 {
			t.Errorf("%d calls", calls)
		}
	})
}

func TestSystemPresets(t *testing.T) {
	const slots = 12
	h := &history{scrapes: (slots + 4) * 20}
	// Istio: both ends of each request tell of it; slots 6 to 8 have none.
	busy := func(perScrape float64) func(int) float64 {
		return func(slot int) float64 {
			if slot >= 6 && slot < 9 {
				return 0
			}
			return perScrape
		}
	}
	for _, reporter := range []string{"source", "destination"} {
		for _, code := range []string{"200", "503"} {
			labels := func(workload, namespace string) string {
				return fmt.Sprintf(`reporter="%s",response_code="%s",source_workload="edge",destination_workload="%s",destination_workload_namespace="%s"`, reporter, code, workload, namespace)
			}
			for _, of := range []string{labels("web", "shop"), labels("unknown", "shop"), labels("other", "elsewhere")} {
				h.counter("istio_requests_total{"+of+"}", busy(4), func(k int) bool { return k == 100 })
				h.counter("istio_request_duration_milliseconds_count{"+of+"}", busy(4), never)
				h.counter("istio_request_duration_milliseconds_sum{"+of+"}", busy(4*30), never)
				for le, share := range map[string]float64{"5": 0, "25": 0, "50": 1, "100": 1, "+Inf": 1} {
					h.counter("istio_request_duration_milliseconds_bucket{"+of+`,le="`+le+`"}`, busy(4*share), never)
				}
			}
		}
	}
	// Two kube-state-metrics tell the same.
	for _, instance := range []string{"a", "b"} {
		gauge := func(name, labels string, v float64) {
			h.gauge(fmt.Sprintf(`%s{instance="%s",%s}`, name, instance, labels), v)
		}
		for _, n := range []string{"shop", "elsewhere"} {
			gauge("kube_deployment_status_replicas_available", `namespace="`+n+`",deployment="web"`, 2)
			gauge("kube_deployment_spec_replicas", `namespace="`+n+`",deployment="web"`, 3)
			gauge("kube_statefulset_status_replicas_available", `namespace="`+n+`",statefulset="db"`, 1)
			gauge("kube_statefulset_replicas", `namespace="`+n+`",statefulset="db"`, 1)
			gauge("kube_replicaset_owner", `namespace="`+n+`",replicaset="web-1",owner_kind="Deployment",owner_name="web",owner_is_controller="true"`, 1)
			for _, pod := range []string{"web-1-x", "web-1-y", "web-1-done"} {
				gauge("kube_pod_owner", `namespace="`+n+`",pod="`+pod+`",owner_kind="ReplicaSet",owner_name="web-1"`, 1)
				gauge("kube_pod_container_resource_requests", `namespace="`+n+`",pod="`+pod+`",container="app",resource="cpu",unit="core"`, 0.5)
				gauge("kube_pod_container_resource_requests", `namespace="`+n+`",pod="`+pod+`",container="app",resource="memory",unit="byte"`, 1e9)
			}
			gauge("kube_pod_owner", `namespace="`+n+`",pod="db-0",owner_kind="StatefulSet",owner_name="db"`, 1)
			gauge("kube_pod_container_resource_requests", `namespace="`+n+`",pod="db-0",container="db",resource="cpu",unit="core"`, 1)
			gauge("kube_pod_owner", `namespace="`+n+`",pod="agent",owner_kind="DaemonSet",owner_name="agent"`, 1)
			gauge("kube_pod_container_resource_requests", `namespace="`+n+`",pod="agent",container="agent",resource="cpu",unit="core"`, 1)
		}
	}
	cpu := func(pod, container string, cores float64) {
		for _, n := range []string{"shop", "elsewhere"} {
			h.counter(fmt.Sprintf(`container_cpu_usage_seconds_total{namespace="%s",pod="%s",container="%s",id="/x"}`, n, pod, container), flat(15*cores), never)
		}
	}
	cpu("web-1-x", "app", 0.25)
	cpu("web-1-x", "", 5)        // the pod's own account of all its containers
	cpu("web-1-x", "POD", 5)     // the pause container
	cpu("web-1-y", "app", 0.125) // 0.375 of 1 core, while the pod that is done requests still
	cpu("web-1-y", "sidecar", 4) // requests nothing
	cpu("db-0", "db", 0.75)
	cpu("agent", "agent", 1)
	scope := Scope{Namespaces: []string{"shop", "void"}}
	c := Config{URL: h.load(t), Istio: &Istio{Scope: scope}, KubeStateMetrics: &KubeStateMetrics{Scope: scope}, ContainerCPU: &ContainerCPU{Scope: scope}}
	got, err := open(t, c).Fetch(t.Context(), slot(0), slot(slots))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{}
	for i := range slots {
		key := func(series string) string { return fmt.Sprintf("%s/%d", series, i) }
		want[key("shop/web/request_count")] = 0
		if i < 6 || i >= 9 {
			want[key("shop/web/request_count")] = 160
			want[key("shop/web/response_time")] = 0.03
			want[key("shop/web/response_time_p95")] = 0.025 + 0.95*0.025
		}
		want[key("shop/web/instances_in_service")] = 2
		want[key("shop/web/instances_desired")] = 3
		want[key("shop/db/instances_in_service")] = 1
		want[key("shop/db/instances_desired")] = 1
		want[key("shop/web/cpu_utilization")] = 37.5
		want[key("shop/db/cpu_utilization")] = 75
	}
	compare(t, got, want)
	t.Run("all namespaces, by a name of one's own", func(t *testing.T) {
		everywhere := Scope{Group: "{workload}.{namespace}"}
		c.Istio, c.KubeStateMetrics, c.ContainerCPU = &Istio{everywhere, "source"}, &KubeStateMetrics{everywhere}, &ContainerCPU{everywhere}
		got, err := open(t, c).Fetch(t.Context(), slot(1), slot(2))
		if err != nil {
			t.Fatal(err)
		}
		groups := map[string]int{}
		for _, s := range got {
			groups[s.Group]++
		}
		if want := map[string]int{"web.shop": 6, "db.shop": 3, "other.elsewhere": 3, "web.elsewhere": 3, "db.elsewhere": 3}; !maps.Equal(groups, want) {
			t.Errorf("got %v, want %v", groups, want)
		}
	})
	t.Run("promtool finds no fault with any expression", func(t *testing.T) {
		type rule struct {
			Record string `yaml:"record"`
			Expr   string `yaml:"expr"`
		}
		var rules []rule
		for _, scope := range []Scope{{}, scope} {
			queries, err := Config{Istio: &Istio{Scope: scope}, KubeStateMetrics: &KubeStateMetrics{scope}, ContainerCPU: &ContainerCPU{scope}}.queries(step)
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range queries {
				rules = append(rules, rule{fmt.Sprintf("r%d", len(rules)), q.expr})
			}
		}
		raw, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "x", "rules": rules}}})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "rules.yml")
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(fromEnv(t, "FORESCALE_PROMTOOL"), "check", "rules", path).CombinedOutput(); err != nil || len(rules) != 18 {
			t.Errorf("%d rules: %v\n%s", len(rules), err, out)
		}
	})
}

func TestSystemWhatPrometheusRefuses(t *testing.T) {
	url := startPrometheus(t, t.TempDir(), "")
	for name, c := range map[string]struct{ expr, want string }{
		"what is no PromQL":           {"sum(", "expr: has a ( without a )"},
		"what only the server parses": {"sum by foo (x)", "400 Bad Request (bad_data)"},
		"what cannot be evaluated":    {"label_replace(up, \"a\", \"$1\", \"b\", \"(\")", "(execution)"},
		"an unknown function":         {"sumo(x)", "unknown function"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open("p", Config{URL: url, Queries: []Query{{Metric: "m", Expr: c.expr, Group: "g"}}}, step, silent())
			if err == nil {
				_, err = s.Fetch(t.Context(), slot(0), slot(3))
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// exporter is scraped by Prometheus: each scrape finds a counter ten higher, but for
// a reset after 30 of them, and the time.
type exporter struct {
	mu     sync.Mutex
	count  int
	seen   []time.Time // of the scrapes
	resets int
}

func (e *exporter) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	e.seen = append(e.seen, now)
	if e.count += 10; len(e.seen) == 30 {
		e.count, e.resets = 10, e.resets+1
	}
	fmt.Fprintf(w, "# TYPE things_total counter\nthings_total %d\n# TYPE wall_seconds gauge\nwall_seconds %v\n", e.count, float64(now.UnixMilli())/1000)
}

func TestSystemAScrapedExporter(t *testing.T) {
	e := &exporter{}
	srv := httptest.NewServer(e)
	defer srv.Close()
	url := startPrometheus(t, t.TempDir(), fmt.Sprintf("scrape_configs: [{job_name: x, scrape_interval: 200ms, scrape_timeout: 200ms, static_configs: [{targets: [%q]}]}]", strings.TrimPrefix(srv.URL, "http://")))
	source := open(t, Config{URL: url, Queries: []Query{
		{Metric: "things", Stat: api.StatSum, Expr: "increase(things_total[$step])", Group: "{job}"},
		{Metric: "wall", Stat: api.StatMax, Expr: "max_over_time(wall_seconds[$step])", Group: "{job}"},
		{Metric: "wall", Stat: api.StatMin, Expr: "min_over_time(wall_seconds[$step])", Group: "{job}"},
	}})
	for scraped := 0; scraped < 3; time.Sleep(10 * time.Millisecond) {
		e.mu.Lock()
		scraped = len(e.seen)
		e.mu.Unlock()
	}
	const second, slots = 2 * time.Second, 6 // slots that one can wait for
	queries, err := Config{Queries: []Query{source.queries[0].Query, source.queries[1].Query, source.queries[2].Query}}.queries(second)
	if err != nil {
		t.Fatal(err)
	}
	source.queries, source.step = queries, second
	first := time.Now().Truncate(second).Add(2 * second)
	last := first.Add(slots * second)
	time.Sleep(time.Until(last.Add(second)))
	got, err := source.Fetch(t.Context(), first, last)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3*slots {
		t.Errorf("%d samples: %v", len(got), got)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.resets != 1 {
		t.Fatalf("%d resets in %d scrapes", e.resets, len(e.seen))
	}
	inside := 0
	for _, at := range e.seen {
		if at.After(first) && !at.After(last) {
			inside++
		}
	}
	var sum float64
	for _, s := range got {
		wall := time.UnixMilli(int64(math.Round(s.Value * 1000)))
		switch {
		case s.Metric == "things":
			sum += s.Value
		// A scrape is entered with the time at which it began, a moment before the exporter looks.
		case wall.Before(s.Time) || wall.After(s.Time.Add(second+150*time.Millisecond)):
			t.Errorf("the slot at %s was told what was measured at %s", s.Time, wall)
		}
	}
	if want := float64(10 * inside); math.Abs(sum-want) > 0.1*want {
		t.Errorf("increases of %g in all, while %g were exposed", sum, want)
	}
}
