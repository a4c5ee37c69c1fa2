package server_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server"
	"github.com/forescale/forescale/server/batch"
	"github.com/forescale/forescale/server/catalog"
	"github.com/forescale/forescale/server/tensor"
)

// metric returns the line of /metrics that begins with a series.
func (r *running) metric(series string) string {
	r.t.Helper()
	for line := range strings.Lines(string(r.get(api.RouteMetrics).body)) {
		if strings.HasPrefix(line, series+" ") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// primed waits until a version is loaded, which a shadow is after its champion.
func (r *running) primed(model string, version int) {
	r.t.Helper()
	eventually(r.t, "the shadow is loaded", func() bool {
		return r.metric(fmt.Sprintf(`forescale_model_info{model=%q,version="%d"}`, model, version)) != ""
	})
}

// shadowOf returns orders that make a version the shadow.
func shadowOf(version int) models.Orders {
	return models.Orders{Shadow: &models.Order{Version: version}}
}

func TestAShadowIsComparedAndItsAnswerNeverReturned(t *testing.T) {
	spec := onnxtest.Spec(4, 2)
	registry := newShelf()
	for _, factor := range []float32{1, 1.25} {
		m, model := onnxtest.Persistence(spec, factor)
		registry.put("web", m, model)
	}
	registry.crown("web", 1)
	registry.order("web", shadowOf(2))
	for range 2 {
		registry.put("foreign", models.Manifest{}, onnxtest.Foreign())
	}
	registry.crown("foreign", 1)
	registry.order("foreign", shadowOf(2))
	r := start(t, registry, nil)
	windows := api.PredictRequest{Windows: []api.Window{ramp(spec, "web", 10), ramp(spec, "b", 10), {Group: "gap", End: noon, StepSeconds: 300, Series: map[string]api.Series{}}}}
	r.predict(api.PredictRequest{Windows: windows.Windows[2:]}) // is not answered, so there is nothing to compare
	r.primed("web", 2)
	for n := 1; n <= 3; n++ {
		response := r.predict(windows)
		if f := response.Forecasts; f[0].Version != 1 || f[0].Point[1] != 10 || f[1].Version != 1 || f[2].Error == nil {
			t.Fatalf("answered %+v", response)
		}
		eventually(t, "the shadow is compared", func() bool {
			return r.metric(`forescale_shadow_rows_total{model="web"}`) == fmt.Sprintf(`forescale_shadow_rows_total{model="web"} %d`, 2*n)
		})
	}
	// |10 - 12.5| / 12.5 for each row
	if got := r.metric(`forescale_shadow_difference_ratio_sum{model="web"}`); !strings.HasPrefix(got, `forescale_shadow_difference_ratio_sum{model="web"} 1.2`) {
		t.Errorf("difference %s", got)
	}
	for range 2 {
		if got := r.post(foreignRequest); string(got.body) != `{"predictions":[[7.25,14]]}` {
			t.Errorf("answered %s", got.body)
		}
		r.primed("foreign", 2)
	}
	eventually(t, "the run is compared", func() bool { return r.metric(`forescale_shadow_rows_total{model="foreign"}`) != "" })
	if got := r.metric(`forescale_shadow_difference_ratio_sum{model="foreign"}`); !strings.HasSuffix(got, " 0") {
		t.Errorf("difference %s", got)
	}
	if rows := r.metric(`forescale_predict_rows_total{model="web"}`); rows != `forescale_predict_rows_total{model="web"} 6` {
		t.Errorf("the shadow counts as traffic: %s", rows)
	}
}

func TestAShadowThatFailsIsCountedAndCostsNoRequest(t *testing.T) {
	spec := onnxtest.Spec(4, 2)
	good, goodModel := onnxtest.Persistence(spec, 1)
	other := onnxtest.Spec(6, 2) // reads more than the champion is given
	longer, longerModel := onnxtest.Persistence(other, 1)
	for name, c := range map[string]struct {
		manifest models.Manifest
		model    []byte
		reason   string
	}{
		"it cannot be loaded":                  {good, []byte("rubbish"), "load"},
		"it reads more than the champion does": {longer, longerModel, "request"},
	} {
		t.Run(name, func(t *testing.T) {
			registry := newShelf()
			registry.put("web", good, goodModel)
			registry.put("web", c.manifest, c.model)
			registry.crown("web", 1)
			registry.order("web", shadowOf(2))
			r := start(t, registry, nil)
			eventually(t, "the failure is counted", func() bool {
				if f := r.predict(api.PredictRequest{Windows: []api.Window{ramp(spec, "web", 10)}}).Forecasts[0]; f.Error != nil || f.Version != 1 {
					t.Errorf("answered %+v", f)
				}
				return r.metric(fmt.Sprintf(`forescale_shadow_errors_total{model="web",reason=%q}`, c.reason)) != ""
			})
			eventually(t, "the log tells", func() bool { return strings.Contains(r.logs.String(), "shadow could not be compared") })
		})
	}
}

// stuck is a session that runs only until its context ends.
type stuck struct {
	catalog.Session
	runs chan struct{}
}

func (s stuck) Run(ctx context.Context, b batch.Batch) ([]tensor.Tensor, error) {
	s.runs <- struct{}{}
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

func TestAShadowThatHangsHoldsUpNobodyAndTheRestIsDropped(t *testing.T) {
	registry := newShelf()
	for range 2 {
		registry.put("foreign", models.Manifest{}, onnxtest.Foreign())
	}
	registry.crown("foreign", 1)
	registry.order("foreign", shadowOf(2))
	runs := make(chan struct{}, 100)
	var loads atomic.Int64
	r := start(t, registry, func(_ *server.Config, d *server.Deps) {
		d.Load = func(model []byte) (catalog.Session, error) {
			s, err := loadORT(model)
			if loads.Add(1) > 1 { // the champion is loaded by the first request, the shadow after it
				return stuck{s, runs}, err
			}
			return s, err
		}
	})
	for n := range 41 {
		if n == 1 {
			r.primed("foreign", 2)
		}
		if got := r.post(foreignRequest); got.status != http.StatusOK {
			t.Fatalf("status %d: %s", got.status, got.body)
		}
	}
	<-runs
	if got := r.metric(`forescale_shadow_dropped_total{model="foreign"}`); got == "" {
		t.Error("nothing was dropped")
	}
	if err := r.close(); err != nil { // nor does the drain wait for it
		t.Error(err)
	}
}

// swapped is internal/onnxtest.SumAndDifference with its inputs and outputs the other
// way round.
func swapped() []byte {
	return onnxtest.Model(onnxtest.Graph(
		onnxtest.Node("Add", "", []string{"a", "b"}, []string{"sum"}), onnxtest.Node("Sub", "", []string{"a", "b"}, []string{"difference"}),
		onnxtest.InputOf(onnxtest.TypeFloat, "b", "batch", 2), onnxtest.InputOf(onnxtest.TypeFloat, "a", "batch", 2),
		onnxtest.OutputOf(onnxtest.TypeFloat, "difference", "batch", 2), onnxtest.OutputOf(onnxtest.TypeFloat, "sum", "batch", 2)), nil)
}

func TestAShadowIsGivenItsInputsByTheirNames(t *testing.T) {
	registry := newShelf()
	registry.put("two", models.Manifest{}, onnxtest.SumAndDifference())
	registry.put("two", models.Manifest{}, swapped())
	registry.crown("two", 1)
	registry.order("two", shadowOf(2))
	r := start(t, registry, nil)
	const request = `{"inputs":[{"name":"a","shape":[1,2],"datatype":"FP32","data":[1,2]},{"name":"b","shape":[1,2],"datatype":"FP32","data":[7,9]}]}`
	eventually(t, "the run is compared", func() bool {
		if got := r.infer("two", request); got.status != http.StatusOK {
			t.Fatalf("status %d: %s", got.status, got.body)
		}
		return r.metric(`forescale_shadow_rows_total{model="two"}`) != ""
	})
	if got := r.metric(`forescale_shadow_difference_ratio_sum{model="two"}`); !strings.HasSuffix(got, " 0") {
		t.Errorf("difference %s", got)
	}
}

func TestWindowsTooLargeToCopyAreAnsweredAndDropped(t *testing.T) {
	spec := onnxtest.Spec(4, 2)
	registry := newShelf()
	for range 2 {
		m, model := onnxtest.Persistence(spec, 1)
		registry.put("web", m, model)
	}
	registry.crown("web", 1)
	registry.order("web", shadowOf(2))
	r := start(t, registry, nil)
	window := ramp(spec, "web", 10)
	window.Series["unread"] = make(api.Series, 1<<18)
	if f := r.predict(api.PredictRequest{Windows: []api.Window{window}}).Forecasts[0]; f.Version != 1 && f.Error == nil {
		t.Errorf("answered %+v", f)
	}
	if got := r.metric(`forescale_shadow_dropped_total{model="web"}`); !strings.HasSuffix(got, " 1") {
		t.Errorf("dropped: %q", got)
	}
}
