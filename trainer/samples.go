package trainer

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
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
	wide, extra := widths(spec)
	s := &samples{}
	row, side := make([]float32, wide), make([]float32, extra)
	for origin := from; origin < to; origin++ {
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
			return nil, fmt.Errorf("window that ends at %s: %w", w.End, err)
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

// parts holds the windows of the parts of a history.
type parts struct {
	split      score.Split
	train      *samples // all targets before the validation part
	validation *samples // all targets inside it
}

// minTrain is the least number of training windows worth a fit.
const minTrain = 64

// divide collects the windows that fit and that choose. first is the first
// origin whose lags the history knows: a window without them is answered when the
// model serves, but teaches that yesterday was as today.
func divide(ctx context.Context, spec models.Spec, d Data) (*parts, error) {
	n := d.Grid.Len()
	if need := needed(spec); n < need {
		return nil, fmt.Errorf("group %q: the data has %d slots, a lookback of %d with a horizon of %d needs at least %d",
			d.Grid.Group, n, spec.Lookback, spec.Horizon, need)
	}
	p := &parts{split: score.NewSplit(n)}
	first := spec.Lookback - 1
	for _, lag := range spec.Lags {
		first = max(first, lag.Offsets[len(lag.Offsets)-1])
	}
	var err error
	if p.train, err = collect(ctx, spec, d, first, p.split.ValidationStart()-spec.Horizon); err != nil {
		return nil, err
	}
	if p.validation, err = collect(ctx, spec, d, p.split.ValidationStart()-1, p.split.TestStart()-spec.Horizon); err != nil {
		return nil, err
	}
	p.train.keepKnown(spec.Horizon)
	p.validation.keepKnown(spec.Horizon)
	if p.train.len() < minTrain || p.validation.len() == 0 {
		return nil, fmt.Errorf("group %q: of %d slots, gaps leave %d windows to train on and %d to validate with; at least %d and 1 are needed",
			d.Grid.Group, n, p.train.len(), p.validation.len(), minTrain)
	}
	return p, nil
}

// needed returns the least number of slots with minTrain training windows and a
// validation window, if nothing is missing.
func needed(spec models.Spec) int {
	for n := 0; ; n++ {
		s := score.NewSplit(n)
		if s.Train-spec.Horizon-spec.Lookback+1 >= minTrain && s.Validation >= spec.Horizon {
			return n
		}
	}
}

// keepKnown drops the windows of which no target is known.
func (s *samples) keepKnown(horizon int) {
	if s.len() == 0 {
		return
	}
	wide, extra := len(s.series)/s.len(), len(s.context)/s.len()
	kept := 0
	for i := range s.origins {
		known := false
		for _, y := range s.target[i*horizon:][:horizon] {
			known = known || isKnown(y)
		}
		if !known {
			s.gaps++
			continue
		}
		s.origins[kept] = s.origins[i]
		copy(s.series[kept*wide:][:wide], s.series[i*wide:])
		copy(s.context[kept*extra:][:extra], s.context[i*extra:])
		copy(s.target[kept*horizon:][:horizon], s.target[i*horizon:])
		kept++
	}
	s.origins, s.series, s.context, s.target = s.origins[:kept], s.series[:kept*wide], s.context[:kept*extra], s.target[:kept*horizon]
}

// isKnown reports whether a target is a number: NaN stands for a missing one.
func isKnown(y float32) bool { return y == y }
