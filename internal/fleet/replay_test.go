package fleet_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/fleet"
)

// stretch is a run of equal values.
type stretch[T any] struct {
	value T
	n     int
}

func join[T any](parts ...stretch[T]) []T {
	var all []T
	for _, p := range parts {
		all = append(all, slices.Repeat([]T{p.value}, p.n)...)
	}
	return all
}

// byMinute returns a demand whose slots are minutes.
func byMinute(demand []float64, missing ...int) *fleet.Demand {
	d := &fleet.Demand{Start: monday, Step: time.Minute, Slots: demand, Missing: make([]bool, len(demand)), Unit: 1}
	for _, m := range missing {
		d.Missing[m] = true
	}
	return d
}

func scored(d *fleet.Demand) []bool {
	s := make([]bool, d.Minutes())
	for m := range s {
		s[m] = d.Scored(m)
	}
	return s
}

// plan makes a plan from pairs of minute and desired capacity.
func plan(pairs ...[2]int) fleet.Plan {
	var p fleet.Plan
	for _, x := range pairs {
		p = append(p, fleet.Order{Time: monday.Add(time.Duration(x[0]) * time.Minute), Desired: x[1]})
	}
	return p
}

func near(t *testing.T, name string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-6 {
		t.Errorf("%s = %v, want %v", name, got, want)
	}
}

func same(t *testing.T, name string, got, want []int) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s = %v, want %v", name, got, want)
	}
}

func TestWorkedExampleAWithALateOrderAndATimelyOracle(t *testing.T) {
	d := byMinute(join(stretch[float64]{1.7, 10}, stretch[float64]{2.6, 10}, stretch[float64]{0.9, 10}))
	run, err := fleet.Replay(d, plan([2]int{0, 2}, [2]int{12, 3}, [2]int{22, 2}), 0, 30, 5)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "in service", run.InService, join(stretch[int]{2, 17}, stretch[int]{3, 5}, stretch[int]{2, 8}))
	same(t, "billed", run.Billed, join(stretch[int]{2, 12}, stretch[int]{3, 10}, stretch[int]{2, 8}))
	m := fleet.Measure(d.Slots, scored(d), run)
	if m.ViolationMinutes != 7 || m.Actions != 2 || m.ScaleOuts != 1 || m.ScaleIns != 1 {
		t.Errorf("violations %d, actions %d (%d out, %d in), want 7 and 2 (1, 1)", m.ViolationMinutes, m.Actions, m.ScaleOuts, m.ScaleIns)
	}
	near(t, "violation %", m.ViolationPct, 23.333333)
	near(t, "unserved %", m.UnservedPct, 8.076923)
	near(t, "instance-hours", m.InstanceHours, 1.166667)
	near(t, "in-service hours", m.InServiceHours, 1.083333)
	near(t, "theta_U", m.ThetaU, 7.777778)
	near(t, "theta_O", m.ThetaO, 3.333333)
	near(t, "tau_U", m.TauU, 23.333333)
	near(t, "tau_O", m.TauO, 6.666667)
	near(t, "instability", m.Instability, 13.793103)
	near(t, "reversals a day", m.ReversalsPerDay, 48)

	oracle := fleet.Oracle(d.Slots, 0, 5)
	same(t, "oracle in service", oracle.InService, join(stretch[int]{2, 10}, stretch[int]{3, 10}, stretch[int]{2, 10}))
	best := fleet.Measure(d.Slots, scored(d), oracle)
	if best.ViolationMinutes != 0 {
		t.Errorf("the oracle has %d violations", best.ViolationMinutes)
	}
	near(t, "oracle instance-hours", best.InstanceHours, 1.25)
	near(t, "ratio", m.InstanceHours/best.InstanceHours, 0.933333)
}

func TestWorkedExampleBWithCancellationsAndAMissingSlot(t *testing.T) {
	d := byMinute(join(stretch[float64]{2, 5}, stretch[float64]{3.5, 5}, stretch[float64]{2, 5}, stretch[float64]{3.5, 5}), 10, 11, 12, 13, 14)
	run, err := fleet.Replay(d, plan([2]int{0, 3}, [2]int{6, 5}, [2]int{7, 6}, [2]int{8, 4}, [2]int{11, 3}, [2]int{15, 4}), 0, 20, 3)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "in service", run.InService, join(stretch[int]{3, 9}, stretch[int]{4, 2}, stretch[int]{3, 7}, stretch[int]{4, 2}))
	same(t, "billed", run.Billed, join(stretch[int]{3, 6}, stretch[int]{5, 1}, stretch[int]{6, 1}, stretch[int]{4, 3}, stretch[int]{3, 4}, stretch[int]{4, 5}))
	m := fleet.Measure(d.Slots, scored(d), run)
	if m.ScoredMinutes != 15 || m.ViolationMinutes != 7 || m.Actions != 5 {
		t.Errorf("scored %d, violations %d, actions %d, want 15, 7, 5", m.ScoredMinutes, m.ViolationMinutes, m.Actions)
	}
	near(t, "violation %", m.ViolationPct, 46.666667)
	near(t, "unserved %", m.UnservedPct, 7.777778)
	near(t, "instance-hours", m.InstanceHours, 0.95)
	near(t, "reversals a day", m.ReversalsPerDay, 144)

	short := fleet.Oracle(d.Slots, 0, 3)
	same(t, "billed when the gap is longer than the lead", short.Billed, join(stretch[int]{3, 2}, stretch[int]{4, 8}, stretch[int]{3, 2}, stretch[int]{4, 8}))
	same(t, "in service then", short.InService, join(stretch[int]{3, 5}, stretch[int]{4, 5}, stretch[int]{3, 5}, stretch[int]{4, 5}))
	long := fleet.Oracle(d.Slots, 0, 5)
	same(t, "billed when the gap is bridged", long.Billed, join(stretch[int]{4, 20}))
	same(t, "in service then", long.InService, join(stretch[int]{3, 5}, stretch[int]{4, 15}))
}

func TestTheOracleIsTheCheapestFleetWithoutViolations(t *testing.T) {
	const minutes, lead = 8, 2
	rng := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		demand := make([]float64, minutes)
		for m := range demand {
			demand[m] = float64(2+rng.IntN(3)) * fleet.Objective
		}
		// Every sequence of 2 to 4 instances, in service long enough in advance.
		cheapest := math.MaxInt
		for code := range int(math.Pow(3, minutes)) {
			cost, before, enough := 0, 0, true
			for m, c := 0, code; m < minutes; m, c = m+1, c/3 {
				n := 2 + c%3
				enough = enough && n >= fleet.Required(demand[m])
				cost += n
				if m > 0 {
					cost += max(0, n-before) * min(lead, m)
				}
				before = n
			}
			if enough {
				cheapest = min(cheapest, cost)
			}
		}
		total := 0
		for _, n := range fleet.Oracle(demand, 0, lead).Billed {
			total += n
		}
		if total != cheapest {
			t.Errorf("demand %v: the oracle costs %d, the cheapest fleet %d", demand, total, cheapest)
		}
	}
}

func TestDemandIsScaledByThePeakOfTheTrainingPart(t *testing.T) {
	values := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	d, err := fleet.NewDemand(monday, time.Minute, values)
	if err != nil {
		t.Fatal(err)
	}
	if d.TrainEnd() != 7 || d.ScoreStart() != 8 {
		t.Errorf("split at %d and %d, want 7 and 8", d.TrainEnd(), d.ScoreStart())
	}
	// The 99.5th percentile of 1 .. 7 is 1 + 0.995·6 = 6.97.
	near(t, "demand of the first slot", d.Slots[0], 12/6.97)
	near(t, "value of an instance-equivalent", d.Slots[3]*d.Unit, 4)

	values[1] = math.NaN()
	d, err = fleet.NewDemand(monday, 5*time.Minute, append([]float64{math.NaN(), math.NaN()}, values...))
	if err != nil {
		t.Fatal(err)
	}
	if !d.Start.Equal(monday.Add(10*time.Minute)) || len(d.Slots) != 10 {
		t.Errorf("start %v with %d slots: leading missing slots must be dropped", d.Start, len(d.Slots))
	}
	if !d.Missing[1] || d.Slots[1] != d.Slots[0] || d.Scored(5) || !d.Scored(10) {
		t.Error("a missing slot must carry the last value and not be scored")
	}
	if m := d.Minute(d.Start.Add(-time.Second)); m != -1 {
		t.Errorf("the second before the start is in minute %d, want -1", m)
	}
}

func TestBadInputIsAnErrorThatSaysWhere(t *testing.T) {
	d := byMinute(make([]float64, 100))
	for name, attempt := range map[string]func() error{
		"no value at all":    func() error { _, err := fleet.NewDemand(monday, time.Minute, []float64{math.NaN()}); return err },
		"slot 1 is -1":       func() error { _, err := fleet.NewDemand(monday, time.Minute, []float64{1, -1}); return err },
		"slot 0 is +Inf":     func() error { _, err := fleet.NewDemand(monday, time.Minute, []float64{math.Inf(1)}); return err },
		"must be positive":   func() error { _, err := fleet.NewDemand(monday, time.Minute, []float64{0, 0, 0}); return err },
		"whole number":       func() error { _, err := fleet.NewDemand(monday, 90*time.Second, []float64{1}); return err },
		"is empty":           func() error { _, err := fleet.Replay(d, nil, 0, 10, 5); return err },
		"begins at":          func() error { _, err := fleet.Replay(d, plan([2]int{5, 2}), 0, 10, 5); return err },
		"not within the 100": func() error { _, err := fleet.Replay(d, plan([2]int{0, 2}), 0, 101, 5); return err },
		"line 3: timestamp":  func() error { return readErr("timestamp,desired\n2026-03-02T00:00:00Z,2\nyesterday,2\n") },
		"line 2: desired":    func() error { return readErr("desired,timestamp\nmany,2026-03-02T00:00:00Z\n") },
		"desired \"NaN\"":    func() error { return readErr("timestamp,desired\n2026-03-02T00:00:00Z,NaN\n") },
		"desired \"1e300\"":  func() error { return readErr("timestamp,desired\n2026-03-02T00:00:00Z,1e300\n") },
		"lacks timestamp":    func() error { return readErr("time,desired\n") },
		"file: is empty":     func() error { return readErr("") },
	} {
		err := attempt()
		if name == "no value at all" {
			name = "none of the 1 slots has a value"
		}
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v does not contain %q", err, name)
		}
	}
}

func readErr(file string) error {
	_, err := fleet.ReadPlan(strings.NewReader(file))
	return err
}

func TestAPlanSurvivesItsFile(t *testing.T) {
	want := plan([2]int{0, 3}, [2]int{17, 60}, [2]int{17, 2})
	var b bytes.Buffer
	if err := want.Write(&b); err != nil {
		t.Fatal(err)
	}
	got, err := fleet.ReadPlan(&b)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("read %v (%v), wrote %v", got, err, want)
	}
}

func TestReplayingARunsPlanReproducesTheRun(t *testing.T) {
	trace, err := fleet.Generate(fleet.GenerateConfig{Seed: 5, Days: 10})
	if err != nil {
		t.Fatal(err)
	}
	d, err := trace.Demand()
	if err != nil {
		t.Fatal(err)
	}
	// From minute 0 on, so that the plan begins with nothing starting.
	run, err := fleet.Simulate(d, fleet.ReferenceRule, 0, d.Minutes(), 5)
	if err != nil {
		t.Fatal(err)
	}
	again, err := fleet.Replay(d, run.Plan(d), 0, d.Minutes(), 5)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "in service", again.InService, run.InService)
	same(t, "billed", again.Billed, run.Billed)
}

// spy records what a controller was shown.
type spy struct {
	t    *testing.T
	seen map[int]int // minute to visible slots
}

func (s *spy) Decide(v fleet.View) (desired int) {
	s.seen[v.Minute()] = v.Slots()
	if v.NewSlot() != (v.Minute() > 5 && (v.Minute()-1)%5 == 0) {
		s.t.Errorf("minute %d: new slot %v", v.Minute(), v.NewSlot())
	}
	defer func() {
		if recover() == nil {
			s.t.Errorf("minute %d: slot %d could be seen", v.Minute(), v.Slots())
		}
	}()
	v.Demand(v.Slots())
	return fleet.MinInstances
}

func TestAControllerSeesASlotOneMinuteAfterItsEnd(t *testing.T) {
	s := &spy{t, map[int]int{}}
	if _, err := fleet.Simulate(flat(10, 3), s, 0, 50, 5); err != nil {
		t.Fatal(err)
	}
	for minute, want := range map[int]int{0: 0, 5: 0, 6: 1, 10: 1, 11: 2, 49: 9} {
		if s.seen[minute] != want {
			t.Errorf("minute %d: %d slots visible, want %d", minute, s.seen[minute], want)
		}
	}
}

func TestTheReferenceRuleStepsByOneOnObservedUtilisation(t *testing.T) {
	// 6 instance-equivalents start on 10 instances: 60 %, no change. From minute 10
	// on there are 9. What each new slot shows, with an order in service after 5
	// minutes:
	//
	//	minute 16: slot 2, 10 instances: 90 %
	//	minute 21: slot 3, 10 instances: 90 %
	//	minute 26: slot 4, one minute of 10 and four of 11: 83.5 %
	//	minute 31: slot 5, one of 11 and four of 12: 76.4 %
	//	minute 36: slot 6, one of 12 and four of 13: 70.4 %
	//	minute 41: slot 7, one of 13 and four of 14: 65.3 %
	d := &fleet.Demand{Start: monday, Step: 5 * time.Minute, Slots: join(stretch[float64]{6, 2}, stretch[float64]{9, 8}), Missing: make([]bool, 10), Unit: 1}
	run, err := fleet.Simulate(d, fleet.ReferenceRule, 0, 50, 5)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "billed", run.Billed, join(stretch[int]{10, 16}, stretch[int]{11, 5}, stretch[int]{12, 5}, stretch[int]{13, 5}, stretch[int]{14, 5}, stretch[int]{15, 14}))
}
