package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Series is a run of values on the regular grid, oldest first. NaN marks a
// missing value and is null in JSON.
type Series []float64

// MarshalJSON writes NaN as null. An infinite value is an error.
func (s Series) MarshalJSON() ([]byte, error) {
	if s == nil {
		return []byte("null"), nil
	}
	b := make([]byte, 0, 2+len(s)*8)
	b = append(b, '[')
	for i, v := range s {
		if i > 0 {
			b = append(b, ',')
		}
		switch {
		case math.IsNaN(v):
			b = append(b, "null"...)
		case math.IsInf(v, 0):
			return nil, fmt.Errorf("series value %d is infinite", i)
		default:
			b = strconv.AppendFloat(b, v, 'g', -1, 64)
		}
	}
	return append(b, ']'), nil
}

// UnmarshalJSON reads null as NaN.
func (s *Series) UnmarshalJSON(b []byte) error {
	if bytes.Equal(bytes.TrimSpace(b), []byte("null")) {
		*s = nil
		return nil
	}
	var raw []*float64
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	out := make(Series, len(raw))
	for i, p := range raw {
		if p == nil {
			out[i] = math.NaN()
		} else {
			out[i] = *p
		}
	}
	*s = out
	return nil
}

// Window is everything that a model needs to know of one group at one moment in
// order to forecast it. It is assembled by the caller (internal/window) from the
// model's Spec; the server only encodes it and keeps no history.
//
// With n the newest slot, index k of Lags and Future speaks of slot n+k, so
// index 0 is the newest slot itself and index horizon the last one forecast.
type Window struct {
	Group       string    `json:"group"`
	End         time.Time `json:"end"` // end of the newest slot, UTC; forecasts are issued for it
	StepSeconds int       `json:"step_seconds"`
	// Series holds, by series name, the lookback newest values, oldest first.
	Series map[string]Series `json:"series"`
	// Lags holds, by series or flag name and by offset in steps, the 1+horizon
	// values that lie offset steps before slots n .. n+horizon.
	Lags map[string]map[int]Series `json:"lags,omitempty"`
	// Future holds, by flag name, the calendar's values at slots n .. n+horizon.
	Future map[string]Series `json:"future,omitempty"`
}
