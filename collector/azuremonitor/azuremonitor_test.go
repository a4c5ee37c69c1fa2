package azuremonitor

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/collector/unit"
	"github.com/forescale/forescale/internal/conf"
)

// server answers each call by a function of the metrics that it asks for, and keeps
// the calls.
type server struct {
	mu     sync.Mutex
	calls  []*http.Request
	answer func(names string) (status int, text string)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, r)
	status, text := s.answer(r.URL.Query().Get("metricnames"))
	w.WriteHeader(status)
	fmt.Fprint(w, text)
}

func (s *server) source(t *testing.T, groups ...Group) *Source {
	t.Helper()
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return open(t, Config{Endpoint: srv.URL, Token: secret(t, "x"), Groups: groups, Metrics: map[string]Metric{"slow": {Name: "Latency", Stat: api.StatMax, Namespace: "Own/Things"}}})
}

func web(metrics ...string) Group {
	return Group{Name: "web", Resource: resource("web"), Metrics: metrics}
}

// result returns the account of a metric.
func result(name, data string) string {
	return fmt.Sprintf(`{"name":{"value":%q},"errorCode":"Success","timeseries":[{"data":[%s]}]}`, name, data)
}

func all(results ...string) string {
	return `{"interval":"PT5M","value":[` + strings.Join(results, ",") + `]}`
}

// shape writes samples as metric:slot=value, in order.
func shape(samples []api.Sample) string {
	var out []string
	for _, s := range samples {
		out = append(out, fmt.Sprintf("%s:%d=%g", s.Metric, int(s.Time.Sub(t0)/step), s.Value))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestAnswers(t *testing.T) {
	const cpu, network = "Percentage CPU", "Network In Total"
	point := func(minute int, text string) string {
		return fmt.Sprintf(`{"timeStamp":"2026-03-04T12:%02d:00Z"%s}`, minute, text)
	}
	fine := result(network, point(0, `,"total":7`))
	for name, c := range map[string]struct {
		status          int
		text, want, err string
		whole           bool
	}{
		"a lacking aggregate and null are missing, zero is zero": {
			text: all(result(cpu, point(0, "")+","+point(5, `,"average":null`)+","+point(10, `,"average":0`)), fine), want: "cpu_utilization:2=0 network_in:0=7"},
		"another aggregate is not the one that was asked for": {text: all(result(cpu, point(0, `,"total":9,"count":3`)), fine), want: "network_in:0=7"},
		"points outside of the range are left out":            {text: all(result(cpu, point(0, `,"average":1`)+","+point(15, `,"average":2`)), fine), want: "cpu_utilization:0=1 network_in:0=7"},
		"names are compared without their case":               {text: all(result("percentage cpu", point(5, `,"average":1`)), fine), want: "cpu_utilization:1=1 network_in:0=7"},
		"a metric without time series has no values":          {text: all(`{"name":{"value":"Percentage CPU"},"timeseries":[]}`, fine), want: "network_in:0=7"},
		"a metric's own error is named": {
			text: all(`{"name":{"value":"Percentage CPU"},"errorCode":"Throttled","errorMessage":"later","timeseries":[]}`, fine), want: "network_in:0=7", err: "web/cpu_utilization: Percentage CPU: Throttled: later"},
		"a metric without a result is named":       {text: all(fine), want: "network_in:0=7", err: "web/cpu_utilization: Percentage CPU: no result"},
		"a point between two slots is refused":     {text: all(result(cpu, point(3, `,"average":1`)), fine), want: "network_in:0=7", err: "is no slot's"},
		"a point that is there twice is refused":   {text: all(result(cpu, point(5, `,"average":1`)+","+point(5, `,"average":1`)), fine), want: "network_in:0=7", err: "there twice"},
		"several time series are refused":          {text: all(`{"name":{"value":"Percentage CPU"},"timeseries":[{},{}]}`, fine), want: "network_in:0=7", err: "2 time series"},
		"an answer in other intervals is refused":  {text: `{"interval":"PT1M","value":[]}`, err: `"PT1M", not PT5M`, whole: true},
		"a page of something else is refused":      {text: "<html>", err: "odd answer", whole: true},
		"what Azure says is repeated":              {status: 404, text: `{"error":{"code":"ResourceNotFound","message":"The Resource was not found."}}`, err: "404 Not Found (ResourceNotFound): The Resource was not found.", whole: true},
		"what it says in its other form too":       {status: 403, text: `{"code":"Forbidden","message":"No."}`, err: "403 Forbidden (Forbidden): No.", whole: true},
		"what something else says is not repeated": {status: 407, text: `<html>secret`, err: "407 Proxy Authentication Required", whole: true},
		"a redirection is not followed":            {status: 302, text: "", err: "302", whole: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := (&server{answer: func(string) (int, string) { return max(c.status, 200), c.text }}).source(t, web())
			got, err := s.Fetch(t.Context(), slot(0), slot(3))
			if shape(got) != c.want {
				t.Errorf("got %q, want %q", shape(got), c.want)
			}
			if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) || err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v, want %q", err, c.err)
			}
			var series *collector.SeriesError
			if err != nil && errors.As(err, &series) == c.whole {
				t.Errorf("the error %v speaks of some series: %t", err, !c.whole)
			}
		})
	}
}

func TestCalls(t *testing.T) {
	ok := func(names string) (int, string) {
		var results []string
		for _, name := range strings.Split(names, ",") {
			results = append(results, result(name, ""))
		}
		return 200, all(results...)
	}
	t.Run("one for each resource and namespace, and for each week", func(t *testing.T) {
		s := &server{answer: ok}
		source := s.source(t, web("cpu_utilization", "network_in", "slow"), Group{Name: "api", Resource: resource("api")})
		if _, err := source.Fetch(t.Context(), slot(0), slot(3)); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range s.calls {
			q := r.URL.Query()
			got = append(got, strings.TrimPrefix(r.URL.Path, resource(""))+" "+q.Get("metricnames")+" "+q.Get("aggregation")+" "+q.Get("metricnamespace")+" "+q.Get("timespan"))
		}
		slices.Sort(got)
		const path, span = "/providers/Microsoft.Insights/metrics ", " 2026-03-04T12:00:00Z/2026-03-04T12:15:00Z"
		want := []string{"api" + path + "Percentage CPU,Network In Total Average,Total " + span,
			"web" + path + "Latency Maximum Own/Things" + span, "web" + path + "Percentage CPU,Network In Total Average,Total " + span}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		s.calls = nil
		if _, err := source.Fetch(t.Context(), slot(0), slot(3*maxSlots)); err != nil || len(s.calls) != 9 {
			t.Errorf("%d calls for three weeks, %v", len(s.calls), err)
		}
	})
	t.Run("one name that the resource does not know costs the others nothing", func(t *testing.T) {
		s := &server{answer: func(names string) (int, string) {
			if strings.Contains(names, "Network") {
				return 400, `{"code":"BadRequest","message":"Failed to find metric configuration"}`
			}
			return 200, all(result(names, `{"timeStamp":"2026-03-04T12:00:00Z","average":3}`))
		}}
		got, err := s.source(t, web()).Fetch(t.Context(), slot(0), slot(3))
		if shape(got) != "cpu_utilization:0=3" || err == nil || !strings.HasPrefix(err.Error(), "web/network_in: metrics of /subscriptions/") || len(s.calls) != 3 {
			t.Errorf("got %q after %d calls, %v", shape(got), len(s.calls), err)
		}
	})
	t.Run("the history is as long as Azure keeps it", func(t *testing.T) {
		if got := t0.Sub(new(Source).Oldest(t0)); got != 93*24*time.Hour {
			t.Errorf("%s", got)
		}
	})
}

func TestValidate(t *testing.T) {
	good := func() Config { return Config{Groups: []Group{web()}} }
	for name, c := range map[string]struct {
		change func(*Config)
		want   []string // parts of the error; none: valid
	}{
		"takes a resource":                   {func(*Config) {}, nil},
		"takes a resource inside of another": {func(c *Config) { c.Groups[0].Resource += "/virtualMachines/0" }, nil},
		"takes one group of two resources": {func(c *Config) {
			c.Groups = append(c.Groups, Group{"web", resource("x"), []string{"slow"}})
			c.Metrics = map[string]Metric{"slow": {Name: "L"}}
		}, nil},
		"wants a group":                      {func(c *Config) { c.Groups = nil }, []string{"azure_monitor.groups: at least one"}},
		"wants names and whole resource ids": {func(c *Config) { c.Groups[0] = Group{Resource: "/subscriptions/x?y=/resourceGroups"} }, []string{"groups[0].name", "groups[0].resource"}},
		"wants metrics that are defined":     {func(c *Config) { c.Groups[0].Metrics = []string{"cpu"} }, []string{"groups[0].metrics[0]", `"cpu"`, "cpu_utilization"}},
		"wants no series twice":              {func(c *Config) { c.Groups = append(c.Groups, web()) }, []string{"groups[1].metrics[0]", "twice"}},
		"wants https":                        {func(c *Config) { c.Endpoint = "http://management.azure.com" }, []string{"endpoint", "https"}},
		"wants an endpoint without a path":   {func(c *Config) { c.Endpoint = "https://h/x" }, []string{"endpoint"}},
		"wants one place of the token":       {func(c *Config) { c.Token = conf.Secret{Env: "A", File: "b"} }, []string{"azure_monitor.token"}},
		"names every fault of a definition by its field": {func(c *Config) {
			c.Metrics = map[string]Metric{"m": {Name: "a,b", Stat: api.StatP95, Conversion: unit.Conversion{Scale: -1}, Metric: strings.Repeat("x", 300)}}
		}, []string{"metrics.m.metric", "metrics.m.name", "metrics.m.stat", "metrics.m.scale"}},
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
		})
	}
	t.Run("a step that Azure does not know is refused", func(t *testing.T) {
		if _, err := Open("a", good(), 10*time.Minute); err == nil || !strings.Contains(err.Error(), "10m0s") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a token that cannot be read is named", func(t *testing.T) {
		c := good()
		c.Token = conf.Secret{File: "/nonexistent/t"}
		if _, err := Open("a", c, step); err == nil || !strings.Contains(err.Error(), "azure_monitor.token: open /nonexistent/t") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("without a token the default chain is opened, and nothing sent", func(t *testing.T) {
		if _, err := Open("a", good(), step); err != nil {
			t.Error(err)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(all(result("M", `{"timeStamp":"2026-03-04T12:00:00Z","average":1.5},{"timeStamp":"2026-03-04T12:05:00Z","average":"NaN"},{"timeStamp":"2026-03-04T12:10:00+02:00","average":null}`))))
	f.Add([]byte(all(result("m", `{"average":1e999},{"timeStamp":"0001-01-01T00:00:00Z","average":"1e400"}`))))
	q := query{series: collector.Series{Group: "g", Metric: "m", Stat: api.StatAvg}, name: "M", aggregation: "Average", factor: 1000}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := decode(raw, "PT5M")
		if err != nil {
			return
		}
		samples, _ := a.values(q, slot(0), slot(4), step)
		for _, s := range samples {
			if err := s.Validate(); err != nil || s.Time.Before(slot(0)) || s.Time.After(slot(4)) || !s.Time.Equal(s.Time.Truncate(step)) {
				t.Fatalf("%+v: %v", s, err)
			}
		}
	})
}
