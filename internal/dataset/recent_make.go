package dataset

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/forescale/forescale/internal/blob"
)

// base writes the base of one shard.
func (w *refresh) base(ctx context.Context, shard int) error {
	key := baseKey(shard, w.index.shards)
	o, err := w.d.store.Get(ctx, key)
	if err != nil && !errors.Is(err, blob.ErrNotFound) {
		return err
	}
	old, err := decodeBase(o.Data)
	if err != nil {
		old = nil // none, or damaged
	}
	frames := map[int64][]byte{}
	for _, start := range w.tiles {
		frame, err := w.frame(ctx, tileAt{start, shard}, old[start])
		if err != nil {
			return err
		}
		if frame == nil {
			w.report.Pending++
			continue
		}
		frames[start] = frame
	}
	w.report.Bases++
	return w.put(ctx, key, encodeBase(frames))
}

// frame returns a tile's frame as it should be: the one of the base before, the one
// that was stored when the tile ended, or a new one. nil: it must wait.
func (w *refresh) frame(ctx context.Context, at tileAt, old []byte) ([]byte, error) {
	if made := w.made[at]; made != nil {
		return made, nil
	}
	parts := w.all.names(at.start)
	length := int64(w.index.slots) * w.index.step
	past := at.start+2*length <= w.at // what has just ended is to be stored by itself
	if past && w.good(old, at.start, parts) {
		return old, nil
	}
	if w.unsure[floorTo(at.start, day)] {
		return nil, nil
	}
	if !past {
		tiles, err := w.filling(ctx, at.start)
		if err != nil {
			return nil, err
		}
		if ended := at.start+length <= w.at; !ended {
			return tiles[at.shard].finish().named(w.all.names(at.start)).encode(), nil
		}
	}
	o, err := w.d.store.Get(ctx, tileKey(at.start, at.shard, w.index.shards))
	if err != nil && !errors.Is(err, blob.ErrNotFound) {
		return nil, err
	}
	if w.good(o.Data, at.start, parts) {
		return o.Data, nil
	}
	if past {
		if w.budget--; w.budget < 0 {
			return nil, nil
		}
	}
	if err := w.store(ctx, at.start, past); err != nil {
		return nil, err
	}
	return w.made[at], nil
}

// store makes a tile that has ended for all shards, and writes it.
func (w *refresh) store(ctx context.Context, start int64, past bool) (err error) {
	var tiles []*overlay
	if past {
		tiles, err = w.make(ctx, start)
	} else {
		tiles, err = w.filling(ctx, start)
	}
	if err != nil {
		return err
	}
	parts := w.all.names(start)
	for shard, o := range tiles {
		frame := o.finish().named(parts).encode()
		w.made[tileAt{start, shard}] = frame
		if err := w.put(ctx, tileKey(start, shard, w.index.shards), frame); err != nil {
			return err
		}
		w.report.Tiles++
	}
	return nil
}

// good reports whether a frame is that of a tile which is made of these parts.
func (w *refresh) good(frame []byte, start int64, parts []partID) bool {
	if frame == nil {
		return false
	}
	t, _, err := decodeHead(frame)
	return err == nil && t.start == start && t.step == w.index.step && t.slots == w.index.slots && slices.Equal(t.parts, parts)
}

// make makes a tile for all shards.
func (w *refresh) make(ctx context.Context, start int64) ([]*overlay, error) {
	a := w.all.again()
	for shard := range a.shards {
		a.add(shard, start, nil)
	}
	if err := a.run(ctx); err != nil {
		return nil, err
	}
	return a.of(start), nil
}

// liveTile is a tile that fills, of all shards.
type liveTile struct {
	tiles []*overlay
	parts map[partID]bool // that are in them
}

// filling returns a tile that has not ended, or just did, for all shards. It is kept
// from call to call, so that each part is laid over it once.
func (w *refresh) filling(ctx context.Context, start int64) ([]*overlay, error) {
	length := int64(w.index.slots) * w.index.step
	maps.DeleteFunc(w.live, func(at int64, _ *liveTile) bool { return at+2*length <= w.at })
	l := w.live[start]
	delete(w.live, start) // in case of an error
	var lacking []int
	if l != nil {
		n := 0
		for _, i := range w.all.touching[start] {
			switch {
			case l.parts[w.all.ids[i]]:
				n++
			case i >= len(w.all.infos): // see assembly.add
				l, n = nil, 0
			default:
				lacking = append(lacking, i)
			}
			if l == nil {
				break
			}
		}
		if l != nil && n < len(l.parts) { // one of them is no more
			l = nil
		}
	}
	if l == nil {
		tiles, err := w.make(ctx, start)
		if err != nil {
			return nil, err
		}
		l = &liveTile{tiles: tiles}
	} else {
		a := w.all.again()
		for shard, o := range l.tiles {
			a.tiles[tileAt{start, shard}] = o
			a.missing[tileAt{start, shard}] = lacking
		}
		if err := a.run(ctx); err != nil {
			return nil, err
		}
		l.tiles = a.of(start)
	}
	l.parts = map[partID]bool{}
	for _, i := range w.all.touching[start] {
		l.parts[w.all.ids[i]] = true
	}
	w.live[start] = l
	return l.tiles, nil
}
