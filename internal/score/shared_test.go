package score

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/forescale/forescale/models"
)

// scoreOf returns the score of a forecast of actual values, with persistence beside.
func scoreOf(actual, forecast, persistence []float64) models.HorizonScore {
	h := models.HorizonScore{Steps: 2, Minutes: 10, N: len(actual), Model: Evaluate(actual, forecast, 1),
		Baselines: map[string]models.Score{Persistence: Evaluate(actual, persistence, 1)}}
	values := make([][]float64, len(actual))
	for i, f := range forecast {
		values[i] = []float64{f - 1, f - 0.5, f + 0.5, f + 1}
	}
	AddQuantiles(&h.Model, actual, []float64{0.05, 0.1, 0.9, 0.95}, values)
	return h
}

func TestAPoolOfPartsIsTheScoreOfAllTheirSlots(t *testing.T) {
	// Two parts on one scale, of the same mean: the pool must be what Evaluate says
	// of all slots at once.
	a, af, ap := []float64{1, 3, 2, 2}, []float64{1.4, 2.2, 2, 2.6}, []float64{2, 1, 3, 2}
	b, bf, bp := []float64{4, 0, 1, 3, 2, 2}, []float64{3, 1, 1, 3.5, 2, 2.1}, []float64{2, 4, 0, 1, 3, 2}
	got := Pool([]Part{{scoreOf(a, af, ap), 1}, {scoreOf(b, bf, bp), 1}})
	want := scoreOf(append(a, b...), append(af, bf...), append(ap, bp...))
	near := func(what string, got, want float64) {
		t.Helper()
		if !(math.Abs(got-want) < 1e-12) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	near("MAE", got.Model.MAE, want.Model.MAE)
	near("RMSE", got.Model.RMSE, want.Model.RMSE)
	near("R2", got.Model.R2, want.Model.R2)
	near("WAPE", got.Model.WAPE, want.Model.WAPE)
	near("MASE", got.Model.MASE, want.Model.MASE)
	near("skill", got.Model.Skill, 1-want.Model.MAE/want.Baselines[Persistence].MAE)
	near("skill of persistence", got.Baselines[Persistence].Skill, 0)
	near("pinball", *got.Model.Pinball, *want.Model.Pinball)
	near("coverage80", *got.Model.Coverage80, *want.Model.Coverage80)
	near("coverage90", *got.Model.Coverage90, *want.Model.Coverage90)
	if got.N != 10 || got.Steps != 2 || got.Minutes != 10 {
		t.Errorf("%+v", got)
	}
}

func TestThePartsOfAPoolCountAlikeWhateverTheirSize(t *testing.T) {
	a, f, p := []float64{1, 3, 2, 2}, []float64{1.4, 2.2, 2, 2.6}, []float64{2, 1, 3, 2}
	small := scoreOf(a, f, p)
	large := small
	for _, v := range []*float64{&large.Model.MAE, &large.Model.RMSE} {
		*v *= 1000
	}
	pinball := 1000 * *small.Model.Pinball
	large.Model.Pinball = &pinball
	large.Baselines = map[string]models.Score{Persistence: small.Baselines[Persistence], "other": {}}
	got := Pool([]Part{{small, 1}, {large, 1000}}).Model
	if math.Abs(got.MAE-small.Model.MAE) > 1e-12 || math.Abs(got.R2-small.Model.R2) > 1e-12 || math.Abs(*got.Pinball-*small.Model.Pinball) > 1e-12 {
		t.Errorf("pooled %+v, each is %+v", got, small.Model)
	}
}

func TestAPartThatSaysNothingIsLeftOutOfThePool(t *testing.T) {
	a, f, p := []float64{1, 3, 2, 2}, []float64{1.4, 2.2, 2, 2.6}, []float64{2, 1, 3, 2}
	known := scoreOf(a, f, p)
	constant := scoreOf([]float64{5, 5}, []float64{5, 5}, []float64{5, 5})
	got := Pool([]Part{{known, 1}, {constant, 5}, {models.HorizonScore{}, 1}, {known, 0}})
	if got.N != 6 || math.Abs(got.Model.R2-known.Model.R2) > 1e-12 || math.Abs(got.Model.MAE-known.Model.MAE*4/6) > 1e-12 {
		t.Errorf("pooled %+v", got)
	}
	if none := Pool(nil); none.N != 0 || !math.IsNaN(none.Model.MAE) {
		t.Errorf("a pool of nothing: %+v", none)
	}
}

func TestASharedReportReadsBack(t *testing.T) {
	a, f, p := []float64{1, 3, 2, 2}, []float64{1.4, 2.2, 2, 2.6}, []float64{2, 1, 3, 2}
	h := []models.HorizonScore{scoreOf(a, f, p)}
	want := SharedReport{Target: "demand", StepSeconds: 300, Start: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), Split: NewSplit(100), Windows: 7,
		Horizons: h, Groups: []GroupReport{{Group: "web", Scale: 2, Windows: 7, Calibration: []float64{1.2}, Horizons: h, Own: h}},
		Comparison: &Comparison{Groups: []string{"web"}, Shared: h, Own: h}}
	var out bytes.Buffer
	if err := want.Write(&out); err != nil {
		t.Fatal(err)
	}
	var got SharedReport
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Groups[0].Own[0].Model.MAE != h[0].Model.MAE || got.Comparison.Groups[0] != "web" || got.Split != want.Split || got.Groups[0].Calibration[0] != 1.2 {
		t.Errorf("%+v", got)
	}
}
