package score

import (
	"math"
	"slices"

	"github.com/forescale/forescale/models"
)

// Evaluate returns the errors of forecast against actual, which have one finite
// value per slot and equal lengths. naive is the one-step naive error of the
// training part, see Naive. Every measure of no slots is NaN.
func Evaluate(actual, forecast []float64, naive float64) models.Score {
	if len(actual) != len(forecast) {
		panic("score: actual and forecast differ in length")
	}
	var mean float64
	for i, y := range actual {
		mean += (y - mean) / float64(i+1)
	}
	var absolute, squared, spread, magnitude, relative float64
	for i, y := range actual {
		e := forecast[i] - y
		absolute += math.Abs(e)
		squared += e * e
		spread += (y - mean) * (y - mean)
		magnitude += math.Abs(y)
		if y != 0 {
			relative += math.Abs(e / y)
		}
	}
	n := float64(len(actual))
	s := models.Score{
		MAE:  ratio(absolute, n),
		RMSE: math.Sqrt(ratio(squared, n)),
		R2:   1 - ratio(squared, spread),
		MAPE: 100 * ratio(relative, n-float64(Zeros(actual))),
		WAPE: ratio(absolute, magnitude),
		MASE: ratio(ratio(absolute, n), naive), Skill: math.NaN(),
	}
	s.Accuracy = 100 - s.MAPE
	return s
}

// ratio returns a/b, NaN where b is 0 or not known.
func ratio(a, b float64) float64 {
	if b == 0 {
		return math.NaN()
	}
	return a / b
}

// Zeros returns the number of slots that MAPE leaves out.
func Zeros(actual []float64) int {
	n := 0
	for _, y := range actual {
		if y == 0 {
			n++
		}
	}
	return n
}

// AddQuantiles sets the measures of quantile forecasts in s. levels ascend;
// values is [slot][level]. A coverage is set where both of its levels are there:
// 0.1 and 0.9 for Coverage80, 0.05 and 0.95 for Coverage90.
func AddQuantiles(s *models.Score, actual, levels []float64, values [][]float64) {
	if len(actual) == 0 || len(levels) == 0 {
		return
	}
	var pinball float64
	for i, y := range actual {
		for j, q := range levels {
			d := y - values[i][j]
			pinball += max(q*d, (q-1)*d)
		}
	}
	pinball /= float64(len(actual) * len(levels))
	s.Pinball = &pinball
	s.Coverage80 = coverage(actual, levels, values, 0.1, 0.9)
	s.Coverage90 = coverage(actual, levels, values, 0.05, 0.95)
}

// coverage returns the share of actual values inside the interval between two
// levels, its ends included, or nil where a level is not there.
func coverage(actual, levels []float64, values [][]float64, low, high float64) *float64 {
	lo, hi := slices.Index(levels, low), slices.Index(levels, high)
	if lo < 0 || hi < 0 {
		return nil
	}
	inside := 0
	for i, y := range actual {
		if values[i][lo] <= y && y <= values[i][hi] {
			inside++
		}
	}
	share := float64(inside) / float64(len(actual))
	return &share
}

// PooledCoverage returns the shares of all slots of several horizons, or of
// several series, that lie inside the 10-90 % and the 5-95 % interval:
//
//	pooled = Σ n·coverage / Σ n
//
// Scores without the interval, or of no slots, are left out. It is NaN when none
// is left.
func PooledCoverage(scores ...models.HorizonScore) (coverage80, coverage90 float64) {
	pool := func(of func(models.Score) *float64) float64 {
		inside, n := 0.0, 0.0
		for _, s := range scores {
			if share := of(s.Model); share != nil && s.N > 0 {
				inside += *share * float64(s.N)
				n += float64(s.N)
			}
		}
		return ratio(inside, n)
	}
	return pool(func(s models.Score) *float64 { return s.Coverage80 }), pool(func(s models.Score) *float64 { return s.Coverage90 })
}

// Naive returns the mean |y[i] - y[i-1]| over the pairs of neighbouring slots of
// which both are known, NaN when there is none. MASE wants it of the training
// part alone.
func Naive(y []float64) float64 {
	total, n := 0.0, 0
	for i := 1; i < len(y); i++ {
		if d := math.Abs(y[i] - y[i-1]); !math.IsNaN(d) {
			total += d
			n++
		}
	}
	return ratio(total, float64(n))
}
