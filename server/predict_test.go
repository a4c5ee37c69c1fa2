package server_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server"
)

func TestWindowsAreAnsweredInOrderByTheModelsOfTheirGroups(t *testing.T) {
	spec := onnxtest.Spec(4, 3, .1, .5, .9)
	registry := newShelf()
	shared, sharedModel := onnxtest.Persistence(spec, 1)
	registry.put("everyone", shared, sharedModel)
	own, ownModel := onnxtest.Persistence(spec, 2)
	own.Groups = []string{"web"}
	registry.put("web", own, ownModel)
	r := start(t, registry, nil)
	eventually(t, "ready", func() bool { return r.get(api.RouteReady).status == http.StatusOK })

	response := r.predict(api.PredictRequest{Windows: []api.Window{ramp(spec, "db", 10), ramp(spec, "web", 20), ramp(spec, "../../x", 30)}})
	if response.Model != "" || response.Version != 0 {
		t.Errorf("two models answered, and the response names %s", response.Model)
	}
	for i, want := range []struct {
		group, model string
		point        float64
	}{{"db", "everyone", 10}, {"web", "web", 40}, {"../../x", "everyone", 30}} {
		f := response.Forecasts[i]
		if f.Error != nil || f.Group != want.group || f.Model != want.model || f.Version != 1 || !f.IssuedAt.Equal(noon) || f.StepSeconds != 300 ||
			!reflect.DeepEqual(f.Point, []float64{want.point, want.point, want.point}) ||
			!reflect.DeepEqual(f.Values[2], []float64{want.point - 1, want.point, want.point + 1}) || len(f.Quantiles) != 3 {
			t.Errorf("forecast %d is %+v", i, f)
		}
	}
	if response = r.predict(api.PredictRequest{Model: "web", Windows: []api.Window{ramp(spec, "db", 10)}}); response.Model != "web" || response.Version != 1 || response.Forecasts[0].Point[0] != 20 {
		t.Errorf("a named model answered %+v", response)
	}
}

func TestManyWindowsGoInSeveralRunsAndComeBackInOrder(t *testing.T) {
	spec := onnxtest.Spec(4, 2)
	registry := newShelf()
	m, model := onnxtest.Persistence(spec, 1)
	registry.put("everyone", m, model)
	r := start(t, registry, nil)
	var req api.PredictRequest
	for i := range 150 {
		req.Windows = append(req.Windows, ramp(spec, fmt.Sprint("g", i), float64(i)))
	}
	req.Windows[70].Series[spec.Target] = api.Series{} // leaves a hole among the rows
	for i, f := range r.predict(req).Forecasts {
		if i == 70 {
			if f.Error == nil {
				t.Error("a window without values has a forecast")
			}
		} else if f.Error != nil || f.Group != req.Windows[i].Group || f.Point[1] != float64(i) {
			t.Fatalf("forecast %d is %+v", i, f)
		}
	}
}

func TestAWindowAtFaultSpoilsOnlyItsOwnForecast(t *testing.T) {
	spec := onnxtest.Spec(6, 2)
	registry := newShelf()
	m, model := onnxtest.Persistence(spec, 1)
	m.Groups = []string{"web"}
	registry.put("web", m, model)
	broken, nan := onnxtest.Persistence(spec, float32(math.NaN()))
	broken.Groups = []string{"nan"}
	registry.put("nan", broken, nan)
	foreign := models.Manifest{Groups: []string{"foreign"}}
	registry.put("foreign", foreign, onnxtest.Foreign())
	corrupt, _ := onnxtest.Persistence(spec, 1)
	corrupt.Groups = []string{"corrupt"}
	registry.put("corrupt", corrupt, []byte("no model"))
	r := start(t, registry, nil)

	gap, short, wrongStep, extra := ramp(spec, "web", 9), ramp(spec, "web", 9), ramp(spec, "web", 9), ramp(spec, "web", 9)
	gap.Series["demand"][5] = math.NaN()
	short.Series["demand"] = short.Series["demand"][1:]
	wrongStep.StepSeconds = 60
	extra.Series["cpu"] = api.Series{1}
	got := r.predict(api.PredictRequest{Windows: []api.Window{ramp(spec, "web", 9), gap, short, wrongStep, extra,
		ramp(spec, "nobody", 1), ramp(spec, "nan", 1), ramp(spec, "foreign", 1), ramp(spec, "corrupt", 1)}})
	for i, want := range []struct {
		status       int
		field, words string
	}{
		{},
		{422, "windows[1].series.demand", ""},
		{422, "windows[2].series.demand", ""},
		{422, "windows[3].step_seconds", ""},
		{422, "windows[4].series.cpu", ""},
		{404, "windows[5].group", "nobody"},
		{500, "", "is NaN"},
		{422, "windows[7]", "takes instances"},
		{503, "", "cannot be served"},
	} {
		f := got.Forecasts[i]
		switch {
		case want.status == 0:
			if f.Error != nil || f.Point[0] != 9 {
				t.Errorf("forecast %d is %+v", i, f)
			}
		case f.Error == nil || f.Error.Status != want.status || !strings.HasPrefix(f.Error.Field, want.field) || !strings.Contains(f.Error.Detail, want.words) || f.Point != nil:
			t.Errorf("forecast %d is %+v, error %+v", i, f, f.Error)
		}
	}
	if text := string(r.get(api.RouteMetrics).body); !strings.Contains(text, `forescale_predict_window_errors_total{code="422"} 5`) {
		t.Error("the errors are not counted")
	}
}

func TestARequestAtFaultIsAProblemThatNamesTheField(t *testing.T) {
	spec := onnxtest.Spec(4, 2)
	registry := newShelf()
	m, model := onnxtest.Persistence(spec, 1)
	registry.put("web", m, model)
	registry.put("foreign", models.Manifest{}, onnxtest.Foreign())
	r := start(t, registry, func(c *server.Config, _ *server.Deps) { c.BodyLimit = 4096 })
	var zipped bytes.Buffer
	gz := gzip.NewWriter(&zipped)
	if _, err := io.CopyN(gz, zeros{}, 50<<20); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		body, header, value string
		status              int
		field, words        string
	}{
		"no JSON":                      {"hello", "", "", 400, "", "must be an object"},
		"NaN in a series":              {`{"windows":[{"group":"web","end":"2026-03-02T12:05:00Z","step_seconds":300,"series":{"demand":[1,2,NaN]}}]}`, "", "", 400, "windows[0].series.demand[2]", "must be a number, not NaN"},
		"an unknown model for windows": {`{"model":"m","windows":[{"group":"web","end":"2026-03-02T12:05:00Z","step_seconds":300,"series":{}}]}`, "", "", 404, "model", `"m"`},
		"a model named ../../x":        {`{"model":"../../x","instances":[[1]]}`, "", "", 404, "model", "../../x"},
		"instances for one of several": {`{"instances":[[1]]}`, "", "", 400, "model", "which of the 2 models"},
		"instances of a wrong shape":   {`{"model":"foreign","instances":[[1,2]]}`, "", "", 422, "instances", "have the shape [1, 2], model foreign reads input float32 [?, 3]"},
		"ragged instances":             {`{"model":"foreign","instances":[[1,2,3],[1,2]]}`, "", "", 400, "instances[1]", "has 2 values"},
		"a number beyond float32":      {`{"model":"foreign","instances":[[1,2,3],[1,1e39,2]]}`, "", "", 422, "instances[1][1]", "does not fit into float32"},
		"an output that overflows":     {`{"model":"foreign","instances":[[3e38,3e38,3e38]]}`, "", "", 500, "", "not finite"},
		"a body over the limit":        {`{"model":"` + strings.Repeat("m", 4096) + `"}`, "", "", 413, "", "larger than 4096 bytes"},
		"another content type":         {`{}`, "Content-Type", "text/plain", 415, "", "text/plain"},
		"a compressed body":            {zipped.String()[:4000], "Content-Encoding", "gzip", 415, "", "gzip"},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{}
			if c.header != "" {
				header.Set(c.header, c.value)
			}
			got := r.do(http.MethodPost, api.RoutePredict, []byte(c.body), header, true)
			if p := got.problem(t); p.Status != c.status || p.Field != c.field || !strings.Contains(p.Detail, c.words) {
				t.Errorf("got %+v", p)
			}
		})
	}
	for kind, described := range map[string]bool{"application/json; charset=utf-8": true, "application/x-www-form-urlencoded": false} {
		got := r.do(http.MethodPost, api.RoutePredict, []byte(`{"model":"foreign","instances":[[1,2,4]]}`), http.Header{"Content-Type": {kind}}, !described)
		if string(got.body) != `{"predictions":[[7.25,14]]}` {
			t.Errorf("%s: the server answers %s", kind, got.body)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestAHundredMegabytesAreRefusedWithoutBeingRead(t *testing.T) {
	r := start(t, newShelf(), nil)
	for name, length := range map[string]int64{"announced": 100 << 20, "not announced": -1} {
		t.Run(name, func(t *testing.T) {
			read := &counter{r: io.LimitReader(io.MultiReader(strings.NewReader(`{"instances":[`), repeated("1,")), 100<<20)}
			req, err := http.NewRequest(http.MethodPost, r.url+api.RoutePredict, io.NopCloser(read))
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = length
			response, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			reply{response.StatusCode, response.Header, body}.problem(t)
			if response.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("status %d", response.StatusCode)
			}
			if n := read.n.Load(); n > 40<<20 {
				t.Errorf("%d bytes were sent", n)
			}
		})
	}
}

type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

type repeated string

func (s repeated) Read(p []byte) (int, error) {
	n := 0
	for n+len(s) <= len(p) {
		n += copy(p[n:], s)
	}
	return n, nil
}

func TestEveryOtherPathAndMethodIsAProblemToo(t *testing.T) {
	r := start(t, newShelf(), nil)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/nothing/here", 404}, {http.MethodGet, api.RoutePredict, 405}, {http.MethodDelete, "/healthz", 405},
		{"BREW", "/", 405}, {http.MethodGet, "/api/v1/groups/a/b", 404}, {http.MethodGet, "/api/v1/groups/", 404},
	} {
		got := r.do(c.method, c.path, nil, nil, true)
		if p := got.problem(t); p.Status != c.status {
			t.Errorf("%s %s: %+v", c.method, c.path, p)
		}
		if c.status == 405 && got.header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow header", c.method, c.path)
		}
	}
}
