package fleet_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/fleet"
)

// billed runs a controller over a demand by minutes, from minute 0 on, and returns
// what was billed.
func billed(t *testing.T, c fleet.Controller, lead int, parts ...stretch[float64]) []int {
	t.Helper()
	d := byMinute(join(parts...))
	run, err := fleet.Simulate(d, c, 0, d.Minutes(), lead)
	if err != nil {
		t.Fatal(err)
	}
	return run.Billed
}

func TestTargetTrackingWaitsForItsAlarms(t *testing.T) {
	// 6 begin on 10 instances, 60 %. From minute 10 on 9 come: 90 %, seen at 12, 13
	// and 14, which calls for 9/0.6 = 15, in service from 19 on.
	same(t, "scaling out", billed(t, fleet.NewTargetTracking(0.6), 5, stretch[float64]{6, 10}, stretch[float64]{9, 20}),
		join(stretch[int]{10, 14}, stretch[int]{15, 16}))

	// From minute 10 on 3 come: 30 %, below 54 %, for the 15th time at minute 24,
	// which is seen at 26; 5 remain, 60 %.
	same(t, "scaling in", billed(t, fleet.NewTargetTracking(0.6), 5, stretch[float64]{6, 10}, stretch[float64]{3, 30}),
		join(stretch[int]{10, 26}, stretch[int]{5, 14}))

	// A lull of 14 minutes is too short.
	same(t, "a short lull", billed(t, fleet.NewTargetTracking(0.6), 5, stretch[float64]{6, 10}, stretch[float64]{3, 14}, stretch[float64]{6, 16}),
		join(stretch[int]{10, 40}))

	// The highest of the 15 minutes counts: 4.8 on 10 instances need 8.
	same(t, "the highest minute of a lull", billed(t, fleet.NewTargetTracking(0.6), 5, stretch[float64]{6, 10}, stretch[float64]{3, 7}, stretch[float64]{4.8, 1}, stretch[float64]{3, 9}),
		join(stretch[int]{10, 26}, stretch[int]{8, 1}))
}

func TestHPAFollowsTheRatioAndHoldsOnTheWayDown(t *testing.T) {
	// 9 on 10 instances: a ratio of 1.5 asks for 15 as soon as minute 10 was seen.
	// While 5 start, 9/15 is the target itself. At minute 16 they serve, and the
	// ratio of minute 15 is taken over them too: 1.5·15. That is how the rule is
	// defined, and where it overshoots.
	same(t, "scaling out", billed(t, fleet.NewHPA(0.6), 5, stretch[float64]{6, 10}, stretch[float64]{9, 10}),
		join(stretch[int]{10, 11}, stretch[int]{15, 5}, stretch[int]{23, 4}))

	// 4 on 10 instances: a ratio of 0.67 asks for 7 at minute 11, but minutes 6 to 10
	// asked for 10; minute 16 is the first that remembers none of them.
	same(t, "scaling in", billed(t, fleet.NewHPA(0.6), 5, stretch[float64]{6, 10}, stretch[float64]{4, 10}),
		join(stretch[int]{10, 16}, stretch[int]{7, 4}))

	// 6.5 on 10 instances is within 10 % of the target.
	same(t, "within the tolerance", billed(t, fleet.NewHPA(0.6), 5, stretch[float64]{6, 10}, stretch[float64]{6.5, 10}),
		join(stretch[int]{10, 20}))

	// From minute 12 on 12 come, while 5 start: all 10 in service are saturated, which
	// over 15 is a ratio of 10/9, above the tolerance; over 17 it is not.
	same(t, "scaling out while instances start", billed(t, fleet.NewHPA(0.6), 5, stretch[float64]{6, 10}, stretch[float64]{9, 2}, stretch[float64]{12, 4}),
		join(stretch[int]{10, 11}, stretch[int]{15, 2}, stretch[int]{17, 3}))
}

func TestThePredictiveBaselineHasTheFloorOfItsPastDays(t *testing.T) {
	// Nine days at 3, but for the hour from 10:00 on at 12.
	var slots []float64
	for i := range 9 * 24 * 12 {
		demand := 3.0
		if i/12%24 == 10 {
			demand = 12
		}
		slots = append(slots, demand)
	}
	d := &fleet.Demand{Start: monday, Step: 5 * time.Minute, Slots: slots, Missing: make([]bool, len(slots)), Unit: 1}
	day := 8 * 24 * 60
	run, err := fleet.Simulate(d, fleet.NewAWSPredictive(0.6, 5), day, day+24*60, 5)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name         string
		minute, want int
	}{
		{"before the hour", 9*60 + 54, 5},
		{"ordered the lead time ahead", 9*60 + 55, 20},
		{"kept until it ends", 10*60 + 59, 20},
		{"and for the alarm's 15 minutes and its delay after that", 11*60 + 15, 20},
		{"no longer", 11*60 + 16, 5},
	} {
		if got := run.Billed[c.minute]; got != c.want {
			t.Errorf("%s: %d instances, want %d", c.name, got, c.want)
		}
	}
	// On the first day there is no past, and nothing but target tracking.
	begin, err := fleet.Simulate(d, fleet.NewAWSPredictive(0.6, 5), 0, 24*60, 5)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := fleet.Simulate(d, fleet.NewTargetTracking(0.6), 0, 24*60, 5)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the first day", begin.Billed, plain.Billed)
}

func TestTheRuleOnAForecastStepsByTheForecast(t *testing.T) {
	// The load is level at 60 %, and a forecast says 9 on 10 instances for the slots
	// after slot 2 and 3, nothing otherwise.
	d := flat(10, 6)
	rule := fleet.Rule{High: 0.7, Low: 0.35, Next: func(slot int) float64 {
		if slot == 2 || slot == 3 {
			return 9
		}
		return math.NaN()
	}}
	run, err := fleet.Simulate(d, rule, 0, 50, 5)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "billed", run.Billed, join(stretch[int]{10, 16}, stretch[int]{11, 5}, stretch[int]{12, 29}))
}

func TestTheStaticPeakCoversWhatCameBeforeTheScoredPart(t *testing.T) {
	d := byMinute(append(slices.Repeat([]float64{9}, 8), 100, 100))
	if got := fleet.StaticPeak(d); got != 10 {
		t.Errorf("%d instances, want 9/0.9", got)
	}
}

// curious asks for what it may not see.
type curious func(v fleet.View)

func (c curious) Decide(v fleet.View) int {
	c(v)
	return fleet.MinInstances
}

func TestAControllerSeesNoMinuteThatHasNotRun(t *testing.T) {
	for name, ask := range map[string]curious{
		"utilisation": func(v fleet.View) { v.UtilisationAt(v.Minute()) },
		"in service":  func(v fleet.View) { v.InServiceAt(v.Minute()) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: the minute to come could be seen", name)
				}
			}()
			_, _ = fleet.Simulate(flat(10, 3), ask, 0, 50, 5)
		}()
	}
}

func TestThePlanOfASimulationJudgesAsItsRun(t *testing.T) {
	trace, err := fleet.Generate(fleet.GenerateConfig{Seed: 5, Days: 10})
	if err != nil {
		t.Fatal(err)
	}
	d, err := trace.Demand()
	if err != nil {
		t.Fatal(err)
	}
	from, to := d.ScoreStart()*d.SlotMinutes(), d.Minutes()
	demand, scored := d.Window(from, to)
	for name, c := range map[string]fleet.Controller{
		"static peak":     fleet.StaticPeak(d), // orders in the very first minute
		"reference rule":  fleet.ReferenceRule,
		"target tracking": fleet.NewTargetTracking(0.6),
		"hpa":             fleet.NewHPA(0.6),
		"aws predictive":  fleet.NewAWSPredictive(0.6, 5),
	} {
		run, plan, err := fleet.SimulatePlan(d, c, from, to, 5)
		if err != nil {
			t.Fatal(err)
		}
		if want := d.Time(from - 24*60); !plan[0].Time.Equal(want) {
			t.Errorf("%s: the plan begins at %s, want the warm-up's first minute %s", name, plan[0].Time, want)
		}
		verdict, err := fleet.Judge(d, plan, 5)
		if err != nil {
			t.Fatal(err)
		}
		if want := fleet.Measure(demand, scored, run); verdict.Metrics != want {
			t.Errorf("%s: the plan gives %+v, the run %+v", name, verdict.Metrics, want)
		}
	}
}

func TestACurveKeepsWhatNothingDominates(t *testing.T) {
	c := fleet.NewCurve([]fleet.Point{
		{4, 60, 0.9}, {0, 100, 0.3}, {1, 80, 0.5}, {1, 80, 0.6}, {2, 90, 0.55}, {1, 85, 0.4},
	})
	want := fleet.Curve{{0, 100, 0.3}, {1, 80, 0.5}, {4, 60, 0.9}}
	if !slices.Equal(c, want) {
		t.Fatalf("curve %v, want %v", c, want)
	}
	for _, x := range []struct {
		name string
		ask  func(float64) (float64, bool)
		at   float64
		want float64
		ok   bool
	}{
		{"hours at a point", c.HoursAt, 1, 80, true},
		{"hours between two points", c.HoursAt, 0.5, 90, true},
		{"hours at more violations than any setting has", c.HoursAt, 10, 60, true},
		{"violations at a point", c.ViolationAt, 80, 1, true},
		{"violations between two points", c.ViolationAt, 70, 2.5, true},
		{"violations at more hours than any setting needs", c.ViolationAt, 101, 0, false},
		{"violations at fewer hours than any setting needs", c.ViolationAt, 59, 0, false},
		{"hours at fewer violations than any setting has", c[1:].HoursAt, 0.5, 0, false},
		{"hours of no curve", fleet.Curve(nil).HoursAt, 1, 0, false},
	} {
		if got, ok := x.ask(x.at); ok != x.ok || ok && got != x.want {
			t.Errorf("%s: %v (%v), want %v (%v)", x.name, got, ok, x.want, x.ok)
		}
	}
}
