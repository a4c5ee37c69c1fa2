package plan

import (
	"math"
	"reflect"
	"testing"
	"time"
)

func TestAnOrderAndAReleaseAnswerForTheirTime(t *testing.T) {
	minute := time.Minute
	for name, c := range map[string]struct {
		step, lead, delay time.Duration
		steps             int
		order, hold       span
	}{
		"five minutes, and one to carry it out": {5 * minute, 5 * minute, minute, 3,
			span{{2, 0.8}, {3, 0.2}}, span{{1, 4. / 14}, {2, 5. / 14}, {3, 5. / 14}}},
		"instances that serve at once": {5 * minute, 0, 0, 3, span{{1, 1}}, span{{1, 1. / 3}, {2, 1. / 3}, {3, 1. / 3}}},
		"slots of an hour":             {60 * minute, 6 * minute, 0, 2, span{{1, 0.9}, {2, 0.1}}, span{{1, 60. / 66}, {2, 6. / 66}}},
		"a start longer than a quarter of an hour": {5 * minute, 15 * minute, 0, 4,
			span{{4, 1}}, span{{1, 0.25}, {2, 0.25}, {3, 0.25}, {4, 0.25}}},
		"a forecast that ends before the quarter of an hour": {5 * minute, 0, 0, 2, span{{1, 1}}, span{{1, 1. / 3}, {2, 2. / 3}}},
		"times that make no sense":                           {5 * minute, -minute, -minute, 3, span{{1, 1}}, span{{1, 1. / 3}, {2, 1. / 3}, {3, 1. / 3}}},
	} {
		order, hold := Group{Step: c.step, Lead: c.lead, Delay: c.delay}.spans(c.steps)
		for what, got := range map[string][2]span{"order": {order, c.order}, "hold": {hold, c.hold}} {
			sum, same := 0.0, len(got[0]) == len(got[1])
			for i, s := range got[0] {
				sum += s.Weight
				same = same && s.Step == got[1][i].Step && math.Abs(s.Weight-got[1][i].Weight) < 1e-9
			}
			if !same || math.Abs(sum-1) > 1e-9 {
				t.Errorf("%s: %s answers for %v, want %v", name, what, got[0], got[1])
			}
		}
	}
}

func TestTheReachIsWhatHasBeenSeenAndABit(t *testing.T) {
	days := func(demands ...float64) (c Calibration) {
		for i, d := range demands {
			c = c.learn(noon.AddDate(0, 0, i), d, step)
		}
		return c
	}
	for name, c := range map[string]struct {
		past Calibration
		want float64
	}{
		"six days are too few":               {days(1, 1, 9, 1, 1, 1), math.Inf(1)},
		"the greatest of a week":             {days(1, 1, 10, 1, 1, 1, 1), 11},
		"the newest, when they are near it":  {days(1, 1, 1, 1, 8, 1, 1), 12},
		"what is three slots old is not new": {days(1, 1, 1, 8, 1, 1, 1), 8.8},
		"what is two weeks old is forgotten": {days(90, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), 1.5},
		"what is a day less old is not":      {days(90, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), 99},
	} {
		if got := c.past.reach(); got != c.want && math.Abs(got-c.want) > 1e-5 {
			t.Errorf("%s: %g, want %g", name, got, c.want)
		}
	}
	if got := days(3, 1, 2).usual(); got != 2 {
		t.Errorf("the usual peak is %g", got)
	}
}

func TestPeaksAreOfUTCDays(t *testing.T) {
	var c Calibration
	c = c.learn(noon.Truncate(24*time.Hour).Add(-step), 1, step)
	c = c.learn(noon.Truncate(24*time.Hour), 2, step)
	c = c.learn(noon, 5, step)
	c = c.learn(noon.Add(step), 4, step)
	if want := []Peak{{20513, 1}, {20514, 5}}; !reflect.DeepEqual(c.Peaks, want) {
		t.Errorf("got %v, want %v", c.Peaks, want)
	}
}
