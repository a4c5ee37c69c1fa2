package trainer

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/window"
)

// every is a history of n slots of a step with a daily and a weekly wave.
func every(step time.Duration, n int, seed uint64) *window.Grid {
	g := history(n/288+1, seed)
	noise := g.Columns["demand"]
	g.Step, g.Columns = step, map[string]api.Series{"demand": make(api.Series, n)}
	for i := range n {
		days := float64(i) * step.Hours() / 24
		g.Columns["demand"][i] = 50 + 10*math.Sin(2*math.Pi*days) + 5*math.Sin(2*math.Pi*days/7) + 0.1*noise[i]
	}
	return g
}

func TestEveryStepAndHorizonIsTrainedAndExported(t *testing.T) {
	for _, c := range []struct {
		step     time.Duration
		slots    int
		horizons []int
	}{
		{time.Minute, 4 * 1440, []int{1, 12}},
		{7 * time.Minute, 1500, []int{3}}, // no whole number of an hour, a day
		{30 * time.Minute, 1500, []int{1, 12, 60}},
		{time.Hour, 1500, []int{1, 12, 24, 30, 60}},
		{6 * time.Hour, 1200, []int{1, 5, 9}},
		{24 * time.Hour, 700, []int{1, 2, 12}},
	} {
		for _, horizon := range c.horizons {
			for _, preset := range []string{PresetFast, PresetAdvanced} {
				t.Run(fmt.Sprintf("%s, %d steps of %s", preset, horizon, c.step), func(t *testing.T) {
					quickRecipe(t, preset)
					config := quick(preset)
					config.Horizon, config.Lookback, config.Epochs = horizon, 24, 1
					train(t, config, every(c.step, c.slots, 90)) // which compares the export
				})
			}
		}
	}
}

func TestTheGuardHoldsWhatTheWindowMakesImplausible(t *testing.T) {
	s := unfitted(t, quick(PresetFast), history(6, 91))
	g := newGuard(s.w, s.fitRows[0], s.fitRows[1])
	H := s.spec.Horizon
	wild := filled(s.w.len()*H, 1e6)
	low := filled(s.w.len()*H, -1e6)
	up, down := g.hold(s.w, wild), g.hold(s.w, low)
	truth := g.hold(s.w, slices.Clone(s.w.target))
	outside, known := 0, 0
	for i := range s.w.len() {
		free := g.aside(s.w, i)
		for k := range H {
			y := s.w.target[i*H+k]
			if got := up[i*H+k]; free != (got == 1e6) {
				t.Fatalf("window %d, aside %v: a forecast of a million is held to %v", i, free, got)
			}
			if isKnown(y) && !free && i < s.fitRows[1] {
				known++
				if truth[i*H+k] != y {
					outside++
				}
			}
			if !free && !(down[i*H+k] <= s.w.last(i) && s.w.last(i) <= up[i*H+k]) {
				t.Fatalf("window %d: the newest value %v is not between %v and %v", i, s.w.last(i), down[i*H+k], up[i*H+k])
			}
		}
	}
	if share := float64(outside) / float64(known); share > 1-guardQuantile+1e-3 {
		t.Errorf("%.4f of the truths of the training part are held", share)
	}
	if got := g.hold(s.w, filled(s.w.len()*H, nan32)); isKnown(got[0]) {
		t.Error("what is unknown becomes a forecast")
	}
}

func TestTheGuardStandsAsideWhenAFlagIsToChange(t *testing.T) {
	grid := history(6, 92)
	s := unfitted(t, quick(PresetFast), grid)
	g := locateGuard(s.spec)
	seen := map[bool]int{}
	for i, origin := range s.w.origins {
		want := false
		for k := 1; k <= s.spec.Horizon; k++ {
			want = want || grid.Columns["is_sale_active"][origin+k] != grid.Columns["is_sale_active"][origin]
		}
		if seen[want]++; g.aside(s.w, i) != want {
			t.Fatalf("origin %d: aside %v, want %v", origin, !want, want)
		}
	}
	if seen[true] == 0 || seen[false] == 0 {
		t.Errorf("windows: %v", seen)
	}
}

func TestAMemberThatLosesItselfIsHeldNearTheMedian(t *testing.T) {
	c := quick(PresetFast)
	s := studied(t, c, history(6, 93))
	H := s.spec.Horizon
	wild := &constants{"lost", []float32{1e6, -1e6, 1e6}}
	names := []member{s.last.late, &constants{"ten", []float32{10, 10, 10}}, wild}
	all := &combination{label: "three", members: names, weights: [][]float32{{0.4, 0.4, 0.4}, {0.4, 0.4, 0.4}, {0.2, 0.2, 0.2}}, spread: s.spread}
	w := s.w.head(s.judgeRows[0], 30)
	spread := s.spread.spreads(w)
	for i, y := range w.of(all) {
		// The median lies between the two sane ones, the lost one within two spreads of it.
		low, high := min(10, w.last(i/H)), max(10, w.last(i/H))
		if far := 2*spread[i] + 1e-3; y < low-far || y > high+far {
			t.Fatalf("forecast %v of members near %v and %v", y, low, high)
		}
	}
	all.spread = nil
	if y := w.of(&combination{label: "free", members: names, weights: all.weights})[0]; y < 1e5 {
		t.Errorf("without a spread, the lost member is not heard: %v", y)
	}
}
