package nn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/forescale/forescale/trainer/autodiff"
	"github.com/forescale/forescale/trainer/onnx"
)

// variants has every option of Network on and off, at small sizes.
func variants() map[string]Network {
	return map[string]Network{
		"reference-like: three layers, dropout, no features": {Lookback: 4, Channels: 3, Horizon: 1, Layers: 3, Hidden: 5, Head: 4, Dropout: 0.2},
		"with features":                                       {Lookback: 3, Channels: 2, Features: 3, Horizon: 2, Layers: 1, Hidden: 4, Head: 3},
		"with a linear path and zero output":                  {Lookback: 3, Channels: 1, Features: 2, Horizon: 3, Layers: 2, Hidden: 3, Head: 4, Linear: true, ZeroOutput: true},
		"with attention and dropout":                          {Lookback: 5, Channels: 2, Horizon: 2, Layers: 2, Hidden: 4, Head: 3, Dropout: 0.3, Attention: true},
		"with attention, features and a linear path":          {Lookback: 4, Channels: 1, Features: 2, Horizon: 1, Layers: 1, Hidden: 3, Head: 2, Attention: true, Linear: true},
		"with attention over one step":                        {Lookback: 1, Channels: 2, Horizon: 1, Layers: 1, Hidden: 3, Head: 2, Attention: true},
		"of one step, one unit, one channel and one forecast": {Lookback: 1, Channels: 1, Horizon: 1, Layers: 1, Hidden: 1, Head: 1},
	}
}

func TestNetworkGradientsEqualCentralDifferences(t *testing.T) {
	for name, n := range variants() {
		t.Run(name, func(t *testing.T) {
			const batch = 3
			rng := rand.New(rand.NewPCG(3, 4))
			random := func(n int) []float64 {
				v := make([]float64, n)
				for i := range v {
					v[i] = rng.NormFloat64()
				}
				return v
			}
			flat, grad := random(n.Size()), make([]float64, n.Size())
			xs, fs, target := random(n.Lookback*batch*n.Channels), random(batch*n.Features), random(batch*n.Horizon)
			weight := make([]float64, len(target))
			for i := range weight {
				weight[i] = 1 / float64(len(weight)+i)
			}
			var tape autodiff.Tape[float64]
			loss := func(grad []float64) float64 {
				tape.Reset(9, true)
				x, f := tape.Input(n.Lookback*batch, n.Channels), tape.Input(batch, n.Features)
				copy(x.Value, xs)
				copy(f.Value, fs)
				l := autodiff.Squared(&tape, Forward(&tape, &n, flat, grad, x, f), target, weight)
				tape.Backward(l)
				return l.Value[0]
			}
			loss(grad)
			const step = 1e-5
			for i, v := range flat {
				flat[i] = v + step
				up := loss(nil)
				flat[i] = v - step
				down := loss(nil)
				flat[i] = v
				if want := (up - down) / (2 * step); math.Abs(grad[i]-want) > 1e-7*max(1, math.Abs(want)) {
					t.Fatalf("parameter %d: gradient %.10g, central difference %.10g", i, grad[i], want)
				}
			}
		})
	}
}

// gradients returns the loss and its gradient in training, with dropout.
func gradients[T autodiff.Float](n *Network, batch int, flat, xs, fs, target []float64) (float64, []float64) {
	to := func(v []float64) []T {
		out := make([]T, len(v))
		for i, x := range v {
			out[i] = T(x)
		}
		return out
	}
	var tape autodiff.Tape[T]
	tape.Reset(3, true)
	x, f := tape.Input(n.Lookback*batch, n.Channels), tape.Input(batch, n.Features)
	copy(x.Value, to(xs))
	copy(f.Value, to(fs))
	grad, weight := make([]T, len(flat)), make([]T, len(target))
	for i := range weight {
		weight[i] = 1 / T(len(weight))
	}
	l := autodiff.Squared(&tape, Forward(&tape, n, to(flat), grad, x, f), to(target), weight)
	tape.Backward(l)
	out := make([]float64, len(grad))
	for i, v := range grad {
		out[i] = float64(v)
	}
	return float64(l.Value[0]), out
}

// The gradients were compared with central differences in float64; training is
// in float32, on other kernels.
func TestGradientsInFloat32AreThoseInFloat64(t *testing.T) {
	all := variants()
	all["as wide as no vector register"] = Network{Lookback: 9, Channels: 3, Features: 5, Horizon: 3, Layers: 3, Hidden: 37, Head: 19, Dropout: 0.2, Attention: true, Linear: true}
	all["of the reference's size"] = Network{Lookback: 24, Channels: 4, Horizon: 1, Layers: 3, Hidden: 128, Head: 64, Dropout: 0.2}
	for name, n := range all {
		for _, batch := range []int{1, 3, 16, 33} {
			t.Run(fmt.Sprintf("%s, batch of %d", name, batch), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(8, 9))
				random := func(n int, size float64) []float64 {
					v := make([]float64, n)
					for i := range v {
						v[i] = float64(float32(rng.NormFloat64() * size))
					}
					return v
				}
				flat := random(n.Size(), 1/math.Sqrt(float64(n.Hidden)))
				xs, fs, target := random(n.Lookback*batch*n.Channels, 1), random(batch*n.Features, 1), random(batch*n.Horizon, 1)
				wantLoss, want := gradients[float64](&n, batch, flat, xs, fs, target)
				gotLoss, got := gradients[float32](&n, batch, flat, xs, fs, target)
				if !(math.Abs(gotLoss-wantLoss) <= 1e-5*max(1, wantLoss)) {
					t.Errorf("loss %v in float32, %v in float64", gotLoss, wantLoss)
				}
				largest := 0.0
				for _, g := range want {
					largest = max(largest, math.Abs(g))
				}
				for i := range want {
					if !(math.Abs(got[i]-want[i]) <= 1e-5*largest) {
						t.Fatalf("gradient %d is %v in float32, %v in float64; the largest is %v", i, got[i], want[i], largest)
					}
				}
			})
		}
	}
}

// forward runs the network outside of training on a batch-major input.
func forward(n *Network, flat, series, features []float32, batch int) []float32 {
	var tape autodiff.Tape[float32]
	x, f := tape.Input(n.Lookback*batch, n.Channels), tape.Input(batch, n.Features)
	for b := range batch {
		for s := range n.Lookback {
			copy(x.Row(s*batch+b), series[(b*n.Lookback+s)*n.Channels:][:n.Channels])
		}
	}
	copy(f.Value, features)
	return Forward(&tape, n, flat, nil, x, f).Value
}

func TestExportedNetworkEqualsTheForwardPass(t *testing.T) {
	for name, n := range variants() {
		for _, scale := range []float64{1, 100, 1e6} {
			t.Run(fmt.Sprintf("%s, inputs of size %g", name, scale), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(5, 6))
				flat := make([]float32, n.Size())
				for i := range flat {
					flat[i] = float32(rng.NormFloat64())
				}
				g := onnx.NewGraph("test")
				features := ""
				x := g.Input(onnx.SeriesInput, onnx.DynamicBatch, n.Lookback, n.Channels)
				if n.Features > 0 {
					features = g.Input(onnx.ContextInput, onnx.DynamicBatch, n.Features)
				}
				y := Export(g, "", &n, flat, x, features)
				g.Add(onnx.ForecastOutput, y, g.Constant("zero", []float32{0}))
				g.Output(onnx.ForecastOutput, onnx.DynamicBatch, n.Horizon)
				p, err := onnx.Load(g.Marshal())
				if err != nil {
					t.Fatal(err)
				}
				for _, batch := range []int{1, 2, 7} {
					random := func(n int) []float32 {
						v := make([]float32, n)
						for i := range v {
							v[i] = float32(rng.NormFloat64() * scale)
						}
						return v
					}
					series, context := random(batch*n.Lookback*n.Channels), random(batch*n.Features)
					got, err := p.Run(series, context, batch)
					if err != nil {
						t.Fatal(err)
					}
					want := forward(&n, flat, series, context, batch)
					for i := range want {
						if math.Abs(float64(got[i]-want[i])) > 1e-5*max(1, math.Abs(float64(want[i])), scale) {
							t.Fatalf("batch %d, value %d: graph %v, forward pass %v", batch, i, got[i], want[i])
						}
					}
				}
			})
		}
	}
}

func TestInit(t *testing.T) {
	n := variants()["with a linear path and zero output"]
	a, b, c := n.Init(1), n.Init(1), n.Init(2)
	if fmt.Sprint(a) != fmt.Sprint(b) || fmt.Sprint(a) == fmt.Sprint(c) {
		t.Error("the parameters must follow from the seed")
	}
	x := make([]float32, n.Lookback*n.Channels)
	for i := range x {
		x[i] = float32(i) + 1
	}
	for _, y := range forward(&n, a, x, []float32{1, 2}, 1) {
		if y != 0 {
			t.Errorf("with ZeroOutput the network starts at %v, want 0", y)
		}
	}
	for _, p := range n.Params() {
		if p.forget == 0 {
			continue
		}
		for i, v := range a[p.Offset : p.Offset+p.Len()] {
			if gate := i / p.forget; (gate == 2) != (v == 1) {
				t.Errorf("%s: element %d of gate %d starts at %v", p.Name, i, gate, v)
			}
		}
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	if err := variants()["with features"].Validate(); err != nil {
		t.Error(err)
	}
	err := Network{Dropout: 1, Features: -1}.Validate()
	if err == nil {
		t.Fatal("accepts an empty network")
	}
	if got := len(err.(interface{ Unwrap() []error }).Unwrap()); got != 8 {
		t.Errorf("%d faults named, want 8: %v", got, err)
	}
}
