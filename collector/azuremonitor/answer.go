package azuremonitor

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
)

// answer is what Metrics - List says.
type answer struct {
	Interval string   `json:"interval"`
	Value    []metric `json:"value"`
}

type metric struct {
	Name struct {
		Value string `json:"value"`
	} `json:"name"`
	ErrorCode    string `json:"errorCode"` // Success, or why there are no data; may be absent
	ErrorMessage string `json:"errorMessage"`
	Series       []struct {
		Data []point `json:"data"`
	} `json:"timeseries"`
}

// point is the account of one interval. An aggregate that is absent or null is not
// set.
type point struct {
	Time    time.Time `json:"timeStamp"` // when the interval begins
	Average *number   `json:"average"`
	Total   *number   `json:"total"`
	Minimum *number   `json:"minimum"`
	Maximum *number   `json:"maximum"`
	Count   *number   `json:"count"`
}

// aggregate returns the named one, NaN where there is none.
func (p point) aggregate(name string) float64 {
	v := map[string]*number{"Average": p.Average, "Total": p.Total, "Minimum": p.Minimum, "Maximum": p.Maximum, "Count": p.Count}[name]
	if v == nil {
		return math.NaN()
	}
	return float64(*v)
}

// number is a float that may also come as a text, as serializers write NaN.
type number float64

// UnmarshalJSON reads 1.5, "1.5" and "NaN". What is too large becomes an infinity.
func (n *number) UnmarshalJSON(raw []byte) error {
	v, err := strconv.ParseFloat(strings.Trim(string(raw), `"`), 64)
	if err != nil && !math.IsInf(v, 0) {
		return fmt.Errorf("%.40q is not a number", raw)
	}
	*n = number(v)
	return nil
}

// decode reads an answer that was asked for in that interval.
func decode(raw []byte, interval string) (answer, error) {
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		return a, fmt.Errorf("an odd answer: %w", err)
	}
	if a.Interval != "" && a.Interval != interval {
		return a, fmt.Errorf("an odd answer: in intervals of %.40q, not %s", a.Interval, interval)
	}
	return a, nil
}

// values returns the samples of a series in the slots from first to last, both
// included. The error says why the metric's values cannot be relied on.
func (a answer) values(q query, first, last time.Time, step time.Duration) ([]api.Sample, error) {
	for _, m := range a.Value {
		if !strings.EqualFold(m.Name.Value, q.name) {
			continue
		}
		if m.ErrorCode != "" && m.ErrorCode != "Success" {
			return nil, fmt.Errorf("%s: %.40s: %.300s", q.name, m.ErrorCode, m.ErrorMessage)
		}
		if len(m.Series) > 1 {
			return nil, fmt.Errorf("%s: %d time series where one was asked for", q.name, len(m.Series))
		}
		if len(m.Series) == 0 {
			return nil, nil
		}
		return q.samples(m.Series[0].Data, first, last, step)
	}
	return nil, fmt.Errorf("%s: no result for the metric", q.name)
}

func (q query) samples(points []point, first, last time.Time, step time.Duration) ([]api.Sample, error) {
	var out []api.Sample
	seen := make(map[int64]bool, len(points))
	for _, p := range points {
		at := p.Time.UTC()
		if at.Before(first) || at.After(last) {
			continue // the timespan's end may belong to it
		}
		if !at.Equal(at.Truncate(step)) || seen[at.Unix()] {
			return nil, fmt.Errorf("%s: an odd answer: a point at %s is no slot's, or there twice", q.name, at.Format(time.RFC3339Nano))
		}
		seen[at.Unix()] = true
		v := p.aggregate(q.aggregation) * q.factor
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		out = append(out, api.Sample{Group: q.series.Group, Metric: q.series.Metric, Stat: q.series.Stat, Time: at, Value: v})
	}
	return out, nil
}
