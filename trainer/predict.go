package trainer

import (
	"context"
	"fmt"
	"math"

	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/onnx"
)

// runBatch bounds the windows that go through the exported graph at once.
const runBatch = 256

// tested is how a model did on the test part.
type tested struct {
	predictions score.Predictions
	horizons    []models.HorizonScore
	members     []score.Member
	fallbacks   int // forecasts that are persistence, because the window had a gap
}

// test forecasts the questions of the test part with the exported model.
func (s *study) test(ctx context.Context, p *onnx.Program, d Data) (*tested, error) {
	e, err := s.exam(ctx, d)
	if err != nil {
		return nil, err
	}
	return s.sit(ctx, p, e)
}

// sit answers an exam with the exported model, and with each member alone.
func (s *study) sit(ctx context.Context, p *onnx.Program, e *exam) (*tested, error) {
	model, err := answersOf(ctx, p, e.w)
	if err != nil {
		return nil, err
	}
	t := &tested{predictions: score.Predictions{Levels: e.levels}, horizons: e.grade(model.Forecast, model.Quantiles)}
	grid := e.data.Grid
	t.fallbacks = e.unanswered()
	for _, q := range e.questions {
		c := e.answer(q, model.Forecast, model.Quantiles)
		t.predictions.Rows = append(t.predictions.Rows, score.Prediction{
			Timestamp: grid.Time(q.origin + q.steps), IssuedAt: grid.Time(q.origin + 1), Steps: q.steps,
			Actual: c.Actual, Forecast: c.Forecast, Quantiles: c.Quantiles, Split: score.Test})
	}
	for m, c := range s.members {
		t.members = append(t.members, score.Member{
			Name: c.late.name(), Weights: widen(s.final.weights[m]), Horizons: e.gradeAlone(e.w.of(c.late))})
	}
	return t, nil
}

func widen(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

// answersOf runs windows through the exported model.
func answersOf(ctx context.Context, p *onnx.Program, w *windows) (onnx.Answer, error) {
	wide, extra := widths(w.spec)
	var all onnx.Answer
	for i := 0; i < w.len(); i += runBatch {
		if err := ctx.Err(); err != nil {
			return all, err
		}
		j := min(w.len(), i+runBatch)
		a, err := p.Answer(w.series[i*wide:j*wide], w.context[i*extra:j*extra], j-i)
		if err != nil {
			return all, err
		}
		for _, values := range [][]float32{a.Forecast, a.Quantiles, a.Peaks} {
			for _, v := range values {
				if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
					return all, fmt.Errorf("the model forecasts %v", v)
				}
			}
		}
		all.Forecast, all.Quantiles = append(all.Forecast, a.Forecast...), append(all.Quantiles, a.Quantiles...)
		all.Peaks = append(all.Peaks, a.Peaks...)
	}
	return all, nil
}
