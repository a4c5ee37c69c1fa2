package dataset

import (
	"encoding/binary"
	"time"
)

// recentIndex is what readers and writers of recent/ must agree upon, and the
// spans of the parts that the writer has seen: they never change, and who knows
// them need not read a part to learn that it is of no interest.
type recentIndex struct {
	step, at int64 // microseconds; at is the tick of the last refresh
	slots    int   // of a tile
	shards   int
	spans    map[partID]span
	// closed are the days that are compacted, by their start: which parts their files
	// stand for, so that the footers need not be read.
	closed map[int64]closedParts
}

// closedParts are the parts that the closed files of a day stand for, as long as
// the files are those that mark was made of.
type closedParts struct {
	mark  uint64
	parts []partID
}

func (x *recentIndex) encode() []byte {
	b := append([]byte(indexMagic), recentVersion)
	b = binary.LittleEndian.AppendUint64(b, uint64(x.step))
	b = binary.LittleEndian.AppendUint16(b, uint16(x.slots))
	b = binary.LittleEndian.AppendUint16(b, uint16(x.shards))
	b = binary.LittleEndian.AppendUint64(b, uint64(x.at))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(x.spans)))
	for id, s := range x.spans {
		b = binary.LittleEndian.AppendUint64(b, uint64(id))
		b = binary.LittleEndian.AppendUint64(b, uint64(s.min))
		b = binary.LittleEndian.AppendUint64(b, uint64(s.max))
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(x.closed)))
	for at, c := range x.closed {
		b = binary.LittleEndian.AppendUint64(b, uint64(at))
		b = binary.LittleEndian.AppendUint64(b, c.mark)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(c.parts)))
		for _, id := range c.parts {
			b = binary.LittleEndian.AppendUint64(b, uint64(id))
		}
	}
	return seal(b)
}

func decodeIndex(b []byte) (*recentIndex, error) {
	c, err := unseal(b, indexMagic)
	if err != nil {
		return nil, err
	}
	x := &recentIndex{step: c.int64(), slots: int(c.uint(2)), shards: int(c.uint(2)), at: c.int64()}
	n := c.count(4, 24, maxIndexParts)
	x.spans = make(map[partID]span, n)
	for range n {
		id := partID(c.uint(8))
		s := span{c.int64(), c.int64()}
		if s.min > s.max || floorTo(s.min, day) != floorTo(s.max, day) {
			return nil, errRecent // a part speaks of one day
		}
		x.spans[id] = s
	}
	x.closed = map[int64]closedParts{}
	for range c.count(4, 20, maxIndexParts) {
		at, mark := c.int64(), c.uint(8)
		parts := make([]partID, c.count(4, 8, maxIndexParts))
		for i := range parts {
			parts[i] = partID(c.uint(8))
		}
		x.closed[at] = closedParts{mark, parts}
	}
	if c.bad || len(c.b) > 0 || x.step <= 0 || day%x.step != 0 || x.shards < 1 || x.shards > maxShards ||
		x.slots != tileSlots(time.Duration(x.step)*time.Microsecond) {
		return nil, errRecent
	}
	return x, nil
}
