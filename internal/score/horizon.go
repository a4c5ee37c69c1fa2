package score

import (
	"math"
	"time"

	"github.com/forescale/forescale/models"
)

// Names of the baselines.
const (
	Persistence      = "persistence"        // the value at the origin
	SeasonalNaiveDay = "seasonal_naive_day" // the value one whole day before the slot forecast
)

// Baselines forecasts a series by the rules that a model must beat. A missing
// value is carried forward from the last known one, never from a later one.
type Baselines struct {
	filled []float64
	day    int // slots in a day
}

// NewBaselines prepares the baselines of a series y on a grid of the given step,
// NaN where missing.
func NewBaselines(y []float64, step time.Duration) Baselines {
	b := Baselines{filled: make([]float64, len(y)), day: max(1, int(24*time.Hour/step))}
	last := math.NaN()
	for i, v := range y {
		if !math.IsNaN(v) {
			last = v
		}
		b.filled[i] = last
	}
	return b
}

// Persistence returns y[origin] as the forecast of any later slot. It is NaN
// before the first known value.
func (b Baselines) Persistence(origin int) float64 {
	if origin < 0 || origin >= len(b.filled) {
		return math.NaN()
	}
	return b.filled[origin]
}

// SeasonalNaiveDay returns, as the forecast of slot origin+h, the value a day
// before it or, where that is after the origin, as many whole days before as the
// origin knows. During the first day it is the persistence.
func (b Baselines) SeasonalNaiveDay(origin, h int) float64 {
	i := origin + h - b.day*max(1, (h+b.day-1)/b.day)
	if i < 0 || i >= len(b.filled) || math.IsNaN(b.filled[i]) {
		return b.Persistence(origin)
	}
	return b.filled[i]
}

// Case is one forecast with what came true: of slot Origin+steps, made when slot
// Origin was the newest.
type Case struct {
	Origin    int
	Actual    float64 // finite
	Forecast  float64 // finite; the median for a quantile model
	Quantiles []float64
}

// Horizon scores the cases of one horizon, and the baselines on the same cases.
// levels are the quantile levels of the cases, none for a point model. Cases for
// which a baseline knows nothing, before the first value of the series, are left
// out for all.
func Horizon(cases []Case, levels []float64, steps int, step time.Duration, b Baselines, naive float64) models.HorizonScore {
	var actual, forecast, persistence, seasonal []float64
	var quantiles [][]float64
	for _, c := range cases {
		p := b.Persistence(c.Origin)
		if math.IsNaN(p) {
			continue
		}
		actual = append(actual, c.Actual)
		forecast = append(forecast, c.Forecast)
		quantiles = append(quantiles, c.Quantiles)
		persistence = append(persistence, p)
		seasonal = append(seasonal, b.SeasonalNaiveDay(c.Origin, steps))
	}
	score := models.HorizonScore{
		Steps:       steps,
		Minutes:     (time.Duration(steps) * step).Minutes(),
		N:           len(actual),
		MAPESkipped: Zeros(actual),
		Model:       Evaluate(actual, forecast, naive),
		Baselines: map[string]models.Score{
			Persistence:      Evaluate(actual, persistence, naive),
			SeasonalNaiveDay: Evaluate(actual, seasonal, naive),
		},
	}
	AddQuantiles(&score.Model, actual, levels, quantiles)
	return score
}
