package feature

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

// values computes all features and the sequence of the given windows.
func values(t *testing.T, set *Set, series, context []float32, n int) (out []float32) {
	t.Helper()
	for i := range n {
		out = append(out, computed(set, set.rowOf(series, i, n), set.rowOf(context, i, n))...)
	}
	for i, v := range out {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			t.Fatalf("value %d is %v", i, v)
		}
	}
	return out
}

func TestFeaturesAreFiniteWhateverTheHistoryIs(t *testing.T) {
	for name, change := range map[string]func(i int, v float64) float64{
		"zero":                      func(int, float64) float64 { return 0 },
		"constant":                  func(int, float64) float64 { return 42 },
		"constant below zero":       func(int, float64) float64 { return -42 },
		"below zero":                func(_ int, v float64) float64 { return -v },
		"around zero":               func(_ int, v float64) float64 { return v - 100 },
		"tiny":                      func(_ int, v float64) float64 { return v * 1e-30 },
		"subnormal":                 func(_ int, v float64) float64 { return v * 1e-42 },
		"huge":                      func(_ int, v float64) float64 { return v * 1e27 },
		"beyond the bound":          func(_ int, v float64) float64 { return v * 1e34 },
		"zero with a spike":         func(i int, _ float64) float64 { return map[bool]float64{true: 1e6}[i%500 == 250] },
		"constant with a last step": func(i int, _ float64) float64 { return map[bool]float64{true: 10, false: 5}[i > 900] },
	} {
		for _, mode := range Modes {
			t.Run(fmt.Sprintf("%s, %s", name, mode), func(t *testing.T) {
				spec := specOf(5*time.Minute, 3, 600)
				g := historyOf(5*time.Minute, 1400, 8)
				for i, v := range g.Columns[load] {
					g.Columns[load][i] = change(i, v)
				}
				fit := originsOf(spec, g, 60)[:40]
				set := fitted(t, spec, mode, g, fit)
				series, context := encoded(t, spec, g, originsOf(spec, g, 60)...)
				all := values(t, set, series, context, 60)
				width := len(all) / 60
				for i, v := range all {
					if i%width < width-2 && math.Abs(float64(v)) > bendAt {
						t.Fatalf("a feature of %v standard deviations does not bend back", v)
					}
				}
			})
		}
	}
}

func TestWhatNeverVariedIsNotSeenToVary(t *testing.T) {
	spec := specOf(5*time.Minute, 3, 600)
	g := historyOf(5*time.Minute, 1400, 9)
	for i := range 1200 {
		g.Columns[bytes][i], g.Columns[sale][i] = 7, 0
	}
	origins := originsOf(spec, g, 60)
	set := fitted(t, spec, Raw, g, origins[:30])
	series, context := encoded(t, spec, g, origins...)
	features := make([]float32, set.Len())
	seen := 0
	for i := range origins {
		set.Compute(set.NewWorkspace(), set.rowOf(series, i, 60), set.rowOf(context, i, 60), features, nil)
		for j, name := range set.Names() {
			if len(name) >= len(bytes) && name[:len(bytes)] == bytes || len(name) >= len(sale) && name[:len(sale)] == sale {
				seen++
				if features[j] != 0 {
					t.Fatalf("window %d: %s is %v", i, name, features[j])
				}
			}
		}
	}
	if seen == 0 {
		t.Error("no such feature")
	}
}

func TestTrainingWindowsAreStandardised(t *testing.T) {
	spec := specOf(5*time.Minute, 3, 600)
	g := historyOf(5*time.Minute, 3000, 10)
	origins := originsOf(spec, g, 200)
	series, context := encoded(t, spec, g, origins...)
	for _, mode := range Modes {
		set := fitted(t, spec, mode, g, origins)
		n := set.Len()
		sum, squares := make([]float64, n), make([]float64, n)
		features := make([]float32, n)
		for i := range origins {
			set.Compute(set.NewWorkspace(), set.rowOf(series, i, 200), set.rowOf(context, i, 200), features, nil)
			for j, v := range features {
				sum[j] += float64(v) / 200
				squares[j] += float64(v) * float64(v) / 200
			}
		}
		for j, name := range set.Names() {
			// A value that bends back takes its share with it.
			scale := 1.0
			if name == "level" {
				scale = levelStrictness
			}
			if math.Abs(sum[j]) > 0.05*scale || squares[j] != 0 && math.Abs(squares[j]/(scale*scale)-1) > 0.1 {
				t.Errorf("%s: %s has mean %v and variance %v", mode, name, sum[j], squares[j])
			}
		}
	}
}

// TestTheSequenceIsWhatItsChannelsSay compares the sequence with its definition:
// the change to the newest value, the change from a day before, the other series,
// flags, masks and the clock of each slot, oldest first.
func TestTheSequenceIsWhatItsChannelsSay(t *testing.T) {
	for _, step := range []time.Duration{5 * time.Minute, time.Hour} {
		spec := specOf(step, 12, allReach)
		spec.Masks = true
		day := int(24 * time.Hour / step)
		g := historyOf(step, oldest(spec)+600, 11)
		origins := originsOf(spec, g, 50)
		for _, mode := range Modes {
			set := fitted(t, spec, mode, g, origins)
			var want [][]float64 // [window*slot][channel], unscaled
			for _, origin := range origins {
				for age := set.Window() - 1; age >= 0; age-- {
					o := oracle{mode: mode, spec: spec, grid: g, origin: origin, unit: 1}
					o.features() // the mean
					at := g.Time(origin - age)
					row := []float64{o.change(age), o.change(age) - o.change(age+day), o.at(bytes, age) - o.at(bytes, 0), o.at(sale, age), 0, 0, 0}
					phases := []float64{(float64(at.Hour()) + float64(at.Minute())/60) / 24}
					if step < time.Hour {
						phases = append(phases, float64(at.Minute())/60)
					}
					for _, phase := range phases {
						row = append(row, math.Sin(2*math.Pi*phase), math.Cos(2*math.Pi*phase))
					}
					want = append(want, row)
				}
			}
			if set.Channels() != len(want[0]) || set.Window() != 24 {
				t.Fatalf("%d slots of %d channels, want 24 of %d", set.Window(), set.Channels(), len(want[0]))
			}
			series, context := encoded(t, spec, g, origins...)
			all := values(t, set, series, context, len(origins))
			width := len(all) / len(origins)
			for c := range set.Channels() {
				var column []float64
				for _, row := range want {
					column = append(column, row[c])
				}
				center := 0.0
				for _, v := range column {
					center += v / float64(len(column))
				}
				for n, v := range column {
					i, slot := n/set.Window(), n%set.Window()
					got := float64(all[i*width+set.Len()+slot*set.Channels()+c])
					// Not centred: zero is no change.
					want := standardised(v+center, column, 1)
					if math.Abs(got-want) > 2e-3 {
						t.Fatalf("%s of %s: channel %d of slot %d is %v, want %v", mode, step, c, slot, got, want)
					}
				}
			}
		}
	}
}

func TestTheSequenceIsNoLongerThanTheLookback(t *testing.T) {
	spec := specOf(5*time.Minute, 3, 600)
	for steps, want := range map[int]int{1: 1, 24: 24, 36: 36, 100: 36} {
		if got := New(spec, Raw, steps).Window(); got != want {
			t.Errorf("%d slots wanted, %d there, the lookback has %d", steps, got, spec.Lookback)
		}
	}
	without := New(specOf(5*time.Minute, 3, 0), Raw, 24)
	if with := New(spec, Raw, 24); with.Channels() != without.Channels()+1 {
		t.Errorf("%d channels with a day's lags, %d without", with.Channels(), without.Channels())
	}
}

func TestFittingTwiceGivesTheSame(t *testing.T) {
	spec := specOf(5*time.Minute, 3, 600)
	g := historyOf(5*time.Minute, 1400, 12)
	origins := originsOf(spec, g, 60)
	series, context := encoded(t, spec, g, origins...)
	for _, mode := range Modes {
		set := fitted(t, spec, mode, g, origins)
		once := values(t, set, series, context, 60)
		set.Fit(series, context, 60)
		if !slices.Equal(once, values(t, set, series, context, 60)) {
			t.Errorf("%s: fitted again, the features are others", mode)
		}
	}
}
