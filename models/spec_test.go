package models

import (
	"math"
	"strings"
	"testing"
)

func TestSpecValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Spec)
		want   string // what the error names; "": valid
	}{
		"as it is":                           {func(*Spec) {}, ""},
		"no target":                          {func(s *Spec) { s.Target = "" }, "target"},
		"no step":                            {func(s *Spec) { s.StepSeconds = 0 }, "step_seconds"},
		"a step of a day":                    {func(s *Spec) { s.StepSeconds = 86400 }, ""},
		"a step that overflows a duration":   {func(s *Spec) { s.StepSeconds = math.MaxInt }, "step_seconds"},
		"no lookback":                        {func(s *Spec) { s.Lookback = 0 }, "lookback"},
		"a lookback without end":             {func(s *Spec) { s.Lookback = MaxLookback + 1 }, "lookback"},
		"no horizon":                         {func(s *Spec) { s.Horizon = 0 }, "horizon"},
		"series that begin with another one": {func(s *Spec) { s.Series = []string{"cpu_utilization", "demand"} }, "series"},
		"a series twice":                     {func(s *Spec) { s.Series = []string{"demand", "demand"} }, "series"},
		"a flag twice":                       {func(s *Spec) { s.Future = []string{"is_x", "is_x"} }, "future"},
		"a gap as long as the lookback":      {func(s *Spec) { s.MaxGap = s.Lookback }, "max_gap"},
		"a lag of a week":                    {func(s *Spec) { s.Lags = []Lag{{"demand", []int{288, 2016}}} }, ""},
		"a lag past the origin":              {func(s *Spec) { s.Lags = []Lag{{"demand", []int{s.Horizon - 1}}} }, "lags[0]"},
		"lags that do not ascend":            {func(s *Spec) { s.Lags = []Lag{{"demand", []int{288, 288}}} }, "lags[0]"},
		"a lag without offsets":              {func(s *Spec) { s.Lags = []Lag{{Series: "demand"}} }, "lags[0]"},
		"a lag that overflows a duration":    {func(s *Spec) { s.Lags = []Lag{{"demand", []int{math.MaxInt}}} }, "lags[0]"},
		"quantiles that do not ascend":       {func(s *Spec) { s.Quantiles = []float64{0.9, 0.1} }, "quantiles"},
		"a quantile that is none":            {func(s *Spec) { s.Quantiles = []float64{math.NaN()} }, "quantiles"},
		"peaks of quantiles":                 {func(s *Spec) { s.Quantiles, s.Peaks = []float64{0.9}, true }, ""},
		"peaks without quantiles":            {func(s *Spec) { s.Peaks = true }, "peaks"},
		"a zone that does not exist":         {func(s *Spec) { s.TimeZone = "Mars/Base" }, "time_zone"},
	} {
		t.Run(name, func(t *testing.T) {
			s := manifest("web").Spec
			c.change(&s)
			err := s.Validate()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), "spec: "+c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
