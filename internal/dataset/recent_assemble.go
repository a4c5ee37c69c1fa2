package dataset

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
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

	infos  []blob.Info     // parts of the days in question, in the order of their keys
	ids    []partID        // of infos, and after them those for which closed files stand
	alive  map[partID]bool // those of ids
	spans  map[partID]span // known ones; empty for a part that cannot be read
	closed map[int64]closedParts
	tiles  map[tileAt]*overlay

	touching map[int64][]int  // by tile start: indexes into ids
	scans    map[int64][]int  // by tile start: the shards whose tiles are read by a scan
	missing  map[tileAt][]int // parts to be laid over a tile

	mu      sync.Mutex // guards tiles, spans and corrupt while parts are read
	corrupt []error
}

// again returns an assembly of the same parts that no tile has been asked of.
func (a *assembly) again() *assembly {
	return &assembly{d: a.d, step: a.step, slots: a.slots, shards: a.shards, metrics: a.metrics,
		infos: a.infos, ids: a.ids, alive: a.alive, spans: a.spans, closed: a.closed, touching: a.touching,
		tiles: map[tileAt]*overlay{}, missing: map[tileAt][]int{}, scans: map[int64][]int{}}
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
	sealed := make([][]closedDayParts, len(runs))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, run := range runs {
		g.Go(func() (err error) {
			found[i], sealed[i], err = a.d.listParts(gctx, run, a.closed)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return a.know(ctx, slices.Concat(found...), slices.Concat(sealed...))
}

// know takes the parts as all that there are.
func (a *assembly) know(ctx context.Context, infos []blob.Info, sealed []closedDayParts) error {
	a.infos = infos
	a.ids = make([]partID, len(infos))
	a.alive = make(map[partID]bool, len(infos))
	a.touching, a.scans = map[int64][]int{}, map[int64][]int{}
	a.tiles, a.missing = map[tileAt]*overlay{}, map[tileAt][]int{}
	var unknown []int
	for i, info := range infos {
		a.ids[i] = idOf(info)
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
	a.closed = map[int64]closedParts{}
	for _, c := range sealed {
		a.closed[c.at] = c.closedParts
		for _, id := range c.parts {
			if a.alive[id] {
				continue
			}
			a.ids = append(a.ids, id)
			a.alive[id] = true
			if _, known := a.spans[id]; !known { // it may speak of any time of its day
				a.spans[id] = span{c.at, c.at + day - 1}
			}
		}
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
		s, known := a.d.cache.span(versioned(a.infos[i]))
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
			p, cached := a.d.cache.get(versioned(a.infos[i])).(*part)
			var err error
			if !cached {
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
	if have == nil || have.irregular || slices.ContainsFunc(have.parts, func(id partID) bool { return !a.alive[id] }) {
		a.anew(at)
		return
	}
	a.tiles[at] = newOverlay(have, true)
	for _, i := range a.touching[start] {
		if _, in := slices.BinarySearch(have.parts, a.ids[i]); in {
			continue
		}
		if i >= len(a.infos) { // its rows can only be had together with those of others
			a.anew(at)
			return
		}
		a.missing[at] = append(a.missing[at], i)
	}
}

// anew has a tile made from all the parts, or by a scan where closed files stand
// for some of them.
func (a *assembly) anew(at tileAt) {
	a.tiles[at] = newOverlay(newTile(at.start, a.step, a.slots), false)
	delete(a.missing, at)
	touching := a.touching[at.start]
	if slices.ContainsFunc(touching, func(i int) bool { return i >= len(a.infos) }) {
		a.scans[at.start] = append(a.scans[at.start], at.shard)
		return
	}
	a.missing[at] = touching
}

// scan makes the tiles of some shards of what Scan says of their time. It tells
// only that much of when a row was ingested, that none may be taken for newer.
func (a *assembly) scan(ctx context.Context, start int64, shards []int) error {
	end := start + int64(a.slots)*a.step
	rows, err := a.d.Scan(ctx, Query{From: time.UnixMicro(start).UTC(), To: time.UnixMicro(end).UTC()})
	switch {
	case OnlyCorrupt(err) && err != nil:
		a.corrupt = append(a.corrupt, err)
	case err != nil:
		return err
	}
	tiles := make([]*overlay, a.shards)
	for _, shard := range shards {
		tiles[shard] = a.tiles[tileAt{start, shard}]
	}
	for _, r := range rows {
		if o := tiles[shardOf(r.Group, a.shards)]; o != nil {
			col, first := o.place(series{r.Group, r.Metric, r.Stat})
			o.put(col, first, row{time: r.Time.UnixMicro(), ingested: math.MaxInt64, value: r.Value})
		}
	}
	for _, shard := range shards {
		tiles[shard].blur()
	}
	return nil
}

// of returns the tiles of one time, by shard.
func (a *assembly) of(start int64) []*overlay {
	tiles := make([]*overlay, a.shards)
	for shard := range tiles {
		tiles[shard] = a.tiles[tileAt{start, shard}]
	}
	return tiles
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
	for _, start := range slices.Sorted(maps.Keys(a.scans)) {
		if err := a.scan(ctx, start, a.scans[start]); err != nil {
			return err
		}
	}
	a.scans = map[int64][]int{}
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
			return func(p *part) { a.lay(p, byPart[i]) }, true
		})
		if err != nil {
			return err
		}
		a.missing = map[tileAt][]int{}
		for at, o := range a.tiles {
			if o.conflict { // what the tile holds is not enough to decide; the parts are
				a.anew(at)
			}
		}
		if len(a.scans) > 0 {
			return a.run(ctx)
		}
	}
	return nil
}

// lay enters the rows of a part into the tiles that lack them.
func (a *assembly) lay(p *part, tiles map[int64][]*overlay) {
	length := int64(a.slots) * a.step
	last, start := int32(-1), int64(0)
	var o *overlay
	var shard, col, first int
	var wanted, placed bool // of the present series
	for _, r := range p.rows {
		if r.series != last {
			last, placed = r.series, false
			s := p.series[last]
			wanted = a.metrics == nil || a.metrics[s.metric]
			shard = shardOf(s.group, a.shards)
		}
		at := floorTo(r.time, length)
		if !wanted && at < a.whole {
			continue
		}
		if !placed || at != start {
			start, o, placed = at, nil, true
			if shards := tiles[at]; shards != nil {
				if o = shards[shard]; o != nil {
					col, first = o.place(p.series[last])
				}
			}
		}
		if o != nil {
			o.put(col, first, r)
		}
	}
}

// names returns the parts that a tile is made of, as tile.parts has them. Those
// that cannot be read are not among them.
func (a *assembly) names(start int64) []partID {
	ids := make([]partID, 0, len(a.touching[start]))
	for _, i := range a.touching[start] {
		if s := a.spans[a.ids[i]]; s.min <= s.max {
			ids = append(ids, a.ids[i])
		}
	}
	slices.Sort(ids)
	return ids
}
