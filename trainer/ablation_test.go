package trainer

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/forescale/forescale/trainer/feature"
)

// ablate returns the ablation of a quick default preset on generated load.
func ablate(t *testing.T) (*Ablation, Config) {
	t.Helper()
	quickRecipe(t, PresetDefault)
	c := quick(PresetDefault)
	a, err := Ablate(context.Background(), c, Data{Grid: history(5, 3)})
	if err != nil {
		t.Fatal(err)
	}
	return a, c
}

// variant returns the one of a kind and name.
func (a *Ablation) variant(t *testing.T, kind, name string) Variant {
	t.Helper()
	for _, v := range a.Variants {
		if v.Kind == kind && v.Name == name {
			return v
		}
	}
	t.Fatalf("there is no variant %s %s", kind, name)
	return Variant{}
}

func TestAnAblationScoresWhatTrainTrains(t *testing.T) {
	a, c := ablate(t)
	r := train(t, c, history(5, 3))
	if a.Report.ModelSHA256 != r.Report.ModelSHA256 {
		t.Error("the ablation is of another model than Train returns")
	}
	for k, h := range r.Report.Horizons {
		if got := a.Report.Horizons[k].Model.MAE; got != h.Model.MAE {
			t.Errorf("%d steps ahead: MAE %v, want %v", k+1, got, h.Model.MAE)
		}
	}
	for _, m := range r.Report.Members {
		alone := a.variant(t, KindAlone, m.Name)
		for k, h := range m.Horizons {
			if got := alone.Horizons[k].Model.MAE; got != h.Model.MAE {
				t.Errorf("%s alone, %d steps ahead: MAE %v, want %v", m.Name, k+1, got, h.Model.MAE)
			}
		}
		if !slices.Equal(alone.Weights, m.Weights) {
			t.Errorf("%s: weights %v, want %v", m.Name, alone.Weights, m.Weights)
		}
		a.variant(t, KindWithout, m.Name)
	}
}

func TestEveryVariantIsScoredOnTheSlotsOfTheModel(t *testing.T) {
	a, _ := ablate(t)
	kinds := map[string]int{}
	for _, v := range a.Variants {
		kinds[v.Kind]++
		if len(v.Horizons) != len(a.Report.Horizons) {
			t.Fatalf("%s %s: %d horizons, want %d", v.Kind, v.Name, len(v.Horizons), len(a.Report.Horizons))
		}
		for k, h := range v.Horizons {
			if h.N != a.Report.Horizons[k].N || !(h.Model.MAE > 0) || h.Baselines != nil {
				t.Errorf("%s %s, %d steps ahead: %d slots, MAE %v, baselines %v; want %d slots, an error and no baselines",
					v.Kind, v.Name, k+1, h.N, h.Model.MAE, h.Baselines, a.Report.Horizons[k].N)
			}
		}
		if v.Against != "" {
			a.variant(t, KindMode, v.Against)
		}
	}
	for _, kind := range []string{KindAlone, KindWithout, KindWeights, KindGuard, KindMode, KindFeatures, KindSpread} {
		if kinds[kind] == 0 {
			t.Errorf("no variant of kind %s", kind)
		}
	}
}

func TestAFeatureGroupIsLeftOutWhereTheDataHasIt(t *testing.T) {
	a, _ := ablate(t)
	var got []string
	for _, v := range a.Variants {
		if v.Kind == KindFeatures {
			got = append(got, v.Name)
		}
	}
	// A lag may reach back a part of the history only: in five days, to the day before.
	want := slices.DeleteFunc(slices.Clone(feature.Groups), func(g string) bool { return g == feature.GroupWeeks || g == feature.GroupProfiles })
	if !slices.Equal(got, want) {
		t.Errorf("left out one by one were %q, want %q", got, want)
	}
	whole := a.variant(t, KindMode, a.variant(t, KindFeatures, feature.GroupFlags).Against)
	// The sales of the generated load begin and end without a warning in the past.
	with, without := whole.Horizons[2].Model.MAE, a.variant(t, KindFeatures, feature.GroupFlags).Horizons[2].Model.MAE
	if without < 1.02*with {
		t.Errorf("without the calendar's flags the error is %.4f, with them %.4f", without, with)
	}
}

func TestAVariantIsWeighedAsTheModelIsButForWhatItLacks(t *testing.T) {
	quickRecipe(t, PresetDefault)
	g := history(5, 3)
	s := studied(t, quick(PresetDefault), g)
	e, err := s.exam(context.Background(), Data{Grid: g})
	if err != nil {
		t.Fatal(err)
	}
	x := ablating{study: s, exam: e}
	if got := s.floored(x.guarded(x.recombined(-1, amongMembers))); !slices.Equal(got, s.forecasts(e.w).Forecast) {
		t.Error("with all members and the model's own selection, a variant forecasts otherwise than the model")
	}
	for m, w := range x.recombined(-1, amongMembers).weights {
		if !slices.Equal(w, s.final.weights[m]) {
			t.Errorf("member %d: weights %v, want the model's, %v", m, w, s.final.weights[m])
		}
	}
	if c := x.recombined(0, amongMembers); len(c.members) != len(s.members)-1 || slices.Contains(c.members, s.members[0].late) {
		t.Errorf("without the first of %d members there are %d", len(s.members), len(c.members))
	}
	mean := x.recombined(-1, selection{gate: math.Inf(1)})
	best := x.recombined(-1, selection{amongMembers.gate, onlyBest})
	for k := range s.spec.Horizon {
		most := float32(0)
		for m := range s.members {
			if got, want := mean.weights[m][k], float32(1)/float32(len(s.members)); math.Abs(float64(got-want)) > 1e-6 {
				t.Errorf("plain mean: weight %v, want %v", got, want)
			}
			most = max(most, best.weights[m][k])
		}
		if most != 1 {
			t.Errorf("best only, %d steps ahead: the greatest weight is %v, want 1", k+1, most)
		}
	}
}

func TestAConstantSpreadIsAsWideInEveryWindowAndCoversWhatItWasCalibratedOn(t *testing.T) {
	quickRecipe(t, PresetDefault)
	s := studied(t, quick(PresetDefault), history(5, 3))
	H := s.spec.Horizon
	flat := constantSpread(s.sets[feature.Raw], H)
	levels := []float64{0.1, 0.9}
	flat.calibrate(s.w, levels, s.unseen, s.judgeRows[0], s.judgeRows[1])
	q := flat.quantiles(s.w, s.unseen)
	inside, n := 0.0, 0.0
	for i := s.judgeRows[0]; i < s.judgeRows[1]; i++ {
		for k := range H {
			low, high, y := q[(i*H+k)*2], q[(i*H+k)*2+1], s.w.target[i*H+k]
			first := s.judgeRows[0]*H + k
			if d, want := high-low, q[first*2+1]-q[first*2]; math.Abs(float64(d-want)) > 1e-4*float64(want) {
				t.Fatalf("window %d, %d steps ahead: width %v, want %v as in the first", i, k+1, d, want)
			}
			if isKnown(y) {
				n++
				if low <= y && y <= high {
					inside++
				}
			}
		}
	}
	if share := inside / n; share < 0.8 || share > 0.9 {
		t.Errorf("%.3f of the slots that calibrated the interval of 80 %% lie inside", share)
	}
}

func TestAModelOfOneMemberHasNothingToCombine(t *testing.T) {
	quickRecipe(t, PresetReference)
	c := quick(PresetReference)
	a, err := Ablate(context.Background(), c, Data{Grid: history(4, 1)})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range a.Variants {
		if v.Kind != KindAlone && v.Kind != KindSpread {
			t.Errorf("variant %s %s of a single network", v.Kind, v.Name)
		}
	}
}

func TestWhatCannotBeTrainedCannotBeAblated(t *testing.T) {
	c := quick(PresetDefault)
	short := history(1, 1)
	for name, column := range short.Columns {
		short.Columns[name] = column[:80]
	}
	if _, err := Ablate(context.Background(), c, Data{Grid: short}); err == nil || !strings.Contains(err.Error(), "at least") {
		t.Errorf("error %v, want one that says how much data is needed", err)
	}
	c.Preset = "none"
	if _, err := Ablate(context.Background(), c, Data{Grid: history(4, 1)}); err == nil || !strings.Contains(err.Error(), "preset") {
		t.Errorf("error %v, want one that names the preset", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Ablate(ctx, quick(PresetFast), Data{Grid: history(4, 1)}); err != context.Canceled {
		t.Errorf("error %v, want that of the context", err)
	}
}

// What the test part holds changes no variant: only the scores.
func TestNoVariantIsChosenByTheTestPart(t *testing.T) {
	quickRecipe(t, PresetFast)
	c := quick(PresetFast)
	before, after := history(5, 3), history(5, 3)
	y := after.Columns["demand"]
	last := len(y) - 1
	y[last] += 1000
	a := studied(t, c, before)
	b := studied(t, c, after)
	forecasts := func(s *study) (all [][]float32) {
		x := ablating{study: s}
		w := s.w.head(s.judgeRows[0], 50)
		for m := range s.members {
			all = append(all, x.recombined(m, amongMembers).predict(w))
		}
		return append(all, x.recombined(-1, selection{gate: math.Inf(1)}).predict(w))
	}
	first, second := forecasts(a), forecasts(b)
	for v := range first {
		if !slices.Equal(first[v], second[v]) {
			t.Errorf("variant %d forecasts otherwise once the last slot of the test part is another", v)
		}
	}
}
