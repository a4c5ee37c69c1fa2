package api

import (
	"strings"
	"testing"
	"time"
)

func TestANameFromOutsideCanBeStoredAndShown(t *testing.T) {
	for what, test := range map[string]struct {
		name string
		ok   bool
	}{
		"a plain name":                         {"shop/web-1", true},
		"what a file system gives a meaning":   {"../a%2Fb#+", true},
		"letters of any script":                {"Zürich 東京 😀", true},
		"the longest one":                      {strings.Repeat("a", MaxNameLen), true},
		"one byte too many":                    {strings.Repeat("a", MaxNameLen+1), false},
		"nothing":                              {"", false},
		"Latin-1, which no Parquet string is":  {"Z\xfcrich", false},
		"a second line":                        {"a\nb", false},
		"an order to a terminal":               {"\x1b[2J", false},
		"the same order in the upper controls": {"\u009b2J", false},
		"the byte that deletes":                {"a\x7f", false},
	} {
		if err := CheckName(test.name); (err == nil) != test.ok {
			t.Errorf("%s: %v", what, err)
		}
		s := Sample{Group: test.name, Metric: MetricCPU, Stat: StatAvg, Time: time.Unix(1, 0)}
		if err := s.Validate(); (err == nil) != test.ok {
			t.Errorf("%s, as the group of a sample: %v", what, err)
		}
		s = Sample{Group: "web", Metric: test.name, Stat: StatAvg, Time: time.Unix(1, 0)}
		if err := s.Validate(); (err == nil) != test.ok {
			t.Errorf("%s, as the metric of a sample: %v", what, err)
		}
	}
}
