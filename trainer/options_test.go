package trainer

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/trainer/onnx"
)

func of[T any](v T) *T { return &v }

// options are configurations that differ from a preset in one thing each. Every
// one must train, export what it trained, and stay finite.
var options = map[string]func(*Config){
	"linear members alone":     func(c *Config) { c.Members = []string{"linear"} },
	"naives alone":             func(c *Config) { c.Members = []string{"naive"} },
	"networks alone":           func(c *Config) { c.Members = []string{"network"} },
	"trees alone":              func(c *Config) { c.Members = []string{"trees"} },
	"all members":              func(c *Config) { c.Members = []string{"trees", "network", "naive", "linear"} },
	"trees on naives":          func(c *Config) { c.Members = []string{"trees", "naive"} },
	"no quantiles":             func(c *Config) { c.Quantiles = []float64{} },
	"the median alone":         func(c *Config) { c.Quantiles = []float64{0.5} },
	"extreme quantiles":        func(c *Config) { c.Quantiles = []float64{1e-6, 0.3, 1 - 1e-6} },
	"masks":                    func(c *Config) { c.Masks = true },
	"three layers":             func(c *Config) { c.Layers = 3 },
	"one unit":                 func(c *Config) { c.Hidden, c.Head = 1, 1 },
	"an odd size":              func(c *Config) { c.Hidden, c.Head = 13, 7 },
	"a single network":         func(c *Config) { c.Seeds = 1 },
	"two networks":             func(c *Config) { c.Seeds = 2 },
	"five networks":            func(c *Config) { c.Seeds = 5 },
	"no dropout":               func(c *Config) { c.Dropout = of(0.0) },
	"much dropout":             func(c *Config) { c.Dropout = of(0.7) },
	"attention":                func(c *Config) { c.Attention = of(true) },
	"no attention":             func(c *Config) { c.Attention = of(false) },
	"a linear path":            func(c *Config) { c.Linear = of(true) },
	"no linear path":           func(c *Config) { c.Linear = of(false) },
	"the absolute loss":        func(c *Config) { c.Loss = "absolute" },
	"the Huber loss":           func(c *Config) { c.Loss = "huber" },
	"the squared loss":         func(c *Config) { c.Loss = "squared" },
	"the pinball loss":         func(c *Config) { c.Loss = "pinball" },
	"the pinball loss at 0.9":  func(c *Config) { c.Loss, c.LossLevel = "pinball", 0.9 },
	"one slot of lookback":     func(c *Config) { c.Lookback = 1 },
	"a long lookback":          func(c *Config) { c.Lookback = 50 },
	"one step ahead":           func(c *Config) { c.Horizon = 1 },
	"an hour and more ahead":   func(c *Config) { c.Horizon = 14 },
	"no gap":                   func(c *Config) { c.MaxGap = 1 },
	"another time zone":        func(c *Config) { c.TimeZone = "Asia/Kathmandu" },
	"no input but the target":  func(c *Config) { c.Inputs = []string{} },
	"no flag":                  func(c *Config) { c.Known = []string{} },
	"nothing but the target":   func(c *Config) { c.Inputs, c.Known = []string{}, []string{} },
	"a batch of one":           func(c *Config) { c.Batch = 1 },
	"a batch of more than all": func(c *Config) { c.Batch = 1024 },
	"a high rate":              func(c *Config) { c.Rate = 1 },
}

func TestEveryOptionExportsWhatItTrained(t *testing.T) {
	for name, change := range options {
		for _, preset := range []string{PresetReference, PresetDefault} {
			t.Run(preset+", "+name, func(t *testing.T) {
				quickRecipe(t, preset)
				quickRecipe(t, PresetDefault) // members that a preset lacks are this one's
				c := quick(preset)
				c.Epochs = 1
				change(&c)
				f := studied(t, c, history(4, 80))
				model, err := f.export()
				if err != nil {
					t.Fatal(err)
				}
				p, err := onnx.Load(model)
				if err != nil {
					t.Fatal(err)
				}
				if p.Horizon() != f.spec.Horizon || p.Quantiles() != len(f.spec.Quantiles) {
					t.Errorf("the model answers %d steps and %d quantiles, want %d and %d", p.Horizon(), p.Quantiles(), f.spec.Horizon, len(f.spec.Quantiles))
				}
				rng := rand.New(rand.NewPCG(2, 80))
				for _, size := range []float64{0, 0.2, 3, 1e6, 1e25} {
					w := f.w.head(f.judgeRows[0], 8)
					w.series, w.context, w.target = slices.Clone(w.series), slices.Clone(w.context), slices.Clone(w.target)
					for _, values := range [][]float32{w.series, w.context, w.target} {
						for i := range values {
							values[i] *= float32(1 + size*rng.NormFloat64())
						}
					}
					if err := f.verify(p, w); err != nil {
						t.Errorf("inputs disturbed by %g: %v", size, err)
					}
				}
				a, err := p.Answer(slices.Repeat([]float32{math.MaxFloat32}, len(f.w.series)/f.w.len()), slices.Repeat([]float32{-math.MaxFloat32}, len(f.w.context)/f.w.len()), 1)
				if err != nil {
					t.Fatal(err)
				}
				for _, v := range slices.Concat(a.Forecast, a.Quantiles, a.Peaks) {
					if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
						t.Fatalf("at the ends of float32 the model answers %v", a)
					}
				}
			})
		}
	}
}

func TestMembersAreThoseNamed(t *testing.T) {
	quickRecipe(t, PresetDefault)
	for _, c := range []struct {
		members, want []string
	}{
		{[]string{"linear"}, []string{"linear"}},
		{[]string{"naive"}, []string{"persistence", "seasonal_naive_hour", "seasonal_naive_day"}},
		{[]string{"trees"}, []string{"trees", "residual_trees"}},
		{[]string{"network", "linear"}, []string{"linear", "residual", "change"}},
		{nil, []string{"linear", "persistence", "seasonal_naive_hour", "seasonal_naive_day", "residual", "change", "trees", "residual_trees"}},
	} {
		config := quick(PresetDefault)
		config.Members = c.members
		r := train(t, config, history(6, 81))
		var got []string
		sums := make([]float64, config.Horizon)
		for _, m := range r.Report.Members {
			got = append(got, m.Name)
			for k, v := range m.Weights {
				sums[k] += v
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("members %v: %v, want %v", c.members, got, c.want)
		}
		for _, sum := range sums {
			if math.Abs(sum-1) > 1e-6 {
				t.Errorf("members %v: weights add up to %v", c.members, sums)
			}
		}
	}
}

func TestNetworksHaveTheShapeAsked(t *testing.T) {
	quickRecipe(t, PresetDefault)
	plain := func(change func(*Config)) *network {
		c := quick(PresetDefault)
		c.Members, c.Epochs = []string{"network"}, 1
		change(&c)
		return studied(t, c, history(4, 82)).members[0].late.(*network)
	}
	n := plain(func(c *Config) {
		c.Layers, c.Hidden, c.Head, c.Seeds = 2, 9, 4, 3
		c.Dropout, c.Attention, c.Linear = of(0.35), of(true), of(true)
	})
	if n.net.Layers != 2 || n.net.Hidden != 9 || n.net.Head != 4 || n.net.Dropout != 0.35 || !n.net.Attention || !n.net.Linear {
		t.Errorf("network %+v", n.net)
	}
	if len(n.params) != 3 || slices.Equal(n.params[0], n.params[1]) || slices.Equal(n.params[1], n.params[2]) {
		t.Errorf("%d networks, or two that are the same", len(n.params))
	}
	if n := plain(func(c *Config) { c.Dropout, c.Attention, c.Linear = of(0.0), of(false), of(false) }); n.net.Dropout != 0 || n.net.Attention || n.net.Linear {
		t.Errorf("network %+v", n.net)
	}
}

// A network that reads nothing can only learn what its loss asks for of the
// answers: the mean, the median or another quantile.
func TestALossLearnsWhatItIsFor(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 83))
	l := &lesson{steps: 1, channels: 1, horizon: 1}
	sum := 0.0
	for range 2000 {
		y := rng.ExpFloat64() // mean 1, median ln 2, 0.9 quantile ln 10
		sum += y
		l.x, l.want, l.weight = append(l.x, 0), append(l.want, float32(y)), append(l.weight, 1)
	}
	mean := sum / 2000
	// Huber's answer a: the mean of the errors, cut at ±1, is 0.
	huber := 0.0
	for low, high := 0.0, 2.0; high-low > 1e-6; {
		huber = (low + high) / 2
		pull := 0.0
		for _, y := range l.want {
			pull += min(max(float64(y)-huber, -huberDelta), huberDelta)
		}
		if pull > 0 {
			low = huber
		} else {
			high = huber
		}
	}
	quantile := func(q float64) float64 {
		sorted := slices.Sorted(slices.Values(l.want))
		return float64(sorted[int(q*2000)])
	}
	for _, c := range []struct {
		config Config
		want   float64
	}{
		{Config{Loss: "squared"}, mean}, {Config{Loss: "absolute"}, quantile(0.5)}, {Config{Loss: "huber"}, huber},
		{Config{Loss: "pinball"}, quantile(0.5)}, {Config{Loss: "pinball", LossLevel: 0.9}, quantile(0.9)}, {Config{Loss: "pinball", LossLevel: 0.1}, quantile(0.1)},
	} {
		n := networkRecipe{schedule: schedule{batch: 100, epochs: 60, rate: 0.02, anneal: true, clip: 1}}
		n.network.Lookback, n.network.Channels, n.network.Horizon, n.network.Layers, n.network.Hidden, n.network.Head = 1, 1, 1, 1, 2, 4
		c.config.reshape(&n)
		f := newFit(n.network, n.schedule, 4, 1)
		if err := f.run(context.Background(), l, nil); err != nil {
			t.Fatal(err)
		}
		if got := float64(answers(n.network, f.state.Params, l.slice(0, 1), 1)[0]); math.Abs(got-c.want) > 0.05*max(1, c.want) {
			t.Errorf("loss %s at %g: the answer is %.3f, want %.3f", c.config.Loss, c.config.LossLevel, got, c.want)
		}
	}
}

func TestAHorizonOfADayAtFiveMinutes(t *testing.T) {
	for _, preset := range []string{PresetFast, PresetReference} {
		quickRecipe(t, preset)
		c := quick(preset)
		c.Horizon, c.Lookback, c.Epochs, c.Inputs = 288, 24, 1, []string{}
		r := train(t, c, history(11, 84))
		if n := len(r.Report.Horizons); n != 288 {
			t.Fatalf("%s: %d horizons are scored", preset, n)
		}
		for _, steps := range []int{1, 12, 288} {
			h := r.Report.Horizons[steps-1]
			if preset == PresetFast && !(h.Model.MAE < h.Baselines["persistence"].MAE) || math.IsNaN(h.Model.MAE) {
				t.Errorf("%s, %d ahead: MAE %v, persistence %v", preset, steps, h.Model.MAE, h.Baselines["persistence"].MAE)
			}
		}
		if h := r.Report.Horizons[287]; preset == PresetFast && h.Model.MAE > 1.1*h.Baselines["seasonal_naive_day"].MAE {
			t.Errorf("a day ahead: MAE %v, a day ago %v", h.Model.MAE, h.Baselines["seasonal_naive_day"].MAE)
		}
	}
}

func TestLookbackGapZoneAndMasksAreInTheSpec(t *testing.T) {
	quickRecipe(t, PresetFast)
	c := quick(PresetFast)
	c.Lookback, c.MaxGap, c.TimeZone, c.Masks, c.Quantiles, c.Horizon = 17, 4, "America/New_York", true, []float64{0.2, 0.8}, 5
	g := history(6, 85)
	s := train(t, c, g).Manifest.Spec
	if s.Lookback != 17 || s.MaxGap != 4 || s.TimeZone != "America/New_York" || !s.Masks || !slices.Equal(s.Quantiles, c.Quantiles) || s.Horizon != 5 {
		t.Errorf("spec %+v", s)
	}
	// The gap is what the spec says: windows with one longer are left out.
	for gap, want := range map[int]bool{4: true, 5: false} {
		holed := clone(g)
		for i := 1200; i < 1200+gap; i++ {
			holed.Columns["demand"][i] = math.NaN()
		}
		if _, err := window.Slide(s, holed, nil, 1200+gap+1); (err == nil) != want {
			t.Errorf("a gap of %d: %v", gap, err)
		}
	}
	// A mask is a channel of its own for every series.
	if s.Channels() != 2*len(s.Series) {
		t.Errorf("%d channels of %d series", s.Channels(), len(s.Series))
	}
}

func TestTheTimeZoneIsThatOfTheClock(t *testing.T) {
	quickRecipe(t, PresetFast)
	g := history(6, 86)
	utc, kathmandu := quick(PresetFast), quick(PresetFast)
	kathmandu.TimeZone = "Asia/Kathmandu" // 5:45 ahead
	one := unfitted(t, utc, g)
	two := unfitted(t, kathmandu, g)
	shift := int((5*time.Hour + 45*time.Minute) / g.Step)
	names := window.ContextNames(one.spec)
	for c, name := range names {
		if !strings.HasPrefix(name, "hour_of_day") {
			continue
		}
		_, extra := widths(one.spec)
		for i := range 100 { // the clock of one zone now is the other's some hours later
			a, b := one.w.context[(i+shift)*extra+c], two.w.context[i*extra+c]
			if math.Abs(float64(a-b)) > 1e-6 {
				t.Fatalf("%s: %v in Kathmandu at the time that is %v in UTC", name, b, a)
			}
		}
	}
}

func TestPatienceBatchAndEpochsAreThoseAsked(t *testing.T) {
	quickRecipe(t, PresetReference)
	c := quick(PresetReference)
	c.Epochs, c.Batch = 5, 50
	steps := map[string]int{}
	c.Progress = func(p Progress) {
		if n := p.Network; n != nil && !strings.HasSuffix(n.Name, "late") {
			steps[fmt.Sprintf("epoch %d of %d", n.Epoch, n.Epochs)] = n.Steps
		}
	}
	train(t, c, history(5, 87))
	if len(steps) != 5 || steps["epoch 5 of 5"] != 10 {
		t.Errorf("steps by epoch: %v", steps)
	}
	c.Epochs, c.Patience, c.Rate = 100, 1, 1e-9 // nothing is learned, nothing improves for long
	clear(steps)
	train(t, c, history(5, 87))
	if len(steps) > 30 {
		t.Errorf("%d epochs with a patience of one", len(steps))
	}
}
