package feature

import (
	"cmp"
	"slices"

	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
)

// Lags returns the lags that a spec needs for the features whose oldest value
// lies at most reach slots before the origin. spec says all but the lags.
func Lags(spec models.Spec, reach int) []models.Lag {
	needed := map[string]map[int]bool{}
	need := func(series string, age int) {
		if age < spec.Lookback && slices.Contains(spec.Series, series) {
			return
		}
		if needed[series] == nil {
			needed[series] = map[int]bool{}
		}
		needed[series][age] = true
	}
	for _, d := range append(define(spec), sequences(spec)...) {
		if len(d.ages) == 0 || slices.Max(d.ages) > reach {
			continue
		}
		for _, age := range d.ages {
			need(d.series, age)
		}
	}
	var lags []models.Lag
	for series, ages := range needed {
		lags = append(lags, models.Lag{Series: series, Offsets: cover(ages, spec.Horizon)})
	}
	slices.SortFunc(lags, func(a, b models.Lag) int {
		return cmp.Compare(slices.Index(spec.Series, a.Series), slices.Index(spec.Series, b.Series))
	})
	return lags
}

// cover returns offsets whose blocks of 1+horizon ages hold every age: the block
// of an offset o holds the ages o-horizon … o.
func cover(ages map[int]bool, horizon int) []int {
	var sorted []int
	for age := range ages {
		sorted = append(sorted, age)
	}
	slices.Sort(sorted)
	var offsets []int
	for _, age := range sorted {
		if n := len(offsets); n == 0 || offsets[n-1] < age {
			offsets = append(offsets, age+horizon)
		}
	}
	return offsets
}

// row says where in an encoded window a value lies: index i below the length of
// the series input is element i of it, others follow in the context.
type row struct {
	spec   models.Spec
	series int                    // length of the series input
	lagged map[string]map[int]int // index of a series at an age, from the lags
}

func newRow(spec models.Spec) row {
	r := row{spec: spec, series: spec.Lookback * spec.Channels(), lagged: map[string]map[int]int{}}
	at := r.series
	for _, lag := range spec.Lags {
		ages := map[int]int{}
		r.lagged[lag.Series] = ages
		for _, offset := range lag.Offsets {
			for k := range 1 + spec.Horizon {
				ages[offset-k] = at
				at++
			}
		}
	}
	return r
}

// len returns the length of the series and the context together.
func (r row) len() int { return r.series + window.ContextLen(r.spec) }

// find returns the index of a series' value at an age.
func (r row) find(series string, age int) (int, bool) {
	if c := slices.Index(r.spec.Series, series); c >= 0 && age < r.spec.Lookback {
		return (r.spec.Lookback-1-age)*r.spec.Channels() + c, true
	}
	i, ok := r.lagged[series][age]
	return i, ok
}

// Find returns where the value of a series lies at an age, in slots before the
// origin, in the row of a window's series and context one after the other.
func Find(spec models.Spec, series string, age int) (index int, ok bool) {
	return newRow(spec).find(series, age)
}

// Before returns the n-th smallest age, at the origin or before it, that lies a
// whole number of periods before the slot k ahead.
func Before(period, n, k int) int { return before(period, n, k) }

// FindFlag returns where Spec.Future[flag] lies at the slot k ahead, in the row
// that Find speaks of.
func FindFlag(spec models.Spec, flag, k int) int {
	return spec.Lookback*spec.Channels() + laggedColumns(spec) + flag*(1+spec.Horizon) + k
}

// laggedColumns returns how many columns of the context are lagged values: the
// first ones.
func laggedColumns(spec models.Spec) int {
	n := 0
	for _, lag := range spec.Lags {
		n += len(lag.Offsets) * (1 + spec.Horizon)
	}
	return n
}
