package trainer

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/window"
)

func TestAFactorIsTheSmallestThatHoldsWhatIsPromisedDrawnTowardsOne(t *testing.T) {
	repeat := func(n int, v ...float64) (out []float64) {
		for range n {
			out = append(out, v...)
		}
		return out
	}
	shrunk := func(n float64, c float64) float64 {
		return threeDigits(math.Exp(n / (n + calibratePrior) * math.Log(c)))
	}
	for _, tt := range []struct {
		name        string
		needed      []float64
		independent int
		want        float64
	}{
		{"nothing is known", nil, 0, 1},
		{"intervals that fit stay", repeat(500, 1), 500, 1},
		{"all need twice the room", repeat(900, 2), 900, 1.96},
		{"all need half", repeat(900, 0.5), 900, 0.509},
		{"all need twice the room, but tell of the same few slots", repeat(900, 2), 25, 1.41},
		{"a hundredth needs ten times the room, and few are independent", append(repeat(99, 0.5), 10), 9, shrunk(9, 10)},
		{"a tenth needs ten times the room: the rank is the first of them", append(repeat(89, 0.5), repeat(10, 10)...), 99, shrunk(99, 10)},
		{"one window fewer needs it: the rank is the last that does not", append(repeat(90, 0.5), repeat(9, 10)...), 99, shrunk(99, 0.5)},
		{"one window says little", []float64{10}, 1, 1.09},
		{"no room at all is bounded", repeat(300, math.Inf(1)), 300, shrunk(300, calibrateLimit)},
		{"perfect forecasts are bounded", repeat(300, 0), 300, shrunk(300, 1.0/calibrateLimit)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rand.New(rand.NewPCG(1, 1)).Shuffle(len(tt.needed), func(i, j int) { tt.needed[i], tt.needed[j] = tt.needed[j], tt.needed[i] })
			if got := factor(tt.needed, 0.9, tt.independent); got != tt.want {
				t.Errorf("factor %v, want %v", got, tt.want)
			}
		})
	}
}

func TestTheIntervalToCalibrateByIsTheWidestOnBothSidesOfTheMedian(t *testing.T) {
	for _, tt := range []struct {
		levels    []float64
		low, high int
		ok        bool
	}{
		{defaultQuantiles, 0, 4, true},
		{[]float64{0.1, 0.5, 0.9}, 0, 2, true},
		{[]float64{0.01, 0.05, 0.95}, 1, 2, true},
		{[]float64{0.5, 0.9}, 0, 0, false},
		{[]float64{0.9}, 0, 0, false},
		{nil, 0, 0, false},
	} {
		if low, high, ok := widest(tt.levels); ok != tt.ok || ok && (low != tt.low || high != tt.high) {
			t.Errorf("%v: %d to %d, %v", tt.levels, low, high, ok)
		}
	}
}

// noisy returns groups of the same shape, the last half of them with so many times
// the noise.
func noisy(groups, days int, more float64) []Data {
	var all []Data
	for i := range groups {
		rng := rand.New(rand.NewPCG(uint64(i), 7))
		g := &window.Grid{Group: fmt.Sprintf("group-%02d", i), Start: history(1, 1).Start, Step: history(1, 1).Step, Columns: map[string]api.Series{}}
		size := 0.02
		if i >= groups/2 {
			size *= more
		}
		for slot := range days * 288 {
			y := 1 + 0.3*math.Sin(2*math.Pi*float64(slot)/288) + size*rng.NormFloat64()
			g.Columns["demand"] = append(g.Columns["demand"], y*math.Pow(10, float64(i)))
		}
		all = append(all, Data{Grid: g})
	}
	return all
}

func TestTheIntervalsOfASharedModelHoldForEachGroup(t *testing.T) {
	quickRecipe(t, PresetFast)
	c := quick(PresetFast)
	c.Members = []string{membersLinear}
	r := trainShared(t, c, noisy(6, 8, 3))
	for i, g := range r.Report.Groups {
		for k, h := range g.Horizons {
			if got := *h.Model.Coverage90; math.Abs(got-0.9) > 0.05 {
				t.Errorf("%s, %d ahead: the 90 %% interval holds %.3f, with a factor of %v", g.Group, k+1, got, g.Calibration[k])
			}
		}
		if calm := i < 3; calm != (g.Calibration[0] < 1) {
			t.Errorf("%s: factors %v", g.Group, g.Calibration)
		}
	}
}

func TestAllHaveTheSameQuotaAndThoseWithFewLeaveTheRest(t *testing.T) {
	for _, tt := range []struct {
		name   string
		counts []int
		budget int
		want   []int
	}{
		{"enough for all", []int{10, 20, 30}, 100, []int{10, 20, 30}},
		{"the same for each", []int{100, 100, 100}, 90, []int{30, 30, 30}},
		{"the small leave the rest", []int{100, 10, 100}, 90, []int{40, 10, 40}},
		{"each has one at least", []int{5, 5, 5}, 2, []int{1, 1, 1}},
		{"nobody", nil, 10, []int{}},
	} {
		if got := quotas(tt.counts, tt.budget); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestWindowsAreChosenEvenlyAndAtEveryTimeOfTheDay(t *testing.T) {
	var first []int
	for _, group := range []string{"api", "web"} {
		origins := slices.Collect(choice(group, 1_000_000, 100, 2880, 360))
		if n := len(origins); n < 355 || n > 365 || origins[0] < 100 || origins[n-1] >= 2980 {
			t.Errorf("%s: %d origins from %d to %d", group, n, origins[0], origins[n-1])
		}
		minutes := map[int]int{}
		for i, o := range origins {
			minutes[o%12]++
			if i > 0 && o-origins[i-1] > 16 {
				t.Errorf("%s: nothing between %d and %d", group, origins[i-1], o)
			}
		}
		if len(minutes) != 12 || slices.Min(slices.Collect(maps.Values(minutes))) < 20 {
			t.Errorf("%s: by minute of the hour %v", group, minutes)
		}
		if slices.Equal(first, origins) {
			t.Error("both groups have the same")
		}
		first = origins
	}
	if all := slices.Collect(choice("api", 7, 3, 5, 5)); !slices.Equal(all, []int{3, 4, 5, 6, 7}) {
		t.Errorf("chose %v of five, all are asked for", all)
	}
	// A grid that begins earlier gives the same moments.
	later, earlier := slices.Collect(choice("api", 1000, 50, 900, 100)), slices.Collect(choice("api", 900, 150, 900, 100))
	for i, o := range later {
		if o+1000 != earlier[i]+900 {
			t.Fatalf("slot %d against %d", o+1000, earlier[i]+900)
		}
	}
}
