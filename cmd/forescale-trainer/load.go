package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/tidy"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/trainer"
)

// load reads the history from a file or a data lake.
func (p *program) load(ctx context.Context) (trainer.Data, error) {
	var d trainer.Data
	var err error
	if isLake(p.common.Data) {
		d.Grid, err = p.loadLake(ctx, time.Now())
	} else {
		d.Grid, err = p.loadFile()
	}
	if err != nil {
		return d, err
	}
	if p.calendar != nil {
		d.Flags, d.FlagNames = p.calendar, p.calendar.Flags()
	}
	return d, nil
}

// loadFile reads a tidy file; its group is named for it unless -group is set.
func (p *program) loadFile() (*window.Grid, error) {
	path := p.common.Data
	table, err := tidy.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for _, note := range table.Notes {
		fmt.Fprintf(p.stderr, "%s: %s\n", path, note)
	}
	if p.group == "" {
		base := strings.TrimSuffix(filepath.Base(path), ".gz")
		p.group = strings.TrimSuffix(base, filepath.Ext(base))
	}
	grid, err := table.Grid(p.group)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return grid, nil
}

// onlyTarget returns the one column that can only be meant.
func onlyTarget(g *window.Grid) (string, error) {
	names := trainer.Metrics(g)
	switch len(names) {
	case 0:
		return "", fmt.Errorf("group %q: the data has no metric to forecast, only a timestamp, flags and labels", g.Group)
	case 1:
		return names[0], nil
	}
	return "", cli.Usagef("-target is missing: the data has %s", strings.Join(names, ", "))
}
