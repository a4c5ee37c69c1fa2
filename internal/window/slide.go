package window

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/models"
)

// ErrGap means that too much is missing for a forecast: the newest slot of the
// target, a run of the target longer than Spec.MaxGap anywhere in the lookback,
// or the newest values of another series for longer than Spec.MaxGap. Training
// leaves such a window out; a scaler falls back to its reactive rule.
var ErrGap = errors.New("gap in the data")

// Slide returns the window whose newest slot is slot newest of the grid, which
// may lie outside of it. Slots before the grid's start are missing. The error is
// ErrGap, wrapped with the series, the place and the length, or says that spec
// and grid do not fit together.
//
// A flag's past slots (up to the newest) take the grid's own column where it has
// a value, otherwise flags; its future slots take flags. With nil flags the
// grid's columns answer for both, see [ColumnFlags].
func Slide(spec models.Spec, g *Grid, flags Flags, newest int) (api.Window, error) {
	if g == nil {
		return api.Window{}, fmt.Errorf("%w: no samples", ErrGap)
	}
	if g.Step != spec.Step() {
		return api.Window{}, fmt.Errorf("group %q: the grid has a step of %s, the model needs %s", g.Group, g.Step, spec.Step())
	}
	if flags == nil {
		flags = ColumnFlags(g)
	}
	c := cutter{spec: spec, grid: g, flags: flags, newest: newest}
	w := api.Window{
		Group:       g.Group,
		End:         g.Time(newest + 1),
		StepSeconds: spec.StepSeconds,
		Series:      make(map[string]api.Series, len(spec.Series)),
	}
	for i, name := range spec.Series {
		values := c.past(name, newest-spec.Lookback+1, spec.Lookback)
		if from, n, found := findGap(values, spec.MaxGap, i == 0); found {
			return api.Window{}, c.gapError(name, newest-spec.Lookback+1+from, n)
		}
		w.Series[name] = values
	}
	var err error
	if w.Lags, err = c.lags(); err != nil {
		return api.Window{}, err
	}
	w.Future = c.future()
	return w, nil
}

// Latest returns the window whose newest slot ends at end, as Slide does. An end
// past the grid, and a nil grid, are ErrGap; an end off the grid's slots is
// another error.
func Latest(spec models.Spec, g *Grid, flags Flags, end time.Time) (api.Window, error) {
	if g == nil {
		return api.Window{}, fmt.Errorf("%w: no samples", ErrGap)
	}
	d := end.Sub(g.Start)
	if g.Step <= 0 || d%g.Step != 0 {
		return api.Window{}, fmt.Errorf("group %q: %s is not the end of a slot of the grid that starts at %s with a step of %s",
			g.Group, stamp(end), stamp(g.Start), g.Step)
	}
	return Slide(spec, g, flags, int(d/g.Step)-1)
}

// TargetAt returns the target k steps after slot newest: what a forecast from
// there should have said. It is not ok where the value is missing or outside the
// grid, or where it is a demand known only from below.
func TargetAt(spec models.Spec, g *Grid, newest, k int) (value float64, ok bool) {
	i := newest + k
	value = g.value(spec.Target, i)
	if math.IsNaN(value) {
		return value, false
	}
	if spec.Target == api.SeriesDemand && i < len(g.Censored) && g.Censored[i] {
		return value, false
	}
	return value, true
}

// cutter holds what the parts of one window are cut from.
type cutter struct {
	spec   models.Spec
	grid   *Grid
	flags  Flags
	newest int
}

// past returns n values of a series or flag from slot first on, none of them
// after the newest slot.
func (c cutter) past(name string, first, n int) api.Series {
	values := missing(n)
	column := c.grid.Columns[name]
	if lo, hi := max(first, 0), min(first+n, len(column)); lo < hi {
		copy(values[lo-first:], column[lo:hi])
	}
	if !IsFlag(c.spec, name) {
		return values
	}
	for i, v := range values {
		if math.IsNaN(v) {
			values[i] = c.flags.Flag(name, c.grid.Time(first+i))
		}
	}
	return values
}

func (c cutter) lags() (map[string]map[int]api.Series, error) {
	if len(c.spec.Lags) == 0 {
		return nil, nil
	}
	lags := make(map[string]map[int]api.Series, len(c.spec.Lags))
	for _, lag := range c.spec.Lags {
		byOffset := lags[lag.Series]
		if byOffset == nil {
			byOffset = make(map[int]api.Series, len(lag.Offsets))
			lags[lag.Series] = byOffset
		}
		for _, offset := range lag.Offsets {
			byOffset[offset] = c.past(lag.Series, c.newest-offset, 1+c.spec.Horizon)
		}
		if slices.Contains(c.spec.Series, lag.Series) {
			continue // its newest value stands in for what is missing
		}
		if _, known := latestLag(byOffset); !known {
			return nil, fmt.Errorf("%w: group %q: no lagged value of series %q is known at %s",
				ErrGap, c.grid.Group, lag.Series, stamp(c.grid.Time(c.newest+1)))
		}
	}
	return lags, nil
}

func (c cutter) future() map[string]api.Series {
	if len(c.spec.Future) == 0 {
		return nil
	}
	future := make(map[string]api.Series, len(c.spec.Future))
	for _, name := range c.spec.Future {
		values := make(api.Series, 1+c.spec.Horizon)
		values[0] = c.past(name, c.newest, 1)[0]
		for k := 1; k < len(values); k++ {
			values[k] = c.flags.Flag(name, c.grid.Time(c.newest+k))
		}
		future[name] = values
	}
	return future
}

func (c cutter) gapError(name string, first, n int) error {
	if first+n-1 == c.newest {
		return fmt.Errorf("%w: group %q: series %q: the newest slot %s is missing, and %d in all up to it",
			ErrGap, c.grid.Group, name, stamp(c.grid.Time(c.newest)), n)
	}
	return fmt.Errorf("%w: group %q: series %q: %d slots from %s to %s are missing, the model bears %d",
		ErrGap, c.grid.Group, name, n, stamp(c.grid.Time(first)), stamp(c.grid.Time(first+n)), c.spec.MaxGap)
}

// findGap returns the first run of missing values that makes a lookback
// unusable. For the target that is one longer than maxGap, or any that reaches
// the newest slot; for another series only one that reaches the newest slot and
// is longer than maxGap, since older holes in it are filled and masked.
func findGap(values api.Series, maxGap int, target bool) (from, n int, found bool) {
	for i := 0; i < len(values); i++ {
		if !math.IsNaN(values[i]) {
			continue
		}
		from = i
		for i < len(values) && math.IsNaN(values[i]) {
			i++
		}
		n = i - from
		newest := i == len(values)
		if target && (newest || n > maxGap) || newest && n > maxGap {
			return from, n, true
		}
	}
	return 0, 0, false
}

// latestLag returns the known lagged value that lies nearest to the newest slot.
func latestLag(byOffset map[int]api.Series) (value float64, known bool) {
	best := math.MinInt
	for offset, values := range byOffset {
		for k := len(values) - 1; k >= 0; k-- {
			if math.IsNaN(values[k]) {
				continue
			}
			// Equal slots of overlapping lags hold equal values in an honest window;
			// the order of the map must not decide in a dishonest one.
			if at := k - offset; at > best || at == best && values[k] < value {
				best, value, known = at, values[k], true
			}
			break
		}
	}
	return value, known
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
