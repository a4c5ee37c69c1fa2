package score

import (
	"math"
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
// The seasonal naive of an hour is there when the step divides an hour, that of a
// week when it divides a week and the history reaches a week back from every
// slot scored.
func Horizon(cases []Case, levels []float64, steps int, step time.Duration, b Baselines, naive float64) models.HorizonScore {
	var actual, forecast []float64
	var quantiles [][]float64
	var known []Case
	for _, c := range cases {
		if math.IsNaN(b.Persistence(c.Origin)) {
			continue
		}
		known = append(known, c)
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
		name     string
		of       func(Case) (float64, bool)
		there    bool
		reaching bool // left out when it is not known for every case
	}{
		{Persistence, persistence, true, false},
		{SeasonalNaiveHour, naiveOf(b.hour), b.hour > 0, false},
		{SeasonalNaiveDay, naiveOf(b.day), true, false},
		{SeasonalNaiveWeek, naiveOf(b.week), b.week > 0 && len(known) > 0, true},
	} {
		if !rule.there {
			continue
		}
		values, reaches := make([]float64, len(known)), true
		for i, c := range known {
			var ok bool
			values[i], ok = rule.of(c)
			reaches = reaches && ok
		}
		if reaches || !rule.reaching {
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
