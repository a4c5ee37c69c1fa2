package accuracy

import (
	"encoding/json"
	"math"
)

// figure is a number of the summary; one that is not defined is null in JSON.
type figure float64

// MarshalJSON implements json.Marshaler.
func (f figure) MarshalJSON() ([]byte, error) {
	if v := float64(f); math.IsNaN(v) || math.IsInf(v, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(f))
}

// headline is the summary at one horizon; of coverage, at all of them where Steps
// is 0.
type headline struct {
	Steps            int    `json:"steps"`
	OverBest         figure `json:"wape_over_best_baseline"`     // geometric mean over the core traces
	OverPersistence  figure `json:"wape_over_persistence_worst"` // of all traces
	WorstTrace       string `json:"worst_trace,omitempty"`       // of OverPersistence
	PooledCoverage80 figure `json:"coverage80"`                  // on the core traces
	PooledCoverage90 figure `json:"coverage90"`
}

// JSON returns the headline, every measurement with its ablation, and the times,
// as indented JSON.
func (r *Results) JSON() ([]byte, error) {
	nan := figure(math.NaN())
	var lines []headline
	for _, steps := range []int{0, near, far} {
		h := headline{Steps: steps, OverBest: nan, OverPersistence: nan}
		if steps > 0 {
			last := r.againstPersistence(steps)
			h.OverBest = figure(r.againstBest(steps).mean())
			if last.n > 0 {
				h.OverPersistence, h.WorstTrace = figure(last.most), last.mostOf
			}
		}
		c80, c90 := r.coverage(steps)
		h.PooledCoverage80, h.PooledCoverage90 = figure(c80), figure(c90)
		lines = append(lines, h)
	}
	b, err := json.MarshalIndent(struct {
		CoreTraces int        `json:"core_traces"`
		Headline   []headline `json:"headline"`
		*Results
	}{len(r.core()), lines, r}, "", "  ")
	return append(b, '\n'), err
}
