package collector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/tidy"
	"github.com/forescale/forescale/internal/window"
)

// Import stores a tidy table as samples of the group. Columns maps the name of a
// metric to the column that holds it; when it is empty, each column is imported
// under its own name. Flag columns (is_…) always are. A file may be imported
// again: only what differs from the lake is written. It returns the number of
// rows written.
//
// A table whose rows are nearer to each other than a step is reduced to one
// value a slot; one whose rows are further apart is an error, because its slots
// would be mostly missing. When the rows do not start at whole steps of the
// clock, slots are moved back to them.
func (c *Collector) Import(ctx context.Context, t *tidy.Table, group string, columns map[string]string) (int, error) {
	if _, err := t.Step(); err != nil { // a file of a single row is a mistake
		return 0, err
	}
	chosen, err := chooseColumns(t, columns)
	if err != nil {
		return 0, err
	}
	return c.ImportColumns(ctx, t, group, chosen, nil)
}

// Column says what a column of a table holds.
type Column struct {
	Name   string // of the column
	Metric string
	Stat   api.Stat // empty: the metric's default
	// Scale is what each value is multiplied by to be in the metric's unit; 0: 1.
	Scale float64
}

// stat returns the statistic, with its default.
func (c Column) stat() api.Stat {
	if c.Stat == "" {
		return api.DefaultStat(c.Metric)
	}
	return c.Stat
}

// ImportColumns is Import for columns that are described one by one, and no others:
// rows of one slot are reduced as the statistic says, and a single row is enough. After each day it calls
// progress, which may be nil, with the slots done and those to do.
func (c *Collector) ImportColumns(ctx context.Context, t *tidy.Table, group string, columns []Column, progress func(done, total int)) (int, error) {
	g, err := importGrid(t, group, columns, c.step)
	if err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	stored := 0
	for i := 0; i < g.Len(); {
		from := g.Time(i).UTC().Truncate(c.step)
		to := from.Truncate(24 * time.Hour).Add(24 * time.Hour)
		samples, next := day(g, i, to, columns, c.step)
		known := c.readBack(ctx, dataset.Query{Groups: []string{group}, From: from, To: to}) // other groups may be thousands
		n, err := c.putBeside(ctx, known, samples, to)
		if err != nil {
			return stored, err
		}
		stored, i = stored+n, next
		if progress != nil {
			progress(i, g.Len())
		}
	}
	return stored, nil
}

// ImportedSamples returns what ImportColumns would store, for slots of the given
// length, but for the flags that a calendar adds.
func ImportedSamples(t *tidy.Table, group string, columns []Column, step time.Duration) ([]api.Sample, error) {
	g, err := importGrid(t, group, columns, step)
	if err != nil {
		return nil, err
	}
	samples, _ := day(g, 0, g.End().Add(step), columns, step)
	return samples, nil
}

// importGrid lays the columns on slots, each under its key.
func importGrid(t *tidy.Table, group string, columns []Column, step time.Duration) (*window.Grid, error) {
	apart, err := t.Step()
	if err != nil && !errors.Is(err, tidy.ErrNoStep) {
		return nil, err
	}
	if len(t.Times) == 0 {
		return nil, errors.New("there are no rows")
	}
	if apart > step {
		return nil, fmt.Errorf("the rows are %s apart, and slots are %s: set step: %s in the configuration", apart, step, apart)
	}
	mapped := &tidy.Table{Times: t.Times, Columns: map[string]api.Series{}, Stats: map[string]api.Stat{}}
	for i, c := range columns {
		values, found := t.Columns[c.Name]
		if !found {
			return nil, fmt.Errorf("there is no column %q; the file has %s", c.Name, strings.Join(t.Names, ", "))
		}
		if err := (api.Sample{Group: group, Metric: c.Metric, Stat: c.stat(), Time: t.Times[0]}).Validate(); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(columns[:i], func(o Column) bool { return o.key() == c.key() }) {
			return nil, fmt.Errorf("%s (%s) is given by two columns", c.Metric, c.stat())
		}
		if c.Scale != 0 && c.Scale != 1 {
			values = slices.Clone(values)
			for i := range values {
				values[i] *= c.Scale
			}
			if slices.ContainsFunc(values, func(v float64) bool { return math.IsInf(v, 0) }) {
				return nil, fmt.Errorf("column %q: times %g its values are not finite", c.Name, c.Scale)
			}
		}
		if c.stat() == api.StatSum && api.DefaultStat(c.Metric) == api.StatSum {
			if i := slices.IndexFunc(values, func(v float64) bool { return v < 0 }); i >= 0 {
				return nil, fmt.Errorf("column %q: %s cannot be %g as at %s: is it a counter that was reset, or a mark for a missing value? Leave the cell empty",
					c.Name, c.Metric, values[i], t.Times[i].UTC().Format(time.RFC3339))
			}
		}
		mapped.Names = append(mapped.Names, c.key())
		mapped.Columns[c.key()], mapped.Stats[c.key()] = values, c.stat()
	}
	if len(columns) == 0 {
		return nil, errors.New("there is no column to import")
	}
	return mapped.GridOf(group, step)
}

// key names a column of the grid. It is no name of a label or a flag, which
// a table treats in another way.
func (c Column) key() string { return c.Metric + " " + string(c.stat()) }

// chooseColumns returns the columns to import.
func chooseColumns(t *tidy.Table, columns map[string]string) ([]Column, error) {
	var out []Column
	for _, metric := range slices.Sorted(maps.Keys(columns)) {
		if !slices.Contains(t.Names, columns[metric]) {
			return nil, fmt.Errorf("there is no column %q; the file has %s", columns[metric], strings.Join(t.Names, ", "))
		}
		out = append(out, Column{Name: columns[metric], Metric: metric})
	}
	if len(columns) == 0 {
		for _, name := range t.Inputs() {
			out = append(out, Column{Name: name, Metric: name})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("there is no column to import; the file has %s", strings.Join(t.Names, ", "))
	}
	for _, name := range t.Flags() {
		out = append(out, Column{Name: name, Metric: name})
	}
	return out, nil
}

// day returns the samples of the slots from i on that start before end, and the
// index of the first slot after them.
func day(g *window.Grid, i int, end time.Time, columns []Column, step time.Duration) ([]api.Sample, int) {
	var samples []api.Sample
	for ; i < g.Len(); i++ {
		slot := g.Time(i).UTC().Truncate(step)
		if !slot.Before(end) {
			break
		}
		for _, c := range columns {
			if v := g.Columns[c.key()][i]; !math.IsNaN(v) {
				samples = append(samples, api.Sample{Group: g.Group, Metric: c.Metric, Stat: c.stat(), Time: slot, Value: v})
			}
		}
	}
	return samples, i
}
