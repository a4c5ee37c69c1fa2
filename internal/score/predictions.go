package score

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
)

// Predictions is the content of predictions.csv.
type Predictions struct {
	Levels []float64 // quantile levels, ascending; none for a point model
	Rows   []Prediction
}

// Prediction is the forecast of one slot, made one horizon before.
type Prediction struct {
	Timestamp time.Time // start of the slot forecast
	IssuedAt  time.Time // end of the newest slot known
	Steps     int       // slots from the newest known one to the one forecast, 1 or more
	Actual    float64
	Forecast  float64   // the median for a quantile model
	Quantiles []float64 // one per level
	Split     string    // Train, Validation or Test: the part of the slot forecast
}

// Write writes the rows as CSV: timestamp, issued_at, horizon_steps, actual,
// forecast, one column qLEVEL per quantile, split. Times are RFC 3339; numbers
// read back exactly. A row that holds NaN or infinity is an error: it would be
// scored by nobody, or wrongly.
func (p Predictions) Write(w io.Writer) error {
	out := csv.NewWriter(w)
	row := []string{"timestamp", "issued_at", "horizon_steps", "actual", "forecast"}
	for _, q := range p.Levels {
		row = append(row, "q"+number(q))
	}
	if err := out.Write(append(row, "split")); err != nil {
		return err
	}
	for i, r := range p.Rows {
		if len(r.Quantiles) != len(p.Levels) {
			return fmt.Errorf("predictions: row %d has %d quantiles, the table %d", i, len(r.Quantiles), len(p.Levels))
		}
		row = append(row[:0], r.Timestamp.UTC().Format(time.RFC3339Nano), r.IssuedAt.UTC().Format(time.RFC3339Nano),
			strconv.Itoa(r.Steps))
		for _, v := range append([]float64{r.Actual, r.Forecast}, r.Quantiles...) {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("predictions: row %d, slot %s at %d steps, holds %v", i, r.Timestamp.UTC().Format(time.RFC3339), r.Steps, v)
			}
			row = append(row, number(v))
		}
		if err := out.Write(append(row, r.Split)); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
