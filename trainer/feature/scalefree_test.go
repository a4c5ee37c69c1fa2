package feature

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
)

// freeSpec reads a target with lags of a day, another series and a clock.
func freeSpec() models.Spec {
	spec := models.Spec{Target: "load", StepSeconds: 3600, Lookback: 12, Horizon: 2, Series: []string{"load", "other", "is_sale"},
		Future: []string{"is_sale"}, Calendar: []string{"hour_of_day"}, MaxGap: 2}
	spec.Lags = Lags(spec, 80)
	return spec
}

func TestAScaleFreeSetSeesTheSameWhateverTheSizeAndTheLevel(t *testing.T) {
	spec, rng := freeSpec(), rand.New(rand.NewPCG(3, 4))
	set := NewScaleFree(spec, 8)
	const n = 50
	wide, extra := spec.Lookback*spec.Channels(), window.ContextLen(spec)
	series, context := make([]float32, n*wide), make([]float32, n*extra)
	for i := range series {
		series[i] = float32(10 + rng.NormFloat64())
	}
	for i := range context {
		context[i] = float32(10 + rng.NormFloat64())
	}
	set.Fit(series, context, n)
	at := newRow(spec)
	target := map[int]bool{}
	for age := range 200 {
		if i, ok := at.find("load", age); ok {
			target[i] = true
		}
	}
	for _, tt := range []struct {
		name               string
		times, plus, other float32
	}{
		{"as it is", 1, 0, 1}, {"a thousand times as large", 1000, 0, 1}, {"on a higher level", 1, 64, 1},
		{"another series larger", 1, 0, 1e6}, {"all at once", 0x1p-20, 3, 0x1p-10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			space := set.NewWorkspace()
			for i := range n {
				s, c := series[i*wide:][:wide], context[i*extra:][:extra]
				want, wantSteps := make([]float32, set.Len()), make([]float32, set.Window()*set.Channels())
				before := set.Compute(space, s, c, want, wantSteps)
				moved, movedContext := append([]float32(nil), s...), append([]float32(nil), c...)
				for j := range moved {
					if target[j] {
						moved[j] = (moved[j] + tt.plus) * tt.times
					} else if j%spec.Channels() == 1 {
						moved[j] *= tt.other
					}
				}
				for j := range movedContext {
					if target[wide+j] {
						movedContext[j] = (movedContext[j] + tt.plus) * tt.times
					}
				}
				got, gotSteps := make([]float32, set.Len()), make([]float32, len(wantSteps))
				after := set.Compute(space, moved, movedContext, got, gotSteps)
				for j := range want {
					if math.Abs(float64(got[j]-want[j])) > 1e-3 {
						t.Fatalf("window %d: %s is %v, was %v", i, set.Names()[j], got[j], want[j])
					}
				}
				for j := range wantSteps {
					if math.Abs(float64(gotSteps[j]-wantSteps[j])) > 1e-3 {
						t.Fatalf("window %d: value %d of the sequence is %v, was %v", i, j, gotSteps[j], wantSteps[j])
					}
				}
				if ratio := after.Mean / before.Mean / tt.times; math.Abs(float64(ratio)-1) > 1e-4 {
					t.Fatalf("window %d: the scale is %v, was %v", i, after.Mean, before.Mean)
				}
				if set.Scale(space, moved, movedContext) != after.Mean {
					t.Fatalf("window %d: Scale and Compute differ", i)
				}
			}
		})
	}
}

func TestAWindowThatNeverVariedHasNoScaleAndForecastsItsNewestValue(t *testing.T) {
	spec := freeSpec()
	set := NewScaleFree(spec, 8)
	wide, extra := spec.Lookback*spec.Channels(), window.ContextLen(spec)
	series, context := make([]float32, 2*wide), make([]float32, 2*extra)
	for i := range wide {
		series[i] = float32(i % 7)
	}
	set.Fit(series, context, 2)
	for _, level := range []float32{0, 5, -3, 1e20} {
		for i := range series {
			series[i] = level
		}
		for i := range context {
			context[i] = level
		}
		features := make([]float32, set.Len())
		f := set.Compute(set.NewWorkspace(), series[:wide], context[:extra], features, nil)
		// Not exactly: the mean of equal values may differ from them in its last bit.
		if got := float64(f.Forecast(100)); math.Abs(got-float64(level)) > 1e-20+1e-4*math.Abs(float64(level)) {
			t.Errorf("a change of 100 forecasts %v on a constant %v", got, level)
		}
		for j, v := range features {
			if v != v || math.IsInf(float64(v), 0) {
				t.Errorf("%s is %v", set.Names()[j], v)
			}
		}
	}
}
