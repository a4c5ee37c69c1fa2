package azuremonitor

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/collector/collectortest"
	"github.com/forescale/forescale/collector/unit"
	"github.com/forescale/forescale/internal/conf"
)

const step = 5 * time.Minute

var t0 = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func slot(i int) time.Time { return t0.Add(time.Duration(i) * step) }

func resource(name string) string {
	return "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/shop (eu)/providers/Microsoft.Compute/virtualMachineScaleSets/" + name
}

// azureNames are what the fake calls the metrics of the suite.
var azureNames = map[string]string{api.MetricCPU: "Percentage CPU", api.MetricResponse: "HttpResponseTime"}

// fake answers Metrics - List as Azure Monitor does, out of what a Provider holds:
// every interval of the timespan has a point, the end's too, and one without a value
// lacks the aggregate or has null there.
type fake struct {
	*collectortest.Provider
	t      *testing.T
	series []collector.Series
}

func (f fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, code, text string) {
		if f.EchoSecret {
			text += " (your " + r.Header.Get("Authorization") + ")"
		}
		w.Header().Set("Content-Type", "application/json")
		if status == http.StatusTooManyRequests {
			w.Header().Set("retry-after-ms", "1")
		}
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": code, "message": text}})
	}
	throttle := f.Called()
	switch {
	case f.Hang:
		<-r.Context().Done()
		return
	case throttle:
		refuse(http.StatusTooManyRequests, "TooManyRequests", "Number of requests exceeded the limit.")
		return
	case f.Endless:
		f.pour(w)
		return
	case f.Down || r.Header.Get("Authorization") != "Bearer "+collectortest.Secret:
		refuse(http.StatusForbidden, "AuthorizationFailed", "The client does not have authorization to perform action 'microsoft.insights/metrics/read'.")
		return
	}
	id, ok := strings.CutSuffix(r.URL.Path, "/providers/Microsoft.Insights/metrics")
	q := r.URL.Query()
	from, to, _ := strings.Cut(q.Get("timespan"), "/")
	start, err := time.Parse(time.RFC3339, from)
	end, err2 := time.Parse(time.RFC3339, to)
	if !ok || r.Method != http.MethodGet || q.Get("api-version") != "2018-01-01" || q.Get("interval") != "PT5M" || err != nil || err2 != nil || strings.Contains(r.URL.RawQuery, "+") {
		f.t.Errorf("%s %s", r.Method, r.URL)
	}
	names := strings.Split(q.Get("metricnames"), ",")
	if f.FailMetric != "" && slices.Contains(names, azureNames[f.FailMetric]) {
		refuse(http.StatusBadRequest, "BadRequest", "Failed to find metric configuration for provider")
		return
	}
	f.answer(w, id, names, strings.Split(q.Get("aggregation"), ","), start, end)
}

func (f fake) answer(w http.ResponseWriter, id string, names, wanted []string, start, end time.Time) {
	value := []any{}
	for _, s := range f.series {
		name := azureNames[s.Metric]
		if !strings.EqualFold(id, resource(s.Group)) || !slices.Contains(names, name) || !slices.Contains(wanted, aggregations[s.Stat]) {
			continue
		}
		held := map[time.Time]float64{}
		var order []time.Time
		for at := start; !at.After(end); at = at.Add(step) {
			order = append(order, at)
		}
		if f.Descending {
			slices.Reverse(order)
		}
		for _, p := range f.Points(s, start, end.Add(1)) {
			held[p.Time] = p.Value
		}
		data := []any{}
		for i, at := range order {
			p := map[string]any{"timeStamp": at.Format(time.RFC3339)}
			key := strings.ToLower(aggregations[s.Stat])
			v, ok := held[at]
			if s.Metric == api.MetricResponse {
				v *= 1000
			}
			switch text := fmt.Sprint(v); {
			case ok && strings.Trim(text, "+-0123456789.e") != "": // JSON has no number for it
				p[key] = text
			case ok:
				p[key] = v
			case i%2 == 0:
				p[key] = nil
			}
			data = append(data, p)
		}
		value = append(value, map[string]any{"id": id + "/x", "type": "Microsoft.Insights/metrics", "name": map[string]string{"value": name, "localizedValue": "?"},
			"unit": "Percent", "errorCode": "Success", "timeseries": []any{map[string]any{"metadatavalues": []any{}, "data": data}}})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"cost": 0, "timespan": "…", "interval": "PT5M", "value": value})
}

func (f fake) pour(w http.ResponseWriter) {
	text := []byte(`{"value":[{"name":{"value":"Percentage CPU"},"timeseries":[{"data":[`)
	for {
		n, err := w.Write(text)
		if !f.Wrote(n) || err != nil {
			return
		}
		text = []byte(strings.Repeat(`{"timeStamp":"2026-03-04T12:00:00Z"},`, 2048))
	}
}

func TestConformance(t *testing.T) {
	var series []collector.Series
	cfg := Config{Metrics: map[string]Metric{"slow": {Metric: api.MetricResponse, Name: "HttpResponseTime", Stat: api.StatMax, Conversion: unit.Conversion{From: "milliseconds"}}}}
	for _, group := range []string{"web", "päge"} {
		series = append(series, collector.Series{Group: group, Metric: api.MetricCPU, Stat: api.StatAvg},
			collector.Series{Group: group, Metric: api.MetricResponse, Stat: api.StatMax})
		cfg.Groups = append(cfg.Groups, Group{Name: group, Resource: resource(group), Metrics: []string{"cpu_utilization", "slow"}})
	}
	collectortest.Run(t, collectortest.Harness{
		Series: series, Step: step, Start: t0, Long: 5000, MaxAnswer: maxAnswer,
		Open: func(t *testing.T, p *collectortest.Provider) collector.Source {
			srv := httptest.NewServer(fake{p, t, series})
			t.Cleanup(srv.Close)
			c := cfg
			c.Endpoint, c.Token = srv.URL, secret(t, collectortest.Secret)
			return open(t, c)
		},
	})
}

// open returns a source that loses no time between two tries.
func open(t *testing.T, c Config) *Source {
	t.Helper()
	s, err := Open("azure_monitor", c, step)
	if err != nil {
		t.Fatal(err)
	}
	if s.client, err = newClient(c, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	return s
}

func secret(t *testing.T, text string) conf.Secret {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return conf.Secret{File: path}
}
