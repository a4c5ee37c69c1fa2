package feature

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/window"
)

func TestLagsHoldEveryValueThatAFeatureTaps(t *testing.T) {
	for _, step := range []time.Duration{time.Minute, 5 * time.Minute, time.Hour, 24 * time.Hour} {
		for _, horizon := range []int{1, 12, 288} {
			spec := specOf(step, horizon, allReach)
			row := newRow(spec)
			wanted := map[string]map[int]bool{}
			for _, d := range append(define(spec), sequences(spec)...) {
				for _, age := range d.ages {
					if _, ok := row.find(d.series, age); !ok {
						t.Fatalf("%s, %d ahead: %s wants %s of %d slots ago, which no lag holds", step, horizon, d.name, d.series, age)
					}
					if age >= spec.Lookback {
						if wanted[d.series] == nil {
							wanted[d.series] = map[int]bool{}
						}
						wanted[d.series][age] = true
					}
				}
			}
			for _, lag := range spec.Lags {
				if most := fewest(slices.Sorted(maps.Keys(wanted[lag.Series])), 1+horizon); len(lag.Offsets) != most {
					t.Errorf("%s, %d ahead: %d offsets of %s, %d would do", step, horizon, len(lag.Offsets), lag.Series, most)
				}
			}
			if len(spec.Lags) != len(wanted) {
				t.Errorf("%s, %d ahead: lags of %d series, %d are wanted", step, horizon, len(spec.Lags), len(wanted))
			}
		}
	}
}

// fewest returns the least number of runs of the given length that hold every
// number: best[i] = 1 + best[first number beyond a run that begins at i].
func fewest(sorted []int, length int) int {
	best := make([]int, len(sorted)+1)
	for i := len(sorted) - 1; i >= 0; i-- {
		best[i] = math.MaxInt
		for j := i + 1; j <= len(sorted) && sorted[j-1] < sorted[i]+length; j++ {
			best[i] = min(best[i], 1+best[j])
		}
	}
	return best[0]
}

func TestLagsReachNoFurtherThanTheyMay(t *testing.T) {
	for _, reach := range []int{0, 35, 100, 287, 288, 289, 864, 2016, 5000} {
		spec := specOf(5*time.Minute, 12, reach)
		for _, lag := range spec.Lags {
			if youngest := lag.Offsets[len(lag.Offsets)-1] - spec.Horizon; youngest > reach {
				t.Errorf("reach %d: a lag of %s begins %d slots ago", reach, lag.Series, youngest)
			}
		}
		if err := window.Check(spec); err != nil {
			t.Errorf("reach %d: %v", reach, err)
		}
	}
	if spec := specOf(5*time.Minute, 12, 35); spec.Lags != nil {
		t.Errorf("lags %v where the lookback is all", spec.Lags)
	}
}

func TestAFeatureIsThereWhenItsOldestValueIs(t *testing.T) {
	for _, reach := range []int{300, 2 * 288, 3*288 + 5, 2500} {
		spec := specOf(5*time.Minute, 12, reach)
		names := New(spec, Raw, 24).Names()
		for _, d := range define(spec) {
			if len(d.ages) > 0 && slices.Max(d.ages) <= reach && !slices.Contains(names, d.name) && d.kind != roughness {
				t.Errorf("reach %d: %s looks back %d slots only and is not there", reach, d.name, slices.Max(d.ages))
			}
		}
	}
}

func TestColumnsAreThoseOfAllStepsAndTheStepsOwn(t *testing.T) {
	set := New(specOf(5*time.Minute, 12, allReach), Raw, 24)
	own := 0
	for k := 1; k <= 12; k++ {
		columns := set.Columns(k)
		if !slices.IsSorted(columns) {
			t.Fatalf("columns of +%d are not ascending", k)
		}
		for j, name := range set.Names() {
			want := true
			for other := 1; other <= 12; other++ {
				if other != k && hasSuffix(name, fmt.Sprintf(" at +%d", other)) {
					want = false
				}
			}
			if _, got := slices.BinarySearch(columns, j); got != want {
				t.Errorf("+%d has %q: %v", k, name, got)
			} else if hasSuffix(name, fmt.Sprintf(" at +%d", k)) {
				own++
			}
		}
	}
	if own != 12*15 { // 4 beside a day ago, 3 days, 2 profiles, 2 weeks, 1 profile, 2 flags before, 1 flag
		t.Errorf("%d features speak of a step ahead of their own", own)
	}
}

func hasSuffix(s, suffix string) bool {
	return len(s) >= len(suffix) && s[len(s)-len(suffix):] == suffix
}

func TestNothingAfterTheOriginIsReadButFlagsAndCalendar(t *testing.T) {
	for _, horizon := range []int{1, 12, 288} {
		spec := specOf(5*time.Minute, horizon, 3*288)
		g := historyOf(5*time.Minute, oldest(spec)+2*horizon+100, 4)
		origins := originsOf(spec, g, 30)
		for _, mode := range Modes {
			set := fitted(t, spec, mode, g, origins)
			compute := func(origin int) (features, sequence []float32) {
				series, context := encoded(t, spec, g, origin)
				features, sequence = make([]float32, set.Len()), make([]float32, set.Window()*set.Channels())
				set.Compute(set.NewWorkspace(), series, context, features, sequence)
				return features, sequence
			}
			origin := origins[2]
			features, sequence := compute(origin)
			for i := origin + 1; i < g.Len(); i++ {
				g.Columns[load][i], g.Columns[bytes][i] = math.NaN(), 1e9
			}
			again, steps := compute(origin)
			if !slices.Equal(features, again) || !slices.Equal(sequence, steps) {
				t.Errorf("%s, %d ahead: a series after the origin is read", mode, horizon)
			}
			g.Columns[sale][origin+horizon] = 1 - g.Columns[sale][origin+horizon]
			again, steps = compute(origin)
			for j, name := range set.Names() {
				if changed := features[j] != again[j]; changed != (name == fmt.Sprintf("%s at +%d", sale, horizon)) {
					t.Errorf("%s, %d ahead: another flag at the last slot ahead changes %q: %v", mode, horizon, name, changed)
				}
			}
			if !slices.Equal(sequence, steps) {
				t.Errorf("%s, %d ahead: the sequence reads a flag ahead", mode, horizon)
			}
			g = historyOf(5*time.Minute, g.Len(), 4)
		}
	}
}

func TestFindTellsWhereAValueLies(t *testing.T) {
	spec := specOf(5*time.Minute, 12, 2016)
	g := historyOf(5*time.Minute, oldest(spec)+20, 5)
	origin := originsOf(spec, g, 1)[0]
	series, context := encoded(t, spec, g, origin)
	row := append(slices.Clone(series), context...)
	found := 0
	for _, name := range spec.Series {
		for age := range origin + 1 {
			if i, ok := Find(spec, name, age); ok {
				found++
				if want := float32(g.Columns[name][origin-age]); row[i] != want {
					t.Fatalf("%s %d slots ago is %v, found %v", name, age, want, row[i])
				}
			}
		}
	}
	if found < 3*36+7*12 {
		t.Errorf("only %d values found", found)
	}
	for _, c := range []struct{ period, n, k, want int }{
		{288, 1, 1, 287}, {288, 1, 288, 0}, {288, 1, 289, 287}, {288, 2, 1, 575}, {288, 2, 289, 575}, {12, 1, 0, 12}, {12, 3, 0, 36},
	} {
		if got := Before(c.period, c.n, c.k); got != c.want {
			t.Errorf("the value %d times %d slots before +%d has the age %d, want %d", c.n, c.period, c.k, got, c.want)
		}
	}
}
