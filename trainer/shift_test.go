package trainer

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/window"
)

// shifted generates a fortnight of noise about 34 that, in the middle of the test
// part, becomes what after says.
func shifted(seed uint64, after func(rng *rand.Rand) float64) (g *window.Grid, shift int) {
	rng := rand.New(rand.NewPCG(seed, 9))
	n := 14 * 288
	shift = n * 9 / 10
	y := make(api.Series, n)
	for i := range y {
		y[i] = max(0, 34+2.2*rng.NormFloat64()+math.Sin(2*math.Pi*float64(i)/288))
		if i >= shift {
			y[i] = max(0, after(rng))
		}
	}
	return &window.Grid{Group: "web", Start: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), Step: 5 * time.Minute,
		Columns: map[string]api.Series{"cpu_utilization": y}}, shift
}

// TestAShiftOfTheLevelCostsLittle: what the training part taught of an old world
// must not be worth much less than the last value in a new one.
func TestAShiftOfTheLevelCostsLittle(t *testing.T) {
	for name, after := range map[string]func(rng *rand.Rand) float64{
		"to saturation":        func(rng *rand.Rand) float64 { return min(100, 99+0.4*rng.NormFloat64()) },
		"up, as noisy":         func(rng *rand.Rand) float64 { return 70 + 2.2*rng.NormFloat64() },
		"down to almost idle":  func(rng *rand.Rand) float64 { return 3 + 0.2*rng.NormFloat64() },
		"by a little, upwards": func(rng *rand.Rand) float64 { return 42 + 2.2*rng.NormFloat64() },
	} {
		t.Run(name, func(t *testing.T) {
			g, shift := shifted(1, after)
			quickRecipe(t, PresetDefault)
			c := quick(PresetDefault)
			c.Target, c.Horizon, c.Lookback = "cpu_utilization", 12, 36
			r, err := Train(context.Background(), c, Data{Grid: g})
			if err != nil {
				t.Fatal(err)
			}
			y := g.Columns["cpu_utilization"]
			for _, steps := range []int{1, 12} {
				var model, persistence float64
				for _, row := range r.Predictions.Rows {
					i := int(row.Timestamp.Sub(g.Start) / g.Step)
					if row.Steps != steps || i < shift {
						continue
					}
					model += math.Abs(row.Forecast - row.Actual)
					persistence += math.Abs(y[i-steps] - row.Actual)
				}
				t.Logf("%d steps ahead: %.2f of persistence's error", steps, model/persistence)
				if model > 1.25*persistence {
					t.Errorf("%d steps ahead, after the shift: %.2f times persistence's error", steps, model/persistence)
				}
			}
		})
	}
}
