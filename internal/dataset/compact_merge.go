package dataset

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/internal/blob"
)

// merger makes the new content of one closed file out of the old one and of parts.
//
// It goes through the parts once to learn how many rows each group has, and then
// once for each range of groups that makes about compactRows rows: the memory it
// takes does not grow with the day, but for the bytes of the file.
type merger struct {
	*compaction
	key    closedKey
	old    standing
	fresh  []blob.Info // not yet in old
	joined int         // of fresh, which the new content stands for
}

// encode returns the new content and the number of its rows.
func (m *merger) encode(ctx context.Context) ([]byte, int64, error) {
	counts, err := m.count(ctx)
	if err != nil {
		return nil, 0, err
	}
	total := 0
	for _, n := range counts {
		total += n
	}
	w := newClosedWriter(total)
	for _, groups := range ranges(counts, compactRows) {
		parts, err := m.gather(ctx, groups[0], groups[1])
		if err != nil {
			return nil, 0, err
		}
		for s, rows := range winners(parts) {
			if err := w.add(s, rows); err != nil {
				return nil, 0, err
			}
		}
	}
	var ids []partID
	if m.old.file != nil {
		ids = append(ids, m.old.file.parts...)
	}
	for _, info := range m.fresh {
		ids = append(ids, idOf(info))
	}
	m.joined = len(m.fresh)
	data, err := w.finish(ids)
	return data, int64(w.total), err
}

// count returns how many rows each group of the file has, revisions counted apart.
// Parts that cannot be read are taken out of fresh here.
func (m *merger) count(ctx context.Context) (map[string]int, error) {
	counts := map[string]int{}
	var mu sync.Mutex
	add := func(p *part) {
		of := make(map[string]int)
		for _, r := range p.rows {
			of[p.series[r.series].group]++
		}
		mu.Lock()
		defer mu.Unlock()
		for group, n := range of {
			if fileOf(group, m.key.files) == m.key.file {
				counts[group] += n
			}
		}
	}
	if m.old.file != nil {
		for i := range m.old.file.blocks {
			p, err := m.old.file.block(i, m.old.data, 0)
			if err != nil {
				return nil, fmt.Errorf("%s, row group %d: %w", m.key, i, err)
			}
			add(p)
		}
	}
	unreadable := map[string]bool{}
	err := m.each(ctx, m.fresh, add, func(c *CorruptError) {
		m.broken(c)
		mu.Lock()
		defer mu.Unlock()
		unreadable[c.Key] = true
	})
	m.fresh = slices.DeleteFunc(m.fresh, func(info blob.Info) bool { return unreadable[info.Key] })
	return counts, err
}

// gather returns the rows of the groups first to last of the file.
func (m *merger) gather(ctx context.Context, first, last string) ([]*part, error) {
	wanted := func(s series) bool {
		return first <= s.group && s.group <= last && fileOf(s.group, m.key.files) == m.key.file
	}
	lo, hi := m.day.UnixMicro(), m.day.AddDate(0, 0, 1).UnixMicro()
	var parts []*part
	var mu sync.Mutex
	add := func(p *part) {
		p = p.cut(lo, hi, wanted)
		mu.Lock()
		defer mu.Unlock()
		parts = append(parts, p)
	}
	if m.old.file != nil {
		for i, b := range m.old.file.blocks {
			if b.last < first || b.first > last {
				continue
			}
			p, err := m.old.file.block(i, m.old.data, 0)
			if err != nil {
				return nil, fmt.Errorf("%s, row group %d: %w", m.key, i, err)
			}
			add(p)
		}
	}
	// A part that could be read before and cannot now is not to be left out.
	var broken error
	err := m.each(ctx, m.fresh, add, func(c *CorruptError) {
		mu.Lock()
		defer mu.Unlock()
		broken = c
	})
	return parts, errors.Join(err, broken)
}

// each calls use with each part, from several goroutines at once.
func (m *merger) each(ctx context.Context, infos []blob.Info, use func(*part), broken func(*CorruptError)) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for _, info := range infos {
		g.Go(func() error {
			p, ok := m.d.cache.get(versioned(info)).(*part)
			if !ok {
				var err error
				p, err = m.d.read(ctx, info)
				if c := (*CorruptError)(nil); errors.As(err, &c) {
					broken(c)
					return nil
				}
				if err != nil {
					return err
				}
			}
			use(p)
			return nil
		})
	}
	return g.Wait()
}

// ranges returns the first and last groups of ranges that have about rows rows
// each, in order.
func ranges(counts map[string]int, rows int) (out [][2]string) {
	n := 0
	for _, group := range slices.Sorted(maps.Keys(counts)) {
		if n == 0 || n+counts[group] > rows {
			out = append(out, [2]string{group, group})
			n = 0
		}
		out[len(out)-1][1] = group
		n += counts[group]
	}
	return out
}
