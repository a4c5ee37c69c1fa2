package collector

import (
	"strings"
	"testing"

	"github.com/forescale/forescale/api"
)

func TestImportColumns(t *testing.T) {
	minutes := "timestamp,load,ms\n" +
		"2026-03-04T12:00:00Z,10,100\n2026-03-04T12:01:00Z,20,300\n2026-03-04T12:02:00Z,,200\n2026-03-04T12:05:00Z,30,\n2026-03-04T12:06:00Z,50,\n"
	sample := func(metric string, stat api.Stat, slot int, v float64) api.Sample {
		return api.Sample{Group: "shop", Metric: metric, Stat: stat, Time: at(slot), Value: v}
	}
	for _, tt := range []struct {
		name    string
		text    string
		columns []Column
		want    []api.Sample
	}{
		{"reduces rows of a slot as each statistic says, not as the column's name does", minutes,
			[]Column{{Name: "load", Metric: "request_count"}, {Name: "load", Metric: "cpu_utilization"}, {Name: "load", Metric: "cpu_utilization", Stat: api.StatMin}, {Name: "ms", Metric: "response_time", Stat: api.StatMax, Scale: 0.001}},
			[]api.Sample{sample("request_count", api.StatSum, 0, 30), sample("request_count", api.StatSum, 1, 80), sample("cpu_utilization", api.StatAvg, 0, 15), sample("cpu_utilization", api.StatAvg, 1, 40),
				sample("cpu_utilization", api.StatMin, 0, 10), sample("cpu_utilization", api.StatMin, 1, 30), sample("response_time", api.StatMax, 0, 0.3)}},
		{"stores a single row", "timestamp,x\n2026-03-04T12:00:00Z,1\n", []Column{{Name: "x", Metric: "power"}}, []api.Sample{sample("power", api.StatAvg, 0, 1)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			shown, err := ImportedSamples(table(t, tt.text), "shop", tt.columns, step)
			if err != nil {
				t.Fatal(err)
			}
			if diff := differences(shown, tt.want); diff != "" {
				t.Errorf("what would be stored: %s", diff)
			}
			for i := range 2 {
				done := 0
				n, err := w.c.ImportColumns(t.Context(), table(t, tt.text), "shop", tt.columns, func(now, total int) { done = total - now })
				if err != nil || done != 0 || n != len(tt.want)*(1-i) {
					t.Errorf("run %d: %d rows, %d slots left, %v", i, n, done, err)
				}
			}
			w.expect(tt.want...)
		})
	}
	for name, tt := range map[string]struct {
		columns []Column
		want    string
	}{
		"no column":                  {nil, "no column to import"},
		"a column that is not there": {[]Column{{Name: "cpu", Metric: "power"}}, `no column "cpu"`},
		"two columns of one series":  {[]Column{{Name: "load", Metric: "power"}, {Name: "ms", Metric: "power", Stat: api.StatAvg}}, "given by two columns"},
		"a statistic that is none":   {[]Column{{Name: "load", Metric: "power", Stat: "p50"}}, "unknown stat"},
		"a name too long":            {[]Column{{Name: "load", Metric: strings.Repeat("x", 256)}}, "longer"},
		"a sum below zero":           {[]Column{{Name: "load", Metric: "request_count", Scale: -1}}, "request_count cannot be -10 as at 2026-03-04T12:00:00Z"},
		"a factor without bounds":    {[]Column{{Name: "load", Metric: "power", Scale: 1e308}}, "not finite"},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			w := newWorld(t)
			_, err := w.c.ImportColumns(t.Context(), table(t, minutes), "shop", tt.columns, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v does not mention %q", err, tt.want)
			}
			w.expect()
		})
	}
}
