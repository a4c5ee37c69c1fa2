package window

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

// equalGrids compares what two grids say of every slot.
func equalGrids(a, b *Grid) error {
	if (a == nil) != (b == nil) {
		return fmt.Errorf("one is missing: %v, %v", a, b)
	}
	if a == nil {
		return nil
	}
	if a.Group != b.Group || !a.Start.Equal(b.Start) || a.Step != b.Step || a.Derived != b.Derived || !slices.Equal(a.Censored, b.Censored) {
		return fmt.Errorf("%s from %s, censored %v, and %s from %s, censored %v", a.Group, a.Start, a.Censored, b.Group, b.Start, b.Censored)
	}
	if got, want := slices.Sorted(maps.Keys(a.Columns)), slices.Sorted(maps.Keys(b.Columns)); !slices.Equal(got, want) {
		return fmt.Errorf("columns %v and %v", got, want)
	}
	for name, column := range a.Columns {
		for i, v := range column {
			if w := b.Columns[name][i]; v != w && !(math.IsNaN(v) && math.IsNaN(w)) || len(column) != len(b.Columns[name]) {
				return fmt.Errorf("%s in slot %d of %d: %v and %v of %d", name, i, len(column), v, w, len(b.Columns[name]))
			}
		}
	}
	return nil
}

// A long story of new slots, late ones, revisions, gaps and outages, in which the
// kept history must be at every moment what the samples say when laid out anew.
func TestAKeptHistoryIsTheOneLaidOutAnew(t *testing.T) {
	const slots, stepOf = 12, 5 * time.Minute
	metrics := []string{api.MetricCPU, api.MetricInService, api.SeriesDemand, api.MetricRequests}
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		t0 := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
		h := NewHistory(stepOf, slots, t0, nil)
		lake := map[string]map[time.Time]map[string]float64{"a": {}, "b": {}}
		end := t0
		for range 60 {
			end = end.Add(time.Duration(r.IntN(4)/3*r.IntN(2*slots)+r.IntN(2)) * stepOf)
			h.Advance(end)
			from := end.Add(-time.Duration(1+r.IntN(slots+4)) * stepOf)
			for group, rows := range lake {
				if r.IntN(3) == 0 {
					continue
				}
				for at := from; at.Before(end); at = at.Add(stepOf) {
					if rows[at] == nil {
						rows[at] = map[string]float64{}
					}
					for _, m := range metrics[:2+r.IntN(3)] {
						if m == api.SeriesDemand && r.IntN(20) > 0 {
							continue
						}
						rows[at][m] = float64(r.IntN(101))
					}
				}
				h.Put(group, from, end, rowsIn(group, rows, from, end))
			}
			for group, rows := range lake {
				start := end.Add(-slots * stepOf)
				want := FromSamples(rowsIn(group, rows, start, end), stepOf, start, end)[group]
				if want != nil {
					want.AddDemand()
				}
				if err := equalGrids(h.Grid(group), want); err != nil {
					t.Fatalf("seed %d, group %s at %s: %v", seed, group, end, err)
				}
			}
		}
	}
}

func rowsIn(group string, rows map[time.Time]map[string]float64, from, to time.Time) []api.Sample {
	var out []api.Sample
	for at, values := range rows {
		for m, v := range values {
			if !at.Before(from) && at.Before(to) {
				out = append(out, api.Sample{Group: group, Metric: m, Stat: api.DefaultStat(m), Time: at, Value: v})
			}
		}
	}
	slices.SortFunc(out, compareSamples)
	return out
}

func TestAHistoryKeepsOnlyWhatIsAskedFor(t *testing.T) {
	t0 := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	h := NewHistory(time.Minute, 3, t0, func(series string) bool { return series == api.MetricCPU })
	h.Put("a", t0.Add(-time.Minute), t0, rowsIn("a", map[time.Time]map[string]float64{
		t0.Add(-time.Minute): {api.MetricCPU: 5, api.MetricRequests: 7}}, t0.Add(-time.Hour), t0))
	g := h.Grid("a")
	if g == nil || len(g.Columns) != 1 || g.Columns[api.MetricCPU][2] != 5 {
		t.Errorf("got %+v", g)
	}
	if h.Grid("b") != nil {
		t.Error("a group that nobody has put in is there")
	}
	h.Put("a", t0.Add(-time.Hour), t0.Add(-3*time.Minute), nil) // before its first slot
	h.Put("a", t0, t0.Add(time.Hour), nil)                      // after its last
	if g := h.Grid("a"); g == nil || g.Columns[api.MetricCPU][2] != 5 {
		t.Errorf("what lies outside has changed it: %+v", g)
	}
}
