package tree

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestFitEndsWithItsContext(t *testing.T) {
	m, y := wavy(rand.New(rand.NewPCG(11, 1)), 100, 3)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Fit(ctx, Defaults(), Bin(m, 10, 1), y, nil, m, y, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestDataThatLeavesNothingToSplitGivesTheMedian(t *testing.T) {
	for name, c := range map[string]struct {
		m Matrix
		y []float32
	}{
		"constant features":            {column(2, 2, 2, 2, 2), []float32{1, 2, 9, 1, 7}},
		"features that are all NaN":    {column(slices.Repeat([]float32{float32(math.NaN())}, 3)...), []float32{2, 1, 9}},
		"fewer rows than a leaf needs": {column(1, 2, 3), []float32{2, 1, 9}},
		"one row":                      {column(1), []float32{2}},
		"a constant target":            {column(1, 2, 3, 4), []float32{2, 2, 2, 2}},
		"no features":                  {Matrix{3, 0, nil}, []float32{2, 1, 9}},
	} {
		t.Run(name, func(t *testing.T) {
			config := Defaults()
			config.Patience, config.MinLeaf = 0, 2
			if name == "constant features" {
				config.MinLeaf = 1
			}
			if got := predict(fit(t, config, c.m, c.y, nil), c.m); slices.ContainsFunc(got, func(v float32) bool { return v != 2 }) {
				t.Errorf("got %v, want the median 2", got)
			}
		})
	}
}

// TestExtremesGiveFiniteForecasts fits numbers of every magnitude, and NaN and
// infinities among the features, with weights of every magnitude.
func TestExtremesGiveFiniteForecasts(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 1))
	special := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), math.MaxFloat32, -math.MaxFloat32,
		math.SmallestNonzeroFloat32, 0, float32(math.Copysign(0, -1)), 1}
	magnitude := func() float32 { return float32(math.Exp(170*rng.Float64() - 85)) } // up to 8e36
	for trial := range 200 {
		m := Matrix{Rows: 1 + rng.IntN(200), Cols: 1 + rng.IntN(5)}
		for range m.Rows * m.Cols {
			m.Data = append(m.Data, []float32{special[rng.IntN(len(special))], float32(rng.NormFloat64())}[rng.IntN(2)])
		}
		var y, w []float32
		for range m.Rows {
			y = append(y, magnitude()*float32(1-2*rng.IntN(2)))
			w = append(w, magnitude())
		}
		c := Defaults()
		c.Loss, c.Trees, c.MinLeaf, c.Patience, c.Seed = Loss(trial%2), 20, 1+rng.IntN(3), trial%3, uint64(trial)
		c.Rate, c.Lambda, c.Subsample = 0.05+0.9*rng.Float64(), 3*rng.Float64(), 0.2+0.8*rng.Float64()
		e, err := Fit(t.Context(), c, Bin(m, 2+rng.IntN(MaxBins-1), 1), y, w, m, y, w)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range predict(e, m) {
			if !(math.Abs(float64(p)) <= largest) {
				t.Fatalf("trial %d: forecast %d is %v for a target of %v", trial, i, p, y[i])
			}
		}
	}
}

func TestFewerRowsThanLeavesAreLearntByHeart(t *testing.T) {
	m, y := column(1, 2, 3, 4, 5), []float32{7, -3, 2, 2, 11}
	if got := predict(fit(t, plain(30, 16), m, y, nil), m); meanError(got, y) > 1e-6 {
		t.Errorf("got %v, want %v", got, y)
	}
}

func TestFitSaysWhatIsWrong(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	m := column(1, 2, 3)
	good := []float32{1, 2, 3}
	for name, c := range map[string]struct {
		change          func(c *Config)
		y, w, vy, vw    []float32
		valid           Matrix
		want            string
		noTarget, noErr bool
	}{
		"no target at all":         {y: []float32{nan, nan, nan}, want: "no row has a target", noTarget: true},
		"no weight at all":         {y: good, w: []float32{0, 0, 0}, want: "no row has a target", noTarget: true},
		"an infinite target":       {y: []float32{1, inf, 2}, want: "row 1"},
		"a target near infinity":   {y: []float32{1, 2, -math.MaxFloat32}, want: "row 2"},
		"a negative weight":        {y: good, w: []float32{1, -1, 1}, want: "row 1"},
		"a NaN weight":             {y: good, w: []float32{1, 1, nan}, want: "row 2"},
		"an infinite weight":       {y: good, w: []float32{inf, 1, 1}, want: "row 0"},
		"too few targets":          {y: good[:2], want: "2 targets"},
		"too few weights":          {y: good, w: good[:1], want: "1 weights"},
		"no validation rows":       {y: good, change: func(c *Config) { c.Patience = 3 }, valid: Matrix{0, 1, nil}, want: "validation", noTarget: true},
		"other validation columns": {y: good, change: func(c *Config) { c.Patience = 3 }, valid: Matrix{1, 2, []float32{1, 2}}, vy: good[:1], want: "2 columns"},
		"an unknown column":        {y: good, change: func(c *Config) { c.Columns = []int{1} }, want: "column 1"},
		"a rate and trees of 0":    {y: good, change: func(c *Config) { c.Rate, c.Trees = 0, 0 }, want: "trees is 0"},
		"nothing":                  {y: good, noErr: true},
	} {
		t.Run(name, func(t *testing.T) {
			config := plain(3, 3)
			if c.change != nil {
				c.change(&config)
			}
			_, err := Fit(t.Context(), config, Bin(m, 5, 1), c.y, c.w, c.valid, c.vy, c.vw)
			if c.noErr {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrNoTarget) != c.noTarget {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestValidateReportsAllFaultsAtOnce(t *testing.T) {
	if err := Defaults().Validate(); err != nil {
		t.Error(err)
	}
	err := Config{Loss: 7, Rate: math.NaN(), Lambda: -1, Subsample: 2, ColSample: -0.1, Patience: -1}.Validate()
	for _, what := range []string{"loss", "trees", "leaves", "min leaf", "rate", "lambda", "subsample", "column sample", "patience"} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%q is missing in %v", what, err)
		}
	}
}

func TestTheOrderOfTheColumnsDoesNotMatter(t *testing.T) {
	m, y := wavy(rand.New(rand.NewPCG(12, 1)), 400, 8)
	c := Defaults()
	c.Patience, c.Trees = 0, 10
	c.Columns = []int{1, 2, 5, 6}
	a := predict(fit(t, c, m, y, nil), m)
	c.Columns = []int{6, 2, 2, 5, 1, 6}
	if !slices.Equal(a, predict(fit(t, c, m, y, nil), m)) {
		t.Error("it does")
	}
}

func TestASmallLeafIsShrunk(t *testing.T) {
	c := plain(1, 2)
	c.Lambda = 2
	// Two rows at 9 and six at 0: the median is 0 and the leaf of two says 9·2/(2+2).
	m := column(1, 1, 1, 1, 1, 1, 2, 2)
	got := predict(fit(t, c, m, []float32{0, 0, 0, 0, 0, 0, 9, 9}, nil), m)
	if want := []float32{0, 0, 0, 0, 0, 0, 4.5, 4.5}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func ExampleFit() {
	x := Matrix{Rows: 6, Cols: 1, Data: []float32{1, 2, 3, 10, 11, 12}}
	c := Defaults()
	c.Trees, c.MinLeaf, c.Rate, c.Lambda, c.Subsample, c.ColSample, c.Patience = 10, 1, 1, 0, 1, 1, 0
	e, err := Fit(context.Background(), c, Bin(x, DefaultBins, 1), []float32{5, 5, 5, 8, 8, 8}, nil, Matrix{}, nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	out := make([]float32, 2)
	e.Predict(Matrix{Rows: 2, Cols: 1, Data: []float32{0, 20}}, out)
	fmt.Println(out)
	// Output: [5 8]
}
