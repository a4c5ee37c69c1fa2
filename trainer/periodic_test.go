package trainer

import (
	"context"
	"math"
	"testing"
)

func TestAPeriodicSeriesWithoutNoiseIsForecast(t *testing.T) {
	g := history(21, 1)
	for i := range g.Columns["demand"] {
		g.Columns["demand"][i] = math.Round(1000*(5+3*math.Sin(2*math.Pi*float64(i)/288))) / 1000
	}
	delete(g.Columns, "request_count")
	delete(g.Columns, "is_sale_active")
	for _, preset := range []string{PresetFast, PresetDefault} {
		quickRecipe(t, preset)
		c := quick(preset)
		c.Lookback, c.Horizon = 6, 2
		r, err := Train(context.Background(), c, Data{Grid: g})
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range r.Report.Horizons {
			if h.Model.MAE > 0.01 {
				t.Errorf("%s, %d steps ahead: MAE %v of a series without noise", preset, h.Steps, h.Model.MAE)
			}
		}
	}
}
