package main

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/trainer/batch"
)

// histories are the groups to train, and where to get their data.
type histories struct {
	groups []string // of the shard, in order
	total  int      // groups of all shards
	values func(group string) int64
	// take returns the history of a group, once.
	take func(ctx context.Context, group string) (*window.Grid, error)
}

const (
	// shelfShare is the part of the memory, one in so many, that holds histories
	// which were read and wait for their training.
	shelfShare = 4
	// cacheShare is the part that holds parts of the data lake.
	cacheShare = 16
	// rowBytes is what a row of the data lake takes while it is read: as a row, as a
	// sample and as a slot of a grid.
	rowBytes = 160
)

// histories finds the groups of the shard.
func (p *program) histories(ctx context.Context, span batch.Span) (*histories, error) {
	if isLake(p.common.Data) {
		return p.lakeHistories(ctx, span)
	}
	return p.fileHistories()
}

// lakeHistories counts the rows of each group, and reads the groups in as few
// passes over the lake as fit into the memory.
func (p *program) lakeHistories(ctx context.Context, span batch.Span) (*histories, error) {
	lake, err := p.openLake(ctx, p.many.memory/cacheShare)
	if err != nil {
		return nil, err
	}
	rows, err := lake.Rows(ctx, span.From, span.Until)
	if err := p.bear(err); err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s has no samples between %s and %s", p.common.Data, stamp(span.From), stamp(span.Until))
	}
	h := &histories{groups: p.many.shard.Of(slices.Sorted(maps.Keys(rows))), total: len(rows)}
	h.values = func(group string) int64 { return int64(rows[group]) }
	lots := batch.Lots(h.groups, func(group string) int64 { return rowBytes * h.values(group) }, p.many.memory/shelfShare-p.many.memory/cacheShare)
	shelf := batch.NewShelf(lots, func(ctx context.Context, groups []string) (map[string]*window.Grid, error) {
		return p.readGroups(ctx, lake, span, groups)
	})
	h.take = func(ctx context.Context, group string) (*window.Grid, error) {
		grid, ok, err := shelf.Take(ctx, group)
		if err == nil && !ok {
			err = p.noSamples(group, span)
		}
		return grid, err
	}
	return h, nil
}

// fileHistories has a group for each file of a directory.
func (p *program) fileHistories() (*histories, error) {
	files, err := tidyFiles(p.common.Data)
	if err != nil {
		return nil, err
	}
	h := &histories{groups: p.many.shard.Of(slices.Sorted(maps.Keys(files))), total: len(files)}
	h.values = func(group string) int64 {
		// A value takes some eight bytes of text, and a sixth of that packed.
		if f := files[group]; strings.HasSuffix(f.Name(), ".gz") {
			return f.Size() * 6 / 8
		}
		return files[group].Size() / 8
	}
	h.take = func(_ context.Context, group string) (*window.Grid, error) {
		return p.loadFile(filepath.Join(p.common.Data, files[group].Name()), group)
	}
	return h, nil
}
