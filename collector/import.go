package collector

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
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
	step, err := t.Step()
	if err != nil {
		return 0, err
	}
	if step > c.step {
		return 0, fmt.Errorf("the rows are %s apart, and slots are %s: set step: %s in the configuration", step, c.step, step)
	}
	g, err := t.GridOf(group, c.step)
	if err != nil {
		return 0, err
	}
	sources, err := chooseColumns(t, columns)
	if err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	stored := 0
	for i := 0; i < g.Len(); {
		from := g.Time(i).UTC().Truncate(c.step)
		to := from.Truncate(24 * time.Hour).Add(24 * time.Hour)
		samples, next := day(g, i, to, sources, c.step)
		for _, s := range samples {
			if err := s.Validate(); err != nil {
				return stored, err
			}
		}
		n, err := c.put(ctx, samples, from, to)
		if err != nil {
			return stored, err
		}
		stored, i = stored+n, next
	}
	return stored, nil
}

// chooseColumns returns, by metric, the columns to import.
func chooseColumns(t *tidy.Table, columns map[string]string) (map[string]string, error) {
	out := map[string]string{}
	for metric, column := range columns {
		if !slices.Contains(t.Names, column) {
			return nil, fmt.Errorf("there is no column %q; the file has %s", column, strings.Join(t.Names, ", "))
		}
		out[metric] = column
	}
	if len(columns) == 0 {
		for _, name := range t.Inputs() {
			out[name] = name
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("there is no column to import; the file has %s", strings.Join(t.Names, ", "))
	}
	for _, name := range t.Flags() {
		out[name] = name
	}
	return out, nil
}

// day returns the samples of the slots from i on that start before end, and the
// index of the first slot after them.
func day(g *window.Grid, i int, end time.Time, sources map[string]string, step time.Duration) ([]api.Sample, int) {
	metrics := slices.Sorted(maps.Keys(sources))
	var samples []api.Sample
	for ; i < g.Len(); i++ {
		slot := g.Time(i).UTC().Truncate(step)
		if !slot.Before(end) {
			break
		}
		for _, metric := range metrics {
			if v := g.Columns[sources[metric]][i]; !math.IsNaN(v) {
				samples = append(samples, api.Sample{Group: g.Group, Metric: metric, Stat: api.DefaultStat(metric), Time: slot, Value: v})
			}
		}
	}
	return samples, i
}
