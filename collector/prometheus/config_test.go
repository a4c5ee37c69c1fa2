package prometheus

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector/unit"
	"github.com/forescale/forescale/internal/conf"
)

var update = flag.Bool("update", false, "write what the golden tests got")

func good() Config {
	return Config{URL: "https://prometheus.example.com/base", Queries: []Query{{Metric: "m", Expr: "x", Group: "{service}"}}}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   []string // parts of the error; none: valid
	}{
		"takes a server and a query": {func(*Config) {}, nil},
		"takes credentials by reference, headers and form fields": {func(c *Config) {
			c.Username, c.Password = "u", conf.Secret{Env: "P"}
			c.Headers, c.Params = map[string]string{"X-Scope-OrgID": "shop"}, map[string]string{"partial_response": "false"}
		}, nil},
		"wants a URL":                        {func(c *Config) { c.URL = "prometheus:9090" }, []string{"prometheus.url"}},
		"wants no path of the API":           {func(c *Config) { c.URL = "http://p/api/v1" }, []string{"url", "before /api/v1"}},
		"wants no password in the URL":       {func(c *Config) { c.URL = "http://u:hunter2@p" }, []string{"url", "username and password"}},
		"wants both halves of a certificate": {func(c *Config) { c.CertFile = "x" }, []string{"cert_file, key_file"}},
		"wants a user with a password":       {func(c *Config) { c.Username = "u" }, []string{"username, password"}},
		"wants one way to sign in": {func(c *Config) {
			c.Username, c.Password, c.BearerToken = "u", conf.Secret{Env: "P"}, conf.Secret{Env: "T"}
		}, []string{"exclude each other"}},
		"wants one place of a secret": {func(c *Config) { c.BearerToken = conf.Secret{Env: "T", File: "t"} }, []string{"bearer_token"}},
		"wants no secret among the headers": {func(c *Config) { c.Headers = map[string]string{"authorization": "Bearer x"} },
			[]string{"headers.authorization", "bearer_token"}},
		"wants headers that are some": {func(c *Config) { c.Headers = map[string]string{"X": "a\r\nY: b"} }, []string{"headers.X"}},
		"keeps its own form fields":   {func(c *Config) { c.Params = map[string]string{"step": "1"} }, []string{"params.step"}},
		"wants something to ask":      {func(c *Config) { c.Queries = nil }, []string{"needs queries, istio"}},
		"wants no question twice":     {func(c *Config) { c.Queries = append(c.Queries, c.Queries[0]) }, []string{"queries[1]", "same as queries[0]"}},
		"names every fault of a query by its field": {func(c *Config) {
			c.Queries[0] = Query{Stat: "median", Group: "{a b}", Aggregate: "first", Conversion: unit.Conversion{From: "ell"}}
		}, []string{"queries[0].metric", "queries[0].stat", "queries[0].group", "queries[0].aggregate", "queries[0].from", "queries[0].expr"}},
		"names the faults of presets": {func(c *Config) {
			c.Istio = &Istio{Reporter: "both"}
			c.KubeStateMetrics = &KubeStateMetrics{Scope{Namespaces: []string{"a", `x"|.*`}}}
			c.ContainerCPU = &ContainerCPU{Scope{Group: "{pod}"}}
		}, []string{"istio.reporter", "kube_state_metrics.namespaces[1]", "container_cpu.group", "{pod}"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good()
			c.change(&cfg)
			err := cfg.Validate()
			if (err != nil) != (c.want != nil) {
				t.Fatalf("error %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %v does not mention %q", err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error tells a password: %v", err)
			}
		})
	}
}

func TestExpressions(t *testing.T) {
	for expr, want := range map[string]string{ // "" is fine
		`sum by (service) (increase(http_requests_total{code=~"5.."}[$step]))`: "",
		`sum(rate(a_total[5m])) / sum(rate(b_total[5m]))`:                      "",
		`histogram_quantile(0.9, sum by (le) (rate(x_bucket[$step])))`:         "",
		`last_over_time(pool_total[$step])`:                                    "",
		`count(http_requests_total)`:                                           "",
		"avg_over_time(x[$step] offset 5m) # a_total":                          "",
		`x{name="a_total", other!~"(offset -5m @ \")"}`:                        "",
		`job:requests_total:rate5m`:                                            "",
		`max_over_time(increase(x_total[1m])[5m:1m])`:                          "",
		`a - b`:               "",
		"":                    "1 to",
		`http_requests_total`: "http_requests_total is a counter",
		`sum by (service) (http_requests_total{code="200"})`: "http_requests_total is a counter",
		`avg_over_time(http_requests_total[5m])`:             "is a counter",
		`sum(rate(a_total[5m])) / sum(b_total)`:              "b_total is a counter",
		`histogram_quantile(0.9, x_bucket)`:                  "x_bucket is a counter",
		`x offset -5m`:                                       "future",
		`x OFFSET - 5m`:                                      "future",
		`x @ end()`:                                          "@ evaluates",
		`sum(x`:                                              "( without",
		`sum x)`:                                             ") without",
		`x{a="b}`:                                            "does not end",
		`x["`:                                                "does not end",
		"x" + strings.Repeat(" ", maxExpr):                   "1 to",
	} {
		err := checkExpr(expr)
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: error %v, want %q", expr, err, want)
		}
	}
}

func TestGroupNames(t *testing.T) {
	labels := map[string]string{"service": "web", "namespace": "shop", "empty": "", "long": strings.Repeat("x", api.MaxNameLen)}
	for text, want := range map[string]struct{ name, err string }{
		"{service}":               {"web", ""},
		"{namespace}/{service}":   {"shop/web", ""},
		"eu-{service}-1":          {"eu-web-1", ""},
		"all":                     {"all", ""},
		"{service}{service}":      {"webweb", ""},
		"{nothing}":               {"", `no label "nothing"`},
		"x{empty}":                {"", `no label "empty"`},
		"{long}.":                 {"", "longer than"},
		"":                        {"", "1 to"},
		"{service":                {"", "belongs the name"},
		"service}":                {"", "} without"},
		"{}":                      {"", "belongs the name"},
		"{a-b}":                   {"", "belongs the name"},
		strings.Repeat("x", 1000): {"", "1 to"},
	} {
		tpl, err := parseTemplate(text)
		got := ""
		if err == nil {
			got, err = tpl.group(labels)
		}
		if got != want.name || (err != nil) != (want.err != "") || err != nil && !strings.Contains(err.Error(), want.err) {
			t.Errorf("%.40q: got %q, %v; want %+v", text, got, err, want)
		}
	}
}

// The expressions of the presets, as -check shows them. `go test -run Describe
// -update` writes the file anew.
func TestDescribe(t *testing.T) {
	c := good()
	c.Queries[0] = Query{Metric: api.MetricResponse, Stat: api.StatP95, Expr: "slow[$step]", Group: "{service}", Aggregate: "max", Conversion: unit.Conversion{From: "milliseconds"}}
	c.Istio = &Istio{Scope: Scope{Namespaces: []string{"shop", "pay"}, Group: "{workload}"}, Reporter: "source"}
	c.KubeStateMetrics = &KubeStateMetrics{}
	c.ContainerCPU = &ContainerCPU{Scope{Namespaces: []string{"shop"}}}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(c.Describe(step), "\n") + "\n"
	path := filepath.Join("testdata", "presets.golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
