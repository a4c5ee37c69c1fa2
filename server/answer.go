package server

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/forescale/forescale/api"
)

// appendResponse appends a response as encoding/json would write it, but for the
// spelling of numbers and text, and without allocating. The error names a number that
// JSON cannot hold.
func appendResponse(b []byte, r *api.PredictResponse) (_ []byte, err error) {
	b = appendText(append(b, `{"model":`...), r.Model)
	b = strconv.AppendInt(append(b, `,"version":`...), int64(r.Version), 10)
	b = append(b, `,"forecasts":[`...)
	for i := range r.Forecasts {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendForecast(b, &r.Forecasts[i]); err != nil {
			return b, fmt.Errorf("forecast %d: %w", i, err)
		}
	}
	return append(b, "]}"...), nil
}

func appendForecast(b []byte, f *api.Forecast) (_ []byte, err error) {
	b = appendText(append(b, `{"group":`...), f.Group)
	if !f.IssuedAt.IsZero() {
		b = append(f.IssuedAt.AppendFormat(append(b, `,"issued_at":"`...), time.RFC3339Nano), '"')
	}
	if f.StepSeconds != 0 {
		b = strconv.AppendInt(append(b, `,"step_seconds":`...), int64(f.StepSeconds), 10)
	}
	if f.Model != "" {
		b = appendText(append(b, `,"model":`...), f.Model)
	}
	if f.Version != 0 {
		b = strconv.AppendInt(append(b, `,"version":`...), int64(f.Version), 10)
	}
	for _, part := range []struct {
		name   string
		values []float64
	}{{`,"point":`, f.Point}, {`,"quantiles":`, f.Quantiles}} {
		if len(part.values) > 0 {
			if b, err = appendNumbers(append(b, part.name...), part.values); err != nil {
				return b, err
			}
		}
	}
	for _, part := range []struct {
		name string
		rows [][]float64
	}{{`,"values":`, f.Values}, {`,"peaks":`, f.Peaks}} {
		for i, row := range part.rows {
			if i == 0 {
				b = append(append(b, part.name...), '[')
			} else {
				b = append(b, ',')
			}
			if b, err = appendNumbers(b, row); err != nil {
				return b, err
			}
		}
		if len(part.rows) > 0 {
			b = append(b, ']')
		}
	}
	if f.Error != nil { // rare
		text, err := json.Marshal(f.Error)
		if err != nil {
			return b, err
		}
		b = append(append(b, `,"error":`...), text...)
	}
	return append(b, '}'), nil
}

func appendNumbers(b []byte, values []float64) ([]byte, error) {
	b = append(b, '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return b, fmt.Errorf("%v has no form in JSON", v)
		}
		b = strconv.AppendFloat(b, v, 'g', -1, 64)
	}
	return append(b, ']'), nil
}

// appendText appends text as a JSON string.
func appendText(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := json.Marshal(text)
			if err != nil {
				panic(err) // a string always marshals
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), text...), '"')
}
