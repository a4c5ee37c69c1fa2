package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/forescale/forescale/internal/blob"
)

// RefreshConfig says what is kept in recent/.
type RefreshConfig struct {
	Step time.Duration // length of a slot; divides a day
	// Newest is how much of the newest history is kept. Default 30h: the features of
	// a day's mean look back a day and three hours, and time goes on between refreshes.
	Newest time.Duration
	// Lags are the ages from which on slots are kept, and Ahead is for how long, beside
	// what comes until the next refresh. Defaults: 1 to 7 days and 2 to 4 weeks, which
	// is what the trainer's models look back to; 1h, which is as far as they forecast.
	Lags  []time.Duration
	Ahead time.Duration
	// Shards is into how many objects the groups are divided. 0: as many as the
	// index says, or one for each 640 groups seen at the first refresh.
	Shards int
}

// withDefaults returns the configuration with the defaults named at each field.
func (c RefreshConfig) withDefaults() RefreshConfig {
	c.Newest = cmp.Or(c.Newest, 30*time.Hour)
	c.Ahead = cmp.Or(c.Ahead, time.Hour)
	if c.Lags == nil {
		for _, days := range []int{1, 2, 3, 4, 5, 6, 7, 14, 21, 28} {
			c.Lags = append(c.Lags, time.Duration(days)*24*time.Hour)
		}
	}
	return c
}

// groupsPerShard is chosen so that a base has some ten megabytes.
const groupsPerShard = 640

// turns is in how many ticks every base is written once.
const turns = maxTileSlots

// catchUpTiles and catchUpParts bound what one Refresh makes or reads of the past,
// so that a tick of the collector stays short. A new recent/ is whole after an hour
// or so, or at once by Rebuild.
const (
	catchUpTiles = 2
	catchUpParts = 3 * maxTileSlots
)

// Refresher keeps recent/ up to date. It is for one writer of the lake, such as a
// collector; several at once cost only work, for whatever they write, readers
// compare it with the lake. What it keeps may be deleted at any time. Its methods
// may be called from several goroutines; calls follow one another.
type Refresher struct {
	d   *Dataset
	cfg RefreshConfig

	mu     sync.Mutex
	live   map[int64]*liveTile // guarded by mu: the tiles that fill, by their start
	index  *recentIndex        // guarded by mu: nil: not read yet
	days   map[int64]listing   // guarded by mu: by day, as last listed
	spans  map[partID]span     // guarded by mu
	reread int                 // guarded by mu: the day to be listed again next
	turn   int                 // guarded by mu
}

// RefreshReport counts what a refresh did.
type RefreshReport struct {
	Bases, Tiles int // objects written
	Parts        int // parts of the lake that were looked into for the first time
	Bytes        int // written
	// Pending counts the stretches that the bases lack still, because making them
	// would have taken too long for one call.
	Pending int
}

// Faults returns all fields that make no sense.
func (c RefreshConfig) Faults() (faults []error) {
	c = c.withDefaults()
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf("recent."+format, args...)) }
	if c.Step < time.Microsecond || 24*time.Hour%c.Step != 0 {
		bad("step: %s does not divide a day", c.Step)
	}
	if c.Newest < c.Step || c.Newest > 366*24*time.Hour {
		bad("newest: %s is not in %s to a year", c.Newest, c.Step)
	}
	if c.Ahead < 0 || c.Ahead > 24*time.Hour {
		bad("ahead: %s is not in 0 to 24h", c.Ahead)
	}
	if c.Shards < 0 || c.Shards > maxShards {
		bad("shards: %d is not in 0 to %d", c.Shards, maxShards)
	}
	for _, lag := range c.Lags {
		if lag <= 0 || lag > 366*24*time.Hour {
			bad("lags: %s is not in 0 to a year", lag)
		}
	}
	return faults
}

// Refresher returns a Refresher that has read nothing yet. The configuration must be
// valid.
func (d *Dataset) Refresher(cfg RefreshConfig) (*Refresher, error) {
	if err := errors.Join(cfg.Faults()...); err != nil {
		return nil, err
	}
	return &Refresher{d: d, cfg: cfg.withDefaults(), days: map[int64]listing{}, spans: map[partID]span{}, live: map[int64]*liveTile{}}, nil
}

// Refresh brings the bases whose turn it is up to date for the ticks from at on: a
// twelfth of them, so that each is written anew once while a tile fills. Call it
// after the samples of the tick at were appended. After an error what has not been
// written is written by a later call; readers lose nothing but time.
func (r *Refresher) Refresh(ctx context.Context, at time.Time) (RefreshReport, error) {
	return r.refresh(ctx, at, false)
}

// Rebuild brings everything up to date, however long it takes.
func (r *Refresher) Rebuild(ctx context.Context, at time.Time) (RefreshReport, error) {
	return r.refresh(ctx, at, true)
}

func (r *Refresher) refresh(ctx context.Context, at time.Time, whole bool) (RefreshReport, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var w refresh
	var err error
	for range 3 {
		w = refresh{Refresher: r, at: floorTo(at.UnixMicro(), r.cfg.Step.Microseconds()), whole: whole,
			made: map[tileAt][]byte{}, unsure: map[int64]bool{}}
		if err = w.run(ctx); !errors.Is(err, errStale) {
			break
		}
		clear(r.days) // a part was compacted away since it was listed
	}
	if err != nil {
		err = fmt.Errorf("refresh recent/: %w", err)
	}
	return w.report, err
}

// refresh is one call of Refresh or Rebuild.
type refresh struct {
	*Refresher
	at     int64 // microseconds
	whole  bool
	all    *assembly         // of all shards
	tiles  []int64           // that bases hold from now on, the newest first
	made   map[tileAt][]byte // frames of this call
	unsure map[int64]bool    // days with parts that have not been looked into yet
	budget int               // of tiles of the past that may still be made
	report RefreshReport
}

func (w *refresh) run(ctx context.Context) error {
	if err := w.open(ctx); err != nil {
		return err
	}
	w.tiles = w.cover()
	if err := w.list(ctx); err != nil {
		return err
	}
	w.budget = catchUpTiles
	if w.whole {
		w.budget = len(w.tiles)
	}
	shards := w.index.shards
	count := (shards + turns - 1) / turns
	if w.whole {
		count = shards
	}
	for range count {
		shard := w.turn % shards
		if err := w.base(ctx, shard); err != nil {
			return err
		}
		w.turn = shard + 1
	}
	w.index.at = w.at
	w.index.spans = map[partID]span{}
	for _, id := range w.all.ids {
		if s := w.spans[id]; s.min <= s.max {
			w.index.spans[id] = s
		}
	}
	if err := w.put(ctx, indexKey, w.index.encode()); err != nil {
		return err
	}
	return w.clean(ctx)
}

// open reads the index, or makes one.
func (w *refresh) open(ctx context.Context) error {
	if w.index != nil {
		return nil
	}
	fresh := &recentIndex{step: w.cfg.Step.Microseconds(), slots: tileSlots(w.cfg.Step), shards: w.cfg.Shards}
	o, err := w.d.store.Get(ctx, indexKey)
	if err != nil && !errors.Is(err, blob.ErrNotFound) {
		return err
	}
	old, bad := decodeIndex(o.Data)
	if err == nil && bad == nil && old.step == fresh.step {
		maps.Copy(w.spans, old.spans)
		fresh.closed = old.closed
		fresh.shards = cmp.Or(fresh.shards, old.shards)
	}
	if fresh.shards == 0 {
		groups, err := w.d.Groups(ctx, time.UnixMicro(w.at).Add(-time.Hour), time.UnixMicro(w.at))
		if err != nil && !OnlyCorrupt(err) {
			return err
		}
		fresh.shards = min(maxShards, len(groups)/groupsPerShard+1)
	}
	w.index = fresh
	return nil
}

// cover returns the starts of the tiles that the bases hold: what is asked for at
// ticks from at on, until every base has been written again, and some more.
func (w *refresh) cover() []int64 {
	length := int64(w.index.slots) * w.index.step
	ahead := w.cfg.Ahead.Microseconds() + (turns+turns/2)*w.index.step
	found := map[int64]bool{}
	cover := func(from, to int64) {
		for at := floorTo(from, length); at < min(to, w.at); at += length {
			found[at] = true
		}
	}
	cover(w.at-w.cfg.Newest.Microseconds(), w.at)
	for _, lag := range w.cfg.Lags {
		cover(w.at-lag.Microseconds()-w.index.step, w.at-lag.Microseconds()+ahead)
	}
	starts := slices.Sorted(maps.Keys(found))
	slices.Reverse(starts)
	return starts
}

// list finds out which parts there are. The days of the present are listed each
// time, the others in turn, one at a time: the worst that comes of a late part
// unseen is that readers read it themselves.
func (w *refresh) list(ctx context.Context) error {
	wanted := map[int64]bool{}
	for _, start := range w.tiles {
		wanted[floorTo(start, day)] = true
	}
	maps.DeleteFunc(w.days, func(at int64, _ listing) bool { return !wanted[at] })
	days := slices.Sorted(maps.Keys(wanted))
	w.reread++
	var infos []blob.Info
	var sealed []closedDayParts
	for i, at := range days {
		was, listed := w.days[at]
		if w.whole || !listed || at >= floorTo(w.at, day)-day || w.reread%len(days) == i {
			open, closed, err := w.d.listParts(ctx, span{at, at + day}, w.index.closed)
			if err != nil {
				return err
			}
			was = listing{open, closed}
			w.days[at] = was
		}
		infos = append(infos, was.open...)
		sealed = append(sealed, was.closed...)
	}
	alive := make(map[partID]bool, len(infos))
	known := infos[:0:0]
	budget := catchUpParts
	for _, info := range slices.Backward(infos) { // the newest days first
		id := idOf(info)
		alive[id] = true
		if _, is := w.spans[id]; !is {
			if budget--; budget < 0 && !w.whole {
				w.unsure[dayOf(info.Key).UnixMicro()] = true
				continue
			}
			w.report.Parts++
		}
		known = append(known, info)
	}
	slices.Reverse(known)
	for _, c := range sealed {
		for _, id := range c.parts {
			alive[id] = true
		}
	}
	// Spans of parts that are no more are of no use.
	maps.DeleteFunc(w.spans, func(id partID, _ span) bool { return !alive[id] })
	w.all = &assembly{d: w.d, step: w.index.step, slots: w.index.slots, shards: w.index.shards, spans: w.spans}
	if err := w.all.know(ctx, known, sealed); err != nil {
		return err
	}
	w.index.closed = w.all.closed
	return nil
}

// listing is what one day was found to hold.
type listing struct {
	open   []blob.Info
	closed []closedDayParts
}

func (w *refresh) put(ctx context.Context, key string, data []byte) error {
	w.report.Bytes += len(data)
	_, err := w.d.store.Put(ctx, key, data, blob.Condition{})
	return err
}

// clean removes, once for each tile that ends, the stored tiles that no base will
// ask for any more, and the bases of another number of shards.
func (w *refresh) clean(ctx context.Context) error {
	length := int64(w.index.slots) * w.index.step
	if !w.whole && floorTo(w.at, length) != w.at {
		return nil
	}
	var old []string
	for info, err := range w.d.store.List(ctx, recentPrefix+"tile/", "") {
		if err != nil {
			return err
		}
		if info.Key >= tilePrefix(slices.Min(w.tiles)) {
			break
		}
		old = append(old, info.Key)
	}
	for info, err := range w.d.store.List(ctx, recentPrefix+"base/", "") {
		if err != nil {
			return err
		}
		if !strings.HasSuffix(info.Key, baseSuffix(w.index.shards)) {
			old = append(old, info.Key)
		}
	}
	for _, key := range old {
		if err := w.d.store.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}
