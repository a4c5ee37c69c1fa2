package trainer

import (
	"context"
	"math"
	"slices"
	"strconv"

	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/onnx"
)

const (
	// calibrateWindows is the most windows that a group is calibrated by. They lie
	// in one tenth of its history: more would repeat each other.
	calibrateWindows = 400
	// calibratePrior is how many independent windows the factor 1 weighs as much as.
	calibratePrior = 25
	// calibrateLimit bounds a factor and its inverse.
	calibrateLimit = 10
)

// calibrate fits the intervals to each group, by models.Manifest.Calibration. In a
// window of the validation part with the forecast p, the interval [low, high] and
// the truth y, all of step k, the factor that just lets the interval hold the truth
// is
//
//	c = (y - p)/(high - p) where y > p,   (p - y)/(p - low) elsewhere
//
// The windows of k neighbouring slots tell of the same slots ahead: n windows from
// N slots are worth m = min(n, N/k) independent ones. With ĉ the factor that holds
// the share ⌈(m+1)·level⌉/m of the truths, level being what the interval promises,
// the factor of the group is
//
//	log factor = m/(m + calibratePrior) · log ĉ
//
// to three digits. The forecasts are those of the early members, which have not
// seen the validation part; the model's own intervals hold what they promise over
// all groups together. The factors of a group depend on no other group but by the
// model.
func (t *shared) calibrate(ctx context.Context) error {
	low, high, ok := widest(t.study.spec.Quantiles)
	if !ok {
		return nil
	}
	return t.each(t.sharers, "calibration", calibrateCost, func(g *sharer) error {
		w, slots, err := t.unseenWindows(ctx, g)
		if err != nil || w.len() == 0 {
			return err
		}
		says := t.study.forecastsBy(t.study.early, w)
		g.factors = factors(w, says.Forecast, says.Quantiles, t.study.spec.Quantiles, low, high, slots)
		return nil
	})
}

// unseenWindows returns windows of a group whose targets all lie in the validation
// part, and the number of slots that they are chosen from.
func (t *shared) unseenWindows(ctx context.Context, g *sharer) (w *windows, slots int, err error) {
	s, spec := t.study, t.study.spec
	from := max(firstOrigin(spec), s.split.ValidationStart()-1-g.late)
	count := min(g.data.Grid.Len(), s.split.TestStart()-spec.Horizon-g.late) - from
	if count <= 0 || g.unit == 0 {
		return newWindows(spec, &samples{}, 1), 0, nil
	}
	origins := choice(g.name(), g.data.Grid.Time(0).Unix()/int64(spec.StepSeconds), from, count, min(count, calibrateWindows))
	samples, err := collectAt(ctx, spec, g.scaled(spec), min(count, calibrateWindows), origins)
	if err != nil {
		return nil, 0, err
	}
	samples.keep(spec, busy(s.sets[s.recipe.spread]))
	return newWindows(spec, samples, 1), count, nil
}

// widest returns the levels of the interval to calibrate by: 5 to 95 % where they
// are there, otherwise the outermost ones on both sides of the median.
func widest(levels []float64) (low, high int, ok bool) {
	low, high = slices.Index(levels, 0.05), slices.Index(levels, 0.95)
	if low < 0 || high < 0 {
		low, high = 0, len(levels)-1
	}
	return low, high, high > low && levels[low] < 0.5 && levels[high] > 0.5
}

// factors returns a factor for each step ahead.
func factors(w *windows, points, quantiles []float32, levels []float64, low, high, slots int) []float64 {
	H, Q := w.spec.Horizon, len(levels)
	out := make([]float64, H)
	for k := range H {
		var needed []float64
		for i := range w.len() {
			at := i*H + k
			y, p := float64(w.target[at]), float64(points[at])
			if math.IsNaN(y) {
				continue
			}
			room := p - float64(quantiles[at*Q+low])
			if y > p {
				room = float64(quantiles[at*Q+high]) - p
			}
			needed = append(needed, within(math.Abs(y-p), room))
		}
		out[k] = factor(needed, levels[high]-levels[low], min(len(needed), slots/(k+1)))
	}
	return out
}

// within returns by how much a room must grow to hold a distance.
func within(distance, room float64) float64 {
	if distance == 0 {
		return 0
	}
	return distance / max(room, 0) // infinite where there is no room
}

// factor returns the factor of a group from those that its windows needed, which
// are worth so many independent ones.
func factor(needed []float64, level float64, independent int) float64 {
	n, m := len(needed), float64(independent)
	if n == 0 || independent == 0 {
		return 1
	}
	slices.Sort(needed)
	share := min(1, math.Ceil((m+1)*level)/m)
	rank := min(n, int(math.Ceil(share*float64(n)-1e-9))) // less what rounding may add
	c := min(max(needed[rank-1], 1.0/calibrateLimit), calibrateLimit)
	return threeDigits(math.Exp(m / (m + calibratePrior) * math.Log(c)))
}

// threeDigits rounds what a manifest says of a thousand groups to what it is worth.
func threeDigits(v float64) float64 {
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64) // what FormatFloat writes
	return rounded
}

// calibrated applies the factors of a group to the quantiles of answers, as a
// server does, and puts them into order.
func calibrated(spec models.Spec, factors []float64, a onnx.Answer) {
	Q := len(spec.Quantiles)
	for i, point := range a.Forecast {
		step := a.Quantiles[i*Q:][:Q]
		wide := widen(step)
		models.Calibrate(wide, float64(point), factors[i%spec.Horizon])
		for j, v := range wide {
			step[j] = float32(v)
		}
		slices.Sort(step)
	}
}
