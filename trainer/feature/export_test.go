package feature

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/onnx"
)

// model is a set as a model file: what it answers are the features, the sequence,
// the forecasts that the first change means of the newest value, and the slope at
// it, one after the other.
func model(s *Set) []byte {
	g := onnx.NewGraph("features")
	series := g.Clip("series_finite", g.Input(onnx.SeriesInput, onnx.DynamicBatch, s.spec.Lookback, s.spec.Channels()), -ClipRaw, ClipRaw)
	row := g.Reshape("series_row", series, 0, int64(s.spec.Lookback*s.spec.Channels()))
	context := g.Clip("context_finite", g.Input(onnx.ContextInput, onnx.DynamicBatch, window.ContextLen(s.spec)), -ClipRaw, ClipRaw)
	row = g.Concat("row", 1, row, context)
	in := s.Export(g, row)
	z := g.Slice("z", in.Features, 1, 0, 1)
	one := g.Add("one", g.Sub("none", z, z), g.Constant("of_slope", []float32{1}, 1)) // [batch, 1]
	out := g.Concat("all", 1, in.Features, g.Reshape("flat", in.Sequence, 0, int64(s.Window()*s.Channels())),
		s.ExportForecast(g, "physical", in.Last, in, z), s.ExportSlope(g, "slope", in, one))
	g.Add(onnx.ForecastOutput, out, g.Constant("nothing", []float32{0}, 1))
	g.Output(onnx.ForecastOutput, onnx.DynamicBatch, s.Len()+s.Window()*s.Channels()+2)
	return g.Marshal()
}

// computed is what Go says to one window that model answers.
func computed(s *Set, series, context []float32) []float32 {
	out := make([]float32, s.Len()+s.Window()*s.Channels()+2)
	n := s.Len()
	f := s.Compute(s.NewWorkspace(), series, context, out[:n], out[n:len(out)-2])
	out[len(out)-2], out[len(out)-1] = f.Forecast(out[0]), f.Slope(f.Last)
	return out
}

// disturbed are rows like a real one and unlike any.
func disturbed(rng *rand.Rand, like []float32, kind string) []float32 {
	out := slices.Clone(like)
	for i := range out {
		switch kind {
		case "noisy":
			out[i] *= float32(1 + 0.2*rng.NormFloat64())
		case "surged":
			out[i] *= float32(100 * rng.Float64())
		case "zero":
			out[i] = 0
		case "constant":
			out[i] = like[0]
		case "negative":
			out[i] = -out[i]
		case "of every magnitude":
			out[i] = float32(math.Copysign(math.Exp(150*rng.Float64()-70), rng.NormFloat64()))
		case "at the ends":
			out[i] = []float32{0, math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, ClipRaw, -1}[rng.IntN(6)]
		case "missing the oldest": // as Encode fills it in
			if i < len(out)/2 {
				out[i] = out[len(out)/2]
			}
		}
	}
	return out
}

var disturbances = []string{"as they are", "noisy", "surged", "zero", "constant", "negative", "of every magnitude", "at the ends", "missing the oldest"}

// exportedSpecs are specs of every step, with masks and without lags too.
func exportedSpecs() map[string]models.Spec {
	specs := map[string]models.Spec{}
	for _, step := range []time.Duration{time.Minute, 5 * time.Minute, time.Hour, 24 * time.Hour} {
		for _, horizon := range []int{1, 12} {
			specs[fmt.Sprintf("%s, %d ahead", step, horizon)] = specOf(step, horizon, 2016)
		}
	}
	masked := specOf(5*time.Minute, 3, 300)
	masked.Masks = true
	specs["with masks"] = masked
	specs["without lags"] = specOf(5*time.Minute, 3, 0)
	return specs
}

func TestTheGraphComputesWhatGoDoes(t *testing.T) {
	for name, spec := range exportedSpecs() {
		g := historyOf(spec.Step(), oldest(spec)+spec.Horizon+400, 6)
		origins := originsOf(spec, g, 40)
		for _, mode := range Modes {
			t.Run(fmt.Sprintf("%s, %s", mode, name), func(t *testing.T) {
				set := fitted(t, spec, mode, g, origins)
				p, err := onnx.Load(model(set))
				if err != nil {
					t.Fatal(err)
				}
				rng := rand.New(rand.NewPCG(7, 7))
				for _, kind := range disturbances {
					for _, origin := range origins[:5] {
						series, context := encoded(t, spec, g, origin)
						series, context = disturbed(rng, series, kind), disturbed(rng, context, kind)
						got, err := p.Run(series, context, 1)
						if err != nil {
							t.Fatal(err)
						}
						compareBits(t, kind, mode, got, computed(set, series, context))
					}
				}
			})
		}
	}
}

// What never varied in training may take any value later.
func TestTheGraphComputesWhatGoDoesAfterAFlatHistory(t *testing.T) {
	spec := specOf(5*time.Minute, 3, 600)
	like := historyOf(5*time.Minute, 1400, 13)
	for _, value := range []float64{0, 1e-30, -5, 1e29} {
		g := historyOf(5*time.Minute, 1400, 13)
		for i := range g.Columns[load] {
			g.Columns[load][i], g.Columns[bytes][i], g.Columns[sale][i] = value, value, 0
		}
		origins := originsOf(spec, g, 30)
		for _, mode := range Modes {
			t.Run(fmt.Sprintf("%s of %g", mode, value), func(t *testing.T) {
				set := fitted(t, spec, mode, g, origins)
				p, err := onnx.Load(model(set))
				if err != nil {
					t.Fatal(err)
				}
				rng := rand.New(rand.NewPCG(8, 8))
				for _, kind := range disturbances {
					series, context := encoded(t, spec, like, origins[3])
					series, context = disturbed(rng, series, kind), disturbed(rng, context, kind)
					got, err := p.Run(series, context, 1)
					if err != nil {
						t.Fatal(err)
					}
					compareBits(t, kind, mode, got, computed(set, series, context))
				}
			})
		}
	}
}

// compareBits wants the same bits, and of logarithms the same to the tolerance of
// all models.
func compareBits(t *testing.T, what string, mode Mode, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.IsNaN(float64(want[i])) || math.IsInf(float64(want[i]), 0) {
			t.Fatalf("%s: value %d is %v", what, i, want[i])
		}
		same := math.Float32bits(got[i]) == math.Float32bits(want[i]) || got[i] == 0 && want[i] == 0
		if mode == Log {
			// Features are standardised: an ulp of a logarithm of 70 is 1e-5 of the
			// usual change of 0.1 and more.
			same = math.Abs(float64(got[i]-want[i])) <= 1e-3*max(1, math.Abs(float64(want[i])))
		}
		if !same {
			t.Fatalf("%s: value %d is %v in the graph and %v in Go", what, i, got[i], want[i])
		}
	}
}

// A target of small numbers, such as response times in seconds or shares, must
// not lose its logarithm's digits in the graph.
func TestLogarithmsOfSmallNumbersAreTheSameInTheGraph(t *testing.T) {
	for _, level := range []float64{1, 1e-2, 1e-4, 1e-6, 1e-8} {
		spec := specOf(5*time.Minute, 3, 300)
		g := historyOf(spec.Step(), oldest(spec)+spec.Horizon+400, 6)
		for i := range g.Columns[load] { // around 100
			g.Columns[load][i] *= level / 100
		}
		origins := originsOf(spec, g, 40)
		set := fitted(t, spec, Log, g, origins)
		p, err := onnx.Load(model(set))
		if err != nil {
			t.Fatal(err)
		}
		for _, origin := range origins {
			series, context := encoded(t, spec, g, origin)
			got, err := p.Run(series, context, 1)
			if err != nil {
				t.Fatal(err)
			}
			want := computed(set, series, context)
			for i, v := range want {
				scale := 1.0 // of features, which are standardised
				if i >= len(want)-2 {
					scale = max(level, math.Abs(float64(v))) // of the forecast and the slope
				}
				if diff := math.Abs(float64(got[i] - v)); diff > 1e-4*scale {
					t.Fatalf("around %g: value %d is %v in the graph and %v in Go", level, i, got[i], v)
				}
			}
		}
	}
}
