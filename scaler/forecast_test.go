package scaler

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/dataset"
)

// The server serves another version than the one whose manifest is known here.
// What it forecasts is looked up before it is believed.
func TestAForecastOfAnUnknownVersionIsNotTakenForDemand(t *testing.T) {
	w := newWorld(t)
	s := w.scaler()
	if _, err := w.once(s, t0); err != nil {
		t.Fatal(err)
	}
	serve := func(version int, target string, named bool) api.Decision {
		t.Helper()
		w.alter(func() { w.version, w.spec.Target = version, target })
		w.predict = func(_ context.Context, req api.PredictRequest) (api.PredictResponse, error) {
			resp := w.answer(req)
			for i := range resp.Forecasts {
				resp.Forecasts[i].Model, resp.Forecasts[i].Version = resp.Model, version
			}
			if !named { // the windows were answered by several versions
				resp.Model, resp.Version = "", 0
			}
			return resp, nil
		}
		rec, err := w.once(s, w.clock().Add(step))
		if err != nil {
			t.Fatal(err)
		}
		return decisionOf(rec, "same")
	}
	if d := serve(2, api.MetricCPU, true); d.Basis != api.BasisReactive || !strings.Contains(reasons(d), "version 2 forecasts cpu_utilization") {
		t.Errorf("a model of CPU: basis %s\n%s", d.Basis, reasons(d))
	}
	if d := serve(3, api.MetricCPU, false); d.Basis != api.BasisReactive || d.ModelVersion != 3 {
		t.Errorf("a model of CPU among others: basis %s, version %d\n%s", d.Basis, d.ModelVersion, reasons(d))
	}
	if d := serve(4, api.SeriesDemand, false); d.Basis != api.BasisPredictive || d.ModelVersion != 4 {
		t.Errorf("a newer model of demand: basis %s, version %d\n%s", d.Basis, d.ModelVersion, reasons(d))
	}
	s.deps.Specs = brokenSpecs{}
	if d := serve(5, api.SeriesDemand, true); d.Basis != api.BasisReactive || !strings.Contains(reasons(d), "registry is away") {
		t.Errorf("a version that cannot be looked up: basis %s\n%s", d.Basis, reasons(d))
	}
	if d := serve(4, api.SeriesDemand, true); d.Basis != api.BasisPredictive {
		t.Errorf("the known version again: basis %s\n%s", d.Basis, reasons(d))
	}
}

// cpuOnly is a lake in which nobody counts the instances.
type cpuOnly struct{ *world }

func (h cpuOnly) Scan(ctx context.Context, q dataset.Query) ([]api.Sample, error) {
	samples, err := h.world.Scan(ctx, q)
	return slices.DeleteFunc(samples, func(s api.Sample) bool { return s.Metric != api.MetricCPU }), err
}
