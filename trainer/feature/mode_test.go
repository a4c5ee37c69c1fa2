package feature

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// frames are frames of every mode at newest values of every sign and size.
func frames() (out []Frame) {
	for _, mode := range Modes {
		for _, last := range []float32{0, 1e-3, 1, 100, 1e6, 1e12, -1, -1e6} {
			for _, mean := range []float32{1e-3, 1, 1e6} {
				out = append(out, Frame{Mode: mode, Last: last, Mean: mean})
			}
		}
	}
	return out
}

func TestAForecastIsTheInverseOfAChange(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, f := range frames() {
		for range 200 {
			y := max(f.Last, f.Mean) * float32(math.Exp(2*rng.NormFloat64()))
			if f.Mode != Log && rng.IntN(2) == 0 { // a logarithm knows nothing below zero
				y = -y
			}
			// A change of float32 holds the difference to an ulp of the greater of both.
			limit := 4e-7 * max(math.Abs(float64(y)), math.Abs(float64(f.Last)), 1)
			if f.Mode == Log {
				m := float64(f.Mean)
				limit = 4e-7 * (m + float64(y)) * (1 + math.Log1p(float64(y)/m) + math.Log1p(max(0, float64(f.Last))/m))
			}
			if got := f.Forecast(f.Change(y)); math.Abs(float64(got-y)) > limit {
				t.Fatalf("%s at %g: %g changes by %g, which forecasts %g", f.Mode, f.Last, y, f.Change(y), got)
			}
		}
	}
}

func TestNoChangeForecastsTheNewestValue(t *testing.T) {
	for _, f := range frames() {
		want := f.Last
		if f.Mode == Log {
			want = max(want, 0)
		}
		if got := f.Forecast(0); math.Abs(float64(got-want)) > 2e-7*max(float64(f.Mean), math.Abs(float64(want))) || f.Change(f.Last) != 0 {
			t.Errorf("%s: from %g no change leads to %g, itself it is a change of %g", f.Mode, f.Last, got, f.Change(f.Last))
		}
	}
}

func TestTheSlopeIsTheDerivativeOfTheForecast(t *testing.T) {
	for _, f := range frames() {
		for _, z := range []float64{-0.5, 0, 0.3, 2} {
			// The equations of Frame, in float64.
			physical := func(z float64) float64 {
				switch f.Mode {
				case Log:
					return (float64(f.Mean)+max(float64(f.Last), 0))*math.Exp(z) - float64(f.Mean)
				case Ratio:
					return float64(f.Last) + float64(f.Mean)*z
				}
				return float64(f.Last) + z
			}
			const h = 1e-5
			want := (physical(z+h) - physical(z-h)) / (2 * h)
			y := physical(z)
			if y < 0 && f.Mode == Log {
				continue // below zero the logarithm is that of zero
			}
			if got := float64(f.Slope(float32(y))); math.Abs(got-want) > 1e-4*want && math.Abs(float64(f.Last)) < 1e6*want {
				t.Errorf("%s at %g, change %g: slope %g, the difference quotient is %g", f.Mode, f.Last, z, got, want)
			}
		}
	}
}

func TestForecastsAreFiniteAndKeepTheOrderOfChanges(t *testing.T) {
	for _, f := range frames() {
		before := float32(math.Inf(-1))
		for z := float32(-1e6); z <= 1e6; z += 997 {
			y := f.Forecast(z)
			if math.IsNaN(float64(y)) || math.IsInf(float64(y), 0) || y < before {
				t.Fatalf("%s at %g: a change of %g forecasts %g, after %g", f.Mode, f.Last, z, y, before)
			}
			before = y
		}
	}
}

func TestModesHaveNames(t *testing.T) {
	for mode, want := range map[Mode]string{Raw: "raw", Log: "log", Ratio: "ratio", 9: "mode(9)"} {
		if got := fmt.Sprint(mode); got != want {
			t.Errorf("mode %d is called %s, want %s", uint8(mode), got, want)
		}
	}
}
