package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server"
	"github.com/forescale/forescale/server/catalog"
)

// modelStatus returns how a model stands according to /api/v1/models.
func (r *running) modelStatus(name string) catalog.Status {
	r.t.Helper()
	var list struct{ Models []catalog.Status }
	if err := json.Unmarshal(r.get(api.RouteModels).body, &list); err != nil {
		r.t.Fatal(err)
	}
	for _, m := range list.Models {
		if m.Name == name {
			return m
		}
	}
	return catalog.Status{}
}

func TestANewChampionServesWithoutARestart(t *testing.T) {
	spec := onnxtest.Spec(4, 2)
	registry := newShelf()
	r := start(t, registry, nil)
	windows := api.PredictRequest{Windows: []api.Window{ramp(spec, "web", 10)}}
	if f := r.predict(windows).Forecasts[0]; f.Error == nil || f.Error.Status != http.StatusNotFound {
		t.Errorf("an empty registry forecasts %+v", f)
	}
	for factor := 1; factor <= 3; factor++ {
		m, model := onnxtest.Persistence(spec, float32(factor))
		version := registry.put("web", m, model)
		eventually(t, "the new version answers", func() bool {
			f := r.predict(windows).Forecasts[0]
			return f.Error == nil && f.Version == version && f.Point[0] == float64(10*factor)
		})
	}
	if s := r.modelStatus("web"); s.State != catalog.StateServing || s.Serving != 3 || len(s.Inputs) != 1 || s.Failure != nil {
		t.Errorf("status %+v", s)
	}
	if text := string(r.get(api.RouteMetrics).body); !strings.Contains(text, `forescale_model_info{model="web",version="3"} 1`) ||
		strings.Contains(text, `forescale_model_info{model="web",version="2"}`) {
		t.Error("the metrics do not tell which version serves")
	}
}

func TestAFailingChampionKeepsTheOldOneAndSaysWhy(t *testing.T) {
	spec := onnxtest.Spec(4, 2)
	good, goodModel := onnxtest.Persistence(spec, 1)
	_, otherModel := onnxtest.Persistence(onnxtest.Spec(5, 2), 1)
	_, doubled := onnxtest.Persistence(spec, 2)
	external := onnxtest.Model(onnxtest.Graph(onnxtest.Node("Add", "", []string{"input", "w"}, []string{"output"}),
		onnxtest.External("w", []int64{1}, "/etc/hostname"), onnxtest.Input("input", -1, 1), onnxtest.Output("output", -1, 1)), nil)
	badSpec := good
	badSpec.Spec.Calendar = []string{"phase_of_moon"}
	banded, bandedModel := onnxtest.Affine(bandSpec(), 1, bands)
	golden := func(change func(g *models.Golden)) models.Manifest {
		m, g := banded, *banded.Golden
		g.Quantiles, g.Peaks = slices.Clone(g.Quantiles), slices.Clone(g.Peaks)
		change(&g)
		m.Golden = &g
		return m
	}
	noPeaks := bandSpec()
	noPeaks.Peaks = false
	_, withoutPeaks := onnxtest.Affine(noPeaks, 1, onnxtest.Answer{Forecast: bands.Forecast, Quantiles: bands.Quantiles})
	for name, c := range map[string]struct {
		manifest models.Manifest
		model    []byte
		reason   string
	}{
		"a corrupt file":                          {good, []byte("rubbish"), "not a valid ONNX model"},
		"a file cut short":                        {good, goodModel[:len(goodModel)-20], "not a valid ONNX model"},
		"external data":                           {good, external, "external data"},
		"a graph of another shape":                {good, otherModel, "input is series float32 [?, 5, 2], must be series float32 [?, 4, 2]"},
		"a graph of another kind":                 {good, onnxtest.Foreign(), "input series float32 [?, 4, 2] is missing"},
		"an answer other than the golden":         {good, doubled, "golden request: the forecast of step 1 is 8, the trainer had 4"},
		"a quantile other than the golden":        {golden(func(g *models.Golden) { g.Quantiles[4] -= 0.01 }), bandedModel, "golden request: a quantile of step 2 is 6, the trainer had 5.99"},
		"a peak other than the golden":            {golden(func(g *models.Golden) { g.Peaks[8] += 1 }), bandedModel, "golden request: a peak of step 3 is 6, the trainer had 7"},
		"golden quantiles of another length":      {golden(func(g *models.Golden) { g.Quantiles = g.Quantiles[1:] }), bandedModel, "golden request: quantiles has 8 values, must be 9"},
		"golden peaks of a model that has none":   {func() models.Manifest { m := golden(func(*models.Golden) {}); m.Spec = noPeaks; return m }(), withoutPeaks, "golden request: peaks has 9 values, must be 0"},
		"a graph without the peaks promised":      {banded, withoutPeaks, "output peaks float32 [?, 3, 3] is missing"},
		"a graph with peaks that nobody promised": {func() models.Manifest { m := banded; m.Spec = noPeaks; return m }(), bandedModel, "3 outputs, must be 2"},
		"a spec that nobody can encode":           {badSpec, goodModel, "phase_of_moon"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			registry := newShelf()
			registry.put("web", good, goodModel)
			r := start(t, registry, nil)
			windows := api.PredictRequest{Windows: []api.Window{ramp(spec, "web", 10)}}
			if f := r.predict(windows).Forecasts[0]; f.Error != nil {
				t.Fatal(f.Error)
			}
			registry.put("web", c.manifest, c.model)
			eventually(t, "the failure is known", func() bool { return r.modelStatus("web").Failure != nil })
			s := r.modelStatus("web")
			if s.State != catalog.StateStale || s.Serving != 1 || s.Champion != 2 || s.Failure.Version != 2 || !strings.Contains(s.Failure.Reason, c.reason) {
				t.Errorf("status %+v, failure %+v", s, s.Failure)
			}
			if f := r.predict(windows).Forecasts[0]; f.Error != nil || f.Version != 1 {
				t.Errorf("the old version answers %+v", f)
			}
			if !strings.Contains(r.logs.String(), "model version refused") {
				t.Error("the log does not tell")
			}
			if text := string(r.get(api.RouteMetrics).body); !strings.Contains(text, `forescale_model_loads_total{model="web",result="error"} 1`) {
				t.Error("the metrics do not tell, or the version is tried again and again")
			}
			registry.put("web", good, goodModel)
			eventually(t, "a good version serves again", func() bool { s := r.modelStatus("web"); return s.Serving == 3 && s.Failure == nil })
		})
	}
}

func TestWhatIsLoadedServesWhileTheRegistryIsAway(t *testing.T) {
	spec := onnxtest.Spec(4, 2)
	registry := newShelf()
	m, model := onnxtest.Persistence(spec, 1)
	m.Groups = []string{"web"}
	registry.put("web", m, model)
	registry.setAway(errors.New("no route to the store"))
	r := start(t, registry, nil)
	windows := api.PredictRequest{Windows: []api.Window{ramp(spec, "web", 10)}}
	if got := r.get(api.RouteReady); got.status != http.StatusServiceUnavailable {
		t.Errorf("ready with status %d before the registry was ever read", got.status)
	}
	if f := r.predict(windows).Forecasts[0]; f.Error == nil || f.Error.Status != http.StatusServiceUnavailable || !strings.Contains(f.Error.Detail, "no route to the store") {
		t.Errorf("with nothing loaded: %+v", f)
	}
	if got := r.post(`{"instances":[[1]]}`); got.status != http.StatusServiceUnavailable || !strings.Contains(string(got.body), "no route to the store") {
		t.Errorf("instances for the only model there is, which nobody knows yet: %d %s", got.status, got.body)
	}
	registry.setAway(nil)
	eventually(t, "ready", func() bool { return r.get(api.RouteReady).status == http.StatusOK })
	eventually(t, "loaded", func() bool { return r.predict(windows).Forecasts[0].Error == nil })
	registry.setAway(errors.New("no route to the store"))
	eventually(t, "the trouble is shown", func() bool {
		return strings.Contains(string(r.get(api.RouteModels).body), "no route to the store")
	})
	if f := r.predict(windows).Forecasts[0]; f.Error != nil {
		t.Error(f.Error)
	}
	if got := r.get(api.RouteReady); got.status != http.StatusOK {
		t.Errorf("not ready: %s", got.body)
	}
}

func TestThreeHundredReloadsUnderLoadFailNoRequest(t *testing.T) {
	spec := onnxtest.Spec(4, 2)
	registry := newShelf()
	put := func(factor float32) int {
		m, model := onnxtest.Persistence(spec, factor)
		return registry.put("web", m, model)
	}
	put(1)
	r := start(t, registry, func(c *server.Config, _ *server.Deps) { c.Reload = 10 * time.Millisecond })
	body, err := json.Marshal(api.PredictRequest{Windows: []api.Window{ramp(spec, "web", 10)}})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.post(string(body)); got.status != http.StatusOK { // loads version 1 before there is a second
		t.Fatalf("got %d %s", got.status, got.body)
	}
	var done atomic.Bool
	var answered atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !done.Load() {
				response, err := http.Post(r.url+api.RoutePredict, "application/json", strings.NewReader(string(body)))
				if err != nil {
					t.Error(err)
					return
				}
				var got api.PredictResponse
				err = json.NewDecoder(response.Body).Decode(&got)
				response.Body.Close()
				if err != nil || response.StatusCode != http.StatusOK || got.Forecasts[0].Error != nil || got.Forecasts[0].Point[0] != float64(10*got.Version) {
					t.Errorf("status %d, %+v, %v", response.StatusCode, got, err)
					return
				}
				answered.Add(1)
			}
		})
	}
	for factor := 2; factor <= 301 && !t.Failed(); factor++ {
		version := put(float32(factor))
		eventually(t, "the new version serves", func() bool {
			// not by /api/v1/models, whose answer is remembered for a second
			return t.Failed() || strings.HasSuffix(r.metric(`forescale_model_version{model="web"}`), fmt.Sprintf(" %d", version))
		})
	}
	done.Store(true)
	wg.Wait()
	if got := r.metric(`forescale_model_loads_total{model="web",result="ok"}`); !strings.HasSuffix(got, " 301") {
		t.Errorf("loaded: %s", got)
	}
	if answered.Load() < 300 {
		t.Errorf("only %d requests were answered: that was no load", answered.Load())
	}
}

func TestLeastRecentlyUsedModelsMakeRoom(t *testing.T) {
	spec := onnxtest.Spec(4, 2)
	registry := newShelf()
	for i := range 6 {
		m, model := onnxtest.Persistence(spec, 1)
		m.Groups = []string{fmt.Sprint("g", i)}
		registry.put(fmt.Sprint("m", i), m, model)
	}
	r := start(t, registry, func(c *server.Config, _ *server.Deps) { c.MemoryBudget = 1 << 20 }) // room for three
	ask := func(i int) {
		t.Helper()
		if f := r.predict(api.PredictRequest{Windows: []api.Window{ramp(spec, fmt.Sprint("g", i), 1)}}).Forecasts[0]; f.Error != nil {
			t.Error(f.Error)
		}
	}
	for _, i := range []int{0, 1, 2, 0, 3, 4} {
		ask(i)
	}
	for i, want := range []catalog.State{"serving", "available", "available", "serving", "serving", "available"} {
		if got := r.modelStatus(fmt.Sprint("m", i)).State; got != want {
			t.Errorf("model %d is %s, want %s", i, got, want)
		}
	}
	ask(1) // and comes back
}

func TestNothingIsLeftBehindAfterADrain(t *testing.T) {
	if err := openRuntime(); err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	before := runtime.NumGoroutine()
	spec := onnxtest.Spec(4, 2)
	registry := newShelf()
	m, model := onnxtest.Persistence(spec, 1)
	registry.put("web", m, model)
	for range 3 {
		r := start(t, registry, nil)
		r.predict(api.PredictRequest{Windows: []api.Window{ramp(spec, "web", 10)}})
		if err := r.close(); err != nil {
			t.Error(err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	eventually(t, "the goroutines are gone", func() bool { return runtime.NumGoroutine() <= before })
}

func TestTheDefaultConfigurationIsValidAndFaultsAreToldAtOnce(t *testing.T) {
	if err := server.Defaults().Validate(); err != nil {
		t.Error(err)
	}
	for _, listen := range []string{"127.0.0.1:0", "[::1]:80", "localhost:8650"} {
		c := server.Defaults()
		c.Listen = listen
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
	}
	for _, listen := range []string{":8650", "0.0.0.0:8650", "10.1.2.3:80", "example.com:80"} {
		c := server.Defaults()
		c.Listen = listen
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "allow_anonymous") {
			t.Errorf("%s: %v", listen, err)
		}
		c.AllowAnonymous = true
		if err := c.Validate(); err != nil {
			t.Errorf("%s, allowed: %v", listen, err)
		}
		c = server.Defaults()
		c.GRPCListen = listen
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "server.grpc_listen") || !strings.Contains(err.Error(), "allow_anonymous") {
			t.Errorf("gRPC on %s: %v", listen, err)
		}
	}
	c := server.Defaults()
	c.Listen, c.Threads, c.BodyLimit, c.Reload, c.DrainTimeout = "nowhere", 0, -1, 0, -time.Second
	err := c.Validate()
	for _, field := range []string{"listen", "threads", "body_limit", "reload", "drain_timeout"} {
		if err == nil || !strings.Contains(err.Error(), "server."+field) {
			t.Errorf("%v\ndoes not mention %s", err, field)
		}
	}
}
