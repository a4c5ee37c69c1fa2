package prometheus

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
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

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

// fake answers query_range as Prometheus does, out of what a Provider holds: an
// expression is metric_stat(…), and the evaluation at T has the value of the slot
// that ends at T. Durations are in milliseconds.
type fake struct {
	*collectortest.Provider
	t      *testing.T
	series []collector.Series
}

func (f fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refuse := func(code int, kind, text string) {
		if f.EchoSecret {
			text += " (your " + r.Header.Get("Authorization") + ")"
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"status":"error","errorType":%q,"error":%q}`, kind, text)
	}
	if r.Method != http.MethodPost || r.URL.Path != "/prefix/api/v1/query_range" || r.ParseForm() != nil {
		f.t.Errorf("%s %s", r.Method, r.URL)
	}
	throttle := f.Called()
	switch {
	case f.Hang:
		<-r.Context().Done()
		return
	case throttle:
		refuse(http.StatusTooManyRequests, "too_many_requests", "too many outstanding requests")
		return
	case f.Down:
		refuse(http.StatusServiceUnavailable, "timeout", "query timed out in expression evaluation")
		return
	case f.Endless:
		f.pour(w)
		return
	case r.Header.Get("Authorization") != "Bearer "+collectortest.Secret:
		refuse(http.StatusUnauthorized, "", "")
		return
	}
	start, end, every := f.seconds(r, "start"), f.seconds(r, "end"), f.seconds(r, "step")
	expr := r.PostForm.Get("query")
	switch {
	case every <= 0 || end < start:
		refuse(http.StatusBadRequest, "bad_data", "invalid parameter")
		return
	case (end-start)/every > 11000:
		refuse(http.StatusBadRequest, "bad_data", "exceeded maximum resolution of 11,000 points per timeseries")
		return
	case f.FailMetric != "" && strings.HasPrefix(expr, f.FailMetric):
		refuse(http.StatusUnprocessableEntity, "execution", "many-to-many matching not allowed")
		return
	}
	f.answer(w, expr, start, end, every)
}

func (f fake) answer(w http.ResponseWriter, expr string, start, end, every int64) {
	type result struct {
		Metric map[string]string `json:"metric"`
		Values [][2]any          `json:"values"`
	}
	list := []result{}
	for _, s := range f.series {
		if !strings.HasPrefix(expr, fmt.Sprintf("%s_%s(", s.Metric, s.Stat)) {
			continue
		}
		r := result{Metric: map[string]string{"service": s.Group}}
		first, last := time.Unix(start-every, 0), time.Unix(end-every+1, 0)
		for _, p := range f.Points(s, first, last) {
			if at := p.Time.Unix() + every; (at-start)%every == 0 {
				v := p.Value
				if s.Metric == api.MetricResponse {
					v *= 1000
				}
				r.Values = append(r.Values, [2]any{at, strconv.FormatFloat(v, 'g', -1, 64)})
			}
		}
		if r.Values != nil {
			list = append(list, r)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": "matrix", "result": list}})
}

func (f fake) pour(w http.ResponseWriter) {
	text := []byte(`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"service":"a"},"values":[`)
	for {
		n, err := w.Write(text)
		if !f.Wrote(n) || err != nil {
			return
		}
		text = []byte(strings.Repeat(`[1772625900,"1"],`, 4096))
	}
}

func (f fake) seconds(r *http.Request, name string) int64 {
	n, err := strconv.ParseInt(r.PostForm.Get(name), 10, 64)
	if err != nil {
		f.t.Errorf("%s: %v", name, err)
	}
	return n
}

func TestConformance(t *testing.T) {
	var series []collector.Series
	for _, group := range []string{"web", "päge"} {
		series = append(series, collector.Series{Group: group, Metric: api.MetricRequests, Stat: api.StatSum},
			collector.Series{Group: group, Metric: api.MetricResponse, Stat: api.StatP95})
	}
	collectortest.Run(t, collectortest.Harness{
		Series: series, Step: step, Start: t0, Long: 23_000, MaxAnswer: maxAnswer,
		Open: func(t *testing.T, p *collectortest.Provider) collector.Source {
			srv := httptest.NewServer(fake{p, t, series})
			t.Cleanup(srv.Close)
			return open(t, Config{URL: srv.URL + "/prefix", BearerToken: secret(t, collectortest.Secret), Queries: []Query{
				{Metric: api.MetricRequests, Expr: "request_count_sum(x[$step])", Group: "{service}"},
				{Metric: api.MetricResponse, Stat: api.StatP95, Expr: "response_time_p95(x)", Group: "{service}", Conversion: unit.Conversion{From: "milliseconds"}},
			}})
		},
	})
}

// open returns a source that loses no time between two tries.
func open(t *testing.T, c Config) *Source {
	t.Helper()
	s, err := Open("prometheus", c, step, silent())
	if err != nil {
		t.Fatal(err)
	}
	s.client.pause = time.Millisecond
	t.Cleanup(s.client.http.CloseIdleConnections)
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
