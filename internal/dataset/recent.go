package dataset

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
)

// ErrNotRecent means that Recent cannot answer: recent/ is not there, is too far
// behind, or holds samples that are not on the grid. Scan and Tail can.
var ErrNotRecent = errors.New("recent/ cannot answer")

// Want says which slots Recent is asked for. With the newest slot being the one
// that ends at At, slot n, they are the slots n-Newest+1 … n and, for each lag o,
// n-o … n-o+Ahead, without those after n.
type Want struct {
	At     time.Time     // a multiple of Step since 1970
	Step   time.Duration // length of a slot; the one that recent/ is written with
	Newest int
	Lags   []int // in slots
	Ahead  int
	// Groups and Metrics are all that is wanted. Empty: all.
	Groups, Metrics []string
	// Whole is in how many of the newest slots every metric is wanted all the same.
	Whole int
}

// Recent is the part of the lake that a Want names, and some slots around it. It
// shares its memory with whoever asks it, and is not to be changed.
type Recent struct {
	step   int64
	until  int64     // values from here on were not asked for
	tiles  [][]*tile // by shard, each in order of time
	starts []int64   // of the tiles, in order
	groups []string  // wanted; nil: all
	// Notes say what was not there as it should be and has been read from the parts
	// instead, each once. The values are the same.
	Notes []string
}

// Recent returns the newest samples, and those at the lags, of many groups with
// few requests: from one object for each shard of the groups, and the parts that
// have come since that was written. Each value is the one that Scan would return.
//
// Parts that cannot be read are left out and named, as by Scan (OnlyCorrupt); the
// answer beside such an error counts. ErrNotRecent says that Scan must be asked
// instead.
func (d *Dataset) Recent(ctx context.Context, want Want) (r *Recent, err error) {
	for attempt := 0; attempt < 3; attempt++ { // a part may be gone by the time that it is read, see each
		if r, err = d.recent(ctx, want); !errors.Is(err, errStale) {
			break
		}
	}
	return r, err
}

func (d *Dataset) recent(ctx context.Context, want Want) (*Recent, error) {
	o, err := d.store.Get(ctx, indexKey)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, fmt.Errorf("%w: there is no %s", ErrNotRecent, indexKey)
	}
	if err != nil {
		return nil, fmt.Errorf("recent: %w", err)
	}
	x, err := decodeIndex(o.Data)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNotRecent, indexKey, err)
	}
	if want.Step.Microseconds() != x.step || want.At.UnixMicro()%x.step != 0 {
		return nil, fmt.Errorf("%w: it is written for steps of %s", ErrNotRecent, time.Duration(x.step)*time.Microsecond)
	}
	r := &Recent{step: x.step, until: want.At.UnixMicro(), starts: want.tiles(x.slots), tiles: make([][]*tile, x.shards)}
	r.groups = slices.Clone(want.Groups)
	slices.Sort(r.groups)
	a := &assembly{d: d, step: x.step, slots: x.slots, shards: x.shards, metrics: setOf(want.Metrics), spans: x.spans, closed: x.closed, most: maxRecentParts,
		whole: floorTo(r.until-int64(want.Whole)*x.step, int64(x.slots)*x.step)}
	var frames []map[int64]*tile
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.list(gctx, r.starts) })
	g.Go(func() (err error) {
		frames, err = r.bases(gctx, d, a)
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("recent: %w", err)
	}
	for shard := range x.shards {
		if len(r.groups) > 0 && frames[shard] == nil {
			continue // nobody asks for its groups
		}
		for _, start := range r.starts {
			a.add(shard, start, frames[shard][start])
		}
	}
	if n := a.pending(); n > a.most {
		return nil, fmt.Errorf("%w: %d parts are not in it", ErrNotRecent, n)
	}
	if err := a.run(ctx); err != nil {
		return nil, fmt.Errorf("recent: %w", err)
	}
	for shard := range r.tiles {
		for _, start := range r.starts {
			if o := a.tiles[tileAt{start, shard}]; o != nil {
				t := o.finish()
				if t.irregular {
					return nil, fmt.Errorf("%w: there are samples between the starts of slots near %s", ErrNotRecent,
						time.UnixMicro(start).UTC().Format(time.RFC3339))
				}
				r.tiles[shard] = append(r.tiles[shard], t)
			}
		}
	}
	return r, errors.Join(a.corrupt...)
}

// maxRecentParts bounds how many parts Recent reads beside the bases. When more
// are missing, reading on slot by slot from the newest is the better way.
const maxRecentParts = 1000

// tiles returns the starts of the tiles that hold the wanted slots, in order.
func (w Want) tiles(slots int) []int64 {
	step := w.Step.Microseconds()
	length := int64(slots) * step
	newest := w.At.UnixMicro() - step
	found := map[int64]bool{}
	cover := func(first, last int64) { // slots, by their start
		for at := floorTo(first, length); at <= min(last, newest); at += length {
			found[at] = true
		}
	}
	if w.Newest > 0 {
		cover(newest-int64(w.Newest-1)*step, newest)
	}
	for _, lag := range w.Lags {
		cover(newest-int64(lag)*step, newest-int64(lag-w.Ahead)*step)
	}
	return slices.Sorted(maps.Keys(found))
}

// bases reads the bases of the shards that hold wanted groups: by shard, the tiles
// by their start. The map of a shard that is not wanted is nil. What is missing or
// cannot be read is noted.
func (r *Recent) bases(ctx context.Context, d *Dataset, a *assembly) ([]map[int64]*tile, error) {
	wanted := make([]bool, a.shards)
	for _, group := range r.groups {
		wanted[shardOf(group, a.shards)] = true
	}
	frames := make([]map[int64]*tile, a.shards)
	notes := make([]string, a.shards)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for shard := range a.shards {
		if len(r.groups) > 0 && !wanted[shard] {
			continue
		}
		frames[shard] = map[int64]*tile{}
		g.Go(func() (err error) {
			notes[shard], err = readBase(ctx, d, baseKey(shard, a.shards), r.starts, a, frames[shard])
			return err
		})
	}
	err := g.Wait()
	r.Notes = slices.DeleteFunc(notes, func(note string) bool { return note == "" })
	return frames, err
}

// readBase enters the tiles of one base into tiles.
func readBase(ctx context.Context, d *Dataset, key string, starts []int64, a *assembly, tiles map[int64]*tile) (note string, err error) {
	o, err := d.store.Get(ctx, key)
	if errors.Is(err, blob.ErrNotFound) {
		return fmt.Sprintf("%s is not there", key), nil
	}
	if err != nil {
		return "", err
	}
	frames, err := decodeBase(o.Data)
	if err != nil {
		return fmt.Sprintf("%s: %v", key, err), nil
	}
	reader := frameReader{budget: maxUnpackedBytes}
	missing := 0
	for _, start := range starts {
		if frames[start] == nil {
			missing++
			continue
		}
		if reader.metrics = a.metrics; start >= a.whole {
			reader.metrics = nil
		}
		t, err := reader.decode(frames[start])
		if err != nil || t.start != start || t.step != a.step || t.slots != a.slots {
			note = fmt.Sprintf("%s: %v", key, errRecent)
			continue
		}
		tiles[start] = t
	}
	if note == "" && missing > 1 { // the newest may have begun after it was written
		note = fmt.Sprintf("%s lacks %d of %d stretches", key, missing, len(starts))
	}
	return note, nil
}

// Groups returns the groups of which anything is known, sorted.
func (r *Recent) Groups() []string {
	found := map[string]bool{}
	for _, tiles := range r.tiles {
		for _, t := range tiles {
			for _, name := range t.groups.names {
				if _, wanted := slices.BinarySearch(r.groups, name); wanted || len(r.groups) == 0 {
					found[name] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// Column is a stretch of one series: the value of the slot that starts at From,
// of the next one, and so on, NaN where the lake has none.
type Column struct {
	Metric string
	Stat   api.Stat
	From   time.Time
	Values []float64
}

// Each calls use for every stretch of a group's series, in order of time; a series
// without a value in a stretch may be passed over.
func (r *Recent) Each(group string, use func(Column)) {
	for _, t := range r.tiles[shardOf(group, len(r.tiles))] {
		row, known := t.groups.index[group]
		if !known {
			continue
		}
		n := min(t.slots, int((r.until-t.start)/r.step))
		for _, c := range t.cols {
			first := row * t.slots
			use(Column{c.metric, c.stat, time.UnixMicro(t.start).UTC(), c.values[first : first+n : first+n]})
		}
	}
}

// Stretches calls use for each stretch of time that the answer covers, in order:
// what Each has not handed out in it is not in the lake.
func (r *Recent) Stretches(use func(from, to time.Time)) {
	for i := 0; i < len(r.starts); {
		length := int64(tileSlots(time.Duration(r.step)*time.Microsecond)) * r.step
		first, end := r.starts[i], r.starts[i]
		for ; i < len(r.starts) && r.starts[i] == end; i++ {
			end += length
		}
		use(time.UnixMicro(first).UTC(), time.UnixMicro(min(end, r.until)).UTC())
	}
}
