package score

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/models"
)

var nan = math.NaN()

func near(a, b float64) bool {
	return math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-12*max(1, math.Abs(b))
}

func requireScore(t *testing.T, got, want models.Score) {
	t.Helper()
	for _, m := range []struct {
		name      string
		got, want float64
	}{
		{"MAE", got.MAE, want.MAE}, {"RMSE", got.RMSE, want.RMSE}, {"R2", got.R2, want.R2}, {"MAPE", got.MAPE, want.MAPE},
		{"accuracy", got.Accuracy, want.Accuracy}, {"WAPE", got.WAPE, want.WAPE}, {"MASE", got.MASE, want.MASE},
		{"skill", got.Skill, want.Skill},
	} {
		if !near(m.got, m.want) {
			t.Errorf("%s: got %v, want %v", m.name, m.got, m.want)
		}
	}
}

// Each example is worked out by hand.
func TestEvaluate(t *testing.T) {
	tests := []struct {
		name             string
		actual, forecast []float64
		naive            float64
		want             models.Score
	}{
		{
			// e = 1, -1, 1, 0; mean y = 3, Σ(y-3)² = 1+1+9+9; |e/y| = 1/2, 1/4, -, 0
			name:   "a zero actual value is left out of MAPE only",
			actual: []float64{2, 4, 0, 6}, forecast: []float64{3, 3, 1, 6}, naive: 2,
			want: models.Score{MAE: 0.75, RMSE: math.Sqrt(0.75), R2: 0.85, MAPE: 25, Accuracy: 75, WAPE: 0.25, MASE: 0.375},
		},
		{
			name:   "a perfect forecast has no error",
			actual: []float64{1, 2, 4}, forecast: []float64{1, 2, 4}, naive: 1,
			want: models.Score{MAE: 0, RMSE: 0, R2: 1, MAPE: 0, Accuracy: 100, WAPE: 0, MASE: 0},
		},
		{
			// e = -3, 1, 2; mean y = 2, Σ(y-2)² = 1+0+1; |e/y| = 3, 1/2, 2/3
			name:   "a forecast worse than the mean has a negative R2 and accuracy",
			actual: []float64{1, 2, 3}, forecast: []float64{-2, 3, 5}, naive: 0.5,
			want: models.Score{MAE: 2, RMSE: math.Sqrt(14. / 3), R2: -6, MAPE: 100 * (25. / 6) / 3, Accuracy: 100 - 100*(25./6)/3, WAPE: 1, MASE: 4},
		},
		{
			name:   "negative actual values count by their size",
			actual: []float64{-2, 2}, forecast: []float64{-1, 1}, naive: 4,
			want: models.Score{MAE: 1, RMSE: 1, R2: 0.75, MAPE: 50, Accuracy: 50, WAPE: 0.5, MASE: 0.25},
		},
		{
			name:   "what divides by zero is not defined",
			actual: []float64{0, 0}, forecast: []float64{1, 1}, naive: 0,
			want: models.Score{MAE: 1, RMSE: 1, R2: nan, MAPE: nan, Accuracy: nan, WAPE: nan, MASE: nan},
		},
		{
			name: "no slots, no measure", naive: 1,
			want: models.Score{MAE: nan, RMSE: nan, R2: nan, MAPE: nan, Accuracy: nan, WAPE: nan, MASE: nan},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Skill = nan // Horizon knows what to compare with
			requireScore(t, Evaluate(tt.actual, tt.forecast, tt.naive), tt.want)
		})
	}
}

func TestQuantileMeasures(t *testing.T) {
	levels := []float64{0.05, 0.1, 0.5, 0.9, 0.95}
	actual := []float64{10, 20}
	values := [][]float64{
		{7, 8, 9, 12, 13},     // d = 3, 2, 1, -2, -3: 0.15, 0.2, 0.5, 0.2, 0.15 = 1.2
		{10, 11, 12, 14, 19.}, // d = 10, 9, 8, 6, 1: 0.5, 0.9, 4, 5.4, 0.95 = 11.75
	}
	var s models.Score
	AddQuantiles(&s, actual, levels, values)
	if s.Pinball == nil || !near(*s.Pinball, 12.95/10) {
		t.Errorf("pinball: got %v, want 1.295", s.Pinball)
	}
	if s.Coverage80 == nil || *s.Coverage80 != 0.5 || s.Coverage90 == nil || *s.Coverage90 != 0.5 {
		t.Errorf("coverages: got %v and %v, want one half", s.Coverage80, s.Coverage90)
	}
	values[1][4] = 20 // the end of an interval belongs to it
	AddQuantiles(&s, actual, levels, values)
	if *s.Coverage90 != 1 || *s.Coverage80 != 0.5 {
		t.Errorf("coverages: got %v and %v, want 0.5 and 1", *s.Coverage80, *s.Coverage90)
	}
	s = models.Score{}
	AddQuantiles(&s, actual, []float64{0.5, 0.9}, [][]float64{{9, 12}, {12, 14}})
	if s.Pinball == nil || s.Coverage80 != nil || s.Coverage90 != nil {
		t.Errorf("without the outer levels there is no coverage: %+v", s)
	}
	s = models.Score{}
	if AddQuantiles(&s, actual, nil, [][]float64{nil, nil}); s.Pinball != nil {
		t.Error("a point model has no pinball loss")
	}
}

func TestNaiveLeavesPairsWithAMissingValueOut(t *testing.T) {
	if got := Naive([]float64{1, 3, nan, 10, 9, 9}); !near(got, 1) { // |2|, -, -, |-1|, 0
		t.Errorf("got %v, want 1", got)
	}
	for _, y := range [][]float64{nil, {1}, {1, nan, 2}} {
		if got := Naive(y); !math.IsNaN(got) {
			t.Errorf("Naive(%v) = %v, want NaN", y, got)
		}
	}
}

func TestBaselines(t *testing.T) {
	// Four slots a day.
	y := []float64{nan, 1, 2, 3, 10, nan, 12, 13, 20, 21}
	b := NewBaselines(y, 6*time.Hour)
	tests := []struct {
		name                  string
		origin, h             int
		persistence, seasonal float64
	}{
		{"one step ahead, the day before is known", 7, 1, 13, 10},
		{"a missing value is carried forward in both", 5, 4, 10, 10},
		{"the seasonal value of a missing slot is the last one before it", 8, 1, 20, 10},
		{"a horizon of exactly a day reads the origin itself", 7, 4, 13, 13},
		{"a horizon longer than a day goes back whole days until the origin knows the slot", 7, 5, 13, 10},
		{"and two days where two are needed", 9, 7, 21, 20},
		{"during the first day the persistence stands in", 2, 1, 2, 2},
		{"before the first value nothing is known", 0, 1, nan, nan},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := b.Persistence(tt.origin); !near(got, tt.persistence) {
				t.Errorf("persistence: got %v, want %v", got, tt.persistence)
			}
			if got := b.SeasonalNaiveDay(tt.origin, tt.h); !near(got, tt.seasonal) {
				t.Errorf("seasonal naive: got %v, want %v", got, tt.seasonal)
			}
		})
	}
}

func TestBaselinesReadNothingAfterTheOrigin(t *testing.T) {
	const day, n = 4, 40
	for origin := range n {
		y := make([]float64, n)
		for i := range y {
			y[i] = float64(i) // a value names its slot
		}
		b, fine := NewBaselines(y, 6*time.Hour), NewBaselines(y, 5*time.Minute)
		for h := 1; h <= 3*day; h++ {
			for _, got := range []float64{b.Persistence(origin), b.SeasonalNaiveDay(origin, h), b.SeasonalNaiveWeek(origin, h), fine.SeasonalNaiveHour(origin, h)} {
				if !(got <= float64(origin)) { // NaN is a failure too
					t.Fatalf("origin %d, h %d: reads slot %v", origin, h, got)
				}
			}
		}
	}
}

func TestHorizonScoresModelAndBaselinesOnTheSameSlots(t *testing.T) {
	y := []float64{nan, 1, 2, 3, 10, 11, 12, 0, 20, 21}
	cases := []Case{
		{Origin: 0, Actual: 1, Forecast: 100}, // no baseline knows anything: left out for all
		{Origin: 5, Actual: 12, Forecast: 12},
		{Origin: 6, Actual: 0, Forecast: 4},
		{Origin: 7, Actual: 20, Forecast: 18},
	}
	got := Horizon(cases, nil, 1, 6*time.Hour, NewBaselines(y, 6*time.Hour), 2)
	if got.Steps != 1 || got.Minutes != 360 || got.N != 3 || got.MAPESkipped != 1 {
		t.Errorf("got steps %d, minutes %v, n %d, skipped %d", got.Steps, got.Minutes, got.N, got.MAPESkipped)
	}
	if !near(got.Model.MAE, 2) || !near(got.Model.MASE, 1) {
		t.Errorf("model: %+v", got.Model)
	}
	if p := got.Baselines[Persistence]; !near(p.MAE, (1.+12+20)/3) {
		t.Errorf("persistence: %+v", p)
	}
	if s := got.Baselines[SeasonalNaiveDay]; !near(s.MAE, (10.+3+10)/3) {
		t.Errorf("seasonal naive: %+v", s)
	}
}

func TestSeasonalNaivesOfAnHourAndAWeek(t *testing.T) {
	y := make([]float64, 60)
	for i := range y {
		y[i] = float64(i) // a value names its slot
	}
	quarters, days := NewBaselines(y, 15*time.Minute), NewBaselines(y, 24*time.Hour)
	for _, tt := range []struct {
		name      string
		got, want float64
	}{
		{"the slot one step ahead, an hour before", quarters.SeasonalNaiveHour(20, 1), 17},
		{"a whole hour ahead it is the origin", quarters.SeasonalNaiveHour(20, 4), 20},
		{"five steps ahead, two hours before", quarters.SeasonalNaiveHour(20, 5), 17},
		{"in the first hour the persistence stands in", quarters.SeasonalNaiveHour(2, 1), 2},
		{"tomorrow, a week before", days.SeasonalNaiveWeek(20, 1), 14},
		{"eight days ahead, two weeks before", days.SeasonalNaiveWeek(20, 8), 14},
		{"in the first week the persistence stands in", days.SeasonalNaiveWeek(5, 1), 5},
		{"an hourly series has no hour", NewBaselines(y, time.Hour).SeasonalNaiveHour(20, 1), nan},
		{"a step of seven minutes does not divide an hour", NewBaselines(y, 7*time.Minute).SeasonalNaiveHour(20, 1), nan},
		{"nor does a step of two days divide a week", NewBaselines(y, 48*time.Hour).SeasonalNaiveWeek(20, 1), nan},
	} {
		if !near(tt.got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, tt.got, tt.want)
		}
	}
}

func TestABaselineIsScoredWhereTheStepAndTheHistoryAllow(t *testing.T) {
	y := make([]float64, 3000)
	for i := range y {
		y[i] = float64(1 + i%7)
	}
	for _, tt := range []struct {
		name         string
		step         time.Duration
		first, steps int // slot of the first case's origin
		want         []string
	}{
		{"five minutes, more than a week of history", 5 * time.Minute, 2100, 1, []string{Persistence, SeasonalNaiveDay, SeasonalNaiveHour, SeasonalNaiveWeek}},
		{"exactly a week before the first slot", 5 * time.Minute, 2015, 1, []string{Persistence, SeasonalNaiveDay, SeasonalNaiveHour, SeasonalNaiveWeek}},
		{"one slot less than a week", 5 * time.Minute, 2014, 1, []string{Persistence, SeasonalNaiveDay, SeasonalNaiveHour}},
		{"hourly", time.Hour, 200, 12, []string{Persistence, SeasonalNaiveDay, SeasonalNaiveWeek}},
		{"a step that divides a week and no hour", 7 * time.Minute, 2900, 1, []string{Persistence, SeasonalNaiveDay, SeasonalNaiveWeek}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var cases []Case
			for origin := tt.first; origin+tt.steps < len(y); origin++ {
				cases = append(cases, Case{Origin: origin, Actual: y[origin+tt.steps], Forecast: y[origin]})
			}
			got := Horizon(cases, nil, tt.steps, tt.step, NewBaselines(y, tt.step), 1)
			if names := slices.Sorted(maps.Keys(got.Baselines)); !slices.Equal(names, tt.want) {
				t.Errorf("got %v, want %v", names, tt.want)
			}
		})
	}
	if got := Horizon(nil, nil, 1, 5*time.Minute, NewBaselines(y, 5*time.Minute), 1); got.N != 0 || !math.IsNaN(got.Model.Skill) || len(got.Baselines) != 2 {
		t.Errorf("no cases: %+v", got)
	}
}

func TestSkillComparesWithThePersistence(t *testing.T) {
	y := []float64{10, 20, 10, 20, 10, 20}
	b := NewBaselines(y, 12*time.Hour) // two slots a day: the day before is exact, the persistence off by 10
	var cases []Case
	for origin := 1; origin < 5; origin++ {
		cases = append(cases, Case{Origin: origin, Actual: y[origin+1], Forecast: y[origin+1] + 4})
	}
	got := Horizon(cases, nil, 1, 12*time.Hour, b, 1)
	if !near(got.Model.Skill, 0.6) || !near(got.Baselines[Persistence].Skill, 0) || !near(got.Baselines[SeasonalNaiveDay].Skill, 1) {
		t.Errorf("model %v, %+v", got.Model.Skill, got.Baselines)
	}
	flat := Horizon([]Case{{Origin: 0, Actual: 3, Forecast: 4}}, nil, 1, time.Hour, NewBaselines([]float64{3, 3}, time.Hour), 1)
	if !math.IsNaN(flat.Model.Skill) {
		t.Errorf("over a perfect persistence the skill is %v", flat.Model.Skill)
	}
}

func TestCoverageIsPooledBySlots(t *testing.T) {
	share := func(v float64) *float64 { return &v }
	c80, c90 := PooledCoverage(
		models.HorizonScore{N: 30, Model: models.Score{Coverage80: share(0.8), Coverage90: share(1)}},
		models.HorizonScore{N: 10, Model: models.Score{Coverage80: share(0.4)}},
		models.HorizonScore{N: 1000}, // a point model
		models.HorizonScore{N: 0, Model: models.Score{Coverage80: share(nan)}},
	)
	if !near(c80, 0.7) || !near(c90, 1) {
		t.Errorf("got %v and %v, want 0.7 and 1", c80, c90)
	}
	if c80, c90 = PooledCoverage(); !math.IsNaN(c80) || !math.IsNaN(c90) {
		t.Errorf("of nothing: %v and %v", c80, c90)
	}
}

func TestSplitFloors(t *testing.T) {
	for n, want := range map[int]Split{
		0: {}, 1: {Test: 1}, 9: {6, 1, 2}, 10: {7, 1, 2}, 29: {20, 3, 6}, 4320: {3024, 432, 864}, 18050: {12635, 1805, 3610},
	} {
		got := NewSplit(n)
		if got != want {
			t.Errorf("NewSplit(%d) = %+v, want %+v", n, got, want)
		}
		counts := map[string]int{}
		for i := range n {
			counts[got.Part(i)]++
		}
		if counts[Train] != want.Train || counts[Validation] != want.Validation || counts[Test] != want.Test {
			t.Errorf("n %d: the parts hold %v, want %+v", n, counts, want)
		}
	}
}

func TestReportHasTheAgreedFields(t *testing.T) {
	half := 0.5
	r := Report{
		Target: "demand", StepSeconds: 300, Split: NewSplit(10),
		Horizons: []models.HorizonScore{{Steps: 1, Minutes: 5, N: 2, MAPESkipped: 1,
			Model:     models.Score{MAE: 1, Pinball: &half, Coverage80: &half, Coverage90: &half},
			Baselines: map[string]models.Score{Persistence: {MAE: 2}, SeasonalNaiveDay: {MAE: nan}}}},
		Training: Training{Epochs: 3, Seconds: 1.5, SamplesPerSecond: 1000}, Seed: 7, ModelSHA256: "abc",
	}
	r.Members = []Member{{Name: "linear", Weights: []float64{0.75}, Horizons: []models.HorizonScore{{Steps: 1, Minutes: 5, N: 2, Model: models.Score{MAE: 3, Skill: nan}}}}}
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, b.Bytes()); err != nil {
		t.Fatal(err)
	}
	zeros := `"rmse":0,"r2":0,"mape":0,"accuracy":0,"wape":0,"mase":0,"skill":0`
	want := `{"target":"demand","step_seconds":300,"split":{"train":7,"validation":1,"test":2},` +
		`"horizons":[{"steps":1,"minutes":5,"n":2,"mape_skipped":1,` +
		`"model":{"mae":1,` + zeros + `,"pinball":0.5,"coverage80":0.5,"coverage90":0.5},` +
		`"baselines":{"persistence":{"mae":2,` + zeros + `},"seasonal_naive_day":{"mae":null,` + zeros + `}}}],` +
		`"members":[{"name":"linear","weights":[0.75],"horizons":[{"steps":1,"minutes":5,"n":2,"mape_skipped":0,"model":{"mae":3,` +
		strings.Replace(zeros, `"skill":0`, `"skill":null`, 1) + `}}]}],` +
		`"training":{"epochs":3,"seconds":1.5,"samples_per_second":1000},"seed":7,"model_sha256":"abc"}`
	if compact.String() != want {
		t.Errorf("got  %s\nwant %s", compact.String(), want)
	}
}

func TestPredictionsAsCSV(t *testing.T) {
	at := time.Date(2026, 1, 31, 12, 5, 0, 0, time.UTC)
	p := Predictions{Levels: []float64{0.1, 0.5, 0.95}, Rows: []Prediction{
		{Timestamp: at, IssuedAt: at, Steps: 1, Actual: 0.1, Forecast: 1e21, Quantiles: []float64{1, 2, 3}, Split: Test},
		{Timestamp: at.Add(55 * time.Minute), IssuedAt: at, Steps: 12, Actual: 5, Forecast: -1, Quantiles: []float64{1, 2, 3}, Split: Validation},
	}}
	var b strings.Builder
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	want := `timestamp,issued_at,horizon_steps,actual,forecast,q0.1,q0.5,q0.95,split
2026-01-31T12:05:00Z,2026-01-31T12:05:00Z,1,0.1,1e+21,1,2,3,test
2026-01-31T13:00:00Z,2026-01-31T12:05:00Z,12,5,-1,1,2,3,validation
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	for name, spoil := range map[string]func(*Prediction){
		"a forecast that is not a number":       func(r *Prediction) { r.Forecast = nan },
		"an infinite quantile":                  func(r *Prediction) { r.Quantiles = []float64{1, 2, math.Inf(1)} },
		"a row without one quantile per level":  func(r *Prediction) { r.Quantiles = nil },
		"an actual value that was not observed": func(r *Prediction) { r.Actual = nan },
	} {
		row := p.Rows[0]
		spoil(&row)
		if err := (Predictions{Levels: p.Levels, Rows: []Prediction{row}}).Write(&b); err == nil {
			t.Errorf("%s was written", name)
		}
	}
}
