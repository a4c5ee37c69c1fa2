package unit

import (
	"math"
	"strings"
	"testing"
)

func TestFactor(t *testing.T) {
	for name, c := range map[string]struct {
		conversion Conversion
		metric     string
		want       float64
		err        string
	}{
		"takes values as they come when nothing is said":           {Conversion{}, "response_time", 1, ""},
		"multiplies by a scale":                                    {Conversion{Scale: 0.25}, "anything", 0.25, ""},
		"brings milliseconds into seconds":                         {Conversion{From: "milliseconds"}, "response_time", 0.001, ""},
		"brings a ratio into percent":                              {Conversion{From: "ratio"}, "cpu_utilization", 100, ""},
		"brings bits into bytes per step":                          {Conversion{From: "bits"}, "network_in", 0.125, ""},
		"takes any unit for a metric that the table does not know": {Conversion{From: "minutes"}, "queue_age", 60, ""},
		"refuses a unit of something else":                         {Conversion{From: "milliseconds"}, "cpu_utilization", 0, "percent"},
		"refuses a unit that it does not know, and lists them":     {Conversion{From: "furlongs"}, "x", 0, "milliseconds"},
		"refuses both ways at once":                                {Conversion{From: "ratio", Scale: 2}, "x", 0, "exclude"},
		"refuses a negative scale":                                 {Conversion{Scale: -1}, "x", 0, "scale"},
		"refuses a scale that is no number":                        {Conversion{Scale: math.NaN()}, "x", 0, "scale"},
		"refuses an infinite scale":                                {Conversion{Scale: math.Inf(1)}, "x", 0, "scale"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.conversion.Factor(c.metric)
			if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("error %v, want %q", err, c.err)
			}
			if got != c.want {
				t.Errorf("got %g, want %g", got, c.want)
			}
		})
	}
}
