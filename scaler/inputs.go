package scaler

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/scaler/plan"
)

// configs gathers the configurations that the decisions of a record rest on, each
// only once: most groups of a fleet differ in their names alone.
type configs struct {
	index map[string]int // by content
	all   []json.RawMessage
}

// add returns where in all the group's configuration stands, without its name.
func (c *configs) add(g plan.Group) (int, error) {
	g.Name = ""
	raw, err := json.Marshal(g)
	if err != nil {
		return 0, fmt.Errorf("configuration: %w", err)
	}
	at, known := c.index[string(raw)]
	if !known {
		if c.index == nil {
			c.index = map[string]int{}
		}
		at = len(c.all)
		c.index[string(raw)] = at
		c.all = append(c.all, raw)
	}
	return at, nil
}

// ProblemNotFinite is the Type of the api.Problem that stands in place of a
// forecast with a number in it that JSON cannot hold. Nothing may be decided upon
// that the audit log cannot keep.
const ProblemNotFinite = "urn:forescale:problem:forecast-not-finite"

// wholeForecasts is how many groups a fleet may have whose records keep forecasts
// as a whole, for people and pages to look at. A larger one keeps what decisions
// read: a record of ten thousand groups must be written within a tick.
const wholeForecasts = 500

// shown returns how many steps of a group's forecast its record keeps.
func (t *tick) shown(g plan.Group) int {
	if len(t.groups) <= wholeForecasts {
		return math.MaxInt
	}
	return g.Steps()
}

// keepable returns the part of a forecast that a record keeps: at least the steps
// that its decision reads, and as many as are shown if they can be kept. A
// forecast with a number in what is read that JSON cannot hold becomes the reason
// why there is none.
func keepable(f *api.Forecast, read, shown int) *api.Forecast {
	if f == nil || f.Error != nil {
		return f
	}
	if whole := first(f, shown); notFinite(whole) == "" {
		return whole
	}
	cut := first(f, read)
	if field := notFinite(cut); field != "" {
		return &api.Forecast{Group: f.Group, Error: &api.Problem{
			Type: ProblemNotFinite, Title: "the forecast is not finite", Field: field,
			Detail: "the server answered with a number that is none",
		}}
	}
	return cut
}

// first returns the first steps of a forecast.
func first(f *api.Forecast, steps int) *api.Forecast {
	cut := *f
	cut.Point = f.Point[:min(steps, len(f.Point))]
	cut.Values = f.Values[:min(steps, len(f.Values))]
	cut.Peaks = f.Peaks[:min(steps, len(f.Peaks))]
	return &cut
}

// notFinite returns where in the forecast the first NaN or infinity is, "" when
// there is none.
func notFinite(f *api.Forecast) string {
	bad := func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }
	for i, v := range f.Point {
		if bad(v) {
			return fmt.Sprintf("point[%d]", i)
		}
	}
	for i, q := range f.Quantiles {
		if bad(q) {
			return fmt.Sprintf("quantiles[%d]", i)
		}
	}
	for _, table := range []struct {
		name string
		rows [][]float64
	}{{"values", f.Values}, {"peaks", f.Peaks}} {
		for i, row := range table.rows {
			for j, v := range row {
				if bad(v) {
					return fmt.Sprintf("%s[%d][%d]", table.name, i, j)
				}
			}
		}
	}
	return ""
}
