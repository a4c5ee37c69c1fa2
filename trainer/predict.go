package trainer

import (
	"context"
	"fmt"
	"math"

	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/onnx"
)

// runBatch bounds the windows that go through the exported graph at once.
const runBatch = 256

// tested is how a model did on the test part.
type tested struct {
	predictions score.Predictions
	horizons    []models.HorizonScore
	fallbacks   int // forecasts that are persistence, because the window had a gap
}

// test forecasts each known slot of the test part at each horizon with the
// exported model. Where the window has a gap there is still a row: a forecast
// must exist, and it is the last known value, as a scaler without a model would
// assume. These rows count in the scores and are counted in fallbacks. A slot
// whose demand was only seen from below (censored) has no known target.
func test(ctx context.Context, p *onnx.Program, spec models.Spec, d Data) (*tested, error) {
	n, H := d.Grid.Len(), spec.Horizon
	split := score.NewSplit(n)
	first := max(0, split.TestStart()-H)
	s, err := collect(ctx, spec, d, first, n-1)
	if err != nil {
		return nil, err
	}
	forecasts, err := answers(p, spec, s)
	if err != nil {
		return nil, err
	}
	target := d.Grid.Columns[spec.Target]
	baselines := score.NewBaselines(target, d.Grid.Step)
	naive := score.Naive(target[:split.ValidationStart()])
	t := &tested{}
	cases := make([][]score.Case, H)
	at := 0 // index into s of the first origin not before the present one
	for origin := first; origin < n-1; origin++ {
		for at < s.len() && s.origins[at] < origin {
			at++
		}
		answered := at < s.len() && s.origins[at] == origin
		for k := 1; k <= H; k++ {
			actual, ok := window.TargetAt(spec, d.Grid, origin, k)
			if !ok || origin+k < split.TestStart() {
				continue
			}
			forecast := baselines.Persistence(origin) // known: slot 0 is, see Data.trimmed
			if answered {
				forecast = float64(forecasts[at*H+k-1])
			} else {
				t.fallbacks++
			}
			t.predictions.Rows = append(t.predictions.Rows, score.Prediction{
				Timestamp: d.Grid.Time(origin + k), IssuedAt: d.Grid.Time(origin + 1), Steps: k,
				Actual: actual, Forecast: forecast, Split: score.Test})
			cases[k-1] = append(cases[k-1], score.Case{Origin: origin, Actual: actual, Forecast: forecast})
		}
	}
	for k := 1; k <= H; k++ {
		t.horizons = append(t.horizons, score.Horizon(cases[k-1], nil, k, d.Grid.Step, baselines, naive))
	}
	return t, nil
}

// answers runs the windows of s through the exported model.
func answers(p *onnx.Program, spec models.Spec, s *samples) ([]float32, error) {
	wide, extra := widths(spec)
	var out []float32
	for i := 0; i < s.len(); i += runBatch {
		j := min(s.len(), i+runBatch)
		y, err := p.Run(s.series[i*wide:j*wide], s.context[i*extra:j*extra], j-i)
		if err != nil {
			return nil, err
		}
		for _, v := range y {
			if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
				return nil, fmt.Errorf("the model forecasts %v", v)
			}
		}
		out = append(out, y...)
	}
	return out, nil
}
