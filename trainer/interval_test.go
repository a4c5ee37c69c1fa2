package trainer

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/trainer/onnx"
)

// uneven is a history whose noise is four times as wide by day as by night.
func uneven(days int, seed uint64) *window.Grid {
	g := history(days, seed)
	rng := rand.New(rand.NewPCG(seed, 9))
	for i := range g.Len() {
		g.Columns["demand"][i] = 100 + 20*math.Sin(2*math.Pi*float64(i)/288) + wide(i)*rng.NormFloat64()
	}
	return g
}

// wide is the standard deviation of uneven's noise at a slot.
func wide(i int) float64 {
	if i%288 < 144 {
		return 4
	}
	return 1
}

// Of a noise whose width depends on the hour, intervals must cover what they
// promise in all, at most 3 points less and 5 points more, since drift widens them
// for a world that moves on and this one does not; and within 10 points by day and
// by night: with the same width for all they cover 66 and 99.9 % instead of 80.
func TestIntervalsCoverWhatTheyPromise(t *testing.T) {
	var inside [2][2]float64 // by day or night, 80 or 90 %
	var n [2]float64
	for seed := range uint64(6) {
		c := quick(PresetFast)
		c.Members, c.Inputs, c.Known = []string{"linear"}, []string{}, []string{}
		g := uneven(16, 50+seed)
		r := train(t, c, g)
		for _, row := range r.Predictions.Rows {
			half := 0
			if wide(int(row.Timestamp.Sub(g.Start)/g.Step)) == 1 {
				half = 1
			}
			n[half]++
			for i, levels := range [][2]float64{{0.1, 0.9}, {0.05, 0.95}} {
				low, high := slices.Index(r.Predictions.Levels, levels[0]), slices.Index(r.Predictions.Levels, levels[1])
				if row.Quantiles[low] <= row.Actual && row.Actual <= row.Quantiles[high] {
					inside[half][i]++
				}
			}
		}
	}
	for i, want := range []float64{0.8, 0.9} {
		if got := (inside[0][i] + inside[1][i]) / (n[0] + n[1]); got < want-0.03 || got > want+0.05 {
			t.Errorf("intervals of %g cover %.3f", want, got)
		}
		for half, name := range []string{"day", "night"} {
			if got := inside[half][i] / n[half]; math.Abs(got-want) > 0.1 {
				t.Errorf("by %s, intervals of %g cover %.3f", name, want, got)
			}
		}
	}
}

func TestQuantilesAscendAndTheMedianIsThePoint(t *testing.T) {
	for _, preset := range Presets() {
		t.Run(preset, func(t *testing.T) {
			quickRecipe(t, preset)
			r := train(t, quick(preset), history(5, 51))
			p, err := onnx.Load(r.Model)
			if err != nil {
				t.Fatal(err)
			}
			levels := r.Manifest.Spec.Quantiles
			median, Q := slices.Index(levels, 0.5), len(levels)
			rng := rand.New(rand.NewPCG(1, 51))
			series, side := slices.Clone(r.Manifest.Golden.Series), slices.Clone(r.Manifest.Golden.Context)
			for round := range 50 {
				size := math.Pow(10, float64(round%25)-5)
				for i := range series {
					series[i] = float32(size * rng.NormFloat64())
				}
				for i := range side {
					side[i] = float32(size * rng.NormFloat64())
				}
				a, err := p.Answer(series, side, 1)
				if err != nil {
					t.Fatal(err)
				}
				for k, point := range a.Forecast {
					at := a.Quantiles[k*Q:][:Q]
					if !slices.IsSorted(at) || at[median] != point || point < 0 {
						t.Fatalf("inputs of %g: quantiles %v around %v", size, at, point)
					}
				}
			}
		})
	}
}

func TestOnlyATargetThatNeverWasNegativeIsKeptFromIt(t *testing.T) {
	for _, preset := range Presets() {
		for name, c := range map[string]struct {
			value func(i int, v float64) float64
			floor bool
		}{
			"positive":                          {func(_ int, v float64) float64 { return v }, true},
			"zero at times":                     {func(i int, v float64) float64 { return map[bool]float64{true: v}[i%3 > 0] }, true},
			"negative once in training":         {func(i int, v float64) float64 { return map[bool]float64{true: -1, false: v}[i == 700] }, false},
			"negative once before any forecast": {func(i int, v float64) float64 { return map[bool]float64{true: -1, false: v}[i == 3] }, false},
			"negative in the test part alone":   {func(i int, v float64) float64 { return map[bool]float64{true: -1, false: v}[i > 1300] }, true},
		} {
			t.Run(preset+", "+name, func(t *testing.T) {
				quickRecipe(t, preset)
				g := history(5, 52)
				for i, v := range g.Columns["demand"] {
					g.Columns["demand"][i] = c.value(i, v)
				}
				if s := unfitted(t, quick(preset), g); s.floor != c.floor {
					t.Errorf("floor %v, want %v", s.floor, c.floor)
				}
			})
		}
	}
}

func TestOffsetsAreRanksOfScores(t *testing.T) {
	scores := []float32{-3, -2, -1, 0, 1, 2, 3, 4, 5} // n+1 = 10
	for q, want := range map[float64]float32{0.05: -3, 0.1: -3, 0.15: -3, 0.2: -2, 0.29: -2, 0.5: 1, 0.6: 2, 0.85: 5, 0.9: 5, 0.99: 5} {
		if got := conformal(scores, q); got != want {
			t.Errorf("level %g: %v, want %v", q, got, want)
		}
	}
	if got := conformal(nil, 0.9); got != 0 {
		t.Errorf("of no score: %v, want 0", got)
	}
}

func TestOffsetsAreOnTheirSideOfTheMedian(t *testing.T) {
	c := quick(PresetFast)
	c.Members = []string{"linear"}
	s := studied(t, c, history(6, 55))
	for _, shift := range []float32{-100, 0, 100} { // forecasts that are always too high or too low
		unseen := slices.Clone(s.unseen)
		for i := range unseen {
			unseen[i] += shift
		}
		s.spread.calibrate(s.w, s.spec.Quantiles, unseen, s.judgeRows[0], s.judgeRows[1])
		for k, offsets := range s.spread.offsets {
			for j, q := range s.spec.Quantiles {
				if o := offsets[j]; q < 0.5 && o > 0 || q == 0.5 && o != 0 || q > 0.5 && o < 0 {
					t.Errorf("shift %g, %d ahead: the offset of %g is %g", shift, k+1, q, o)
				}
			}
			if !slices.IsSorted(offsets) || !slices.IsSorted(s.spread.peaks[k]) {
				t.Errorf("shift %g, %d ahead: offsets %v and %v do not ascend", shift, k+1, offsets, s.spread.peaks[k])
			}
		}
	}
}

// A further score of the same kind falls above the offset of q with at most the
// probability 1-q, whatever n is.
func TestConformalOffsetsKeepTheirPromise(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 52))
	for _, n := range []int{19, 50, 200} {
		const q, rounds = 0.9, 20_000
		above := 0
		scores := make([]float32, n)
		for range rounds {
			for i := range scores {
				scores[i] = float32(rng.NormFloat64())
			}
			slices.Sort(scores)
			if float32(rng.NormFloat64()) > conformal(scores, q) {
				above++
			}
		}
		// Three standard deviations of the count are 0.0064.
		if got := float64(above) / rounds; got > 1-q+0.0064 || got < 1-q-1/float64(n)-0.0064 {
			t.Errorf("of %d scores: %.4f fall above, at most %.2f may, and not much less", n, got, 1-q)
		}
	}
}

func TestOffsetsComeFromTheValidationPartAlone(t *testing.T) {
	c := quick(PresetFast)
	c.Members = []string{"linear"}
	s := studied(t, c, history(6, 53))
	before := fmt.Sprint(s.spread.offsets)
	for i := range s.judgeRows[0] * s.spec.Horizon {
		s.unseen[i] = 1e9
	}
	s.spread.calibrate(s.w, s.spec.Quantiles, s.unseen, s.judgeRows[0], s.judgeRows[1])
	if after := fmt.Sprint(s.spread.offsets); after != before {
		t.Error("forecasts of the training part have a say in the offsets")
	}
	s.unseen[s.judgeRows[0]*s.spec.Horizon] = 1e9
	s.spread.calibrate(s.w, s.spec.Quantiles, s.unseen, s.judgeRows[0], s.judgeRows[1])
	if after := fmt.Sprint(s.spread.offsets); after == before {
		t.Error("forecasts of the validation part have none")
	}
}

func TestAPerfectForecastHasNarrowIntervals(t *testing.T) {
	quickRecipe(t, PresetFast)
	g := history(6, 54)
	for i := range g.Len() {
		g.Columns["demand"][i] = float64(10 + i%12)
	}
	c := quick(PresetFast)
	c.Inputs, c.Known = []string{}, []string{}
	r := train(t, c, g)
	for _, h := range r.Report.Horizons {
		if h.Model.MAE > 0.05 || h.Baselines[score.SeasonalNaiveHour].MAE != 0 {
			t.Errorf("%d ahead: MAE %v of a clock that always strikes the same", h.Steps, h.Model.MAE)
		}
	}
	for _, row := range r.Predictions.Rows {
		if width := row.Quantiles[len(row.Quantiles)-1] - row.Quantiles[0]; width > 0.5 {
			t.Fatalf("an interval %v wide around %v", width, row.Forecast)
		}
	}
	if err := r.Report.Write(&bytes.Buffer{}); err != nil {
		t.Error(err)
	}
}
