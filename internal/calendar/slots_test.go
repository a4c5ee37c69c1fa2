package calendar

import (
	"fmt"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
)

// The two flags of this test, as rules over the local clock. They share nothing
// with the calendar's code, which only knows instants.
func isHoliday(local time.Time) bool { return local.Day()%3 == 0 }
func isOpen(local time.Time) bool    { return local.Hour() >= 9 && local.Hour() < 17 }

// localCalendar writes both rules down as events of whole local days and hours.
func localCalendar(t *testing.T, zone *time.Location, first time.Time, days int) *Calendar {
	t.Helper()
	var events []api.Event
	for i := range days {
		y, m, d := first.Date()
		at := func(days, hour int) time.Time { return time.Date(y, m, d+i+days, hour, 0, 0, 0, zone) }
		if isHoliday(at(0, 12)) {
			events = append(events, api.Event{Name: "holiday", Start: at(0, 0), End: at(1, 0), Flags: map[string]float64{"is_holiday": 1}})
		}
		events = append(events, api.Event{Name: "open", Start: at(0, 9), End: at(0, 17), Flags: map[string]float64{"is_open": 1}})
	}
	c, err := New(events, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The guarantee of the package comment: in every slot that a window reads, be it
// past, lagged or ahead, a flag says what the local clock says at the slot's
// start, whatever the step, and on the days that have 23, 23½, 24½ or 25 hours.
func TestEverySlotOfAWindowHasTheFlagOfItsOwnLocalTime(t *testing.T) {
	for _, tt := range []struct{ zone, change, what string }{
		{"Europe/Berlin", "2026-03-29", "the clock goes forward"},
		{"Europe/Berlin", "2026-10-25", "the clock goes back"},
		{"America/New_York", "2026-03-08", "the clock goes forward"},
		{"America/New_York", "2026-11-01", "the clock goes back"},
		{"Australia/Lord_Howe", "2026-04-05", "the clock goes back by half an hour"},
		{"Australia/Lord_Howe", "2026-10-04", "the clock goes forward by half an hour"},
		{"Asia/Kolkata", "2026-10-25", "days begin on a half hour"},
		{"UTC", "2026-12-31", "nothing changes"},
	} {
		zone, err := time.LoadLocation(tt.zone)
		if err != nil {
			t.Fatal(err)
		}
		change, err := time.Parse(time.DateOnly, tt.change)
		if err != nil {
			t.Fatal(err)
		}
		c := localCalendar(t, zone, change.AddDate(0, 0, -12), 24)
		for _, step := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour} {
			t.Run(fmt.Sprintf("%s in %s by %s", tt.what, tt.zone, step), func(t *testing.T) {
				checkWindows(t, c, zone, step, change.AddDate(0, 0, -1), change.AddDate(0, 0, 2))
			})
		}
	}
}

// checkWindows compares every flag of the windows that end in [from, to).
func checkWindows(t *testing.T, c *Calendar, zone *time.Location, step time.Duration, from, to time.Time) {
	t.Helper()
	day := int(24 * time.Hour / step)
	spec := models.Spec{
		Target: "demand", StepSeconds: int(step.Seconds()), Lookback: 3, Horizon: 2,
		Series: []string{"demand", "is_holiday", "is_open"}, Future: []string{"is_holiday", "is_open"},
		Lags: []models.Lag{{Series: "is_holiday", Offsets: []int{2, 2 + 2*day}}, {Series: "is_open", Offsets: []int{2, 2 + 2*day}}},
	}
	if err := spec.Validate(); err != nil {
		t.Fatal(err)
	}
	g := &window.Grid{Group: "web", Start: from, Step: step, Columns: map[string]api.Series{"demand": make(api.Series, int(to.Sub(from)/step))}}
	seen := map[float64]bool{} // values of the holiday
	expect := func(name, where string, slot int, got float64) {
		t.Helper()
		local := g.Time(slot).In(zone)
		want := 0.0
		if name == "is_holiday" && isHoliday(local) || name == "is_open" && isOpen(local) {
			want = 1
		}
		if got != want {
			t.Fatalf("%s %s at %s: got %v, want %v", where, name, local, got, want)
		}
		if name == "is_holiday" {
			seen[got] = true
		}
	}
	for newest := spec.Lookback - 1; newest < g.Len(); newest++ {
		w, err := window.Slide(spec, g, c, newest)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range spec.Future {
			for i, v := range w.Series[name] {
				expect(name, "past", newest-spec.Lookback+1+i, v)
			}
			for k, v := range w.Future[name] {
				expect(name, "future", newest+k, v)
			}
			for offset, values := range w.Lags[name] {
				for k, v := range values {
					expect(name, "lagged", newest+k-offset, v)
				}
			}
		}
	}
	if len(seen) != 2 {
		t.Errorf("the flag never changed: %v", seen)
	}
}

// The other half of the guarantee: what lies between two slots' starts is unseen.
func TestAnEventBetweenTwoSlotsIsSeenOnlyByAFinerGrid(t *testing.T) {
	c := parse(t, `{"events": [{"name": "flash sale", "start": "2026-07-01T12:10:00Z", "end": "2026-07-01T12:50:00Z", "flags": ["is_sale_active"]}]}`)
	for step, want := range map[time.Duration]int{time.Hour: 0, 30 * time.Minute: 1, 5 * time.Minute: 8} {
		slots := 0
		for at := day; at.Before(day.AddDate(0, 0, 1)); at = at.Add(step) {
			slots += int(c.Flag("is_sale_active", at))
		}
		if slots != want {
			t.Errorf("a step of %s: %d slots see the sale, want %d", step, slots, want)
		}
	}
}
