package dataset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/internal/blob"
)

// The objects under recent/. Readers and writers of another version do not see
// them.
const (
	recentPrefix = "recent/v1/"
	indexKey     = recentPrefix + "index"
)

// day is a UTC day in microseconds.
const day = int64(24 * time.Hour / time.Microsecond)

// dayOf returns the start of the day that a part speaks of, 0 for no part.
func dayOf(key string) int64 {
	at, _, ok := parseKey(key)
	if !ok {
		return 0
	}
	return at.UnixMicro()
}

func baseKey(shard, shards int) string {
	return fmt.Sprintf("%sbase/%03d%s", recentPrefix, shard, baseSuffix(shards))
}

func baseSuffix(shards int) string { return fmt.Sprintf("-of-%03d", shards) }

func tilePrefix(start int64) string {
	return recentPrefix + "tile/" + time.UnixMicro(start).UTC().Format("20060102T150405Z") + "/"
}

func tileKey(start int64, shard, shards int) string {
	return fmt.Sprintf("%s%03d%s", tilePrefix(start), shard, baseSuffix(shards))
}

// tileAt names a tile of one shard.
type tileAt struct {
	start int64
	shard int
}

// assembly makes tiles of the parts that the lake has at one moment, and of what
// is known of the tiles from before.
//
// A tile that names just the parts that have rows in its time is taken as it is.
// If there are others beside those, their rows are laid over it: a row that was
// ingested after all that the slot has, wins. Where that is not certain, and where
// a part that the tile names is no more, the tile is made anew from the parts.
type assembly struct {
	d       *Dataset
	step    int64
	slots   int
	shards  int
	metrics map[string]bool // wanted; nil: all
	whole   int64           // of the tiles from here on, all are
	most    int             // parts that may be read; 0: any number

	infos []blob.Info    // parts of the days in question, in the order of their keys
	ids   []keyID        // of infos
	alive map[keyID]bool // those of infos
	spans map[keyID]span // known ones; empty for a part that cannot be read
	tiles map[tileAt]*overlay

	touching map[int64][]int  // by tile start: indexes into infos
	missing  map[tileAt][]int // parts to be laid over a tile

	mu      sync.Mutex // guards tiles, spans and corrupt while parts are read
	corrupt []error
}

// again returns an assembly of the same parts that no tile has been asked of.
func (a *assembly) again() *assembly {
	return &assembly{d: a.d, step: a.step, slots: a.slots, shards: a.shards, metrics: a.metrics,
		infos: a.infos, ids: a.ids, alive: a.alive, spans: a.spans, touching: a.touching,
		tiles: map[tileAt]*overlay{}, missing: map[tileAt][]int{}}
}

// list finds the parts of the days that the tiles lie in, and reads those of
// which it is not known which time they speak of.
func (a *assembly) list(ctx context.Context, starts []int64) error {
	var days []int64
	for _, start := range starts {
		if at := floorTo(start, day); len(days) == 0 || days[len(days)-1] != at {
			days = append(days, at)
		}
	}
	var runs []span // of days in succession: one listing each
	for _, at := range days {
		if n := len(runs); n > 0 && runs[n-1].max == at {
			runs[n-1].max += day
			continue
		}
		runs = append(runs, span{at, at + day})
	}
	found := make([][]blob.Info, len(runs))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, run := range runs {
		g.Go(func() (err error) {
			q := Query{From: time.UnixMicro(run.min), To: time.UnixMicro(run.max)}
			found[i], err = a.d.list(gctx, q, run.min, run.max)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return a.know(ctx, slices.Concat(found...))
}

// know takes the parts as all that there are.
func (a *assembly) know(ctx context.Context, infos []blob.Info) error {
	a.infos = infos
	a.ids = make([]keyID, len(infos))
	a.alive = make(map[keyID]bool, len(infos))
	a.touching = map[int64][]int{}
	a.tiles, a.missing = map[tileAt]*overlay{}, map[tileAt][]int{}
	var unknown []int
	for i, info := range infos {
		a.ids[i] = idOf(info.Key)
		a.alive[a.ids[i]] = true
		if _, known := a.spans[a.ids[i]]; !known {
			unknown = append(unknown, i)
		}
	}
	if a.most > 0 && len(unknown) > a.most {
		return fmt.Errorf("%w: %d parts are not in its index", ErrNotRecent, len(unknown))
	}
	if err := a.learn(ctx, unknown); err != nil {
		return err
	}
	length := int64(a.slots) * a.step
	for i, id := range a.ids {
		s := a.spans[id]
		for at := floorTo(s.min, length); at <= s.max && s.min <= s.max; at += length {
			a.touching[at] = append(a.touching[at], i)
		}
	}
	return nil
}

// learn finds the spans of parts.
func (a *assembly) learn(ctx context.Context, parts []int) error {
	return a.read(ctx, parts, func(i int) (func(*part), bool) {
		s, known := a.d.cache.span(a.infos[i].Key)
		if known {
			a.spans[a.ids[i]] = s
		}
		return func(p *part) { a.spans[a.ids[i]] = span{p.min, p.max} }, !known
	})
}

// read reads parts at the same time and gives each to its use, one after the
// other. before says what that is, and whether the part need be read. A part that
// cannot be read is noted, and has no span.
func (a *assembly) read(ctx context.Context, parts []int, before func(i int) (use func(*part), needed bool)) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for _, i := range parts {
		a.mu.Lock()
		use, needed := before(i)
		a.mu.Unlock()
		if !needed {
			continue
		}
		g.Go(func() error {
			p := a.d.cache.get(a.infos[i].Key)
			var err error
			if p == nil {
				p, err = a.d.read(ctx, a.infos[i])
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			if c := (*CorruptError)(nil); errors.As(err, &c) {
				a.corrupt = append(a.corrupt, c)
				a.spans[a.ids[i]] = span{0, -1}
				return nil
			}
			if err != nil {
				return err
			}
			use(p)
			return nil
		})
	}
	return g.Wait()
}

// add asks for a tile. have is what is known of it, which may be nil.
func (a *assembly) add(shard int, start int64, have *tile) {
	at := tileAt{start, shard}
	touching := a.touching[start]
	if have == nil || have.irregular || slices.ContainsFunc(have.parts, func(id keyID) bool { return !a.alive[id] }) {
		a.tiles[at] = newOverlay(newTile(start, a.step, a.slots), false)
		a.missing[at] = touching
		return
	}
	a.tiles[at] = newOverlay(have, true)
	for _, i := range touching {
		if _, in := slices.BinarySearchFunc(have.parts, a.ids[i], compareIDs); !in {
			a.missing[at] = append(a.missing[at], i)
		}
	}
}

// pending returns how many parts must be read for the tiles.
func (a *assembly) pending() int {
	parts := map[int]bool{}
	for _, missing := range a.missing {
		for _, i := range missing {
			parts[i] = true
		}
	}
	return len(parts)
}

// run completes the tiles that were asked for.
func (a *assembly) run(ctx context.Context) error {
	for len(a.missing) > 0 {
		byPart := map[int]map[int64][]*overlay{} // by tile start and shard
		for at, missing := range a.missing {
			for _, i := range missing {
				if byPart[i] == nil {
					byPart[i] = map[int64][]*overlay{}
				}
				if byPart[i][at.start] == nil {
					byPart[i][at.start] = make([]*overlay, a.shards)
				}
				byPart[i][at.start][at.shard] = a.tiles[at]
			}
		}
		var parts []int
		for i := range byPart {
			parts = append(parts, i)
		}
		slices.Sort(parts)
		err := a.read(ctx, parts, func(i int) (func(*part), bool) {
			return func(p *part) { a.lay(p, int32(i), byPart[i]) }, true
		})
		if err != nil {
			return err
		}
		a.missing = map[tileAt][]int{}
		for at, o := range a.tiles {
			if o.conflict { // what the tile holds is not enough to decide; the parts are
				a.tiles[at] = newOverlay(newTile(at.start, a.step, a.slots), false)
				a.missing[at] = a.touching[at.start]
			}
		}
	}
	return nil
}

// lay enters the rows of a part into the tiles that lack them.
func (a *assembly) lay(p *part, rank int32, tiles map[int64][]*overlay) {
	length := int64(a.slots) * a.step
	last, start := int32(-1), int64(0)
	var o *overlay
	var shard, col, first int
	var wanted bool
	for _, r := range p.rows {
		fresh := r.series != last
		if fresh {
			last = r.series
			s := p.series[last]
			wanted = a.metrics == nil || a.metrics[s.metric]
			shard = shardOf(s.group, a.shards)
		}
		at := floorTo(r.time, length)
		if !wanted && at < a.whole {
			continue
		}
		if fresh || at != start {
			start, o = at, nil
			if shards := tiles[at]; shards != nil {
				if o = shards[shard]; o != nil {
					col, first = o.place(p.series[last])
				}
			}
		}
		if o != nil {
			o.put(col, first, r, rank)
		}
	}
}

// names returns the parts that a tile is made of, as tile.parts has them. Those
// that cannot be read are not among them.
func (a *assembly) names(start int64) []keyID {
	ids := make([]keyID, 0, len(a.touching[start]))
	for _, i := range a.touching[start] {
		if s := a.spans[a.ids[i]]; s.min <= s.max {
			ids = append(ids, a.ids[i])
		}
	}
	slices.SortFunc(ids, compareIDs)
	return ids
}
