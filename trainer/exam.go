package trainer

import (
	"context"

	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
)

// exam is the test part of a history: each of its known slots, asked for at each
// horizon, and what came true. It fits and chooses nothing.
//
// Where the window of an origin has a gap there is still a question: a forecast
// must exist, and it is the last known value, as a scaler without a model would
// assume. These questions count in the scores; their quantiles are the last known
// value too, and count in the coverage. A slot whose demand was only seen from
// below (censored) has no known target and no question.
type exam struct {
	w         *windows   // of the origins, those with gaps left out
	questions []question // by origin, then by step
	levels    []float64

	data      Data
	baselines score.Baselines
	naive     float64 // one-step naive error of the training part
}

// question asks for slot origin+steps when slot origin is the newest.
type question struct {
	origin, steps int
	window        int // of exam.w; -1: it has a gap
	actual        float64
}

// exam returns the test part of the data, which are those of the study. It is
// collected once.
func (s *study) exam(ctx context.Context, d Data) (*exam, error) {
	if s.asked != nil {
		return s.asked, nil
	}
	var err error
	s.asked, err = newExam(ctx, s.spec, d, s.split, s.config.Workers)
	return s.asked, err
}

// newExam returns the test part of data that are split so.
func newExam(ctx context.Context, spec models.Spec, d Data, split score.Split, workers int) (*exam, error) {
	n, H, start := d.Grid.Len(), spec.Horizon, split.TestStart()
	first := max(0, start-H)
	ws, err := collect(ctx, spec, d, first, n-1)
	if err != nil {
		return nil, err
	}
	target := d.Grid.Columns[spec.Target]
	e := &exam{
		w: newWindows(spec, ws, workers), levels: spec.Quantiles, data: d,
		baselines: score.NewBaselines(target, d.Grid.Step),
		naive:     score.Naive(target[:min(len(target), split.ValidationStart())]),
	}
	next := 0 // index into e.w of the first origin not before the present one
	for origin := first; origin < n-1; origin++ {
		for next < e.w.len() && e.w.origins[next] < origin {
			next++
		}
		at := -1
		if next < e.w.len() && e.w.origins[next] == origin {
			at = next
		}
		for k := 1; k <= H; k++ {
			if actual, ok := window.TargetAt(spec, d.Grid, origin, k); ok && origin+k >= start {
				e.questions = append(e.questions, question{origin, k, at, actual})
			}
		}
	}
	return e, nil
}

// answer returns what forecasts [N, horizon] and quantiles [N, horizon, levels] of
// the exam's windows say to a question; quantiles may be nil.
func (e *exam) answer(q question, forecasts, quantiles []float32) score.Case {
	c := score.Case{Origin: q.origin, Actual: q.actual}
	Q := len(e.levels)
	if q.window >= 0 {
		i := q.window*e.w.spec.Horizon + q.steps - 1
		c.Forecast = float64(forecasts[i])
		if quantiles != nil {
			c.Quantiles = widen(quantiles[i*Q:][:Q])
		}
		return c
	}
	c.Forecast = e.baselines.Persistence(q.origin) // known: slot 0 is, see Data.trimmed
	if quantiles != nil {
		c.Quantiles = widen(filled(Q, float32(c.Forecast)))
	}
	return c
}

// unanswered counts the questions whose window has a gap.
func (e *exam) unanswered() (n int) {
	for _, q := range e.questions {
		if q.window < 0 {
			n++
		}
	}
	return n
}

// grade scores forecasts [N, horizon] and quantiles [N, horizon, levels], nil for
// none, at each horizon.
func (e *exam) grade(forecasts, quantiles []float32) []models.HorizonScore {
	cases := make([][]score.Case, e.w.spec.Horizon)
	for _, q := range e.questions {
		cases[q.steps-1] = append(cases[q.steps-1], e.answer(q, forecasts, quantiles))
	}
	levels := e.levels
	if quantiles == nil {
		levels = nil
	}
	var out []models.HorizonScore
	for k, c := range cases {
		out = append(out, score.Horizon(c, levels, k+1, e.data.Grid.Step, e.baselines, e.naive))
	}
	return out
}

// gradeAlone is grade without quantiles and without the baselines, which are those
// of the model.
func (e *exam) gradeAlone(forecasts []float32) []models.HorizonScore {
	out := e.grade(forecasts, nil)
	for i := range out {
		out[i].Baselines = nil
	}
	return out
}
