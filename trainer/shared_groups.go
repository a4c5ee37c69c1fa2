package trainer

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
)

// sharer is one of the groups that share a model. It is owned by the goroutine
// that works on it.
type sharer struct {
	data  Data        // from the first slot with a target on, in physical units
	early int         // slots from the start of the timeline to slot 0, rounded down
	late  int         // the same, rounded up
	split score.Split // of the grid, for tests
	scale float64     // mean size of the target in the training part; 0: no load
	unit  float64     // what persistence errs there; 0: nothing ever changed

	windows int       // that the model learned from or was chosen by
	gaps    int       // windows chosen that were left out
	factors []float64 // of its calibration by step ahead; nil: nothing to calibrate by

	horizons  []models.HorizonScore // of the shared model
	own       []models.HorizonScore // of a model of its own
	fallbacks int
}

func (g *sharer) name() string { return g.data.Grid.Group }

// sharers returns the groups by name, each from its first known target on. Those
// whose history does not do are told of in the notes.
func (c Config) sharers(groups []Data) (sharers []*sharer, notes []string, err error) {
	var unfit []error
	for _, d := range groups {
		d, err := d.shareable(c)
		if err != nil {
			unfit = append(unfit, err)
			continue
		}
		sharers = append(sharers, &sharer{data: d})
	}
	slices.SortFunc(unfit, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	if len(sharers) == 0 {
		return nil, nil, errors.Join(append([]error{errors.New("no group is left to learn from")}, unfit[:min(5, len(unfit))]...)...)
	}
	for i, err := range unfit {
		if i == 10 {
			notes = append(notes, fmt.Sprintf("and %d more groups are left out", len(unfit)-i))
			break
		}
		notes = append(notes, fmt.Sprintf("left out: %v", err))
	}
	slices.SortFunc(sharers, func(a, b *sharer) int { return strings.Compare(a.name(), b.name()) })
	first := sharers[0]
	for i, g := range sharers[1:] {
		if g.name() == sharers[i].name() {
			return nil, nil, fmt.Errorf("group %q is there twice", g.name())
		}
		if own, other := g.data.Grid.Step, first.data.Grid.Step; own != other {
			return nil, nil, fmt.Errorf("group %q has slots of %s, group %q of %s: a shared model needs one step", g.name(), own, first.name(), other)
		}
	}
	return sharers, notes, nil
}

// shareable returns the data from the first known target on, or says why no model
// can learn from it.
func (d Data) shareable(c Config) (Data, error) {
	d, err := d.trimmed(c.Target)
	if err != nil {
		return d, err
	}
	for _, name := range append([]string{c.Target}, c.Inputs...) {
		if d.Grid.Columns[name] == nil {
			return d, fmt.Errorf("group %q: the data has no series %q; it has %s", d.Grid.Group, name, strings.Join(Metrics(d.Grid), ", "))
		}
	}
	return d, checkValues(models.Spec{Series: append([]string{c.Target}, c.Inputs...)}, d)
}

// timeline is the time that the histories of all groups lie in, in slots from the
// start of the earliest.
type timeline struct {
	start time.Time
	step  time.Duration
	// split cuts where 70 % and 80 % of the slots of all groups together have gone
	// by, so that one group with a long past does not push the others' whole history
	// behind the cut. Of groups that cover the same time it is score.NewSplit.
	split score.Split
	// The folds are cut where 55 % and 62.5 % have gone by, as those of a single
	// group.
	firstFold, secondFold int
}

func (l timeline) time(slot int) time.Time { return l.start.Add(time.Duration(slot) * l.step).UTC() }

// newTimeline returns the timeline of groups and settles where each lies in it.
// Slots of a group may begin between those of another: a slot that learns counts
// as the one that it ends in, a slot that is tested as the one that it begins in.
func newTimeline(target string, sharers []*sharer) timeline {
	l := timeline{start: sharers[0].data.Grid.Start, step: sharers[0].data.Grid.Step}
	for _, g := range sharers {
		if g.data.Grid.Start.Before(l.start) {
			l.start = g.data.Grid.Start
		}
	}
	slots, total := 0, 0
	for _, g := range sharers {
		since := g.data.Grid.Start.Sub(l.start)
		g.early = int(since / l.step)
		g.late = int((since + l.step - 1) / l.step)
		slots, total = max(slots, g.late+g.data.Grid.Len()), total+g.data.Grid.Len()
	}
	begins := make([]int, slots+1) // groups that begin in a slot, less those that end
	for _, g := range sharers {
		begins[g.late]++
		begins[g.late+g.data.Grid.Len()]--
	}
	cuts, gone, active := [4]int{}, 0, 0
	for slot := range slots + 1 {
		for i, permille := range [4]int{550, 625, 700, 800} {
			if gone*1000 <= total*permille {
				cuts[i] = slot
			}
		}
		active += begins[slot]
		gone += active
	}
	l.firstFold, l.secondFold = cuts[0], cuts[1]
	l.split = score.Split{Train: cuts[2], Validation: cuts[3] - cuts[2], Test: slots - cuts[3]}
	for _, g := range sharers {
		n := g.data.Grid.Len()
		v, t := min(max(0, cuts[2]-g.early), n), min(max(0, cuts[3]-g.early), n)
		g.split = score.Split{Train: v, Validation: t - v, Test: n - t}
		g.scale = g.data.meanSize(target, cuts[2]-g.late)
	}
	return l
}

// meanSize returns the mean |target| of the first n slots, 0 when it is not known
// or too small to divide by.
func (d Data) meanSize(target string, n int) float64 {
	column := d.Grid.Columns[target]
	sum, known := 0.0, 0.0
	for _, v := range column[:min(max(0, n), len(column))] {
		if !math.IsNaN(v) {
			sum += math.Abs(v)
			known++
		}
	}
	if mean := sum / known; mean > 1e-20 { // false for NaN
		return mean
	}
	return 0
}

// change returns the mean of what persistence errs in the first n slots, one and
// horizon steps ahead, 0 when it is not known or too small to divide by.
func (d Data) change(target string, horizon, n int) float64 {
	column := d.Grid.Columns[target]
	column = column[:min(max(0, n), len(column))]
	sum, known := 0.0, 0.0
	for _, k := range []int{1, horizon} {
		for i := k; i < len(column); i++ {
			if change := math.Abs(column[i] - column[i-k]); !math.IsNaN(change) {
				sum += change
				known++
			}
		}
	}
	if mean := sum / known; mean > 1e-20 { // false for NaN
		return mean
	}
	return 0
}

// spec decides what the model reads and answers: what a model of the group in the
// middle, by the length of its training part, would have for a target alone. So
// the lags reach as far back as half of the groups can bear.
func (t *shared) spec(r recipe) (models.Spec, error) {
	byLength := slices.Clone(t.sharers)
	slices.SortStableFunc(byLength, func(a, b *sharer) int { return a.split.Train - b.split.Train })
	middle := byLength[len(byLength)/2]
	c, d := t.config, middle.data
	if c.Inputs == nil {
		c.Inputs = []string{} // what many groups have in common is not by chance in all of them
	}
	names := map[string]bool{}
	for _, g := range t.sharers {
		for _, name := range g.data.FlagNames {
			names[name] = true
		}
		if g.data.Flags == nil {
			for name := range g.data.Grid.Columns {
				names[name] = true
			}
		}
	}
	d.FlagNames, d.split = slices.Sorted(maps.Keys(names)), &middle.split
	spec, _, err := c.spec(r, d)
	return spec, err
}

// scaled returns the data with the target divided by the group's unit. Other
// inputs stay as they are: the features see them as multiples of their own mean in
// the window.
func (g *sharer) scaled(spec models.Spec) Data {
	d, grid := g.data, *g.data.Grid
	grid.Columns = maps.Clone(grid.Columns)
	target := slices.Clone(grid.Columns[spec.Target])
	for i := range target {
		target[i] /= g.unit
	}
	grid.Columns[spec.Target] = target
	if d.Flags == nil {
		d.Flags = window.ColumnFlags(g.data.Grid)
	}
	d.Grid = &grid
	return d
}
