package prometheus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
)

// script answers call n with the n-th text, and with the last one from then on. A
// text that begins with a number is refused with it.
func script(t *testing.T, texts ...string) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var calls atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := texts[min(int(calls.Add(1)), len(texts))-1]
		var code int
		if _, err := fmt.Sscanf(text, "%3d ", &code); err == nil {
			text = text[4:]
			w.Header().Set("Location", "/login")
			w.WriteHeader(code)
		}
		fmt.Fprint(w, text)
	}))
	t.Cleanup(srv.Close)
	return srv, &calls
}

// matrix returns an answer; {s} in its text is the time of the evaluation at the
// end of slot s.
func matrix(result string) string {
	for i := range 9 {
		result = strings.ReplaceAll(result, fmt.Sprintf("{%d}", i), fmt.Sprint(slot(i+1).Unix()))
	}
	return `{"status":"success","data":{"resultType":"matrix","result":[` + result + `]}}`
}

// shape writes samples as group:slot=value, in order.
func shape(samples []api.Sample) string {
	var out []string
	for _, s := range samples {
		out = append(out, fmt.Sprintf("%s:%d=%g", s.Group, int(s.Time.Sub(t0)/step), s.Value))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestAnswers(t *testing.T) {
	two := `{"metric":{"s":"a","pod":"1"},"values":[[{0},"1"],[{1},"4"]]},{"metric":{"s":"a","pod":"2"},"values":[[{1},"2"],[{2},"8"]]},{"metric":{"s":"b"},"values":[[{1},"5"]]}`
	for name, c := range map[string]struct {
		aggregate string
		answers   []string
		want, err string
		calls     int64
	}{
		"gives each evaluation to the slot that it ends": {answers: []string{matrix(`{"metric":{"s":"a"},"values":[[{0},"1"],[{2},"3.5"]]}`)}, want: "a:0=1 a:2=3.5"},
		"takes fractions of seconds that are none":       {answers: []string{matrix(`{"metric":{"s":"a"},"values":[[ {0}.000 , "1" ]]}`)}, want: "a:0=1"},
		"leaves out what is no number":                   {answers: []string{matrix(`{"metric":{"s":"a"},"values":[[{0},"NaN"],[{1},"+Inf"],[{2},"-Inf"],[{3},"1e999"],[{4},"0"]]}`)}, want: "a:4=0"},
		"names both series of one group, and keeps the other groups": {answers: []string{matrix(two)},
			want: "b:1=5", err: `series {pod="1", s="a"} and {pod="2", s="a"} are both of this group`},
		"takes two series of one group that do not meet": {
			answers: []string{matrix(`{"metric":{"s":"a","v":"1"},"values":[[{0},"1"],[{1},"NaN"]]},{"metric":{"s":"a","v":"2"},"values":[[{1},"2"]]}`)}, want: "a:0=1 a:1=2"},
		"adds them when told so":                     {aggregate: "sum", answers: []string{matrix(two)}, want: "a:0=1 a:1=6 a:2=8 b:1=5"},
		"takes their mean when told so":              {aggregate: "avg", answers: []string{matrix(two)}, want: "a:0=1 a:1=3 a:2=8 b:1=5"},
		"takes the least when told so":               {aggregate: "min", answers: []string{matrix(two)}, want: "a:0=1 a:1=2 a:2=8 b:1=5"},
		"takes the greatest when told so":            {aggregate: "max", answers: []string{matrix(two)}, want: "a:0=1 a:1=4 a:2=8 b:1=5"},
		"leaves out a sum that is too large":         {aggregate: "sum", answers: []string{matrix(strings.ReplaceAll(strings.ReplaceAll(two, `"4"`, `"1e308"`), `"2"]`, `"1e308"]`))}, want: "a:0=1 a:2=8 b:1=5"},
		"names a series without the label":           {answers: []string{matrix(`{"metric":{"t":"a"},"values":[[{0},"1"]]},{"metric":{"s":"b"},"values":[[{1},"5"]]}`)}, want: "b:1=5", err: `{t="a"}: it has no label "s"`},
		"refuses native histograms":                  {answers: []string{matrix(`{"metric":{"s":"a"},"histograms":[[{0},{"count":"1"}]]}`)}, err: "native histograms"},
		"refuses a point before the range":           {answers: []string{matrix(`{"metric":{"s":"a"},"values":[[1772625600,"1"]]}`)}, err: "not asked for"},
		"refuses a point after the range":            {answers: []string{matrix(`{"metric":{"s":"a"},"values":[[{5},"1"]]}`)}, err: "not asked for"},
		"refuses a point between two slots":          {answers: []string{matrix(`{"metric":{"s":"a"},"values":[[{0}.5,"1"]]}`)}, err: "not asked for"},
		"refuses a point that is there twice":        {aggregate: "sum", answers: []string{matrix(`{"metric":{"s":"a"},"values":[[{0},"1"],[{0},"1"]]}`)}, err: "not asked for"},
		"refuses an answer of another kind":          {answers: []string{`{"status":"success","data":{"resultType":"vector","result":[]}}`}, err: `"vector", not matrix`},
		"refuses a page of something else":           {answers: []string{"<html>sign in"}, err: "odd answer"},
		"does not follow a redirection":              {answers: []string{"302 <html>", matrix("")}, err: "302 Found: no query_range at this url", calls: 1},
		"repeats no words that are not Prometheus's": {answers: []string{"403 <html>token=abc"}, err: "403 Forbidden: the credentials are missing or refused", calls: 1},
		"does not ask again for what is wrong with the expression": {
			answers: []string{`400 {"status":"error","errorType":"bad_data","error":"parse error: unexpected character"}`}, err: "(bad_data): parse error", calls: 1},
		"asks again when the evaluation took too long": {
			answers: []string{`503 {"status":"error","errorType":"timeout","error":"query timed out"}`, matrix(`{"metric":{"s":"a"},"values":[[{0},"1"]]}`)}, want: "a:0=1", calls: 2},
		"gives up after some tries":               {answers: []string{"502 bad gateway"}, err: "502 Bad Gateway", calls: maxTries},
		"logs a remark on the expression":         {answers: []string{strings.Replace(matrix(`{"metric":{"s":"a"},"values":[[{0},"1"]]}`), `{`, `{"warnings":["PromQL info: metric might not be a counter"],`, 1)}, want: "a:0=1"},
		"takes no answer that warns of lost data": {answers: []string{strings.Replace(matrix(`{"metric":{"s":"a"},"values":[[{0},"1"]]}`), `{`, `{"warnings":["remote_read: connection refused"],`, 1)}, err: "incomplete: remote_read", calls: maxTries},
		"takes no answer that says it is partial": {answers: []string{strings.Replace(matrix(`{"metric":{"s":"a"},"values":[[{0},"1"]]}`), `{`, `{"isPartial":true,`, 1)}, err: "partial"},
		"asks in halves for what was too much":    {answers: []string{`422 {"status":"error","errorType":"execution","error":"query processing would load too many samples into memory in query execution"}`, matrix(`{"metric":{"s":"a"},"values":[[{0},"1"]]}`), matrix(`{"metric":{"s":"a"},"values":[[{3},"4"]]}`)}, want: "a:0=1 a:3=4", calls: 3},
		"gives up where one slot is too much":     {answers: []string{`422 {"status":"error","errorType":"execution","error":"too many samples"}`}, err: "too many samples", calls: 3}, // 5 slots, 2, 1
	} {
		t.Run(name, func(t *testing.T) {
			srv, calls := script(t, c.answers...)
			s := open(t, Config{URL: srv.URL, Queries: []Query{{Metric: "m", Expr: "x", Group: "{s}", Aggregate: c.aggregate}}})
			got, err := s.Fetch(t.Context(), slot(0), slot(5))
			if shape(got) != c.want {
				t.Errorf("got %q, want %q", shape(got), c.want)
			}
			if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if c.calls != 0 && calls.Load() != c.calls {
				t.Errorf("%d calls, want %d", calls.Load(), c.calls)
			}
		})
	}
}

func TestTwoQueriesOfOneSeries(t *testing.T) {
	answer := func(values map[string]string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, matrix(values[r.FormValue("query")])) }
	}
	ask := func(t *testing.T, values map[string]string) ([]api.Sample, error) {
		srv := httptest.NewServer(answer(values))
		t.Cleanup(srv.Close)
		return open(t, Config{URL: srv.URL, Queries: []Query{{Metric: "m", Expr: "x", Group: "{s}"}, {Metric: "m", Expr: "y", Group: "{s}"}}}).Fetch(t.Context(), slot(0), slot(5))
	}
	t.Run("may speak of different groups, and of one at different times", func(t *testing.T) {
		got, err := ask(t, map[string]string{
			"x": `{"metric":{"s":"a"},"values":[[{0},"1"]]},{"metric":{"s":"c"},"values":[[{0},"1"]]}`,
			"y": `{"metric":{"s":"b"},"values":[[{0},"2"]]},{"metric":{"s":"c"},"values":[[{1},"2"]]}`})
		if err != nil || shape(got) != "a:0=1 b:0=2 c:0=1 c:1=2" {
			t.Errorf("got %s, %v", shape(got), err)
		}
	})
	t.Run("are named when they meet", func(t *testing.T) {
		got, err := ask(t, map[string]string{
			"x": `{"metric":{"s":"a"},"values":[[{0},"1"]]},{"metric":{"s":"b"},"values":[[{0},"1"]]}`,
			"y": `{"metric":{"s":"a"},"values":[[{0},"1"]]}`})
		var series *collector.SeriesError
		if !errors.As(err, &series) || series.Series[0] != (collector.Series{Group: "a", Metric: "m", Stat: api.StatAvg}) ||
			!strings.Contains(err.Error(), "queries[0]") || !strings.Contains(err.Error(), "queries[1]") || shape(got) != "b:0=1" {
			t.Errorf("got %s, %v", shape(got), err)
		}
	})
}

func TestAskingAgain(t *testing.T) {
	t.Run("after a connection that breaks off", func(t *testing.T) {
		var calls atomic.Int64
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			switch calls.Add(1) {
			case 1:
				panic(http.ErrAbortHandler)
			case 2:
				fmt.Fprint(w, `{"status":"success",`)
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
			fmt.Fprint(w, matrix(`{"metric":{"s":"a"},"values":[[{0},"1"]]}`))
		}))
		defer srv.Close()
		got, err := open(t, Config{URL: srv.URL, Queries: []Query{{Metric: "m", Expr: "x", Group: "{s}"}}}).Fetch(t.Context(), slot(0), slot(1))
		if err != nil || shape(got) != "a:0=1" {
			t.Errorf("got %s, %v", shape(got), err)
		}
	})
	for name, c := range map[string]struct {
		after    string
		deadline time.Duration
		calls    int64
	}{
		"not when the server names a time after the deadline": {"30", 5 * time.Second, 1},
		"not when the server names a time out of all reason":  {"86400", time.Hour, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int64
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				calls.Add(1)
				w.Header().Set("Retry-After", c.after)
				w.WriteHeader(http.StatusTooManyRequests)
			}))
			defer srv.Close()
			ctx, cancel := context.WithTimeout(t.Context(), c.deadline)
			defer cancel()
			_, err := open(t, Config{URL: srv.URL, Queries: []Query{{Metric: "m", Expr: "x", Group: "{s}"}}}).Fetch(ctx, slot(0), slot(1))
			if err == nil || ctx.Err() != nil || calls.Load() != c.calls || !strings.Contains(err.Error(), "429") {
				t.Errorf("%d calls, error %v, context %v", calls.Load(), err, ctx.Err())
			}
		})
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(matrix(`{"metric":{"s":"a"},"values":[[{0},"1"],[{2},"NaN"]]},{"metric":{"s":"a"},"values":[[{1},"1e999"]]}`)))
	f.Add([]byte(`{"status":"success","warnings":["x"],"data":{"resultType":"matrix","result":[{"metric":null,"values":[[1e10,"0x1p-2"]]}]}}`))
	f.Add([]byte(`{"status":"success","data":{"resultType":"matrix","result":[{"values":[[],null,[1],["1",1],[-1e300,"1"]]}]}}`))
	q, err := Query{Metric: "m", Expr: "x", Group: "{s}", where: "queries[0]"}.ready(step)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := decode(raw, nil)
		if err != nil {
			return
		}
		table := newTable(q, slot(0), 5, step)
		if err := table.add(a.Data.Result, slot(0), slot(4)); err != nil {
			return
		}
		for group := range table.groups {
			for _, s := range table.samples(nil, collector.Series{Group: group, Metric: "m", Stat: api.StatAvg}) {
				if err := s.Validate(); err != nil || s.Time.Before(slot(0)) || s.Time.After(slot(4)) {
					t.Fatalf("%+v: %v", s, err)
				}
			}
		}
	})
}

func FuzzExpression(f *testing.F) {
	for _, expr := range []string{`sum by (a) (rate(x_total{b="c\"}"}[5m] offset 1h))`, "x{`}", "a)(", "é_total", "x[["} {
		f.Add(expr)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		if err := checkExpr(expr); err == nil && strings.TrimSpace(expr) == "x_total" {
			t.Error("a raw counter")
		}
		if tpl, err := parseTemplate(expr); err == nil && len(tpl)%2 != 1 {
			t.Errorf("%q has %d parts", expr, len(tpl))
		}
	})
}
