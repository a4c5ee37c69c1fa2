package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/forescale/forescale/api"
)

// Bounds of a closed file that is read, far above what closedWriter writes.
const (
	maxClosedFooter   = 8 << 20
	maxFooterElements = 200_000 // of all lists in a footer: 2 KB of memory each at most
	maxBlocks         = 10_000
	maxBlockBytes     = 32 << 20 // of a row group, compressed
	maxBlockPlain     = 48 << 20 // of a row group, decompressed
)

// closedFile is the footer of a closed file: what is where. It is immutable.
type closedFile struct {
	key    closedKey
	blocks []block
	parts  []partID // that the file stands for, ascending
	rows   int64
}

// holds reports whether the file stands for the part.
func (f *closedFile) holds(id partID) bool {
	_, found := slices.BinarySearch(f.parts, id)
	return found
}

// block is a row group: where its bytes are, and what they hold.
type block struct {
	offset, length int64 // in the file; all columns, and the bloom filter
	sum            [16]byte
	rows           int
	first, last    string // the groups of its first and its last row
	min, max       int64  // of time, in microseconds
	columns        [6]chunk
}

// chunk is one column of a row group.
type chunk struct {
	offset, length int64 // in the block; the dictionary first, where there is one
	codec          format.CompressionCodec
}

// footerLen returns the length of the whole footer, magic words included, given
// the last bytes of a file of the given size.
func footerLen(tail []byte, size int64) (int64, error) {
	if len(tail) < 12 || string(tail[len(tail)-4:]) != "PAR1" {
		return 0, fmt.Errorf("not a Parquet file, or cut short (%d bytes)", size)
	}
	n := int64(binary.LittleEndian.Uint32(tail[len(tail)-8:]))
	if n > maxClosedFooter || n > size-12 {
		return 0, fmt.Errorf("footer of %d bytes in a file of %d", n, size)
	}
	return n + 8, nil
}

// decodeClosed returns what the footer says, footer being the last bytes, as many
// as footerLen says, of a file of the given size. Every place and length in it is
// then within bounds.
func decodeClosed(footer []byte, key closedKey, size int64) (*closedFile, error) {
	footer = footer[:len(footer)-8]
	if n, err := thriftLenWithin(footer, maxFooterElements); err != nil || n != len(footer) {
		return nil, fmt.Errorf("footer: %w", errThrift)
	}
	meta := new(format.FileMetaData)
	if err := thrift.Unmarshal(new(thrift.CompactProtocol), footer, meta); err != nil {
		return nil, fmt.Errorf("footer: %w", err)
	}
	if err := checkSchema(meta); err != nil {
		return nil, err
	}
	f := &closedFile{key: key, rows: meta.NumRows}
	var err error
	if f.parts, err = parseParts(keyValue(meta, partsKey)); err != nil {
		return nil, fmt.Errorf("%s: %w", partsKey, err)
	}
	if f.blocks, err = parseBlocks(keyValue(meta, blocksKey), size-int64(len(footer))-8); err != nil {
		return nil, fmt.Errorf("%s: %w", blocksKey, err)
	}
	if len(f.blocks) != len(meta.RowGroups) {
		return nil, fmt.Errorf("%s names %d row groups, the footer %d", blocksKey, len(f.blocks), len(meta.RowGroups))
	}
	total := int64(0)
	for i := range f.blocks {
		if err := f.blocks[i].describe(&meta.RowGroups[i]); err != nil {
			return nil, fmt.Errorf("row group %d: %w", i, err)
		}
		if i > 0 && f.blocks[i].first < f.blocks[i-1].last {
			return nil, fmt.Errorf("row group %d: group %q comes after %q", i, f.blocks[i].first, f.blocks[i-1].last)
		}
		total += int64(f.blocks[i].rows)
	}
	if total != meta.NumRows {
		return nil, fmt.Errorf("row groups hold %d rows, footer claims %d", total, meta.NumRows)
	}
	if got, want := keyValue(meta, sumKey), footerSum(f.blocks, f.parts); got != want {
		return nil, fmt.Errorf("%s is %.70q, want %s", sumKey, got, want)
	}
	return f, nil
}

func parseParts(text string) ([]partID, error) {
	if len(text)%16 != 0 {
		return nil, fmt.Errorf("%d characters; want 16 a part", len(text))
	}
	ids := make([]partID, 0, len(text)/16)
	for ; text != ""; text = text[16:] {
		id, err := strconv.ParseUint(text[:16], 16, 64)
		if err != nil {
			return nil, err
		}
		if n := len(ids); n > 0 && ids[n-1] >= partID(id) {
			return nil, errors.New("not in order")
		}
		ids = append(ids, partID(id))
	}
	return ids, nil
}

// parseBlocks returns the places and sums of the row groups, which lie in order in
// the first size bytes.
func parseBlocks(text string, size int64) ([]block, error) {
	fields := strings.Fields(text)
	if len(fields) > maxBlocks {
		return nil, fmt.Errorf("%d row groups; a file has at most %d", len(fields), maxBlocks)
	}
	blocks := make([]block, len(fields))
	end := int64(0)
	for i, field := range fields {
		b := &blocks[i]
		part := strings.Split(field, ":")
		if len(part) != 3 || hex.DecodedLen(len(part[2])) != len(b.sum) {
			return nil, fmt.Errorf("%.60q is not offset:length:hash", field)
		}
		var err1, err2 error
		b.offset, err1 = strconv.ParseInt(part[0], 16, 64)
		b.length, err2 = strconv.ParseInt(part[1], 16, 64)
		_, err3 := hex.Decode(b.sum[:], []byte(part[2]))
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, err
		}
		if b.offset < end || b.length < 0 || b.length > maxBlockBytes || b.offset > size || b.length > size-b.offset {
			return nil, fmt.Errorf("row group %d at %d, %d bytes long, overlaps or leaves the file", i, b.offset, b.length)
		}
		end = b.offset + b.length
	}
	return blocks, nil
}

// describe fills in what the footer says of the row group.
func (b *block) describe(group *format.RowGroup) error {
	if len(group.Columns) != len(columns) {
		return fmt.Errorf("%d columns, want %d", len(group.Columns), len(columns))
	}
	if group.NumRows < 1 || group.NumRows > maxBlockRows {
		return fmt.Errorf("%d rows; want 1 to %d", group.NumRows, maxBlockRows)
	}
	b.rows = int(group.NumRows)
	for i := range columns {
		m := &group.Columns[i].MetaData
		start := m.DataPageOffset
		if m.DictionaryPageOffset > 0 {
			start = min(start, m.DictionaryPageOffset)
		}
		c := chunk{offset: start - b.offset, length: m.TotalCompressedSize, codec: m.Codec}
		if m.Type != columns[i].kind || m.NumValues != group.NumRows ||
			c.offset < 0 || c.length < 0 || c.offset > b.length || c.length > b.length-c.offset {
			return fmt.Errorf("column %s: %d values of type %s at %d, %d bytes long", columns[i].name, m.NumValues, m.Type, start, c.length)
		}
		b.columns[i] = c
	}
	names, times := &group.Columns[0].MetaData.Statistics, &group.Columns[3].MetaData.Statistics
	if len(times.MinValue) != 8 || len(times.MaxValue) != 8 || len(names.MinValue) == 0 {
		return errors.New("statistics of group or time are missing")
	}
	b.first, b.last = string(names.MinValue), string(names.MaxValue)
	b.min, b.max = int64(binary.LittleEndian.Uint64(times.MinValue)), int64(binary.LittleEndian.Uint64(times.MaxValue))
	if b.first > b.last || b.min > b.max {
		return errors.New("statistics contradict each other")
	}
	return nil
}

// errReplaced: the bytes of a row group are not those that the footer names. The
// file was replaced since the footer was read, or it is damaged.
var errReplaced = errors.New("the row group is not the one that the footer names")

// decodeBlock returns the rows of a row group, data being its bytes. Rows are
// sorted by group, metric, stat and time, without repetitions, and are of the
// file's day and its groups; anything else is an error.
func (f *closedFile) decodeBlock(b *block, data []byte) (*part, error) {
	if sum := sha256.Sum256(data); int64(len(data)) != b.length || [16]byte(sum[:16]) != b.sum {
		return nil, errReplaced
	}
	r := blockReader{data: data, rows: b.rows, budget: maxBlockPlain}
	p := &part{rows: make([]row, b.rows), min: b.min, max: b.max}
	var names [3]nameColumn
	for i := range names {
		var err error
		if names[i], err = r.names(b.columns[i]); err != nil {
			return nil, fmt.Errorf("column %s: %w", columns[i].name, err)
		}
	}
	var numbers [3][]byte
	for i := range numbers {
		var err error
		if numbers[i], err = r.numbers(b.columns[3+i]); err != nil {
			return nil, fmt.Errorf("column %s: %w", columns[3+i].name, err)
		}
	}
	if err := f.assemble(p, names, numbers); err != nil {
		return nil, err
	}
	if p.series[0].group != b.first || p.series[len(p.series)-1].group != b.last {
		return nil, fmt.Errorf("groups %q to %q, where the statistics say %q to %q",
			p.series[0].group, p.series[len(p.series)-1].group, b.first, b.last)
	}
	return p, nil
}

// assemble makes the rows of the part from its columns, and checks them.
func (f *closedFile) assemble(p *part, names [3]nameColumn, numbers [3][]byte) error {
	lo, hi := f.key.day.UnixMicro(), f.key.day.AddDate(0, 0, 1).UnixMicro()
	var at [3]uint32 // the names of the row before
	for i := range p.rows {
		now := [3]uint32{names[0].indexes[i], names[1].indexes[i], names[2].indexes[i]}
		n := len(p.series)
		if i == 0 || now != at {
			s := series{names[0].names[now[0]], names[1].names[now[1]], api.Stat(names[2].names[now[2]])}
			if err := s.check(); err != nil {
				return fmt.Errorf("row %d: %w", i, err)
			}
			if n > 0 && compareSeries(p.series[n-1], s) >= 0 {
				return fmt.Errorf("row %d: series %v after %v", i, s, p.series[n-1])
			}
			if (n == 0 || p.series[n-1].group != s.group) && fileOf(s.group, f.key.files) != f.key.file {
				return fmt.Errorf("row %d: group %q belongs to another file of the day", i, s.group)
			}
			p.series, at = append(p.series, s), now
			n++
		}
		r := row{
			series:   int32(n - 1),
			time:     int64(binary.LittleEndian.Uint64(numbers[0][8*i:])),
			value:    math.Float64frombits(binary.LittleEndian.Uint64(numbers[1][8*i:])),
			ingested: int64(binary.LittleEndian.Uint64(numbers[2][8*i:])),
		}
		switch {
		case math.IsNaN(r.value) || math.IsInf(r.value, 0):
			return fmt.Errorf("row %d: value %v is not finite", i, r.value)
		case r.time < max(lo, p.min) || r.time >= hi || r.time > p.max:
			return fmt.Errorf("row %d: time %d is not of the day or outside of the statistics", i, r.time)
		case i > 0 && p.rows[i-1].series == r.series && p.rows[i-1].time >= r.time:
			return fmt.Errorf("row %d: time %d after %d", i, r.time, p.rows[i-1].time)
		}
		p.rows[i] = r
	}
	return nil
}
