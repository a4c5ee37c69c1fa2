package window

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

// same compares series with NaN equal to NaN.
func same(a, b api.Series) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return x == y || math.IsNaN(x) && math.IsNaN(y) })
}

func sample(metric string, stat api.Stat, offset time.Duration, v float64) api.Sample {
	return api.Sample{Group: "web", Metric: metric, Stat: stat, Time: start.Add(offset), Value: v}
}

func TestFromSamples(t *testing.T) {
	const m = time.Minute
	tests := []struct {
		name    string
		samples []api.Sample
		column  string
		want    api.Series
	}{
		{"a slot without a sample is missing, not zero",
			[]api.Sample{sample("cpu_utilization", "avg", 0, 7), sample("cpu_utilization", "avg", 10*m, 9)},
			"cpu_utilization", api.Series{7, nan, 9, nan}},
		{"a sample inside a slot belongs to it",
			[]api.Sample{sample("cpu_utilization", "avg", 5*m-1, 1), sample("cpu_utilization", "avg", 5*m, 2), sample("cpu_utilization", "avg", 20*m-1, 3)},
			"cpu_utilization", api.Series{1, 2, nan, 3}},
		{"samples outside of the range are left out",
			[]api.Sample{sample("cpu_utilization", "avg", -1, 1), sample("cpu_utilization", "avg", 5*m, 2), sample("cpu_utilization", "avg", 20*m, 3)},
			"cpu_utilization", api.Series{nan, 2, nan, nan}},
		{"averages in a slot are averaged",
			[]api.Sample{sample("cpu_utilization", "avg", 0, 1), sample("cpu_utilization", "avg", m, 2), sample("cpu_utilization", "avg", 2*m, 6)},
			"cpu_utilization", api.Series{3, nan, nan, nan}},
		{"sums in a slot are added",
			[]api.Sample{sample("request_count", "sum", 0, 1), sample("request_count", "sum", m, 2), sample("request_count", "sum", 5*m, 6)},
			"request_count", api.Series{3, 6, nan, nan}},
		{"counts in a slot are added, and the name carries the statistic",
			[]api.Sample{sample("request_count", "count", 0, 1), sample("request_count", "count", m, 2)},
			"request_count_count", api.Series{3, nan, nan, nan}},
		{"of minima the least counts",
			[]api.Sample{sample("temperature", "min", 0, 4), sample("temperature", "min", m, 2), sample("temperature", "min", 2*m, 3)},
			"temperature_min", api.Series{2, nan, nan, nan}},
		{"of maxima the greatest counts",
			[]api.Sample{sample("temperature", "max", 0, -4), sample("temperature", "max", m, -2), sample("temperature", "max", 2*m, -3)},
			"temperature_max", api.Series{-2, nan, nan, nan}},
		{"of percentiles the greatest counts",
			[]api.Sample{sample("response_time", "p95", 0, 4), sample("response_time", "p95", m, 5)},
			"response_time_p95", api.Series{5, nan, nan, nan}},
		{"a later sample of the same instant revises the earlier one",
			[]api.Sample{sample("request_count", "sum", 0, 1), sample("request_count", "sum", m, 10), sample("request_count", "sum", 0, 5)},
			"request_count", api.Series{15, nan, nan, nan}},
		{"values that are not finite are missing",
			[]api.Sample{sample("request_count", "sum", 0, nan), sample("request_count", "sum", m, 2), sample("request_count", "sum", 5*m, math.Inf(1))},
			"request_count", api.Series{2, nan, nan, nan}},
		{"of two metrics with one series name the lesser metric wins, slot by slot",
			[]api.Sample{sample("load_max", "avg", 0, 1), sample("load_max", "avg", 5*m, 2), sample("load", "max", 0, 3), sample("load", "max", 10*m, 4)},
			"load_max", api.Series{3, 2, 4, nan}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := slices.Clone(tt.samples)
			// The 2 minutes past the fourth slot are no whole slot.
			g := FromSamples(tt.samples, 5*m, start, start.Add(22*m))["web"]
			if g == nil || g.Len() != 4 || !g.Start.Equal(start) || g.Step != 5*m || !g.End().Equal(start.Add(20*m)) {
				t.Fatalf("got grid %+v", g)
			}
			if len(g.Columns) != 1 || !same(g.Columns[tt.column], tt.want) {
				t.Errorf("got %v, want %s %v", g.Columns, tt.column, tt.want)
			}
			if !slices.EqualFunc(before, tt.samples, func(a, b api.Sample) bool {
				return a.Time.Equal(b.Time) && a.Metric == b.Metric && (a.Value == b.Value || math.IsNaN(a.Value))
			}) {
				t.Error("the caller's samples were reordered")
			}
		})
	}
}

func TestFromSamplesKeepsGroupsApart(t *testing.T) {
	samples := []api.Sample{sample("cpu_utilization", "avg", 0, 1), sample("cpu_utilization", "avg", 0, 2), sample("cpu_utilization", "avg", time.Hour, 3)}
	samples[1].Group, samples[2].Group = "api", "late"
	grids := FromSamples(samples, 5*time.Minute, start, start.Add(5*time.Minute))
	if len(grids) != 2 || grids["web"].Columns["cpu_utilization"][0] != 1 || grids["api"].Columns["cpu_utilization"][0] != 2 {
		t.Errorf("got %v", grids)
	}
	if grids := FromSamples(samples, 5*time.Minute, start, start.Add(-time.Hour)); len(grids) != 0 {
		t.Errorf("a range that ends before it starts gave %v", grids)
	}
}

func TestLeadingMissingSlotsCanBeDropped(t *testing.T) {
	g := &Grid{Group: "web", Start: start, Step: 5 * time.Minute, Censored: []bool{false, true, true, false},
		Columns: map[string]api.Series{"demand": {nan, nan, 3, nan}, "request_count": {1, 2, 3, 4}, "empty": {nan, nan, nan, nan}}}
	part := g.FromFirst("demand")
	if part.Len() != 2 || part.Group != "web" || !part.Start.Equal(g.Time(2)) || !part.End().Equal(g.End()) ||
		!same(part.Columns["demand"], api.Series{3, nan}) || !same(part.Columns["request_count"], api.Series{3, 4}) || !slices.Equal(part.Censored, []bool{true, false}) {
		t.Errorf("got %+v", part)
	}
	if part := g.FromFirst("request_count"); part.Len() != 4 || !part.Start.Equal(start) {
		t.Errorf("nothing is missing, got %+v", part)
	}
	for _, name := range []string{"empty", "unknown"} {
		if part := g.FromFirst(name); part.Len() != 0 || !part.End().Equal(g.End()) {
			t.Errorf("%s: got %+v", name, part)
		}
	}
}

func TestAddDemand(t *testing.T) {
	grid := func(cpu, inService api.Series) *Grid {
		g := &Grid{Start: start, Step: 5 * time.Minute, Columns: map[string]api.Series{}}
		if cpu != nil {
			g.Columns[api.MetricCPU] = cpu
		}
		if inService != nil {
			g.Columns[api.MetricInService] = inService
		}
		return g
	}
	g := grid(api.Series{50, nan, 80, 99.5, 99.4, 40}, api.Series{4, 4, nan, 2, 10, 0})
	if !g.AddDemand() {
		t.Fatal("both columns are there")
	}
	if want := (api.Series{2, nan, nan, 1.99, 9.940000000000001, nan}); !same(g.Columns[api.SeriesDemand], want) {
		t.Errorf("demand: got %v, want %v", g.Columns[api.SeriesDemand], want)
	}
	if want := []bool{false, false, false, true, false, false}; !slices.Equal(g.Censored, want) {
		t.Errorf("censored: got %v, want %v", g.Censored, want)
	}
	if g := grid(api.Series{50}, nil); g.AddDemand() || g.Columns[api.SeriesDemand] != nil || g.Censored != nil {
		t.Error("without instances there is no demand")
	}
	if g := grid(nil, api.Series{50}); g.AddDemand() {
		t.Error("without CPU there is no demand")
	}
	g = grid(api.Series{100}, api.Series{3})
	g.Columns[api.SeriesDemand] = api.Series{4.5}
	if !g.AddDemand() || g.Columns[api.SeriesDemand][0] != 4.5 || g.Censored != nil {
		t.Error("recorded demand was overwritten")
	}
}

func TestColumnFlagsAreKnownInAdvance(t *testing.T) {
	g := &Grid{Start: start, Step: 5 * time.Minute, Columns: map[string]api.Series{
		"is_sale_active": {nan, 0, 1, nan, 2}, "is_empty": {nan, nan}, "short": {2},
	}}
	f := ColumnFlags(g)
	tests := []struct {
		name string
		flag string
		at   time.Duration
		want float64
	}{
		{"before the grid a flag does not hold", "is_sale_active", -time.Minute, 0},
		{"before the first known value it does not hold", "is_sale_active", 0, 0},
		{"a known value holds for its whole slot", "is_sale_active", 15*time.Minute - 1, 1},
		{"a missing value continues the last known one", "is_sale_active", 15 * time.Minute, 1},
		{"past the end the last known value holds", "is_sale_active", 1000 * time.Hour, 2},
		{"a column without values never holds", "is_empty", time.Hour, 0},
		{"a flag without a column never holds", "is_holiday", time.Hour, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := f.Flag(tt.flag, start.Add(tt.at)); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
