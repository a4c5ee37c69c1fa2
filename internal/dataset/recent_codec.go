package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"runtime"
	"slices"
	"testing"

	"github.com/forescale/forescale/api"
	"github.com/klauspost/compress/zstd"
)

// The forms of the objects under recent/. All integers are little-endian, names
// are preceded by their length in one byte, and each form ends with the CRC-32C
// of all bytes before.
//
//	frame: "FSRT" version flags start(8) step(8) slots(2)
//	       parts(4) partID(8)…  newest(8)…  groups(4) packed(4) zstd(names…)
//	       columns(2) { metric stat packed(4) zstd(values(8)…) }…
//	base:  "FSRB" version frames(4) { length(4) start(8) }…   CRC, then the frames
//	index: "FSRI" version step(8) slots(2) shards(2) at(8) parts(4) { partID(8) min(8) max(8) }…
//	       days(4) { day(8) mark(8) parts(4) partID(8)… }…
//
// A reader that meets another version leaves the object alone, as if it were not
// there: it is written anew.
const (
	frameMagic, baseMagic, indexMagic = "FSRT", "FSRB", "FSRI"
	recentVersion                     = 1

	flagIrregular = 1
)

// What a reader takes for honest: a shard of ten thousand groups with a hundred
// series each is well below.
const (
	maxRecentBytes   = 256 << 20 // of one object
	maxFrameParts    = 1 << 16
	maxFrameGroups   = 1 << 18
	maxFrameColumns  = 1 << 10
	maxBaseFrames    = 1 << 12
	maxIndexParts    = 1 << 18
	maxShards        = 1 << 10
	maxUnpackedBytes = 512 << 20 // of all names and columns of one base, decompressed
)

var errRecent = errors.New("not a recent object of this version, or damaged")

// packer and unpacker serve any number of goroutines. The packer takes its memory, more
// than a megabyte for each that may be at work, at the first call.
var (
	packer = must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false),
		zstd.WithSingleSegment(true), zstd.WithEncoderConcurrency(min(4, runtime.GOMAXPROCS(0))))) // a frame then tells its length
	unpacker = must(zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxUnpackedBytes), zstd.WithDecoderConcurrency(0)))
)

// In tests the first call comes before anything else: the packer makes a channel in it,
// which would belong to the bubble (testing/synctest) that happens to call first.
func init() {
	if testing.Testing() {
		packer.EncodeAll([]byte("{}"), nil)
	}
}

func must[T any](made T, err error) T {
	if err != nil {
		panic("dataset: " + err.Error()) // the options are constants
	}
	return made
}

// unpack returns the want bytes that packed holds. It allocates no more than that.
func unpack(packed []byte, want int) ([]byte, error) {
	var head zstd.Header
	if err := head.Decode(packed); err != nil || !head.HasFCS || head.FrameContentSize != uint64(want) || head.WindowSize > maxRecentBytes {
		return nil, fmt.Errorf("%w: packed bytes that are not the %d promised", errRecent, want)
	}
	raw, err := unpacker.DecodeAll(packed, make([]byte, 0, want))
	if err != nil || len(raw) != want {
		return nil, fmt.Errorf("%w: %d packed bytes for %d: %v", errRecent, len(raw), want, err)
	}
	return raw, nil
}

func seal(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// unseal returns b without its checksum, if it holds and the form is the one named.
func unseal(b []byte, magic string) (*cursor, error) {
	n := len(b) - 4
	if n < len(magic)+1 || len(b) > maxRecentBytes || string(b[:len(magic)]) != magic || b[len(magic)] != recentVersion ||
		crc32.Checksum(b[:n], castagnoli) != binary.LittleEndian.Uint32(b[n:]) {
		return nil, errRecent
	}
	return &cursor{b: b[len(magic)+1 : n]}, nil
}

// cursor reads from the front of b. After a fault it yields zeroes, and bad is set.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) bytes(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.bad, c.b = true, nil
		return nil
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) uint(size int) uint64 {
	var word [8]byte
	copy(word[:], c.bytes(size))
	return binary.LittleEndian.Uint64(word[:])
}

func (c *cursor) int64() int64 { return int64(c.uint(8)) }

// count reads a number of things of at least size bytes each, of which there may
// be so many.
func (c *cursor) count(width, size, most int) int {
	n := c.uint(width)
	if n > uint64(most) || n*uint64(size) > uint64(len(c.b)) {
		c.bad, c.b = true, nil
		return 0
	}
	return int(n)
}

func (c *cursor) name() string { return string(c.bytes(int(c.uint(1)))) }

func appendName(b []byte, name string) []byte { return append(append(b, byte(len(name))), name...) }

// encode returns the tile as a frame. Names are api.MaxNameLen bytes long at most.
func (t *tile) encode() []byte {
	flags := byte(0)
	if t.irregular {
		flags = flagIrregular
	}
	b := append([]byte(frameMagic), recentVersion, flags)
	b = binary.LittleEndian.AppendUint64(b, uint64(t.start))
	b = binary.LittleEndian.AppendUint64(b, uint64(t.step))
	b = binary.LittleEndian.AppendUint16(b, uint16(t.slots))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(t.parts)))
	for _, id := range t.parts {
		b = binary.LittleEndian.AppendUint64(b, uint64(id))
	}
	for _, v := range t.newest {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	var raw []byte
	for _, name := range t.groups.names {
		raw = appendName(raw, name)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(t.groups.names)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(raw)))
	b = appendPacked(b, raw)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(t.cols)))
	for _, c := range t.cols {
		b = appendName(appendName(b, c.metric), string(c.stat))
		raw = raw[:0]
		for _, v := range c.values {
			raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(v))
		}
		b = appendPacked(b, raw)
	}
	return seal(b)
}

func appendPacked(b, raw []byte) []byte {
	at := len(b)
	b = packer.EncodeAll(raw, binary.LittleEndian.AppendUint32(b, 0))
	binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}

// frameReader decodes the frames of one base.
type frameReader struct {
	metrics map[string]bool // nil: all
	budget  int             // bytes that may still be unpacked
	packed  []byte          // the names that groups was read from
	groups  *groupList
}

// decodeHead returns what a frame says of its tile before the groups, and what
// follows.
func decodeHead(b []byte) (*tile, *cursor, error) {
	c, err := unseal(b, frameMagic)
	if err != nil {
		return nil, nil, err
	}
	flags := c.uint(1)
	t := &tile{start: c.int64(), step: c.int64(), slots: int(c.uint(2)), irregular: flags&flagIrregular != 0}
	if c.bad || t.step <= 0 || t.step > day || t.slots < 1 || t.slots > maxTileSlots ||
		t.start%t.step != 0 || t.start > math.MaxInt64/2 || t.start < math.MinInt64/2 {
		return nil, nil, errRecent
	}
	t.parts = make([]partID, c.count(4, 8, maxFrameParts))
	for i := range t.parts {
		t.parts[i] = partID(c.uint(8))
	}
	t.newest = make([]int64, t.slots)
	for i := range t.newest {
		t.newest[i] = c.int64()
	}
	if c.bad || !slices.IsSorted(t.parts) {
		return nil, nil, errRecent
	}
	return t, c, nil
}

// decode returns the tile of a frame, with the columns of the wanted metrics, or
// an error for any other bytes.
func (r *frameReader) decode(b []byte) (*tile, error) {
	t, c, err := decodeHead(b)
	if err != nil {
		return nil, err
	}
	if t.groups, err = r.names(c); err != nil {
		return nil, err
	}
	for range c.count(2, 6, maxFrameColumns) {
		col, err := r.column(c, len(t.groups.names)*t.slots)
		if err != nil {
			return nil, err
		}
		if col != nil {
			t.cols = append(t.cols, col)
		}
	}
	if c.bad || len(c.b) > 0 {
		return nil, errRecent
	}
	return t, nil
}

// unpack takes what is unpacked from the budget.
func (r *frameReader) unpack(packed []byte, want int) ([]byte, error) {
	if r.budget -= want; r.budget < 0 {
		return nil, fmt.Errorf("%w: more than %d bytes in all", errRecent, maxUnpackedBytes)
	}
	return unpack(packed, want)
}

// names reads the groups of a tile: nearly always those of the tile before.
func (r *frameReader) names(c *cursor) (*groupList, error) {
	n, size := int(c.uint(4)), int(c.uint(4))
	packed := c.bytes(int(c.uint(4)))
	switch {
	case c.bad || n > maxFrameGroups || size < n || size > n*(1+api.MaxNameLen):
		return nil, errRecent
	case n == 0:
		return newGroupList(nil), nil
	case r.groups != nil && n == len(r.groups.names) && string(packed) == string(r.packed):
		return r.groups, nil
	}
	raw, err := r.unpack(packed, size)
	if err != nil {
		return nil, err
	}
	names := make([]string, n)
	left := cursor{b: raw}
	for i := range names {
		if names[i] = left.name(); names[i] == "" {
			return nil, errRecent
		}
	}
	groups := newGroupList(names)
	if left.bad || len(left.b) > 0 || len(groups.index) != n {
		return nil, errRecent
	}
	r.packed, r.groups = packed, groups
	return groups, nil
}

// column reads a column of so many values, nil when it is not wanted.
func (r *frameReader) column(c *cursor, values int) (*tileColumn, error) {
	col := &tileColumn{metric: c.name(), stat: api.Stat(c.name())}
	packed := c.bytes(int(c.uint(4)))
	if c.bad || col.metric == "" || !col.stat.Valid() {
		return nil, errRecent
	}
	if r.metrics != nil && !r.metrics[col.metric] {
		return nil, nil
	}
	raw, err := r.unpack(packed, 8*values)
	if err != nil {
		return nil, err
	}
	col.values = make([]float64, values)
	for i := range col.values {
		v := math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
		if math.IsInf(v, 0) {
			return nil, fmt.Errorf("%w: an infinite value", errRecent)
		}
		col.values[i] = v
	}
	return col, nil
}

// encodeBase returns frames, by the start of their tile, as one object.
func encodeBase(frames map[int64][]byte) []byte {
	starts := make([]int64, 0, len(frames))
	size := 0
	for start, frame := range frames {
		starts = append(starts, start)
		size += len(frame) + 12
	}
	slices.Sort(starts)
	b := make([]byte, 0, size+64)
	b = append(append(b, baseMagic...), recentVersion)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(starts)))
	for _, start := range starts {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(frames[start])))
		b = binary.LittleEndian.AppendUint64(b, uint64(start))
	}
	b = seal(b)
	for _, start := range starts {
		b = append(b, frames[start]...)
	}
	return b
}

// decodeBase returns the frames of a base, which share its memory.
func decodeBase(b []byte) (map[int64][]byte, error) {
	const head = len(baseMagic) + 1 + 4
	if len(b) < head || len(b) > maxRecentBytes {
		return nil, errRecent
	}
	n := binary.LittleEndian.Uint32(b[head-4:])
	end := head + 12*int(n) + 4
	if n > maxBaseFrames || end > len(b) {
		return nil, errRecent
	}
	c, err := unseal(b[:end], baseMagic)
	if err != nil {
		return nil, err
	}
	c.uint(4)
	rest := cursor{b: b[end:]}
	frames := make(map[int64][]byte, n)
	for range n {
		size := c.uint(4)
		frames[c.int64()] = rest.bytes(int(size))
	}
	if rest.bad || len(rest.b) > 0 || len(frames) != int(n) {
		return nil, errRecent
	}
	return frames, nil
}
