package tidy

import (
	"math"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/window"
)

// Table is the content of a tidy file. Times ascend and have no duplicates; each
// column has one value per time, NaN where it is missing.
type Table struct {
	Times   []time.Time // UTC
	Names   []string    // the columns but timestamp, in the order of the file
	Columns map[string]api.Series
	// Stats says how rows of one slot are reduced, by column; nil, and for a column
	// that is not in it: by the default of the metric of that name.
	Stats map[string]api.Stat
	// Notes says, for people, what was mended on reading and what is odd.
	Notes []string
}

// labelSuffix ends the names of columns that are no inputs.
const labelSuffix = "_label"

func isLabel(name string) bool { return strings.HasSuffix(name, labelSuffix) }

func isFlag(name string) bool {
	return strings.HasPrefix(name, window.FlagPrefix) && !isLabel(name)
}

// Flags returns the names of the columns that are flags of the calendar.
func (t *Table) Flags() []string { return t.names(isFlag) }

// Inputs returns the names of the columns that are metrics: neither flags nor labels.
func (t *Table) Inputs() []string {
	return t.names(func(name string) bool { return !isFlag(name) && !isLabel(name) })
}

// stat returns how rows of one slot are reduced in a column.
func (t *Table) stat(column string) api.Stat {
	if stat, ok := t.Stats[column]; ok {
		return stat
	}
	return api.DefaultStat(column)
}

func (t *Table) names(keep func(string) bool) []string {
	var names []string
	for _, name := range t.Names {
		if keep(name) {
			names = append(names, name)
		}
	}
	return names
}

// Samples returns the metrics of the table on its grid as samples of the group,
// a missing slot as no sample. Flags and labels are left out. The statistic is
// the metric's default, so that a column keeps its name as a series.
func (t *Table) Samples(group string) (samples []api.Sample, step time.Duration, err error) {
	g, err := t.Grid(group)
	if err != nil {
		return nil, 0, err
	}
	for _, name := range t.Inputs() {
		for i, v := range g.Columns[name] {
			if !math.IsNaN(v) {
				samples = append(samples, api.Sample{Group: group, Metric: name, Stat: api.DefaultStat(name), Time: g.Time(i), Value: v})
			}
		}
	}
	return samples, g.Step, nil
}

// Events returns each run of equal values, other than 0, of each flag column as
// an event of the calendar that is named for the flag. A missing value continues
// the run it stands in, as window.ColumnFlags does. A table without a grid has no
// events.
func (t *Table) Events() []api.Event {
	g, err := t.Grid("")
	if err != nil {
		return nil
	}
	var events []api.Event
	for _, name := range t.Flags() {
		column := g.Columns[name]
		value, from := 0.0, 0
		for i := 0; i <= len(column); i++ {
			next := value
			if i == len(column) {
				next = 0
			} else if !math.IsNaN(column[i]) {
				next = column[i]
			}
			if next == value {
				continue
			}
			if value != 0 {
				events = append(events, api.Event{Name: name, Start: g.Time(from), End: g.Time(i), Flags: map[string]float64{name: value}})
			}
			value, from = next, i
		}
	}
	return events
}
