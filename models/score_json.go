package models

import (
	"encoding/json"
	"math"
)

// nullableScore is Score on the wire.
type nullableScore struct {
	MAE        *float64 `json:"mae"`
	RMSE       *float64 `json:"rmse"`
	R2         *float64 `json:"r2"`
	MAPE       *float64 `json:"mape"`
	Accuracy   *float64 `json:"accuracy"`
	WAPE       *float64 `json:"wape"`
	MASE       *float64 `json:"mase"`
	Skill      *float64 `json:"skill"`
	Pinball    *float64 `json:"pinball,omitempty"`
	Coverage80 *float64 `json:"coverage80,omitempty"`
	Coverage90 *float64 `json:"coverage90,omitempty"`
}

// MarshalJSON writes a measure that is not defined (NaN) as null.
func (s Score) MarshalJSON() ([]byte, error) {
	known := func(v float64) *float64 {
		if math.IsNaN(v) {
			return nil
		}
		return &v
	}
	return json.Marshal(nullableScore{
		MAE: known(s.MAE), RMSE: known(s.RMSE), R2: known(s.R2), MAPE: known(s.MAPE),
		Accuracy: known(s.Accuracy), WAPE: known(s.WAPE), MASE: known(s.MASE), Skill: known(s.Skill),
		Pinball: s.Pinball, Coverage80: s.Coverage80, Coverage90: s.Coverage90,
	})
}

// UnmarshalJSON reads null, and the absence of a measure, as NaN.
func (s *Score) UnmarshalJSON(b []byte) error {
	var n nullableScore
	if err := json.Unmarshal(b, &n); err != nil {
		return err
	}
	value := func(p *float64) float64 {
		if p == nil {
			return math.NaN()
		}
		return *p
	}
	*s = Score{
		MAE: value(n.MAE), RMSE: value(n.RMSE), R2: value(n.R2), MAPE: value(n.MAPE),
		Accuracy: value(n.Accuracy), WAPE: value(n.WAPE), MASE: value(n.MASE), Skill: value(n.Skill),
		Pinball: n.Pinball, Coverage80: n.Coverage80, Coverage90: n.Coverage90,
	}
	return nil
}
