package trainer

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/trainer/feature"
)

func TestNaivesForecastWhatTheBaselinesDo(t *testing.T) {
	g := history(6, 40)
	for _, horizon := range []int{1, 3, 14} { // beyond an hour
		c := quick(PresetDefault)
		c.Horizon = horizon
		s := unfitted(t, c, g)
		s.addNaives()
		b := score.NewBaselines(g.Columns["demand"], g.Step)
		seen := map[string]bool{}
		for _, m := range s.members {
			seen[m.late.name()] = true
			got := s.w.of(m.late)
			if &m.unseen[0] != &got[0] {
				t.Error("a naive has seen nothing; its forecasts are all unseen")
			}
			for i, origin := range s.w.origins {
				for k := 1; k <= horizon; k++ {
					want := map[string]float64{
						score.Persistence: b.Persistence(origin), score.SeasonalNaiveHour: b.SeasonalNaiveHour(origin, k),
						score.SeasonalNaiveDay: b.SeasonalNaiveDay(origin, k),
					}[m.late.name()]
					if got[i*horizon+k-1] != float32(want) {
						t.Fatalf("%s from slot %d, %d ahead: %v, want %v", m.late.name(), origin, k, got[i*horizon+k-1], want)
					}
				}
			}
		}
		if len(seen) != 3 { // no week fits into six days
			t.Errorf("%d ahead: the members are %v", horizon, seen)
		}
	}
}

func TestAWeeksNaiveNeedsWeeksOfHistory(t *testing.T) {
	g := history(32, 41)
	s := unfitted(t, quick(PresetDefault), g)
	s.addNaives()
	m := s.members[len(s.members)-1].late
	if m.name() != score.SeasonalNaiveWeek {
		t.Fatalf("the last naive is %s", m.name())
	}
	b := score.NewBaselines(g.Columns["demand"], g.Step)
	for i, origin := range s.w.origins {
		if got, want := s.w.of(m)[i*3+1], float32(b.SeasonalNaiveWeek(origin, 2)); got != want {
			t.Fatalf("from slot %d: %v, want %v", origin, got, want)
		}
	}
}

func TestNaivesOfAPeriodThatTheStepDoesNotShowAreNoMembers(t *testing.T) {
	g := history(40, 42)
	g.Step = time.Hour // 480 days
	s := unfitted(t, quick(PresetDefault), g)
	s.addNaives()
	for _, m := range s.members {
		if m.late.name() == score.SeasonalNaiveHour {
			t.Error("an hour is one slot")
		}
	}
	if len(s.members) != 3 {
		t.Errorf("%d naives", len(s.members))
	}
}

func TestTheMedianOfNetworksIsTakenElementByElement(t *testing.T) {
	for _, c := range []struct{ all, want []float32 }{
		{[]float32{3}, []float32{3}},
		{[]float32{3, 9}, []float32{6}},
		{[]float32{9, -1, 4}, []float32{4}},
		{[]float32{9, -1, 4, 5}, []float32{4.5}},
		{[]float32{9, -1, 4, 5, 5}, []float32{5}},
	} {
		var all [][]float32
		for _, v := range c.all {
			all = append(all, []float32{v, -v})
		}
		if got := middle(all); got[0] != c.want[0] || got[1] != -c.want[0] {
			t.Errorf("of %v: %v, want %v and its opposite", c.all, got, c.want[0])
		}
	}
}

// A correction of nothing is the base's forecast, and what it wants to hear leads
// to the truth.
func TestACorrectionLeadsFromTheBaseToTheTruth(t *testing.T) {
	s := unfitted(t, quick(PresetDefault), history(6, 43))
	base, ok := newNaive(score.SeasonalNaiveDay, s.spec, 288)
	if !ok {
		t.Fatal("no day")
	}
	for _, mode := range feature.Modes {
		c := newCorrection(s.w, s.sets[mode], base, s.fitRows[0], s.fitRows[1])
		l := c.inputs(s.w)
		c.wants(s.w, l)
		truth, nothing := c.forecasts(s.w, l.want), c.forecasts(s.w, make([]float32, len(l.want)))
		usual, n := 0.0, 0.0
		for i, y := range s.w.target {
			if !isKnown(y) {
				if l.weight[i] != 0 {
					t.Fatalf("%s: a target that nobody knows counts %v", mode, l.weight[i])
				}
				continue
			}
			if !near(truth[i], y, 10) || !near(nothing[i], s.w.of(base)[i], 10) {
				t.Fatalf("%s, target %d: %v where the truth is %v, and %v without a change from %v", mode, i, truth[i], y, nothing[i], s.w.of(base)[i])
			}
			if !(l.weight[i] > 0) {
				t.Fatalf("%s: an error at %d counts %v", mode, i, l.weight[i])
			}
			if i/s.spec.Horizon < s.fitRows[1] {
				usual += math.Abs(float64(l.want[i]))
				n++
			}
		}
		if usual /= n; math.Abs(usual-1) > 0.01 {
			t.Errorf("%s: the usual answer is %v, want 1", mode, usual)
		}
	}
}

func TestTheLateCorrectionStandsOnTheLateBase(t *testing.T) {
	s := unfitted(t, quick(PresetDefault), history(6, 44))
	base := candidate{early: s.last.early, late: &constants{"late", []float32{1, 2, 3}}}
	c := newCorrection(s.w, s.sets[feature.Raw], base.early, s.fitRows[0], s.fitRows[1])
	late := c.late(base).(*correction)
	if late.base != base.late || late == c || c.base != base.early || !slices.Equal(late.unit, c.unit) {
		t.Error("the late correction is not the early one on the late base")
	}
	if other := c.late(candidate{early: base.late, late: base.late}).(*correction); other.base != c.base {
		t.Error("a correction of persistence is moved to another base")
	}
}
