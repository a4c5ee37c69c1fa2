package fleet_test

import (
	"bytes"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/fleet"
)

func generate(t *testing.T, config fleet.GenerateConfig) *fleet.Trace {
	t.Helper()
	trace, err := fleet.Generate(config)
	must(t, err)
	return trace
}

func file(t *testing.T, trace *fleet.Trace) string {
	t.Helper()
	var b bytes.Buffer
	must(t, trace.WriteCSV(&b))
	return b.String()
}

func TestTheSameSeedGeneratesTheSameWorkload(t *testing.T) {
	a, b, c := generate(t, fleet.GenerateConfig{Seed: 1}), generate(t, fleet.GenerateConfig{Seed: 1}), generate(t, fleet.GenerateConfig{Seed: 2})
	if file(t, a) != file(t, b) {
		t.Error("the same seed differs")
	}
	if file(t, a) == file(t, c) {
		t.Error("another seed does not")
	}
}

// average returns the mean of the observed slots that pass.
func average(trace *fleet.Trace, pass func(at time.Time, slot int) bool) float64 {
	sum, n := 0.0, 0
	for i, v := range trace.Requests {
		if at := trace.Start.Add(time.Duration(i) * trace.Step); !math.IsNaN(v) && pass(at, i) {
			sum += v
			n++
		}
	}
	return sum / float64(n)
}

func TestAGeneratedWorkloadLooksLikeOne(t *testing.T) {
	for seed := range uint64(5) {
		trace := generate(t, fleet.GenerateConfig{Seed: seed, Days: 56})
		weekday := func(at time.Time) bool { return at.Weekday() >= time.Monday && at.Weekday() <= time.Friday }
		between := func(from, to int) float64 { // hours of a weekday without a sale
			return average(trace, func(at time.Time, i int) bool {
				return weekday(at) && at.Hour() >= from && at.Hour() < to && trace.Sale[i] == 0
			})
		}
		night, morning, lunch, afternoon := between(3, 5), between(10, 11), between(12, 13), between(15, 16)
		if night > 0.55*afternoon || lunch > 0.97*morning || lunch > 0.95*afternoon {
			t.Errorf("seed %d: night %.0f, morning %.0f, lunch %.0f, afternoon %.0f", seed, night, morning, lunch, afternoon)
		}
		office := func(at time.Time, i int) bool { return at.Hour() >= 9 && at.Hour() < 17 && trace.Sale[i] == 0 }
		week := average(trace, func(at time.Time, i int) bool { return weekday(at) && office(at, i) })
		end := average(trace, func(at time.Time, i int) bool { return !weekday(at) && office(at, i) })
		if end > 0.85*week {
			t.Errorf("seed %d: weekends %.0f, weekdays %.0f in office hours", seed, end, week)
		}
		onHour := average(trace, func(at time.Time, _ int) bool { return at.Minute() == 0 })
		before := average(trace, func(at time.Time, _ int) bool { return at.Minute() == 55 })
		after := average(trace, func(at time.Time, _ int) bool { return at.Minute() == 15 })
		if onHour < 1.12*before || onHour < 1.12*after {
			t.Errorf("seed %d: %.0f on the hour, %.0f before, %.0f after", seed, onHour, before, after)
		}
		sale := average(trace, func(_ time.Time, i int) bool { return trace.Sale[i] == 1 })
		plain := average(trace, func(at time.Time, i int) bool { return trace.Sale[i] == 0 && at.Hour() >= 9 && at.Hour() < 22 })
		if sale < 1.2*plain {
			t.Errorf("seed %d: %.0f in sales, %.0f otherwise", seed, sale, plain)
		}
	}
}

func TestGeneratedSalesAreInTheCalendar(t *testing.T) {
	trace := generate(t, fleet.GenerateConfig{Seed: 3, Days: 60})
	if len(trace.Events) < 5 {
		t.Fatalf("%d events in 60 days", len(trace.Events))
	}
	for i, flag := range trace.Sale {
		at := trace.Start.Add(time.Duration(i) * trace.Step)
		inEvent := 0.0
		for _, e := range trace.Events {
			if !at.Before(e.Start) && at.Before(e.End) {
				inEvent = e.Flags[fleet.FlagSale]
			}
		}
		if flag != inEvent {
			t.Fatalf("%v: flag %v, calendar %v", at, flag, inEvent)
		}
	}
}

func TestGeneratedDemandFitsAFleet(t *testing.T) {
	for seed := range uint64(10) {
		trace := generate(t, fleet.GenerateConfig{Seed: seed})
		d, err := trace.Demand()
		must(t, err)
		least, most := fleet.Required(slices.Min(d.Slots)), fleet.Required(slices.Max(d.Slots))
		if least < 3 || least > 5 || most < 16 || most > 30 {
			t.Errorf("seed %d: %d to %d instances needed", seed, least, most)
		}
		missing, longest, run := 0, 0, 0
		for _, m := range d.Missing {
			if run++; !m {
				run = 0
			} else {
				missing++
			}
			longest = max(longest, run)
		}
		if share := float64(missing) / float64(len(d.Missing)); share < 0.0005 || share > 0.05 || longest < 2 {
			t.Errorf("seed %d: %.2f %% missing, at most %d slots in a row", seed, 100*share, longest)
		}
	}
}

func TestASlotOfAnHourHoldsTheRequestsOfItsMinutes(t *testing.T) {
	peak := func(step time.Duration) float64 {
		trace := generate(t, fleet.GenerateConfig{Seed: 4, Step: step, Days: 28})
		return average(trace, func(time.Time, int) bool { return true }) / step.Minutes()
	}
	if ratio := peak(time.Hour) / peak(5*time.Minute); ratio < 0.85 || ratio > 1.15 {
		t.Errorf("mean rate by the hour is %.2f of that by five minutes", ratio)
	}
}

func TestAWorkloadThatCannotBeGeneratedIsRefused(t *testing.T) {
	for name, config := range map[string]fleet.GenerateConfig{
		"negative days":              {Days: -1},
		"too many days":              {Days: 1 << 30},
		"a step of seven minutes":    {Step: 7 * time.Minute},
		"a step of half a minute":    {Step: 30 * time.Second},
		"a step of two hours":        {Step: 2 * time.Hour},
		"a peak of minus one":        {PeakPerMinute: -1},
		"a peak that is not a value": {PeakPerMinute: math.NaN()},
	} {
		if _, err := fleet.Generate(config); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
