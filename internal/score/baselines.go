package score

import (
	"math"
	"time"
)

// Names of the baselines.
const (
	Persistence       = "persistence"         // the value at the origin
	SeasonalNaiveHour = "seasonal_naive_hour" // the value one whole hour before the slot forecast
	SeasonalNaiveDay  = "seasonal_naive_day"  // one whole day before
	SeasonalNaiveWeek = "seasonal_naive_week" // one whole week before
)

// Baselines forecasts a series by the rules that a model must beat. A missing
// value is carried forward from the last known one, never from a later one.
type Baselines struct {
	filled          []float64
	hour, day, week int // slots in each; 0: the step does not divide it, or leaves one slot
}

// NewBaselines prepares the baselines of a series y on a grid of the given step,
// NaN where missing.
func NewBaselines(y []float64, step time.Duration) Baselines {
	b := Baselines{filled: make([]float64, len(y)), hour: slots(time.Hour, step), week: slots(7*24*time.Hour, step),
		day: max(1, int(24*time.Hour/step))}
	last := math.NaN()
	for i, v := range y {
		if !math.IsNaN(v) {
			last = v
		}
		b.filled[i] = last
	}
	return b
}

// slots returns the number of steps in a period, 0 when it is not a whole number
// or only one: the period before is then the slot before.
func slots(period, step time.Duration) int {
	if period%step != 0 || period == step {
		return 0
	}
	return int(period / step)
}

// Persistence returns y[origin] as the forecast of any later slot. It is NaN
// before the first known value.
func (b Baselines) Persistence(origin int) float64 {
	if origin < 0 || origin >= len(b.filled) {
		return math.NaN()
	}
	return b.filled[origin]
}

// SeasonalNaiveHour returns, as the forecast of slot origin+h, the value an hour
// before it or, where that is after the origin, as many whole hours before as the
// origin knows. During the first hour it is the persistence, and so it is at a
// horizon of whole hours. It is NaN when the step does not divide an hour into
// two slots or more.
func (b Baselines) SeasonalNaiveHour(origin, h int) float64 {
	v, _ := b.seasonal(b.hour, origin, h)
	return v
}

// SeasonalNaiveDay is the same with days. A step that does not divide a day, or
// is longer, takes the slots that fit into one, at least one.
func (b Baselines) SeasonalNaiveDay(origin, h int) float64 {
	v, _ := b.seasonal(b.day, origin, h)
	return v
}

// SeasonalNaiveWeek is the same with weeks. It is NaN when the step does not
// divide a week into two slots or more.
func (b Baselines) SeasonalNaiveWeek(origin, h int) float64 {
	v, _ := b.seasonal(b.week, origin, h)
	return v
}

// seasonal returns the value a whole number of periods before slot origin+h, at
// least one and no more than make it known at the origin. known is false where
// the history does not reach back so far and the persistence stands in.
func (b Baselines) seasonal(period, origin, h int) (v float64, known bool) {
	if period == 0 {
		return math.NaN(), false
	}
	i := origin + h - period*max(1, (h+period-1)/period)
	if i < 0 || i >= len(b.filled) || math.IsNaN(b.filled[i]) {
		return b.Persistence(origin), false
	}
	return b.filled[i], true
}
