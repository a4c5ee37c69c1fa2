package trainer

import (
	"context"
	"fmt"
	"math"
	"slices"

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
	members     []score.Member
	fallbacks   int // forecasts that are persistence, because the window had a gap
}

// trial is a history that a model is tested on.
type trial struct {
	data    Data
	split   score.Split // of its grid
	factors []float64   // of models.Manifest.Calibration, by step ahead; nil: none
	brief   bool        // the model alone, without its members and the single forecasts
}

// test forecasts each known slot of the test part at each horizon with the
// exported model. Where the window has a gap there is still a row: a forecast
// must exist, and it is the last known value, as a scaler without a model would
// assume. These rows count in the scores and are counted in fallbacks; their
// quantiles are the last known value too, and count in the coverage. A slot whose
// demand was only seen from below (censored) has no known target.
func (s *study) test(ctx context.Context, p *onnx.Program, trial trial) (*tested, error) {
	d, split := trial.data, trial.split
	n, H, Q := d.Grid.Len(), s.spec.Horizon, len(s.spec.Quantiles)
	first := max(0, split.TestStart()-H)
	ws, err := collect(ctx, s.spec, d, first, n-1)
	if err != nil {
		return nil, err
	}
	w := newWindows(s.spec, ws, s.config.Workers)
	model, err := answersOf(ctx, p, w)
	if err != nil {
		return nil, err
	}
	target := d.Grid.Columns[s.spec.Target]
	baselines := score.NewBaselines(target, d.Grid.Step)
	naive := score.Naive(target[:min(len(target), split.ValidationStart())])
	t := &tested{predictions: score.Predictions{Levels: s.spec.Quantiles}}
	cases := make([][]score.Case, H)
	at := make([][]int, H) // of each case, the window that answered; -1: none
	next := 0              // index into w of the first origin not before the present one
	for origin := first; origin < n-1; origin++ {
		for next < w.len() && w.origins[next] < origin {
			next++
		}
		answered := next < w.len() && w.origins[next] == origin
		for k := 1; k <= H; k++ {
			actual, ok := window.TargetAt(s.spec, d.Grid, origin, k)
			if !ok || origin+k < split.TestStart() {
				continue
			}
			c := score.Case{Origin: origin, Actual: actual, Forecast: baselines.Persistence(origin)} // known: slot 0 is, see Data.trimmed
			from := -1
			if answered {
				from = next
				c.Forecast = float64(model.Forecast[next*H+k-1])
				c.Quantiles = widen(model.Quantiles[(next*H+k-1)*Q:][:Q])
				if trial.factors != nil {
					models.Calibrate(c.Quantiles, c.Forecast, trial.factors[k-1])
					slices.Sort(c.Quantiles)
				}
			} else {
				t.fallbacks++
				c.Quantiles = widen(filled(Q, float32(c.Forecast)))
			}
			if !trial.brief {
				t.predictions.Rows = append(t.predictions.Rows, score.Prediction{
					Timestamp: d.Grid.Time(origin + k), IssuedAt: d.Grid.Time(origin + 1), Steps: k,
					Actual: actual, Forecast: c.Forecast, Quantiles: c.Quantiles, Split: score.Test})
			}
			cases[k-1], at[k-1] = append(cases[k-1], c), append(at[k-1], from)
		}
	}
	for k := 1; k <= H; k++ {
		t.horizons = append(t.horizons, score.Horizon(cases[k-1], s.spec.Quantiles, k, d.Grid.Step, baselines, naive))
	}
	if trial.brief {
		return t, nil
	}
	for m := range s.members {
		t.members = append(t.members, s.testMember(m, w, cases, at, d, baselines, naive))
	}
	return t, nil
}

// testMember scores a member on the same cases as the model.
func (s *study) testMember(m int, w *windows, cases [][]score.Case, at [][]int, d Data, b score.Baselines, naive float64) score.Member {
	H, late := s.spec.Horizon, s.members[m].late
	out := score.Member{Name: late.name(), Weights: widen(s.final.weights[m])}
	forecasts := w.of(late)
	for k := range H {
		own := make([]score.Case, len(cases[k]))
		for i, c := range cases[k] {
			own[i] = score.Case{Origin: c.Origin, Actual: c.Actual, Forecast: c.Forecast}
			if n := at[k][i]; n >= 0 {
				own[i].Forecast = float64(forecasts[n*H+k])
			}
		}
		h := score.Horizon(own, nil, k+1, d.Grid.Step, b, naive)
		h.Baselines = nil
		out.Horizons = append(out.Horizons, h)
	}
	return out
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
