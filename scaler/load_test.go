package scaler

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/dataset"
)

// shop is a world whose groups count requests: an instance does per of them a step
// at full CPU, from since on changed.
type shop struct {
	*world
	per, changed float64
	since        time.Time
}

func (s shop) Scan(ctx context.Context, q dataset.Query) ([]api.Sample, error) {
	samples, err := s.world.Scan(ctx, q)
	for _, m := range samples {
		if m.Metric != api.MetricCPU {
			continue
		}
		per := s.per
		if !s.since.IsZero() && !m.Time.Before(s.since) {
			per = s.changed
		}
		s.mu.Lock()
		n := float64(s.groups[m.Group].desired)
		s.mu.Unlock()
		samples = append(samples, api.Sample{Group: m.Group, Metric: api.MetricRequests, Stat: api.StatSum, Time: m.Time, Value: m.Value / 100 * n * per})
	}
	return samples, err
}

func (s shop) tick(t *testing.T, now time.Time) api.TickRecord {
	t.Helper()
	sc := s.scaler(func(c *Config) {
		for i := range c.Groups {
			c.Groups[i].Load = api.MetricRequests
		}
	})
	sc.deps.History = s
	rec, err := s.once(sc, now)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func newShop(t *testing.T) shop {
	w := newWorld(t)
	w.spec.Target, w.spec.Series = api.MetricRequests, []string{api.MetricRequests}
	w.predict = func(_ context.Context, req api.PredictRequest) (api.PredictResponse, error) {
		resp := w.answer(req) // of demand: a model of requests knows nothing of instances
		for i := range resp.Forecasts {
			f := &resp.Forecasts[i]
			for k := range f.Point {
				f.Point[k] *= 250
			}
			f.Quantiles = []float64{0.1, 0.5, 0.9}
			for _, v := range f.Point {
				f.Values = append(f.Values, []float64{v - 50, v, v + 50})
			}
		}
		return resp, nil
	}
	return shop{world: w, per: 250}
}

func TestRequestsBecomeDemand(t *testing.T) {
	s := newShop(t)
	d := decisionOf(s.tick(t, t0), "same")
	if d.Unit == nil || math.Abs(d.Unit.PerInstance-250) > 1e-6 || d.Unit.Series != api.MetricRequests || d.Unit.Doubt != "" {
		t.Fatalf("unit %+v", d.Unit)
	}
	if !d.Offered || math.Abs(d.Observed[api.SeriesDemand]-2) > 1e-9 || d.Observed[api.MetricRequests] != 500 {
		t.Errorf("observed %v, offered %v", d.Observed, d.Offered)
	}
	if f := d.Forecast; f == nil || f.Error != nil || math.Abs(f.Point[0]-2) > 1e-9 || math.Abs(f.Values[2][2]-2.2) > 1e-9 {
		t.Errorf("forecast %+v", f)
	}
	if d.Basis != api.BasisPredictive {
		t.Errorf("basis %s: %v", d.Basis, d.Reasons)
	}
}

func TestAUnitThatNoLongerHoldsIsDoubtedAndLearnedAnew(t *testing.T) {
	s := newShop(t)
	s.tick(t, t0)
	// A release that needs a quarter more CPU for a request.
	s.since, s.changed = t0, 200
	var d api.Decision
	for i := 1; i <= 72; i++ {
		if d = decisionOf(s.tick(t, t0.Add(time.Duration(i)*step)), "same"); d.Unit.Doubt != "" {
			if i < 24 || i > 48 {
				t.Errorf("doubted after %d slots", i)
			}
			break
		}
	}
	if !strings.Contains(d.Unit.Doubt, "-20 %") || math.Abs(d.Unit.PerInstance-200) > 1e-6 {
		t.Fatalf("unit %+v", d.Unit)
	}
	found := false
	for _, a := range d.Alerts {
		found = found || a == "unit"
	}
	if !found {
		t.Errorf("alerts %v", d.Alerts)
	}
}

func TestWithoutAUnitTheForecastOfRequestsIsNotUsed(t *testing.T) {
	s := newShop(t)
	s.groups["same"].demand = 0.02 // at half a percent CPU nothing can be learned
	d := decisionOf(s.tick(t, t0), "same")
	if d.Unit != nil || d.Forecast == nil || d.Forecast.Error == nil || !strings.Contains(d.Forecast.Error.Error(), "not known yet") {
		t.Fatalf("unit %+v, forecast %+v", d.Unit, d.Forecast)
	}
	if d.Basis != api.BasisReactive || math.Abs(d.Observed[api.SeriesDemand]-0.02) > 1e-9 {
		t.Errorf("basis %s, observed %v", d.Basis, d.Observed)
	}
}

func TestAModelOfRequestsDoesNotServeAGroupOfDemand(t *testing.T) {
	s := newShop(t)
	d := decisionOf(s.mustOnce(t0), "same")
	if d.Forecast == nil || d.Forecast.Error == nil || !strings.Contains(d.Forecast.Error.Error(), "forecasts request_count, not demand") {
		t.Errorf("forecast %+v", d.Forecast)
	}
}
