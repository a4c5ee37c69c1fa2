package view

import (
	"context"
	"encoding/json"
	"math"

	"github.com/forescale/forescale/api"
)

// leastSeen is how many slots a group's coverage rests on before it counts: half a
// day of slots of five minutes, as for the scaler's own metrics.
const leastSeen = 144

// Live returns, by model, how its forecasts fare with what came true, as the newest
// record of the journal has it: the scaler reckons it for each group at each tick.
func (v *View) Live(ctx context.Context) (map[string]api.ModelLive, error) {
	rec, err := v.latest(ctx)
	if rec == nil {
		return map[string]api.ModelLive{}, err
	}
	sums := map[string]*live{}
	for i := range rec.Decisions {
		d := &rec.Decisions[i]
		if d.Model == "" {
			continue
		}
		if sums[d.Model] == nil {
			sums[d.Model] = &live{}
		}
		sums[d.Model].add(d)
	}
	out := make(map[string]api.ModelLive, len(sums))
	for name, s := range sums {
		out[name] = s.done()
	}
	return out, err
}

// live gathers the groups of one model.
type live struct {
	api.ModelLive
	sum, expected float64
	counted       int
}

func (l *live) add(d *api.Decision) {
	l.Groups++
	if d.Safety == api.SafetyDrift {
		l.Drift++
	}
	var before struct { // of scaler/plan's State, what is read here
		Calibration struct {
			Above float64 `json:"above"`
			Below float64 `json:"below"`
			Seen  int     `json:"seen"`
		} `json:"calibration"`
	}
	if len(d.Before) == 0 || json.Unmarshal(d.Before, &before) != nil {
		return // a state that is not known says nothing
	}
	f, c := d.Forecast, before.Calibration
	if c.Seen < leastSeen || f == nil || len(f.Quantiles) < 2 {
		return
	}
	expected := nearest(f.Quantiles, upperLevel) - nearest(f.Quantiles, lowerLevel)
	coverage := max(0, 1-c.Above-c.Below)
	l.sum, l.expected, l.counted = l.sum+coverage, l.expected+expected, l.counted+1
	if l.WorstCoverage == nil || math.Abs(coverage-expected) > math.Abs(*l.WorstCoverage-expected) {
		l.Worst, l.WorstCoverage = d.Group, &coverage
	}
}

// The levels that the scaler measures by, as scaler/plan has them: of a forecast's
// quantiles those count that are nearest to them.
const lowerLevel, upperLevel = 0.1, 0.9

// nearest returns the level that is nearest to a wanted one; levels is not empty.
func nearest(levels []float64, wanted float64) float64 {
	best := levels[0]
	for _, q := range levels {
		if math.Abs(q-wanted) < math.Abs(best-wanted) {
			best = q
		}
	}
	return best
}

func (l *live) done() api.ModelLive {
	if l.counted > 0 {
		coverage, expected := l.sum/float64(l.counted), l.expected/float64(l.counted)
		l.Coverage, l.Expected = &coverage, &expected
	}
	return l.ModelLive
}
