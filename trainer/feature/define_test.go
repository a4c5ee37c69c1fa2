package feature

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
)

// oracle computes features from the grid by their definition, one window at a
// time in float64, and knows nothing of rows, lags and taps.
type oracle struct {
	mode   Mode
	spec   models.Spec
	grid   *window.Grid
	origin int
	out    map[string]float64
	mean   float64 // of Ratio
	unit   float64 // of Log
}

func (o *oracle) at(series string, age int) float64 {
	if age < 0 {
		panic("the future of a series")
	}
	return o.grid.Columns[series][o.origin-age]
}

// change is T(y_age) - T(y_0).
func (o *oracle) change(age int) float64 {
	y, last := o.at(load, age), o.at(load, 0)
	switch o.mode {
	case Log:
		return math.Log1p(y/o.unit) - math.Log1p(last/o.unit)
	case Ratio:
		return (y - last) / o.mean
	}
	return y - last
}

func (o *oracle) average(ages ...int) float64 {
	sum := 0.0
	for _, a := range ages {
		sum += o.change(a)
	}
	return sum / float64(len(ages))
}

// cycle is the number of slots in a period, 0 when a step does not show it.
func (o *oracle) cycle(d time.Duration) int {
	if d%o.spec.Step() != 0 || d/o.spec.Step() < 2 {
		return 0
	}
	return int(d / o.spec.Step())
}

// ago is the age of the n-th newest known slot that lies whole periods before the
// slot k ahead.
func ago(period, n, k int) int {
	age := -k
	for age < 0 || age == -k {
		age += period
	}
	return age + (n-1)*period
}

// lastDay are the ages whose mean stands for the last day.
func (o *oracle) lastDay() (ages []int) {
	day, hour := o.cycle(24*time.Hour), max(1, o.cycle(time.Hour))
	for a := range day {
		if day <= o.spec.Lookback || (a%(day/6)) >= day/6-hour {
			ages = append(ages, a)
		}
	}
	return ages
}

func (o *oracle) seasonal(k int) {
	suffix := ""
	if k > 0 {
		suffix = fmt.Sprintf(" at +%d", k)
	}
	for _, p := range []struct {
		name     string
		period   int
		single   int
		profiles []int
	}{
		{"days", o.cycle(24 * time.Hour), 3, []int{3, 7}},
		{"weeks", o.cycle(7 * 24 * time.Hour), 2, []int{4}},
	} {
		if p.period == 0 {
			continue
		}
		for n := 1; n <= p.single; n++ {
			o.out[fmt.Sprintf("%d %s ago%s", n, p.name, suffix)] = o.change(ago(p.period, n, k))
		}
		for _, m := range p.profiles {
			var ages []int
			for n := 1; n <= m; n++ {
				ages = append(ages, ago(p.period, n, k))
			}
			o.out[fmt.Sprintf("mean of %d %s%s", m, p.name, suffix)] = o.average(ages...)
		}
		o.out[fmt.Sprintf("%s a %s before%s", sale, p.name[:len(p.name)-1], suffix)] = o.at(sale, ago(p.period, 1, k))
	}
}

// features are all features of the window, unscaled, by name.
func (o *oracle) features() map[string]float64 {
	o.out = map[string]float64{}
	day := o.cycle(24 * time.Hour)
	if ages := o.lastDay(); len(ages) > 0 {
		sum := 0.0
		for _, a := range ages {
			sum += o.at(load, a)
		}
		o.mean = sum / float64(len(ages))
	} else {
		for a := range o.spec.Lookback {
			o.mean += o.at(load, a) / float64(o.spec.Lookback)
		}
	}
	switch y := o.at(load, 0); o.mode {
	case Log:
		o.out["level"] = math.Log1p(y / o.unit)
	case Ratio:
		o.out["level"] = y / o.mean
	default:
		o.out["level"] = y
	}
	for a := 1; a < 36; a++ {
		o.out[fmt.Sprint("lag ", a)] = o.change(a)
	}
	for _, n := range []int{3, 12, 36} {
		var ages []int
		rough := 0.0
		for a := range n {
			ages = append(ages, a)
			if n < 36 {
				rough += math.Abs(o.change(a)-o.change(a+1)) / float64(n)
			}
		}
		o.out[fmt.Sprint("mean of ", n)] = o.average(ages...)
		if n < 36 { // the lookback ends there
			o.out[fmt.Sprint("roughness of ", n)] = rough
		}
	}
	if day > 0 {
		o.out["mean of the day"] = o.average(o.lastDay()...)
	}
	for a := 1; a < 12; a++ {
		o.out[fmt.Sprintf("%s lag %d", bytes, a)] = o.at(bytes, a) - o.at(bytes, 0)
	}
	o.out[bytes] = o.at(bytes, 0)
	for k := range 1 + o.spec.Horizon {
		o.seasonal(k)
		if k > 0 && day > 0 {
			for _, shift := range []int{-2, -1, 1, 2} {
				o.out[fmt.Sprintf("day ago %+d at +%d", -shift, k)] = o.change(max(0, ago(day, 1, k)+shift))
			}
		}
	}
	o.context()
	return o.out
}

// context adds flags and calendar.
func (o *oracle) context() {
	for k := range 1 + o.spec.Horizon {
		o.out[fmt.Sprintf("%s at +%d", sale, k)] = o.grid.Columns[sale][o.origin+k]
	}
	now := o.grid.Time(o.origin)
	wave := func(name string, phase float64, n int) {
		for h := 1; h <= n; h++ {
			o.out[fmt.Sprintf("%s sin%d", name, h)] = math.Sin(2 * math.Pi * phase * float64(h))
			o.out[fmt.Sprintf("%s cos%d", name, h)] = math.Cos(2 * math.Pi * phase * float64(h))
		}
	}
	hours := float64(now.Hour()) + float64(now.Minute())/60
	wave("hour_of_day", hours/24, 3)
	if o.spec.Step() < time.Hour {
		wave("minute_of_hour", float64(now.Minute())/60, 5)
	}
	for i, name := range []string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"} {
		o.out["day_of_week "+name] = map[bool]float64{true: 1}[(int(now.Weekday())+6)%7 == i]
	}
	o.out["weekend"] = map[bool]float64{true: 1}[now.Weekday() == time.Saturday || now.Weekday() == time.Sunday]
}

// standardised scales the feature v of one window as the windows all suggest:
// mean 0 and variance 1, nothing where it never varies, bent back; strictness times
// as large for one that bends back earlier.
func standardised(v float64, all []float64, strictness float64) float64 {
	mean, variance := 0.0, 0.0
	for _, x := range all {
		mean += x / float64(len(all))
	}
	for _, x := range all {
		variance += (x - mean) * (x - mean) / float64(len(all))
	}
	if variance <= 1e-12*mean*mean {
		return 0
	}
	return redescended(strictness * (v - mean) / math.Sqrt(variance))
}

// redescended is v up to 5, and 0 from 10 on.
func redescended(v float64) float64 {
	switch size := math.Abs(v); {
	case size <= 5:
		return v
	case size < 10:
		return math.Copysign(10-size, v)
	}
	return 0
}

func TestEveryFeatureIsWhatItsNameSays(t *testing.T) {
	for _, c := range []struct {
		step     time.Duration
		horizons []int
		slots    int // beyond the oldest that is read
	}{
		{5 * time.Minute, []int{1, 12, 288}, 2000},
		{time.Hour, []int{1, 12, 30, 288}, 600},
		{time.Minute, []int{1, 12, 288}, 3000},
		{24 * time.Hour, []int{1, 12}, 80},
	} {
		for _, horizon := range c.horizons {
			spec := specOf(c.step, horizon, allReach)
			g := historyOf(c.step, oldest(spec)+horizon+c.slots, uint64(horizon))
			origins := originsOf(spec, g, 7)
			for _, mode := range Modes {
				t.Run(fmt.Sprintf("%s of %s, %d ahead", mode, c.step, horizon), func(t *testing.T) {
					compareWithOracle(t, fitted(t, spec, mode, g, origins), g, origins)
				})
			}
		}
	}
}

func compareWithOracle(t *testing.T, set *Set, g *window.Grid, origins []int) {
	t.Helper()
	all := map[string][]float64{}
	for _, origin := range origins {
		o := oracle{mode: set.mode, spec: set.spec, grid: g, origin: origin, unit: 1}
		for name, v := range o.features() {
			all[name] = append(all[name], v)
		}
	}
	names := set.Names()
	if !slices.Equal(slices.Sorted(slices.Values(names)), slices.Sorted(maps.Keys(all))) {
		for _, name := range names {
			if all[name] == nil {
				t.Errorf("feature %q is not expected", name)
			}
		}
		for name := range all {
			if !slices.Contains(names, name) {
				t.Errorf("feature %q is missing", name)
			}
		}
		t.FailNow()
	}
	series, context := encoded(t, set.spec, g, origins...)
	got, w := make([]float32, set.Len()), set.NewWorkspace()
	for i, origin := range origins {
		frame := set.Compute(w, set.rowOf(series, i, len(origins)), set.rowOf(context, i, len(origins)), got, nil)
		if last := float32(g.Columns[load][origin]); frame.Last != last || frame.Mode != set.mode {
			t.Fatalf("frame %+v, the newest value is %v", frame, last)
		}
		for j, name := range names {
			// float32 inputs, standardised: a few ulps of 8.
			strictness := 1.0
			if name == "level" {
				strictness = 2 // gone 5 deviations out
			}
			if want := standardised(all[name][i], all[name], strictness); math.Abs(float64(got[j])-want) > 1e-3 {
				t.Fatalf("window %d: %s is %v, want %v", i, name, got[j], want)
			}
		}
	}
}
