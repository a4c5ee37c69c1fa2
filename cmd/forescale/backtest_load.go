package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/internal/tidy"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/scaler/backtest"
	"github.com/forescale/forescale/trainer"
)

// history is what is replayed: the grid that models read, from the first slot on
// that knows the target, and the demand of the same slots.
type history struct {
	name   string
	target string
	grid   *window.Grid
	demand *fleet.Demand
	model  *servedModel // of -model; nil: none
	flags  window.Flags // the calendar; nil: the grid's own columns
}

// isURL reports whether -data names a data lake and not a file.
func isURL(data string) bool {
	scheme, _, found := strings.Cut(data, "/")
	return found && len(scheme) > 1 && strings.HasSuffix(scheme, ":")
}

// load reads the history and the model.
func (f *backtestFlags) load(ctx context.Context, notes io.Writer) (h *history, err error) {
	h = &history{}
	if f.model != "" {
		if h.model, err = readModel(f.model); err != nil {
			return nil, fmt.Errorf("-model: %w", err)
		}
	}
	if isURL(f.data) {
		h.grid, err = f.loadLake(ctx, notes)
	} else {
		h.grid, err = f.loadFile(notes)
	}
	if err != nil {
		return nil, err
	}
	h.name = h.grid.Group
	if h.target, err = f.targetOf(h); err != nil {
		return nil, err
	}
	h.grid = h.grid.FromFirst(h.target)
	if h.grid.Len() == 0 {
		return nil, fmt.Errorf("%s: the column %s has no value at all", f.data, h.target)
	}
	if h.demand, err = fleet.NewDemand(h.grid.Start, h.grid.Step, h.grid.Columns[h.target]); err != nil {
		return nil, fmt.Errorf("%s: the column %s cannot be replayed as a load: %w", f.data, h.target, err)
	}
	if h.model != nil {
		if err := h.model.fits(h, f.lead); err != nil {
			return nil, fmt.Errorf("-model %s: %w", f.model, err)
		}
	}
	return h, nil
}

// targetOf returns the column that is the load.
func (f *backtestFlags) targetOf(h *history) (string, error) {
	metrics := trainer.Metrics(h.grid)
	choices := []string{f.target}
	if f.target == "" {
		choices = []string{api.SeriesDemand}
		if h.model != nil {
			choices = []string{h.model.manifest.Spec.Target}
		}
	}
	if slices.Contains(metrics, choices[0]) {
		return choices[0], nil
	}
	switch {
	case f.target != "":
		return "", cli.Usagef("-target: %s has no column %q of numbers; it has %s", f.data, f.target, strings.Join(metrics, ", "))
	case h.model != nil:
		return "", cli.Usagef("-model: it forecasts %q, and %s has %s", choices[0], f.data, strings.Join(metrics, ", "))
	case len(metrics) == 1:
		return metrics[0], nil
	case len(metrics) == 0:
		return "", fmt.Errorf("%s has no column of load, only a timestamp, flags and labels", f.data)
	}
	return "", cli.Usagef("-target is missing: %s has %s", f.data, strings.Join(metrics, ", "))
}

// loadFile reads a tidy file up to -end.
func (f *backtestFlags) loadFile(notes io.Writer) (*window.Grid, error) {
	if info, err := os.Stat(f.data); err == nil && info.IsDir() {
		return nil, cli.Usagef("-data: %s is a directory; a backtest is of one file, or of a data lake such as file://%s", f.data, f.data)
	}
	table, err := tidy.ReadFile(f.data)
	if err != nil {
		return nil, err
	}
	for _, note := range table.Notes {
		fmt.Fprintf(notes, "%s: %s\n", f.data, note)
	}
	// The rows are cut and not the grid: the history ends with a row.
	if n, _ := slices.BinarySearchFunc(table.Times, f.end, time.Time.Compare); !f.end.IsZero() {
		if n < 2 && len(table.Times) > n {
			return nil, fmt.Errorf("-end: %s has %d rows before %s; its first is of %s", f.data, n, f.end.Format(time.RFC3339), table.Times[0].UTC().Format(time.RFC3339))
		}
		table.Times = table.Times[:n]
		for name, column := range table.Columns {
			table.Columns[name] = column[:n]
		}
	}
	group := f.group
	if group == "" {
		base := strings.TrimSuffix(filepath.Base(f.data), ".gz")
		group = strings.TrimSuffix(base, filepath.Ext(base))
	}
	grid, err := table.Grid(group)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.data, err)
	}
	return grid, nil
}

// loadLake reads a group of a data lake, up to -end or the present.
func (f *backtestFlags) loadLake(ctx context.Context, notes io.Writer) (*window.Grid, error) {
	until := f.end
	if until.IsZero() {
		until = time.Now()
	}
	until = until.UTC().Truncate(f.step)
	from := until.Add(-f.history).Truncate(f.step)
	// As for the operator's commands: a misspelt directory is an error, and not made.
	store, err := (&place{url: f.data}).open(ctx)
	if err != nil {
		return nil, fmt.Errorf("-data: %w", err)
	}
	lake := dataset.New(store)
	// What is left beside parts that cannot be read is good enough to be replayed.
	bear := func(err error) error {
		if err == nil || !dataset.OnlyCorrupt(err) {
			return err
		}
		fmt.Fprintf(notes, "left out of the history: %v\n", err)
		return nil
	}
	group := f.group
	if group == "" {
		groups, err := lake.Groups(ctx, from, until)
		if err := bear(err); err != nil {
			return nil, err
		}
		if len(groups) > 1 {
			return nil, cli.Usagef("-group is missing: the data lake has %s", strings.Join(groups, ", "))
		}
		if len(groups) == 0 {
			return nil, fmt.Errorf("%s has no samples between %s and %s; -history and -end say where to look", f.data, from.Format(time.RFC3339), until.Format(time.RFC3339))
		}
		group = groups[0]
	}
	samples, err := lake.Scan(ctx, dataset.Query{Groups: []string{group}, From: from, To: until})
	if err := bear(err); err != nil {
		return nil, err
	}
	grid := window.FromSamples(samples, f.step, from, until)[group]
	if grid == nil {
		return nil, fmt.Errorf("%s has no samples of group %q between %s and %s", f.data, group, from.Format(time.RFC3339), until.Format(time.RFC3339))
	}
	grid.AddDemand()
	return untilLast(grid), nil
}

// untilLast returns the grid up to the last slot in which anything is known.
func untilLast(g *window.Grid) *window.Grid {
	n := 0
	for _, column := range g.Columns {
		for i := len(column) - 1; i >= n; i-- {
			if !math.IsNaN(column[i]) {
				n = i + 1
			}
		}
	}
	cut := *g
	cut.Columns = make(map[string]api.Series, len(g.Columns))
	for name, column := range g.Columns {
		cut.Columns[name] = column[:min(n, len(column))]
	}
	cut.Censored = g.Censored[:min(n, len(g.Censored))]
	return &cut
}

// fits returns why a model cannot be tested on a history with a lead time.
func (m *servedModel) fits(h *history, lead time.Duration) error {
	first := h.demand.Time(h.demand.ScoreStart() * h.demand.SlotMinutes())
	spec := m.manifest.Spec
	steps := backtest.Steps(h.grid.Step, lead)
	switch {
	case spec.Target != h.target:
		return fmt.Errorf("it forecasts %q, not %q", spec.Target, h.target)
	case spec.Step() != h.grid.Step:
		return fmt.Errorf("its step is %s, that of the history %s", spec.Step(), h.grid.Step)
	case spec.Horizon < steps:
		return fmt.Errorf("it forecasts %d slots ahead, and instances that take %s to start need %d; train it with -horizon %d or more", spec.Horizon, lead, steps, steps)
	case m.manifest.TrainedUntil.IsZero():
		return fmt.Errorf("its manifest does not say until when it was trained, so it may know the test")
	case m.manifest.TrainedUntil.After(first):
		return fmt.Errorf("it has learned from what it would be tested on: it was trained until %s, and the test begins at %s; train one on what lies before, or leave -model out",
			m.manifest.TrainedUntil.UTC().Format(time.RFC3339), first.Format(time.RFC3339))
	}
	for _, name := range spec.Series {
		if h.grid.Columns[name] == nil && !window.IsFlag(spec, name) {
			return fmt.Errorf("it reads %q, which the history does not have", name)
		}
	}
	return nil
}

// serves reports whether the model is meant for a group.
func serves(m models.Manifest, group string) bool {
	return slices.Contains(m.Groups, models.AnyGroup) || slices.Contains(m.Groups, group)
}
