package score

import (
	"math"
	"slices"
	"time"

	"github.com/forescale/forescale/models"
)

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
//
// The seasonal naives of an hour and of a week are there when the step divides the
// period and the history reaches one back from every slot scored.
func Horizon(cases []Case, levels []float64, steps int, step time.Duration, b Baselines, naive float64) models.HorizonScore {
	cases = slices.DeleteFunc(slices.Clone(cases), func(c Case) bool { return math.IsNaN(b.Persistence(c.Origin)) })
	var actual, forecast []float64
	var quantiles [][]float64
	for _, c := range cases {
		actual = append(actual, c.Actual)
		forecast = append(forecast, c.Forecast)
		quantiles = append(quantiles, c.Quantiles)
	}
	persistence := func(c Case) (float64, bool) { return b.Persistence(c.Origin), true }
	naiveOf := func(period int) func(Case) (float64, bool) {
		return func(c Case) (float64, bool) { return b.seasonal(period, c.Origin, steps) }
	}
	score := models.HorizonScore{
		Steps:       steps,
		Minutes:     (time.Duration(steps) * step).Minutes(),
		N:           len(actual),
		MAPESkipped: Zeros(actual),
		Model:       Evaluate(actual, forecast, naive),
		Baselines:   make(map[string]models.Score),
	}
	for _, rule := range []struct {
		name   string
		of     func(Case) (v float64, known bool)
		always bool // also where it is not known, and the persistence stands in
	}{
		{Persistence, persistence, true},
		{SeasonalNaiveHour, naiveOf(b.hour), false},
		{SeasonalNaiveDay, naiveOf(b.day), true},
		{SeasonalNaiveWeek, naiveOf(b.week), false},
	} {
		values, known := make([]float64, len(cases)), len(cases) > 0
		for i, c := range cases {
			v, ok := rule.of(c)
			values[i], known = v, known && ok
		}
		if known || rule.always {
			score.Baselines[rule.name] = Evaluate(actual, values, naive)
		}
	}
	AddQuantiles(&score.Model, actual, levels, quantiles)
	addSkill(&score)
	return score
}

// addSkill compares the model and the baselines with the persistence.
func addSkill(s *models.HorizonScore) {
	reference := s.Baselines[Persistence].MAE
	s.Model.Skill = 1 - ratio(s.Model.MAE, reference)
	for name, b := range s.Baselines {
		b.Skill = 1 - ratio(b.MAE, reference)
		s.Baselines[name] = b
	}
}
