package trainer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/feature"
)

// samples are the windows of a run of origins, encoded, with what came true.
// Windows with a gap are left out.
type samples struct {
	origins []int     // index of each window's newest slot, ascending
	series  []float32 // [N, Lookback*Channels], physical units
	context []float32 // [N, ContextLen]
	target  []float32 // [N, Horizon], physical units; NaN where missing or censored
	gaps    int       // windows left out
}

func (s *samples) len() int { return len(s.origins) }

// widths are the row lengths of a spec's tensors.
func widths(spec models.Spec) (series, context int) {
	return spec.Lookback * spec.Channels(), window.ContextLen(spec)
}

// collect encodes the windows whose newest slot lies in [from, to).
func collect(ctx context.Context, spec models.Spec, d Data, from, to int) (*samples, error) {
	return collectAt(ctx, spec, d, max(0, to-from), func(yield func(int) bool) {
		for origin := from; origin < to && yield(origin); origin++ {
		}
	})
}

// collectAt encodes the windows of the given origins, about so many, which ascend.
func collectAt(ctx context.Context, spec models.Spec, d Data, about int, origins iter.Seq[int]) (*samples, error) {
	wide, extra := widths(spec)
	// Grown by appending, the largest slices of a training would be there twice.
	s := &samples{origins: make([]int, 0, about), series: make([]float32, 0, about*wide),
		context: make([]float32, 0, about*extra), target: make([]float32, 0, about*spec.Horizon)}
	row, side := make([]float32, wide), make([]float32, extra)
	for origin := range origins {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		w, err := window.Slide(spec, d.Grid, d.Flags, origin)
		if errors.Is(err, window.ErrGap) {
			s.gaps++
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := window.Encode(spec, &w, row, side); err != nil {
			return nil, fmt.Errorf("window that ends at %s: %w", w.End.UTC().Format(time.RFC3339), err)
		}
		s.origins = append(s.origins, origin)
		s.series = append(s.series, row...)
		s.context = append(s.context, side...)
		for k := 1; k <= spec.Horizon; k++ {
			y, ok := window.TargetAt(spec, d.Grid, origin, k)
			if !ok {
				y = math.NaN()
			}
			s.target = append(s.target, float32(y))
		}
	}
	return s, nil
}

// checkValues returns an error that names the first value that no network can
// learn from: the graph clips values of that size.
func checkValues(spec models.Spec, d Data) error {
	for _, name := range spec.Series {
		for i, v := range d.Grid.Columns[name] {
			if math.Abs(v) > feature.ClipRaw { // false for NaN
				return fmt.Errorf("group %q: series %q has the value %g at %s; the greatest that can be learned from is %g",
					d.Grid.Group, name, v, d.Grid.Time(i).UTC().Format(time.RFC3339), float64(feature.ClipRaw))
			}
		}
	}
	return nil
}

// minTrain is the least number of training windows worth a fit.
const minTrain = 64

// prepare collects the windows that fit and that choose: those whose origin lies
// before the test part. A target inside it is made unknown.
func prepare(ctx context.Context, spec models.Spec, d Data, workers int) (*windows, score.Split, error) {
	split := d.parts()
	s, err := collect(ctx, spec, d, firstOrigin(spec), split.TestStart()-1)
	if err != nil {
		return nil, split, err
	}
	s.forget(spec.Horizon, split.TestStart())
	return newWindows(spec, s, workers), split, nil
}

// firstOrigin returns the first origin to learn from, the first whose lags the
// history knows: a window without them is answered when the model serves, but
// teaches that yesterday was as today.
func firstOrigin(spec models.Spec) int {
	first := spec.Lookback - 1
	for _, lag := range spec.Lags {
		first = max(first, lag.Offsets[len(lag.Offsets)-1])
	}
	return first
}

// forget makes unknown the targets of a slot and all after it.
func (s *samples) forget(horizon, slot int) {
	for i, origin := range s.origins {
		for k := max(1, slot-origin); k <= horizon; k++ {
			s.target[i*horizon+k-1] = nan32
		}
	}
}

// isKnown reports whether a target is a number: NaN stands for a missing one.
func isKnown(y float32) bool { return y == y }
