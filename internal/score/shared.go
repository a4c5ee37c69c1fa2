package score

import (
	"encoding/json"
	"io"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/forescale/forescale/models"
)

// SharedReport is the content of report.json of a model that many groups share:
// how good it is on the test part, which is the same time for all of them.
type SharedReport struct {
	Target      string    `json:"target"`
	StepSeconds int       `json:"step_seconds"`
	Start       time.Time `json:"start"`   // of the first slot of any group
	Split       Split     `json:"split"`   // in slots from Start on
	Windows     int       `json:"windows"` // that fitted or chose something
	// Horizons are pooled over the groups, see Pool.
	Horizons []models.HorizonScore `json:"horizons"`
	// Shares are those of the members in the combination.
	Shares []Share       `json:"shares,omitempty"`
	Groups []GroupReport `json:"groups"` // in the order of their names
	// Comparison is there when some groups got a model of their own beside.
	Comparison  *Comparison `json:"comparison,omitempty"`
	Training    Training    `json:"training"`
	Seed        uint64      `json:"seed"`
	ModelSHA256 string      `json:"model_sha256"` // of model.onnx, lower-case hex
}

// Share is the part of a member in a combination, by horizon: between 0 and 1, and
// 1 in sum over the members.
type Share struct {
	Name    string    `json:"name"`
	Weights []float64 `json:"weights"`
}

// GroupReport is how good a shared model is for one group.
type GroupReport struct {
	Group string `json:"group"`
	// Scale is the mean size of the target in the training part, the unit of the
	// group in a pool; 0 where it had no load then, and is in none.
	Scale   float64 `json:"scale"`
	Windows int     `json:"windows"` // of the group that the model learned from
	// Calibration is what models.Manifest.Calibration says of the group.
	Calibration []float64 `json:"calibration,omitempty"`
	// Horizons are in the group's units, with persistence as the one baseline.
	Horizons []models.HorizonScore `json:"horizons"`
	// Own are the scores, on the same slots, of a model of the group's own.
	Own []models.HorizonScore `json:"own,omitempty"`
}

// Comparison sets a shared model beside a model per group, on the same slots.
type Comparison struct {
	Groups []string              `json:"groups"` // that were compared
	Shared []models.HorizonScore `json:"shared"` // pooled over them
	Own    []models.HorizonScore `json:"own"`
}

// Write writes the report as indented JSON.
func (r SharedReport) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Part is one of several scores to pool.
type Part struct {
	Score models.HorizonScore
	Scale float64 // what counts as one, in the units of Score; positive
}

// Pool returns one score for series of different units and sizes at one horizon.
// With n the slots of a part and s its scale,
//
//	MAE     = Σ n MAE/s / Σ n           and the same for the pinball loss
//	RMSE²   = Σ n (RMSE/s)² / Σ n
//	R2      = 1 - Σ n (RMSE/s)² / Σ n (σ/s)²,   σ the deviation of the part's actual values
//	Skill   = 1 - MAE/MAE of persistence
//
// and every other measure is the mean over the slots. So MAE and RMSE are in units
// of the scale. A part for which a measure is not defined is left out of that
// measure; a baseline is there when every part has it.
func Pool(parts []Part) models.HorizonScore {
	var pooled models.HorizonScore
	parts = slices.DeleteFunc(slices.Clone(parts), func(p Part) bool { return p.Score.N == 0 || !(p.Scale > 0) })
	if len(parts) == 0 {
		pooled.Model = Evaluate(nil, nil, math.NaN())
		return pooled
	}
	pooled.Steps, pooled.Minutes = parts[0].Score.Steps, parts[0].Score.Minutes
	for _, p := range parts {
		pooled.N += p.Score.N
		pooled.MAPESkipped += p.Score.MAPESkipped
	}
	pooled.Model = pool(parts, func(h models.HorizonScore) models.Score { return h.Model })
	pooled.Baselines = map[string]models.Score{}
	for _, name := range slices.Sorted(maps.Keys(parts[0].Score.Baselines)) {
		if !slices.ContainsFunc(parts, func(p Part) bool { _, ok := p.Score.Baselines[name]; return !ok }) {
			pooled.Baselines[name] = pool(parts, func(h models.HorizonScore) models.Score { return h.Baselines[name] })
		}
	}
	addSkill(&pooled)
	return pooled
}

// pool pools the scores of one forecaster.
func pool(parts []Part, of func(models.HorizonScore) models.Score) models.Score {
	mean := func(measure func(s models.Score, p Part) float64) float64 {
		sum, n := 0.0, 0.0
		for _, p := range parts {
			if v := measure(of(p.Score), p); !math.IsNaN(v) && !math.IsInf(v, 0) {
				sum += float64(p.Score.N) * v
				n += float64(p.Score.N)
			}
		}
		return ratio(sum, n)
	}
	share := func(measure func(s models.Score, p Part) *float64) *float64 {
		v := mean(func(s models.Score, p Part) float64 {
			if m := measure(s, p); m != nil {
				return *m
			}
			return math.NaN()
		})
		if math.IsNaN(v) {
			return nil
		}
		return &v
	}
	// The mean square and the variance of the same parts: those whose R2 is defined.
	square := func(s models.Score, p Part) float64 { return (s.RMSE / p.Scale) * (s.RMSE / p.Scale) }
	variance := func(s models.Score, p Part) float64 { return square(s, p) / (1 - s.R2) }
	explained := func(s models.Score, p Part) float64 { return square(s, p) + 0*variance(s, p) }
	out := models.Score{
		MAE:        mean(func(s models.Score, p Part) float64 { return s.MAE / p.Scale }),
		RMSE:       math.Sqrt(mean(square)),
		R2:         1 - ratio(mean(explained), mean(variance)),
		MAPE:       mean(func(s models.Score, _ Part) float64 { return s.MAPE }),
		WAPE:       mean(func(s models.Score, _ Part) float64 { return s.WAPE }),
		MASE:       mean(func(s models.Score, _ Part) float64 { return s.MASE }),
		Pinball:    share(func(s models.Score, p Part) *float64 { return scaled(s.Pinball, p.Scale) }),
		Coverage80: share(func(s models.Score, _ Part) *float64 { return s.Coverage80 }),
		Coverage90: share(func(s models.Score, _ Part) *float64 { return s.Coverage90 }),
	}
	out.Accuracy = 100 - out.MAPE
	return out
}

func scaled(v *float64, scale float64) *float64 {
	if v == nil {
		return nil
	}
	w := *v / scale
	return &w
}
