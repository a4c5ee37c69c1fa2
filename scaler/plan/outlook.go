package plan

import (
	"math"
	"slices"
	"time"

	"github.com/forescale/forescale/api"
)

// Spread is what a forecast says of the demand of one step: its median, and how
// far its upper and lower quantiles lie from it. Both distances are positive.
type Spread struct {
	Median float32 `json:"m"`
	Up     float32 `json:"u"`
	Down   float32 `json:"d"`
}

const (
	// upperLevel and lowerLevel are the quantiles whose distances to the median are
	// the units of a residual; of a forecast without them, the nearest are taken.
	upperLevel = 0.9
	lowerLevel = 0.1
	// leastSpread keeps a residual finite where a forecast is sure of itself: a
	// thousandth of an instance.
	leastSpread = 1e-3
)

// residual returns z of a demand that came true. Distances of less than
// leastSpread, which only a state has that was not written here, count as that.
func (s Spread) residual(demand float64) float64 {
	d := demand - float64(s.Median)
	if d >= 0 {
		return d / max(leastSpread, float64(s.Up))
	}
	return d / max(leastSpread, float64(s.Down))
}

// spreads returns what a checked forecast says of its first n steps. A point
// forecast says nothing of its error, of which scale, in instance-equivalents, is
// the usual size.
func spreads(f *api.Forecast, n int, scale float64) []Spread {
	out := make([]Spread, n)
	low, mid, high := levels(f.Quantiles)
	for k := range out {
		s := Spread{Median: float32(max(0, f.Point[k])), Up: float32(scale), Down: float32(scale)}
		if mid >= 0 {
			s.Median = float32(max(0, f.Values[k][mid]))
		}
		if high >= 0 {
			s.Up = float32(f.Values[k][high]) - s.Median
			s.Down = s.Up
		}
		if low >= 0 {
			s.Down = s.Median - float32(f.Values[k][low])
			if high < 0 {
				s.Up = s.Down
			}
		}
		s.Up, s.Down = max(s.Up, leastSpread), max(s.Down, leastSpread)
		out[k] = s
	}
	return out
}

// levels returns the indices of the lower, the median and the upper quantile that
// residuals are measured by, -1 for one that the forecast does not have.
func levels(qs []float64) (low, mid, high int) {
	low, high = -1, -1
	mid = slices.Index(qs, 0.5)
	for i, q := range qs {
		if q < 0.5 && (low < 0 || math.Abs(q-lowerLevel) < math.Abs(qs[low]-lowerLevel)) {
			low = i
		}
		if q > 0.5 && (high < 0 || math.Abs(q-upperLevel) < math.Abs(qs[high]-upperLevel)) {
			high = i
		}
	}
	return low, mid, high
}

// claimed returns the distribution function of z that the forecast itself claims:
// linear between its quantiles, and beyond the last of them the exponential tail
// that the last two span. A point forecast is taken for a double exponential.
func claimed(f *api.Forecast, s Spread) func(z float64) float64 {
	low, _, high := levels(f.Quantiles)
	if low < 0 || high < 0 {
		return func(z float64) float64 {
			p := 0.5 * math.Exp(-math.Abs(z)*math.Log(5)) // 0.9 at z = 1
			if z > 0 {
				return 1 - p
			}
			return p
		}
	}
	n := len(f.Quantiles)
	at := make([]float64, n) // z of each level
	for j, v := range f.Values[0] {
		at[j] = s.residual(v)
		if j > 0 {
			at[j] = max(at[j], at[j-1])
		}
	}
	beyond := func(z, from, before, level, inner float64) float64 {
		rate := math.Log(inner/level) / max(1e-3, math.Abs(from-before))
		return level * math.Exp(-rate*math.Abs(z-from))
	}
	return func(z float64) float64 {
		switch {
		case z >= at[n-1]:
			return 1 - beyond(z, at[n-1], at[n-2], 1-f.Quantiles[n-1], 1-f.Quantiles[n-2])
		case z <= at[0]:
			return beyond(z, at[0], at[1], f.Quantiles[0], f.Quantiles[1])
		}
		j := max(1, min(n-1, sortedIndex(at, z)))
		share := 0.0
		if at[j] > at[j-1] {
			share = (z - at[j-1]) / (at[j] - at[j-1])
		}
		return f.Quantiles[j-1] + share*(f.Quantiles[j]-f.Quantiles[j-1])
	}
}

// sortedIndex returns the first index whose value is at least z.
func sortedIndex(at []float64, z float64) int {
	j, _ := slices.BinarySearch(at, z)
	return j
}

// Outlook is the demand of the steps ahead as a distribution: the forecast's
// median and spread of each step, and the residuals that such forecasts have had.
type Outlook struct {
	Steps []Spread // by step - 1
	tail  *tail
	// Reach is the demand that is believed at most, see Calibration.reach. The
	// probabilities know nothing of it; who turns them into instances does.
	Reach float64
}

// Exceeds returns the probability that the demand of step k, from 1 on, is
// greater than a demand, in instance-equivalents.
func (o *Outlook) Exceeds(k int, demand float64) float64 {
	return o.tail.exceeds(o.Steps[k-1].residual(demand))
}

// Quantile returns the demand of step k that is exceeded with probability 1 - q.
func (o *Outlook) Quantile(k int, q float64) float64 {
	s := o.Steps[k-1]
	low, high := 0.0, float64(s.Median)+edges[residualBins]*float64(s.Up)
	for range 60 { // bisection: to the last digit of a float
		mid := (low + high) / 2
		if o.Exceeds(k, mid) > 1-q {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

// Believable returns the demand of step k that is believed at most: what lies in
// reach, and a tenth more than the forecast's own median. It may know of a day
// that is like no other; the tail beyond is only statistics.
func (o *Outlook) Believable(k int) float64 {
	return max(o.Reach, reachDays*float64(o.Steps[k-1].Median))
}

// Share is how much of a span of time falls into one step.
type Share struct {
	Step   int // from 1 on
	Weight float64
}

// shares splits the span [from, to), counted from the tick, into steps. Weights
// add up to 1; steps past the last one are the last one's.
func shares(step, from, to time.Duration, last int) []Share {
	var out []Share
	for k := 1; ; k++ {
		begin, end := time.Duration(k-1)*step, time.Duration(k)*step
		if begin >= to {
			return out
		}
		part := min(end, to) - max(begin, from)
		if part <= 0 {
			continue
		}
		w := float64(part) / float64(to-from)
		if n := len(out); n > 0 && k > last {
			out[n-1].Weight += w
			continue
		}
		out = append(out, Share{min(k, last), w})
	}
}
