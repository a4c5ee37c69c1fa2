package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/window"
)

// loadLake reads a group of a data lake up to the last whole slot before now.
func (p *program) loadLake(ctx context.Context, now time.Time) (*window.Grid, error) {
	store, err := blob.Open(ctx, p.common.Data)
	if err != nil {
		return nil, err
	}
	lake := dataset.New(store)
	to := now.UTC().Truncate(p.common.Step)
	from := to.Add(-p.history).Truncate(p.common.Step)
	if p.group == "" {
		if p.group, err = p.onlyGroup(ctx, lake, from, to); err != nil {
			return nil, err
		}
	}
	samples, err := lake.Scan(ctx, dataset.Query{Groups: []string{p.group}, From: from, To: to})
	if err := p.bear(err); err != nil {
		return nil, err
	}
	if len(samples) == 0 {
		return nil, fmt.Errorf("%s has no samples of group %q between %s and %s", p.common.Data, p.group, stamp(from), stamp(to))
	}
	first := slices.MinFunc(samples, byTime).Time.Truncate(p.common.Step)
	last := slices.MaxFunc(samples, byTime).Time.Truncate(p.common.Step)
	grid := window.FromSamples(samples, p.common.Step, first, last.Add(p.common.Step))[p.group]
	if grid.AddDemand() && p.config.Target == "" {
		p.config.Target = api.SeriesDemand
	}
	return grid, nil
}

// bear reports parts of the lake that cannot be read, and returns any other
// error: what is left is good enough to learn from.
func (p *program) bear(err error) error {
	if err == nil || !dataset.OnlyCorrupt(err) {
		return err
	}
	fmt.Fprintf(p.stderr, "left out of the history: %v\n", err)
	return nil
}

func byTime(a, b api.Sample) int { return a.Time.Compare(b.Time) }

// onlyGroup returns the one group of a lake.
func (p *program) onlyGroup(ctx context.Context, lake *dataset.Dataset, from, to time.Time) (string, error) {
	groups, err := lake.Groups(ctx, from, to)
	switch err := p.bear(err); {
	case err != nil:
		return "", err
	case len(groups) == 0:
		return "", fmt.Errorf("%s has no samples between %s and %s", p.common.Data, stamp(from), stamp(to))
	case len(groups) > 1:
		return "", cli.Usagef("-group is missing: the data lake has %s", strings.Join(groups, ", "))
	}
	return groups[0], nil
}

func stamp(t time.Time) string { return t.Format(time.RFC3339) }
