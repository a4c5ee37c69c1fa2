package plan

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// slots draws a group whose instances do per requests a slot at full CPU, with
// noise, outliers and slots that say nothing.
func slots(r *rand.Rand, n int, per float64) (load, cpu, instances []float64) {
	for i := range n {
		c, k := 5+90*r.Float64(), float64(2+r.IntN(10))
		l := per * c / 100 * k * math.Exp(0.05*r.NormFloat64())
		switch {
		case i%17 == 0:
			l *= 8 // a batch that costs next to nothing
		case i%19 == 0:
			l = math.NaN()
		}
		load, cpu, instances = append(load, l), append(cpu, c), append(instances, k)
	}
	return load, cpu, instances
}

func TestTheUnitIsLearnedInSpiteOfOutliers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	u, ok := FitUnit(slots(r, 600, 240))
	if !ok || math.Abs(u.PerInstance/240-1) > 0.01 || u.Error > 0.005 || u.Spread < 0.03 || u.Spread > 0.08 {
		t.Fatalf("got %+v, %v", u, ok)
	}
	load, cpu, instances := slots(r, 600, 240)
	for i := range load {
		if i%3 > 0 { // idling, and full: neither says what an instance can do
			cpu[i], load[i] = 3, 1
			if i%3 == 1 {
				cpu[i], load[i] = 97, 1e6
			}
		}
	}
	if u, ok := FitUnit(load, cpu, instances); !ok || u.N > 200 || math.Abs(u.PerInstance/240-1) > 0.02 {
		t.Errorf("idle and full slots teach: %+v, %v", u, ok)
	}
	if _, ok := FitUnit(slots(r, 20, 240)); ok {
		t.Error("a fit of 20 slots")
	}
	if ok, why := u.Holds(slots(r, 200, 250)); !ok {
		t.Errorf("4 %% more contradict: %s", why)
	}
	if ok, why := u.Holds(slots(r, 200, 160)); ok || !strings.Contains(why, "-3") {
		t.Errorf("a third less does not contradict: %q", why)
	}
	if ok, _ := u.Holds(slots(r, 10, 160)); !ok {
		t.Error("10 slots contradict")
	}
}
