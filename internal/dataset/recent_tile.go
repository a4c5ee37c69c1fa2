package dataset

import (
	"cmp"
	"hash/crc32"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
)

// tile is what the lake holds of the groups of one shard in an hour or so, as a
// dense grid. It knows the parts that it was made of: whoever finds another one
// in the lake knows that the tile does not tell all.
type tile struct {
	start, step int64 // microseconds
	slots       int
	// parts are the parts with rows in the tile's time, sorted.
	parts []partID
	// newest is, for each slot, the latest ingested_at of a row that went into it;
	// math.MinInt64 where there is none. A row ingested later wins for certain.
	newest []int64
	groups *groupList
	cols   []*tileColumn
	// irregular says that there are rows between the starts of the slots. Such a
	// tile has no columns: what to make of them is not for the lake to decide.
	irregular bool
}

// tileColumn holds one metric and statistic of all groups of a tile: value
// [group][slot], NaN where the lake has none.
type tileColumn struct {
	metric string
	stat   api.Stat
	values []float64
}

// groupList is the groups of a tile. Tiles share one where they have the same.
type groupList struct {
	names []string
	index map[string]int
}

func newGroupList(names []string) *groupList {
	l := &groupList{names: names, index: make(map[string]int, len(names))}
	for i, name := range names {
		l.index[name] = i
	}
	return l
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// shardOf returns the shard of a group: shards are equal ranges of the checksum of
// its name.
func shardOf(group string, shards int) int {
	return int(uint64(crc32.Checksum([]byte(group), castagnoli)) * uint64(shards) >> 32)
}

// maxTileSlots bounds the slots of a tile. With steps of five minutes it is an
// hour: what a lag needs beyond its own slots is little, and a base is written
// again once for each tile that ends.
const maxTileSlots = 12

// tileSlots returns how many slots a tile has: as many as divide a day, so that a
// tile never spans two.
func tileSlots(step time.Duration) int {
	day := int(24 * time.Hour / step)
	n := min(maxTileSlots, day)
	for day%n != 0 {
		n--
	}
	return n
}

// floorTo rounds v down to a multiple of unit.
func floorTo(v, unit int64) int64 {
	if r := v % unit; r < 0 {
		return v - r - unit
	} else {
		return v - r
	}
}

func newTile(start, step int64, slots int) *tile {
	t := &tile{start: start, step: step, slots: slots, groups: newGroupList(nil), newest: make([]int64, slots)}
	for i := range t.newest {
		t.newest[i] = math.MinInt64
	}
	return t
}

// overlay lays the rows of parts over a tile. Rows may come in any order.
type overlay struct {
	*tile
	based    bool     // the tile held something before: its newest speak of that
	marks    [][]mark // by column, of each value
	own      bool     // groups is this tile's own and may be changed
	conflict bool     // a row came that may be older than what the tile holds
}

// mark says when a value was ingested.
type mark struct {
	ingested int64 // math.MinInt64: there is no value
	vague    bool  // or before: it is known of the slot only
}

func newOverlay(t *tile, based bool) *overlay {
	return &overlay{tile: t, based: based, marks: make([][]mark, len(t.cols))}
}

// place returns the column of a series and where its group's values begin in it.
func (o *overlay) place(s series) (col, first int) {
	row, known := o.groups.index[s.group]
	if !known {
		if !o.own {
			o.groups, o.own = newGroupList(slices.Clone(o.groups.names)), true
		}
		row = len(o.groups.names)
		o.groups.names = append(o.groups.names, s.group)
		o.groups.index[s.group] = row
	}
	col = slices.IndexFunc(o.cols, func(c *tileColumn) bool { return c.metric == s.metric && c.stat == s.stat })
	if col < 0 {
		col = len(o.cols)
		o.cols = append(o.cols, &tileColumn{metric: s.metric, stat: s.stat})
		o.marks = append(o.marks, nil)
	}
	o.fill(col)
	return col, row * o.slots
}

// fill makes room in a column for all groups.
func (o *overlay) fill(col int) {
	c := o.cols[col]
	want := len(o.groups.names) * o.slots
	for i := len(o.marks[col]); i < len(c.values); i++ { // what the tile held
		m := mark{ingested: math.MinInt64}
		if !math.IsNaN(c.values[i]) {
			m = mark{o.newest[i%o.slots], true}
		}
		o.marks[col] = append(o.marks[col], m)
	}
	for len(c.values) < want {
		c.values = append(c.values, math.NaN())
		o.marks[col] = append(o.marks[col], mark{ingested: math.MinInt64})
	}
}

// put enters a row of the series that lies at (col, first). The winner is the same
// as in a scan (keepWinners).
func (o *overlay) put(col, first int, r row) {
	d := r.time - o.start
	if d%o.step != 0 {
		o.irregular = true
		return
	}
	slot := int(d / o.step)
	m, v := &o.marks[col][first+slot], &o.cols[col].values[first+slot]
	switch {
	case m.vague && r.ingested <= m.ingested:
		o.conflict = o.conflict || *v != r.value
		return
	case cmp.Or(cmp.Compare(r.ingested, m.ingested), cmp.Compare(r.value, *v)) < 0: // NaN is less than any
		return
	}
	*m, *v = mark{ingested: r.ingested}, r.value
	if !o.based {
		o.newest[slot] = max(o.newest[slot], r.ingested)
	}
}

// blur says of every value that it may have been ingested before its mark.
func (o *overlay) blur() {
	for _, marks := range o.marks {
		for i := range marks {
			marks[i].vague = marks[i].ingested != math.MinInt64
		}
	}
}

// finish returns the tile as it can be stored and read: every column with a value
// for each group and slot, the columns in the order of their names.
func (o *overlay) finish() *tile {
	t := *o.tile
	if o.irregular {
		t.cols, t.groups = nil, newGroupList(nil)
		return &t
	}
	for col, c := range o.cols {
		if len(c.values) < len(o.groups.names)*o.slots {
			o.fill(col)
		}
	}
	t.cols = slices.Clone(o.cols)
	slices.SortFunc(t.cols, func(a, b *tileColumn) int {
		return cmp.Or(strings.Compare(a.metric, b.metric), strings.Compare(string(a.stat), string(b.stat)))
	})
	return &t
}

// named returns the tile as one that is made of these parts.
func (t *tile) named(parts []partID) *tile {
	t.parts = parts
	return t
}
