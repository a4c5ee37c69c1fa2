package trainer

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/window"
)

// holed is a history without the slots that gone names.
func holed(days int, seed uint64, gone func(i int) bool) *window.Grid {
	g := history(days, seed)
	for i := range g.Len() {
		if gone(i) {
			g.Columns["demand"][i] = math.NaN()
		}
	}
	return g
}

func TestAHistoryWithGapsIsForecast(t *testing.T) {
	for name, gone := range map[string]func(int) bool{
		"single slots, often":           func(i int) bool { return i%7 == 3 },
		"short gaps":                    func(i int) bool { return i%50 < 5 },
		"a gap of a day in training":    func(i int) bool { return i >= 500 && i < 788 },
		"a gap of a day in validation":  func(i int) bool { return i >= 1400 && i < 1500 },
		"gaps at the borders of a part": func(i int) bool { return i >= 1190 && i < 1220 || i >= 1370 && i < 1390 },
		"most of the nights":            func(i int) bool { return i%288 < 90 },
	} {
		for _, preset := range []string{PresetFast, PresetDefault} {
			t.Run(preset+", "+name, func(t *testing.T) {
				quickRecipe(t, preset)
				r := train(t, quick(preset), holed(6, 30, gone))
				for _, h := range r.Report.Horizons {
					// Persistence is right to 1 on average; gaps cost, but nothing explodes.
					if !(h.Model.MAE < 1.5) {
						t.Errorf("%d ahead: MAE %v", h.Steps, h.Model.MAE)
					}
				}
			})
		}
	}
}

func TestASeriesThatComesLessOftenThanTheStepIsAnErrorThatSaysSo(t *testing.T) {
	for _, preset := range Presets() {
		quickRecipe(t, preset)
		_, err := Train(context.Background(), quick(preset), Data{Grid: holed(6, 31, func(i int) bool { return i%2 == 1 })})
		if err == nil || !strings.Contains(err.Error(), `no window of the training or of the validation part knows "demand" 1 steps ahead`) {
			t.Errorf("%s: error %v", preset, err)
		}
	}
}

func TestGapsThatLeaveTooFewWindowsAreAnErrorThatCountsThem(t *testing.T) {
	for name, gone := range map[string]func(int) bool{
		"of training":   func(i int) bool { return i > 0 && i < 1150 },
		"of validation": func(i int) bool { return i >= 1180 && i < 1400 },
	} {
		c := quick(PresetFast)
		_, err := Train(context.Background(), c, Data{Grid: holed(6, 32, gone)})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("at least %d and 1 are needed", minTrain)) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestSeriesOfEveryShapeAreForecastWithFiniteNumbers(t *testing.T) {
	for name, change := range map[string]func(i int, v float64) float64{
		"zero":                       func(int, float64) float64 { return 0 },
		"constant below zero":        func(int, float64) float64 { return -42 },
		"below zero":                 func(_ int, v float64) float64 { return -v },
		"around zero":                func(_ int, v float64) float64 { return v - 10 },
		"of tiny numbers":            func(_ int, v float64) float64 { return v * 1e-9 },
		"of huge numbers":            func(_ int, v float64) float64 { return v * 1e15 },
		"near the bound":             func(_ int, v float64) float64 { return v * 1e28 },
		"zero but for spikes":        func(i int, v float64) float64 { return map[bool]float64{true: v}[i%400 == 17] },
		"constant until the test":    func(i int, v float64) float64 { return map[bool]float64{true: v, false: 5}[i > 1450] },
		"a step, nine days in ten":   func(i int, v float64) float64 { return map[bool]float64{true: 100, false: 5}[i > 1300] },
		"of whole numbers, few":      func(_ int, v float64) float64 { return math.Round(v / 10) },
		"growing without end":        func(i int, v float64) float64 { return v * math.Exp(float64(i)/200) },
		"a sawtooth without a noise": func(i int, _ float64) float64 { return float64(i % 12) },
	} {
		for _, preset := range Presets() {
			t.Run(preset+", "+name, func(t *testing.T) {
				quickRecipe(t, preset)
				g := history(6, 33)
				for i, v := range g.Columns["demand"] {
					g.Columns["demand"][i] = change(i, v)
				}
				c := quick(preset)
				c.Inputs = []string{}
				r := train(t, c, g)
				for _, row := range r.Predictions.Rows {
					for _, v := range append(row.Quantiles, row.Forecast) {
						if math.IsNaN(v) || math.IsInf(v, 0) {
							t.Fatalf("row %+v", row)
						}
					}
				}
			})
		}
	}
}

func TestTheUnitOfTheTargetDoesNotMatter(t *testing.T) {
	for _, preset := range Presets() {
		quickRecipe(t, preset)
		var want []float64
		for _, unit := range []float64{1, 1e-9, 1e-3, 1e9} {
			g := history(6, 34)
			for i := range g.Columns["demand"] {
				g.Columns["demand"][i] *= unit
			}
			r := train(t, quick(preset), g)
			var got []float64
			for _, h := range r.Report.Horizons {
				got = append(got, h.Model.MAE/unit, *h.Model.Coverage80)
			}
			if want == nil {
				want = got
			}
			for i, v := range got {
				if math.Abs(v-want[i]) > 0.08*want[i] { // logarithms are taken of other numbers
					t.Errorf("%s, unit %g: errors and coverage %.3f, in the unit 1 %.3f", preset, unit, got, want)
					break
				}
			}
		}
	}
}
