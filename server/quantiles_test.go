package server_test

import (
	"fmt"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server"
)

// bandSpec is that of a model with all three outputs, over three steps.
func bandSpec() models.Spec {
	spec := onnxtest.Spec(4, 3, .1, .5, .9)
	spec.Peaks = true
	return spec
}

// bands are what a model may answer that learnt each quantile apart: they cross,
// and peaks fall from one step to the next.
var bands = onnxtest.Answer{
	Forecast:  []float32{0, 2, 1},
	Quantiles: []float32{2, -1, 0, -2, 2, 8, 1, 0, 3},
	Peaks:     []float32{-1, 1, 4, 0, 3, 2, 5, 1, 2},
}

func TestQuantilesAndPeaksComeInOrderAndCalibratedForTheirGroup(t *testing.T) {
	registry := newShelf()
	m, model := onnxtest.Affine(bandSpec(), 1, bands)
	m.Calibration = map[string][]float64{"web": {0.5, 2, 3}, "db": {10, 1, 1}}
	registry.put("everyone", m, model)
	r := start(t, registry, nil)

	windows := []api.Window{ramp(m.Spec, "other", 10), ramp(m.Spec, "web", 100), ramp(m.Spec, "db", 0), ramp(m.Spec, "other", 0)}
	forecasts := r.predict(api.PredictRequest{Windows: windows}).Forecasts
	plain := [][]float64{{-1, 0, 2}, {-2, 2, 8}, {0, 1, 3}}
	plainPeaks := [][]float64{{-1, 1, 4}, {0, 2, 4}, {1, 2, 5}} // sorted: {-1,1,4} {0,2,3} {1,2,5}; then no step falls
	for i, want := range []struct {
		group  string
		newest float64
		values [][]float64
		peaks  [][]float64
	}{
		{"other", 10, plain, plainPeaks},
		// Distances from the point 0, 2, 1 by 0.5, 2, 3; those of the peaks from 0, 2, 2.
		{"web", 100, [][]float64{{-0.5, 0, 1}, {-6, 2, 14}, {-2, 1, 7}}, [][]float64{{-0.5, 0.5, 2}, {-0.5, 2, 4}, {-0.5, 2, 11}}},
		{"db", 0, [][]float64{{-10, 0, 20}, {-2, 2, 8}, {0, 1, 3}}, [][]float64{{-10, 10, 40}, {0, 10, 40}, {1, 10, 40}}},
		{"other", 0, plain, plainPeaks},
	} {
		f := forecasts[i]
		above := func(offsets [][]float64) [][]float64 {
			values := make([][]float64, len(offsets))
			for k, step := range offsets {
				for _, o := range step {
					values[k] = append(values[k], want.newest+o)
				}
			}
			return values
		}
		if f.Error != nil || f.Group != want.group || !reflect.DeepEqual(f.Point, []float64{want.newest, want.newest + 2, want.newest + 1}) ||
			!reflect.DeepEqual(f.Quantiles, m.Spec.Quantiles) {
			t.Errorf("forecast %d is %+v", i, f)
		}
		if !reflect.DeepEqual(f.Values, above(want.values)) {
			t.Errorf("forecast %d: quantiles %v, want %v", i, f.Values, above(want.values))
		}
		if !reflect.DeepEqual(f.Peaks, above(want.peaks)) {
			t.Errorf("forecast %d: peaks %v, want %v", i, f.Peaks, above(want.peaks))
		}
	}

	s := r.modelStatus("everyone")
	var outputs []string
	for _, o := range s.Outputs {
		outputs = append(outputs, o.String())
	}
	slices.Sort(outputs)
	if want := []string{"forecast float32 [?, 3]", "peaks float32 [?, 3, 3]", "quantiles float32 [?, 3, 3]"}; !slices.Equal(outputs, want) {
		t.Errorf("outputs %q, want %q", outputs, want)
	}
	if s.Manifest.Golden != nil || s.Manifest.Calibration != nil {
		t.Error("the list of models holds the golden answer or the factors of every group")
	}
	if text := string(r.get(api.RouteModels).body); !strings.Contains(text, `"peaks":true`) {
		t.Error("the list of models does not tell that it forecasts peaks")
	}
}

func TestManyRowsOfBandsKeepToTheirWindows(t *testing.T) {
	registry := newShelf()
	m, model := onnxtest.Affine(bandSpec(), 1, bands)
	m.Calibration = map[string][]float64{}
	for i := range 150 {
		if i%3 == 0 {
			m.Calibration[fmt.Sprint("g", i)] = []float64{1 + float64(i), 1, 1}
		}
	}
	registry.put("everyone", m, model)
	r := start(t, registry, nil)
	var req api.PredictRequest
	for i := range 150 {
		req.Windows = append(req.Windows, ramp(m.Spec, fmt.Sprint("g", i), float64(1000*i)))
	}
	req.Windows[70].Series[m.Spec.Target] = api.Series{} // leaves a hole among the rows
	for i, f := range r.predict(req).Forecasts {
		factor := 1.
		if i%3 == 0 {
			factor += float64(i)
		}
		at := float64(1000 * i)
		if i == 70 {
			if f.Error == nil {
				t.Error("a window without values has a forecast")
			}
		} else if f.Error != nil || f.Values[0][0] != at-factor || f.Values[0][2] != at+2*factor || f.Values[1][2] != at+8 || f.Peaks[0][2] != at+4*factor {
			t.Fatalf("forecast %d is %+v", i, f)
		}
	}
}

func TestABandThatIsNotFiniteIsAProblem(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	registry := newShelf()
	for name, c := range map[string]struct{ quantile, peak float32 }{"nan-quantile": {nan, 0}, "inf-quantile": {-inf, 0}, "nan-peak": {0, nan}, "inf-peak": {0, inf}, "good": {0, 0}} {
		a := onnxtest.Answer{Forecast: bands.Forecast, Quantiles: slices.Clone(bands.Quantiles), Peaks: slices.Clone(bands.Peaks)}
		a.Quantiles[4] += c.quantile
		a.Peaks[8] += c.peak
		m, model := onnxtest.Affine(bandSpec(), 1, a)
		m.Groups = []string{name}
		registry.put(name, m, model)
	}
	r := start(t, registry, nil)
	names := []string{"nan-quantile", "good", "inf-quantile", "nan-peak", "inf-peak"}
	var req api.PredictRequest
	for _, name := range names {
		req.Windows = append(req.Windows, ramp(bandSpec(), name, 10))
	}
	for i, f := range r.predict(req).Forecasts {
		want := map[string]string{"nan-quantile": "its quantile 0.5 for step 2 is NaN", "inf-quantile": "its quantile 0.5 for step 2 is -Inf",
			"nan-peak": "its peak 0.9 for step 3 is NaN", "inf-peak": "its peak 0.9 for step 3 is +Inf"}[names[i]]
		if want == "" {
			if f.Error != nil || f.Values == nil {
				t.Errorf("the good model answered %+v", f)
			}
		} else if f.Error == nil || f.Error.Status != http.StatusInternalServerError || !strings.Contains(f.Error.Detail, want) || f.Point != nil || f.Values != nil || f.Peaks != nil {
			t.Errorf("%s: forecast %+v, error %v", names[i], f, f.Error)
		}
	}
}

func TestTheHistoryShowsTheBandThatTheModelServed(t *testing.T) {
	registry := newShelf()
	m, model := onnxtest.Affine(bandSpec(), 1, bands)
	m.Calibration = map[string][]float64{"web": {1, 2, 1}}
	registry.put("everyone", m, model)
	w := newWorld(worldEnd)
	r := start(t, registry, func(c *server.Config, d *server.Deps) {
		c.Replay, d.Samples, d.Journal = true, samplesOf{w}, journalOf{w}
	})
	window := ramp(m.Spec, "web", 7)
	window.End = worldEnd
	served := r.predict(api.PredictRequest{Windows: []api.Window{window}}).Forecasts[0]
	newest := &w.ticks[len(w.ticks)-1].Decisions[0]
	newest.Forecast = &served

	h := r.history("/api/v1/groups/web?lead=2")
	slot := len(h.Lead.Values) - 1
	// The second step: its point is 2 above the newest value, its quantiles 4 below and 6 above, times two.
	if h.Lead.Values[slot] != 9 || h.Lead.Low[slot] != 1 || h.Lead.High[slot] != 21 || !slices.Equal(h.Lead.Level, []float64{.1, .9}) {
		t.Errorf("the band ends with %v in %v to %v, levels %v", h.Lead.Values[slot], h.Lead.Low[slot], h.Lead.High[slot], h.Lead.Level)
	}
	if !reflect.DeepEqual(h.Forecast, &served) {
		t.Errorf("the newest forecast is %+v, served was %+v", h.Forecast, served)
	}
}
