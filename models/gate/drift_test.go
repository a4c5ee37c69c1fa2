package gate

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestPSIOfKnownCases(t *testing.T) {
	of := func(counts ...int) Histogram {
		h := Histogram{Counts: counts}
		for i := range len(counts) - 1 {
			h.Edges = append(h.Edges, float64(i))
		}
		return h
	}
	for _, c := range []struct {
		name             string
		expected, actual Histogram
		want             float64
	}{
		{"the same shares of another number", of(10, 30), of(100, 300), 0},
		// (0.25 - 0.5)·ln 0.5 + (0.75 - 0.5)·ln 1.5
		{"half and half becomes a quarter and three", of(50, 50), of(25, 75), 0.25*math.Ln2 + 0.25*math.Log(1.5)},
		{"the other way round is as far", of(25, 75), of(50, 50), 0.25*math.Ln2 + 0.25*math.Log(1.5)},
		// (0.0001 - 0.5)·ln(0.0001/0.5) + (1 - 0.5)·ln 2
		{"a bin that is empty now", of(50, 50), of(0, 80), (0.5-1e-4)*math.Log(0.5/1e-4) + 0.5*math.Ln2},
		{"a single bin", of(5), of(7), 0},
		{"no values before", of(0, 0), of(1, 1), math.NaN()},
		{"no values now", of(1, 1), of(0, 0), math.NaN()},
		{"other edges", of(1, 1), Histogram{Edges: []float64{9}, Counts: []int{1, 1}}, math.NaN()},
		{"another number of bins", of(1, 1), of(1, 1, 1), math.NaN()},
	} {
		if got := PSI(c.expected, c.actual); math.Abs(got-c.want) > 1e-12 || math.IsNaN(got) != math.IsNaN(c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestHistogram(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		name   string
		values []float64
		edges  []float64
		counts []int
		miss   int
	}{
		{"four equal parts", []float64{1, 2, 3, 4, 5, 6, 7, 8}, []float64{3, 5, 7}, []int{2, 2, 2, 2}, 0},
		{"in any order, with what is missing", []float64{8, nan, 1, 3, 2, math.Inf(1), 4, 6, 5, 7}, []float64{3, 5, 7}, []int{2, 2, 2, 2}, 2},
		{"mostly the same value", []float64{0, 0, 0, 0, 0, 0, 0, 9}, nil, []int{8}, 0},
		{"two values", []float64{0, 0, 1, 1}, []float64{1}, []int{2, 2}, 0},
		{"nothing", []float64{nan}, nil, []int{0}, 1},
	} {
		h := NewHistogram(c.values, 4)
		if !slices.Equal(h.Edges, c.edges) || !slices.Equal(h.Counts, c.counts) || h.Missing != c.miss {
			t.Errorf("%s: got %+v", c.name, h)
		}
	}
	h := NewHistogram([]float64{1, 2, 3, 4, 5, 6, 7, 8}, 4).Of([]float64{-9, 2.9, 3, 4.999, 5, 99, nan})
	if !slices.Equal(h.Counts, []int{2, 2, 1, 1}) || h.Missing != 1 {
		t.Errorf("other values over the same edges: %+v", h)
	}
}

func TestWhereActualValuesFall(t *testing.T) {
	band := func(actual float64) Residual { return Residual{actual, 1, 2, 4} }
	below, above, n := Outside([]Residual{band(0), band(1), band(3), band(4), band(4.1), band(9), band(math.NaN()), {1, 3, 2, 4}, {1, math.NaN(), 2, 4}})
	if n != 6 || below != 1.0/6 || above != 2.0/6 {
		t.Errorf("below %v, above %v of %d", below, above, n)
	}
	if _, above, n := Outside(nil); n != 0 || !math.IsNaN(above) {
		t.Errorf("of none: %v, %d", above, n)
	}
}

func TestNormalisedResiduals(t *testing.T) {
	// Φ⁻¹(0.975) = 1.959963985
	const q, z975 = 0.975, 1.959963984540054
	for _, c := range []struct {
		name string
		r    Residual
		want float64
	}{
		{"exact", Residual{2, 1, 2, 4}, 0},
		{"at the upper quantile", Residual{4, 1, 2, 4}, z975},
		{"at the lower one", Residual{1, 1, 2, 4}, -z975},
		{"half way up", Residual{3, 1, 2, 4}, z975 / 2},
		{"no width above", Residual{3, 1, 2, 2}, math.NaN()},
		{"no width, and exact", Residual{2, 2, 2, 2}, 0},
		{"missing", Residual{math.NaN(), 1, 2, 4}, math.NaN()},
		{"quantiles out of order", Residual{2, 3, 2, 4}, math.NaN()},
	} {
		if got := c.r.Normalised(q); math.Abs(got-c.want) > 1e-9 || math.IsNaN(got) != math.IsNaN(c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	if got := (Residual{3, 1, 2, 4}).Normalised(0.5); !math.IsNaN(got) {
		t.Errorf("a level that is no upper one: %v", got)
	}
}

func TestCUSUMOfKnownCases(t *testing.T) {
	for _, c := range []struct {
		name     string
		z        []float64
		up, down float64
	}{
		{"nothing", nil, 0, 0},
		{"within the slack", []float64{0.5, -0.5, 0.4}, 0, 0},
		{"steps up, worked by hand", []float64{1, 1, -2, 1.5}, 1, 1.5}, // up 0.5 1 0 1; down 0 0 1.5 0
		{"an outlier is cut", []float64{30}, 2.5, 0},
		{"what is missing is passed over", []float64{1, math.NaN(), 1}, 1, 0},
	} {
		if up, down := CUSUM(c.z, 0.5, 3); up != c.up || down != c.down {
			t.Errorf("%s: up %v, down %v, want %v, %v", c.name, up, down, c.up, c.down)
		}
	}
}

// The run lengths that Drift's comment promises, by Siegmund's formula: 20.3 slots
// for a shift of one spread, 70,700 for none.
func TestCUSUMRunLengths(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	d := DefaultConfig().Drift
	total := 0
	const runs = 2000
	for range runs {
		var z []float64
		for up := 0.0; up <= d.Alarm; up, _ = CUSUM(z, d.Slack, 1e9) {
			z = append(z, 1+rng.NormFloat64())
		}
		total += len(z)
	}
	if mean := float64(total) / runs; mean < 19.3 || mean > 21.3 {
		t.Errorf("a shift of one spread is noticed after %.1f slots", mean)
	}
	alarms := 0
	const days = 2000
	for range days {
		z := make([]float64, 288)
		for i := range z {
			z[i] = rng.NormFloat64()
		}
		if up, down := CUSUM(z, d.Slack, d.Clip); max(up, down) > d.Alarm {
			alarms++
		}
	}
	if alarms > 20 { // 2000 · 288 / 70,700 = 8.1
		t.Errorf("%d false alarms in %d days", alarms, days)
	}
}

// day returns a series of one day around level, and residuals of a right forecast
// of it that is off by shift spreads.
func day(rng *rand.Rand, n int, level, shift float64) (values []float64, rs []Residual) {
	for range n {
		v := level + rng.NormFloat64()
		values = append(values, v)
		e := shift + rng.NormFloat64()
		rs = append(rs, Residual{Actual: 10 + e, Low: 10 - 1.2816, Mid: 10, High: 10 + 1.2816})
	}
	return values, rs
}

func TestDrift(t *testing.T) {
	for _, c := range []struct {
		name    string
		level   float64 // of the inputs, 0 in training
		shift   float64 // of the residuals
		missing int     // of 288 slots
		n       int     // slots of the day
		failed  string
	}{
		{"a day like all others", 0, 0, 0, 288, ""},
		{"inputs that have moved by a spread", 1, 0, 0, 288, "input-day input-week"},
		{"inputs that are missing", 0, 0, 80, 288, "missing"},
		{"forecasts that are too low by a spread", 0, 1, 0, 288, "above-band cusum"},
		{"forecasts that are too high", 0, -1, 0, 288, "below-band cusum"},
		{"forecasts that are a little low all day", 0, 0.65, 0, 288, "above-band cusum"},
		{"too short a day, whatever it shows", 9, 9, 0, 50, "input-week"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(5, 6))
			training, _ := day(rng, 8064, 0, 0)
			today, residuals := day(rng, c.n, c.level, c.shift)
			week, _ := day(rng, 2016, c.level, 0)
			for i := range c.missing {
				today[i*3] = math.NaN()
			}
			h := NewHistogram(training, 10)
			in := Seen{Series: []Series{{Name: "demand", Training: h, Day: h.Of(today), Week: h.Of(week)}}, Level: 0.9, Residuals: residuals}
			v := DefaultConfig().Drift.Judge(in)
			if got := failed(Verdict{Reasons: v.Reasons}); got != c.failed || v.Retrain != (c.failed != "") {
				t.Errorf("retrain %v, failed %q, want %q\n%s", v.Retrain, got, c.failed, v)
			}
		})
	}
	if v := DefaultConfig().Drift.Judge(Seen{Series: []Series{{Name: "demand"}}}); v.Retrain || len(v.Reasons) == 0 {
		t.Errorf("of nothing known: %s", v)
	}
}
