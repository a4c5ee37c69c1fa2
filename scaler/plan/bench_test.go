package plan

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

// BenchmarkDecide is one decision on a calibrated forecast with quantiles, as it is
// made for each group at each tick.
func BenchmarkDecide(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	g := Group{Name: "web", Mode: api.ModeLive, Signal: SignalPredicted, Min: 1, Max: 100, Step: step, Lead: step, Delay: time.Minute, StaleAfter: 2,
		Policies: Policies{Cost: &Cost{InstanceHour: 1, ViolationPeaks: 8, Utilisation: 0.9, Fallback: Fallback{0.65}}}}
	var st State
	for i := range 3000 {
		st.Calibration = st.Calibration.learn(noon.Add(time.Duration(i-3002)*step), 5+r.NormFloat64(), step)
		st.Calibration.Residuals = st.Calibration.Residuals.add(r.NormFloat64(), 1000)
	}
	f := &api.Forecast{Group: "web", IssuedAt: noon, StepSeconds: 300, Point: []float64{5, 5.5, 6}, Quantiles: []float64{0.1, 0.5, 0.9},
		Values: [][]float64{{4, 5, 6}, {4, 5.5, 7}, {4, 6, 8}}}
	in := Input{Group: g, State: st, Forecast: f, Tick: noon, Observation: Observation{
		Capacity: &api.Capacity{InService: 7, Desired: 7, Max: 100}, Slot: noon.Add(-step), Offered: true,
		Values: map[string]float64{api.SeriesDemand: 5}}}
	for b.Loop() {
		if d, _ := Decide(in); d.Basis != api.BasisPredictive {
			b.Fatal(render(d))
		}
	}
}
