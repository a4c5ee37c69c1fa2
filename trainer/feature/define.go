package feature

import (
	"fmt"
	"time"

	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
)

// kind says how a feature is made of the values that it taps.
type kind uint8

const (
	change    kind = iota // T(y_a) - T(y_0) of one age
	average               // mean over the ages of T(y_a), - T(y_0)
	roughness             // mean over the ages of |T(y_a) - T(y_(a+1))|
	other                 // x_a - x_0 of another series
	plain                 // a value as it is
	kinds
)

// levelColumn, as a definition's column, is the target's newest value itself on
// the scale of the mode.
const levelColumn = -2

// definition is a feature before it is known where its values lie in a row.
type definition struct {
	name   string
	ahead  int // slots ahead that it belongs to; 0: to all
	kind   kind
	series string // of the ages
	ages   []int  // slots before the origin
	column int    // of plain, in the context row, or levelColumn; -1: the age of series is meant
}

// periods are the cycles that a step of a given length can show, in slots; 0 for
// one that is shorter than two slots or no whole number of them.
type periods struct{ hour, day, week int }

func periodsOf(step time.Duration) periods {
	whole := func(d time.Duration) int {
		if d%step != 0 || d < 2*step {
			return 0
		}
		return int(d / step)
	}
	return periods{whole(time.Hour), whole(24 * time.Hour), whole(7 * 24 * time.Hour)}
}

// before returns the n-th smallest age, at the origin or before it, that lies a
// whole number of periods before the slot k ahead: where k is more than a period,
// n = 1 is not one period before that slot but the first that the origin knows.
func before(period, n, k int) int {
	return period*(max(1, (k+period-1)/period)+n-1) - k
}

const (
	profileDays  = 7 // days of a profile
	profileWeeks = 4
	neighbours   = 2  // slots beside the one a day ago
	dayBlocks    = 6  // places at which the last day's mean is sampled, an hour each
	otherLags    = 12 // ages of another series
	ownLags      = 36 // ages of the target
)

// define returns every feature that a spec of this target, step, lookback,
// horizon, series, future flags and calendar could have. Lags are not looked at:
// whether a feature can be had is up to resolve.
func define(spec models.Spec) []definition {
	d := definer{spec: spec, periods: periodsOf(spec.Step())}
	d.origin()
	for k := 1; k <= spec.Horizon; k++ {
		d.at(k)
	}
	return d.list
}

type definer struct {
	spec    models.Spec
	periods periods
	list    []definition
}

func (d *definer) add(kind kind, ahead int, series string, name string, ages ...int) {
	d.list = append(d.list, definition{name: name, ahead: ahead, kind: kind, series: series, ages: ages, column: -1})
}

// origin adds what belongs to all steps ahead.
func (d *definer) origin() {
	y, p := d.spec.Target, d.periods
	d.list = append(d.list, definition{name: "level", kind: plain, column: levelColumn})
	for a := 1; a < min(ownLags, d.spec.Lookback); a++ {
		d.add(change, 0, y, fmt.Sprintf("lag %d", a), a)
	}
	for _, n := range []int{3, 12, 36} {
		if n <= d.spec.Lookback {
			d.add(average, 0, y, fmt.Sprintf("mean of %d", n), span(0, n)...)
		}
		if n < d.spec.Lookback {
			d.add(roughness, 0, y, fmt.Sprintf("roughness of %d", n), span(0, n)...)
		}
	}
	if ages := dayAges(p, d.spec.Lookback); ages != nil {
		d.add(average, 0, y, "mean of the day", ages...)
	}
	d.seasonal(0)
	for _, name := range d.spec.Series[1:] {
		if window.IsFlag(d.spec, name) {
			continue
		}
		for a := 1; a < min(otherLags, d.spec.Lookback); a++ {
			d.add(other, 0, name, fmt.Sprintf("%s lag %d", name, a), a)
		}
		d.add(plain, 0, name, name, 0)
	}
	d.calendar()
}

// at adds what belongs to the slot k ahead.
func (d *definer) at(k int) {
	if p := d.periods; p.day > 0 {
		for n := 1; n <= neighbours; n++ {
			for _, shift := range []int{-n, n} {
				d.add(change, k, d.spec.Target, fmt.Sprintf("day ago %+d at +%d", -shift, k), max(0, before(p.day, 1, k)+shift))
			}
		}
	}
	d.seasonal(k)
}

// seasonal adds the values whole days and weeks before the slot k ahead, 0 being
// the origin itself, the profiles made of them, and the flags of those slots.
func (d *definer) seasonal(k int) {
	y, p := d.spec.Target, d.periods
	suffix := ""
	if k > 0 {
		suffix = fmt.Sprintf(" at +%d", k)
	}
	if p.day > 0 {
		var days []int
		for n := 1; n <= profileDays; n++ {
			age := before(p.day, n, k)
			days = append(days, age)
			if n <= 3 {
				d.add(change, k, y, fmt.Sprintf("%d days ago%s", n, suffix), age)
			}
			if n == 3 || n == profileDays {
				d.add(average, k, y, fmt.Sprintf("mean of %d days%s", n, suffix), days...)
			}
		}
	}
	if p.week > 0 {
		var weeks []int
		for n := 1; n <= profileWeeks; n++ {
			age := before(p.week, n, k)
			weeks = append(weeks, age)
			if n <= 2 {
				d.add(change, k, y, fmt.Sprintf("%d weeks ago%s", n, suffix), age)
			}
		}
		d.add(average, k, y, fmt.Sprintf("mean of %d weeks%s", profileWeeks, suffix), weeks...)
	}
	for _, flag := range d.spec.Future {
		if p.day > 0 {
			d.add(plain, k, flag, flag+" a day before"+suffix, before(p.day, 1, k))
		}
		if p.week > 0 {
			d.add(plain, k, flag, flag+" a week before"+suffix, before(p.week, 1, k))
		}
	}
}

// calendar adds the flags and the calendar's features, which follow the lags in
// the context row.
func (d *definer) calendar() {
	names := window.ContextNames(d.spec)
	aheads := window.ContextAhead(d.spec)
	for column := laggedColumns(d.spec); column < len(names); column++ {
		d.list = append(d.list, definition{name: names[column], ahead: aheads[column], kind: plain, column: column})
	}
}

// span returns from, from+1, …, to-1.
func span(from, to int) []int {
	ages := make([]int, 0, to-from)
	for a := from; a < to; a++ {
		ages = append(ages, a)
	}
	return ages
}

// dayAges returns the ages whose mean stands for the last day's: all of them
// where the lookback holds a day, otherwise an hour at each of dayBlocks places.
// Whole hours, so that a cycle of an hour does not shift the mean. It is nil for
// a step that no day is a whole number of.
func dayAges(p periods, lookback int) []int {
	switch {
	case p.day == 0:
		return nil
	case p.day <= lookback:
		return span(0, p.day)
	}
	hour := max(1, p.hour)
	var ages []int
	for i := range dayBlocks {
		first := (i + 1) * p.day / dayBlocks // the last block ends where the day does
		ages = append(ages, span(first-hour, first)...)
	}
	return ages
}
