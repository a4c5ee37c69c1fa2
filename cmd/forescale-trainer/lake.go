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
	"github.com/forescale/forescale/trainer/batch"
)

// span returns the time to read a data lake for: whole slots up to -until, else
// up to the given time.
func (p *program) span(now time.Time) batch.Span {
	if !p.until.IsZero() {
		now = p.until
	}
	until := now.UTC().Truncate(p.common.Step)
	return batch.Span{From: until.Add(-p.history).Truncate(p.common.Step), Until: until}
}

// openLake returns the data lake with a cache of so many bytes.
func (p *program) openLake(ctx context.Context, cache int64) (*dataset.Dataset, error) {
	store, err := blob.Open(ctx, p.common.Data)
	if err != nil {
		return nil, err
	}
	return dataset.NewWithCache(store, cache), nil
}

// loadLake reads the group, or the only one, of a data lake.
func (p *program) loadLake(ctx context.Context, span batch.Span) (*window.Grid, error) {
	lake, err := p.openLake(ctx, dataset.DefaultCacheBytes)
	if err != nil {
		return nil, err
	}
	if p.group == "" {
		if p.group, err = p.onlyGroup(ctx, lake, span); err != nil {
			return nil, err
		}
	}
	grids, err := p.readGroups(ctx, lake, span, []string{p.group})
	if err != nil {
		return nil, err
	}
	if grids[p.group] == nil {
		return nil, p.noSamples(p.group, span)
	}
	return grids[p.group], nil
}

// readGroups reads groups of a data lake in one pass. Each grid reaches from its
// group's first sample to its last; a group without samples has none.
func (p *program) readGroups(ctx context.Context, lake *dataset.Dataset, span batch.Span, groups []string) (map[string]*window.Grid, error) {
	samples, err := lake.Scan(ctx, dataset.Query{Groups: groups, From: span.From, To: span.Until})
	if err := p.bear(err); err != nil {
		return nil, err
	}
	grids := map[string]*window.Grid{}
	for len(samples) > 0 { // sorted by group
		group := samples[0].Group
		end := slices.IndexFunc(samples, func(s api.Sample) bool { return s.Group != group })
		if end < 0 {
			end = len(samples)
		}
		own := samples[:end]
		samples = samples[end:]
		first := slices.MinFunc(own, byTime).Time.Truncate(p.common.Step)
		last := slices.MaxFunc(own, byTime).Time.Truncate(p.common.Step)
		if g := window.FromSamples(own, p.common.Step, first, last.Add(p.common.Step))[group]; g != nil {
			grids[group] = g
		}
	}
	return grids, nil
}

func (p *program) noSamples(group string, span batch.Span) error {
	return fmt.Errorf("%s has no samples of group %q between %s and %s", p.common.Data, group, stamp(span.From), stamp(span.Until))
}

// bear reports parts of the lake that cannot be read, once, and returns any other
// error: what is left is good enough to learn from.
func (p *program) bear(err error) error {
	if err == nil || !dataset.OnlyCorrupt(err) {
		return err
	}
	if _, told := p.heard.LoadOrStore(err.Error(), true); !told {
		fmt.Fprintf(p.stderr, "left out of the history: %v\n", err)
	}
	return nil
}

func byTime(a, b api.Sample) int { return a.Time.Compare(b.Time) }

// onlyGroup returns the one group of a lake.
func (p *program) onlyGroup(ctx context.Context, lake *dataset.Dataset, span batch.Span) (string, error) {
	groups, err := lake.Groups(ctx, span.From, span.Until)
	switch err := p.bear(err); {
	case err != nil:
		return "", err
	case len(groups) == 0:
		return "", fmt.Errorf("%s has no samples between %s and %s", p.common.Data, stamp(span.From), stamp(span.Until))
	case len(groups) > 1:
		return "", cli.Usagef("-group is missing: the data lake has %s; -all-groups trains a model for each, -shared one for all", strings.Join(groups, ", "))
	}
	return groups[0], nil
}

func stamp(t time.Time) string { return t.Format(time.RFC3339) }
