package accuracy

import (
	"math"
	"slices"

	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer"
)

// The horizons of the headline and of the ablation, in steps.
const (
	near = 1
	far  = 12
)

// shown are the horizons of the tables of each trace, in steps.
var shown = []int{1, 3, 6, 12}

// ratios are quotients of one measure on several traces. The zero value has none.
type ratios struct {
	n               int     // traces
	logs            float64 // sum of the quotients' logarithms
	least, most     float64
	leastOf, mostOf string // their traces
}

// add takes in the quotient a/b of a trace. Two errors of zero are equal. What is
// not defined is left out.
func (r *ratios) add(trace string, a, b float64) {
	q := a / b
	if a == 0 && b == 0 {
		q = 1
	}
	if math.IsNaN(q) {
		return
	}
	if r.n == 0 || q < r.least {
		r.least, r.leastOf = q, trace
	}
	if r.n == 0 || q > r.most {
		r.most, r.mostOf = q, trace
	}
	r.n++
	r.logs += math.Log(q)
}

// mean returns the geometric mean, NaN of none.
func (r ratios) mean() float64 {
	if r.n == 0 {
		return math.NaN()
	}
	return math.Exp(r.logs / float64(r.n))
}

// at returns the whole model's scores some steps ahead; not ok where the model
// does not look so far or no slot was known.
func (m Measurement) at(steps int) (models.HorizonScore, bool) {
	return horizonAt(m.Ablation.Report.Horizons, steps)
}

func horizonAt(horizons []models.HorizonScore, steps int) (models.HorizonScore, bool) {
	if steps > len(horizons) || horizons[steps-1].N == 0 {
		return models.HorizonScore{}, false
	}
	return horizons[steps-1], true
}

// best returns the forecaster that had the least WAPE in hindsight, of those in
// the file of baselines for this trace, target and horizon; where the file has
// none, of persistence and the seasonal naives, measured here.
func (r *Results) best(m Measurement, steps int) (name string, wape float64, ok bool) {
	if name, wape, ok = least(r.Baselines[question{m.Trace, m.Ablation.Report.Target, steps}]); ok {
		return name, wape, true
	}
	h, ok := m.at(steps)
	if !ok {
		return "", 0, false
	}
	wapes := map[string]float64{}
	for name, s := range h.Baselines {
		wapes[name] = s.WAPE
	}
	return least(wapes)
}

// core returns the measured core traces.
func (r *Results) core() []Measurement {
	return slices.DeleteFunc(slices.Clone(r.Traces), func(m Measurement) bool { return !slices.Contains(Core, m.Trace) })
}

// againstBest returns WAPE over that of the best baseline on the core traces.
func (r *Results) againstBest(steps int) ratios {
	var q ratios
	for _, m := range r.core() {
		h, ok := m.at(steps)
		_, wape, known := r.best(m, steps)
		if ok && known {
			q.add(m.Trace, h.Model.WAPE, wape)
		}
	}
	return q
}

// againstPersistence returns WAPE over that of persistence on all traces.
func (r *Results) againstPersistence(steps int) ratios {
	var q ratios
	for _, m := range r.Traces {
		if h, ok := m.at(steps); ok {
			q.add(m.Trace, h.Model.WAPE, h.Baselines[score.Persistence].WAPE)
		}
	}
	return q
}

// coverage returns the pooled coverages on the core traces: at one horizon, or at
// all of them where steps is 0.
func (r *Results) coverage(steps int) (coverage80, coverage90 float64) {
	return pooled(r.core(), steps, func(m Measurement) []models.HorizonScore { return m.Ablation.Report.Horizons })
}

func pooled(traces []Measurement, steps int, of func(Measurement) []models.HorizonScore) (coverage80, coverage90 float64) {
	var all []models.HorizonScore
	for _, m := range traces {
		for _, h := range of(m) {
			if steps == 0 || h.Steps == steps {
				all = append(all, h)
			}
		}
	}
	return score.PooledCoverage(all...)
}

// part is a variant of the model on all core traces that have it.
type part struct {
	kind, name string
	near, far  ratios // WAPE over that of what it is compared with
	// Of trainer.KindAlone, the mean share in the model:
	nearShare, farShare float64
	// Of trainer.KindSpread, the pinball loss over that of the model:
	nearPinball, farPinball ratios
}

// parts returns the variants of a kind in the order of their first appearance.
func (r *Results) parts(kind string) []*part {
	var parts []*part
	for _, m := range r.core() {
		for _, v := range m.Ablation.Variants {
			if v.Kind != kind {
				continue
			}
			i := slices.IndexFunc(parts, func(p *part) bool { return p.name == v.Name })
			if i < 0 {
				i = len(parts)
				parts = append(parts, &part{kind: kind, name: v.Name})
			}
			parts[i].add(m, v)
		}
	}
	for _, p := range parts {
		p.nearShare /= float64(p.near.n)
		p.farShare /= float64(p.far.n)
	}
	return parts
}

// add takes in the variant v of a trace.
func (p *part) add(m Measurement, v trainer.Variant) {
	against := m.Ablation.Report.Horizons
	if v.Against != "" {
		against = nil
		for _, u := range m.Ablation.Variants {
			if u.Kind == trainer.KindMode && u.Name == v.Against {
				against = u.Horizons
			}
		}
	}
	for _, at := range []struct {
		steps         int
		wape, pinball *ratios
		share         *float64
	}{{near, &p.near, &p.nearPinball, &p.nearShare}, {far, &p.far, &p.farPinball, &p.farShare}} {
		own, ok := horizonAt(v.Horizons, at.steps)
		whole, known := horizonAt(against, at.steps)
		if !ok || !known {
			continue
		}
		at.wape.add(m.Trace, own.Model.WAPE, whole.Model.WAPE)
		if a, b := own.Model.Pinball, whole.Model.Pinball; a != nil && b != nil {
			at.pinball.add(m.Trace, *a, *b)
		}
		if at.steps <= len(v.Weights) {
			*at.share += v.Weights[at.steps-1]
		}
	}
}
