package window

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

// A sketch of all that there is, is the grid that FromSamples and AddDemand make.
func TestASketchOfEverythingIsTheWholeGrid(t *testing.T) {
	const slots = 40
	end := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	start := end.Add(-slots * time.Minute)
	r := rand.New(rand.NewPCG(2, 2))
	sketch := NewSketch(time.Minute, slots, end)
	type series struct {
		metric string
		stat   api.Stat
	}
	for round := range 200 {
		group := fmt.Sprint("group ", round)
		var samples []api.Sample
		sketch.Begin(group)
		for _, s := range []series{ // in the order of their names
			{api.MetricCPU, api.StatAvg}, {"demand", api.StatAvg}, {api.MetricInService, api.StatAvg},
			{api.MetricResponse, api.StatP95}, {api.MetricResponse + "_p95", api.StatAvg}, // of the same name
		} {
			if r.IntN(4) == 0 || s.metric == "demand" && r.IntN(3) > 0 {
				continue
			}
			for first := -3; first < slots+3; first += 5 {
				values := make([]float64, 5)
				for i := range values {
					at := start.Add(time.Duration(first+i) * time.Minute)
					if values[i] = math.NaN(); r.IntN(5) > 0 {
						values[i] = float64(r.IntN(110))
						samples = append(samples, api.Sample{Group: group, Metric: s.metric, Stat: s.stat, Time: at, Value: values[i]})
					}
				}
				sketch.Put(s.metric, s.stat, start.Add(time.Duration(first)*time.Minute), values)
			}
		}
		want := FromSamples(samples, time.Minute, start, end)[group]
		got := sketch.Grid()
		if want == nil || got == nil {
			if want != nil || got != nil {
				t.Fatalf("round %d: %v instead of %v", round, got, want)
			}
			continue
		}
		want.AddDemand()
		if again := sketch.Grid(); again != got || got.Derived != want.Derived || fmt.Sprint(got.Columns) != fmt.Sprint(want.Columns) {
			t.Fatalf("round %d:\n%v\ninstead of\n%v", round, got, want)
		}
		for i, censored := range want.Censored {
			if got.Censored[i] != censored {
				t.Fatalf("round %d: slot %d censored: %v", round, i, got.Censored[i])
			}
		}
	}
}
