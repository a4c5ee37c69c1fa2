package trainer

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/feature"
)

// Data is the history to learn from.
type Data struct {
	Grid *window.Grid
	// Flags is the business calendar, from which the future of every flag is read.
	// Nil: the grid's own is_ columns stand in for it.
	Flags window.Flags
	// FlagNames are the flags that the calendar knows.
	FlagNames []string
	// CalendarHash is that of the calendar, for the manifest; empty: there is none.
	CalendarHash string

	// split, when set, says where the parts of the history begin, in place of
	// score.NewSplit: where groups are compared, they are cut at the same time.
	split *score.Split
}

// parts returns the parts of the history.
func (d Data) parts() score.Split {
	if d.split != nil {
		return *d.split
	}
	return score.NewSplit(d.Grid.Len())
}

// FitUntil returns the data with a test part that begins at the given slot, in
// place of the last fifth: the model learns from the slots before it alone. Of
// those, the last eighth is the validation part, as always. Slot 0 must know the
// target.
func (d Data) FitUntil(slot int) Data {
	train := slot * 7 / 8
	d.split = &score.Split{Train: train, Validation: slot - train, Test: d.Grid.Len() - slot}
	return d
}

// knownShare is how much of the training part a metric must have to be an input
// by default: a series that is often missing would cost the windows it is missing
// in, here and when the model serves.
const knownShare = 0.9

// ownActions are the metrics that depend on how many instances the scaler chose
// to run. A model of demand that read them would learn the scaler's own actions.
var ownActions = []string{api.MetricCPU, api.MetricInService, api.MetricDesired}

// trimmed returns the data from the first slot on in which the target is known:
// what lies before is no history, and no part of the split. A grid without the
// target is left to spec, which names what there is.
func (d Data) trimmed(target string) (Data, error) {
	if d.Grid == nil || d.Grid.Len() == 0 {
		return d, errors.New("there is no data")
	}
	if d.Grid.Columns[target] == nil {
		return d, nil
	}
	if d.Grid = d.Grid.FromFirst(target); d.Grid.Len() == 0 {
		return d, fmt.Errorf("group %q: the target %q has no value at all", d.Grid.Group, target)
	}
	return d, nil
}

// spec decides what the model reads and answers. The notes say what was left out
// and why.
func (c Config) spec(r recipe, d Data) (spec models.Spec, notes []string, err error) {
	g := d.Grid
	if g.Columns[c.Target] == nil {
		return spec, nil, fmt.Errorf("target %q: the data has no such series; it has %s", c.Target, strings.Join(Metrics(g), ", "))
	}
	spec = models.Spec{
		Target:      c.Target,
		StepSeconds: int(g.Step / time.Second),
		Lookback:    r.lookback,
		Horizon:     r.horizon,
		Series:      []string{c.Target},
		TimeZone:    c.TimeZone,
		MaxGap:      r.maxGap,
		Quantiles:   r.quantiles,
		Peaks:       len(r.quantiles) > 0,
		Masks:       c.Masks,
	}
	inputs, notes, err := c.inputs(d)
	if err != nil {
		return spec, nil, err
	}
	if spec.Future, err = c.known(d); err != nil {
		return spec, nil, err
	}
	spec.Series = append(append(spec.Series, inputs...), spec.Future...)
	if r.calendar {
		addCalendar(&spec, d.parts().Train, r.scaleFree)
	}
	return spec, notes, window.Check(spec)
}

// inputs returns the metrics read beside the target.
func (c Config) inputs(d Data) (names, notes []string, err error) {
	g := d.Grid
	if c.Inputs != nil {
		for _, name := range c.Inputs {
			if g.Columns[name] == nil {
				return nil, nil, fmt.Errorf("inputs: the data has no series %q; it has %s", name, strings.Join(Metrics(g), ", "))
			}
			if name != c.Target && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		return names, nil, nil
	}
	train := d.parts().Train
	for _, name := range Metrics(g) {
		if name == c.Target || slices.Contains(c.Known, name) || c.Target == api.SeriesDemand && slices.Contains(ownActions, name) {
			continue
		}
		known := 0
		for _, v := range g.Columns[name][:min(train, len(g.Columns[name]))] {
			if !math.IsNaN(v) {
				known++
			}
		}
		if float64(known) < knownShare*float64(train) {
			notes = append(notes, fmt.Sprintf("series %s is known in %d of %d training slots only and is no input", name, known, train))
			continue
		}
		names = append(names, name)
	}
	return names, notes, nil
}

// Metrics returns the names of the columns that can be forecast: those that are
// neither flags nor labels, in order.
func Metrics(g *window.Grid) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(g.Columns)), func(name string) bool {
		return strings.HasPrefix(name, window.FlagPrefix) || strings.HasSuffix(name, labelSuffix)
	})
}

// known returns the flags whose future the model reads. A calendar, where there
// is one, says what is to come; of a flag that it never sets, nothing is known.
func (c Config) known(d Data) ([]string, error) {
	has := func(name string) bool {
		return slices.Contains(d.FlagNames, name) || d.Flags == nil && d.Grid.Columns[name] != nil
	}
	lacks := "the calendar never sets"
	if d.Flags == nil {
		lacks = "neither the data nor the calendar has"
	}
	var names []string
	if c.Known == nil {
		for _, name := range DefaultKnown {
			if has(name) && name != c.Target {
				names = append(names, name)
			}
		}
		return names, nil
	}
	for _, name := range c.Known {
		if !has(name) {
			return nil, fmt.Errorf("known: %s a flag %q", lacks, name)
		}
		if name == c.Target || slices.Contains(c.Inputs, name) {
			return nil, fmt.Errorf("known: %q is a target or an input; its future is not known", name)
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// reachShare is the part of the training slots that a lag may reach back: the
// windows before it are lost to training.
const reachShare = 0.4

// addCalendar adds the clock features that the step can tell apart, those of the
// week where every weekday occurs at least twice in the training part (from once,
// nobody learns what a Tuesday is), and the lags that the features want and the
// training part, of train slots, is long enough for. Where many groups share the
// model, a week is enough to tell its end from its other days, since each group
// shows that, but not to tell a Tuesday.
func addCalendar(spec *models.Spec, train int, shared bool) {
	const day = 24 * time.Hour
	length := time.Duration(train) * spec.Step()
	if spec.Step() < day {
		spec.Calendar = append(spec.Calendar, "hour_of_day")
	}
	if spec.Step() < time.Hour {
		spec.Calendar = append(spec.Calendar, "minute_of_hour")
	}
	if length >= 14*day {
		spec.Calendar = append(spec.Calendar, "day_of_week_ahead")
	}
	if length >= 14*day || shared && length >= 7*day {
		spec.Calendar = append(spec.Calendar, "weekend_ahead")
		if spec.Step() < day {
			spec.Calendar = append(spec.Calendar, "business_hours_ahead")
		}
	}
	spec.Lags = feature.Lags(*spec, int(reachShare*float64(train)))
}
