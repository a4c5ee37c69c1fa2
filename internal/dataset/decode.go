package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strconv"

	"github.com/forescale/forescale/api"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// Bounds of a part that is read. They are far above what encodePart writes, and
// keep the memory for one part below about 400 MB whatever its bytes say.
const (
	maxPartBytes   = 64 << 20  // of the object
	maxFooterBytes = 64 << 10  // of the file's metadata
	maxPlainBytes  = 256 << 20 // of all pages, decompressed
	maxReadRows    = 2 << 20
)

// ErrNewer is in the chain of a *CorruptError whose file was written by a newer
// release. It is sound, and stays where it is: upgrade this program.
var ErrNewer = errors.New("written by a newer release; upgrade this program")

// oldestSchema is the oldest version that this program reads.
const oldestSchema = 1

// columns is the schema of a part: every column required, in this order.
var columns = []struct {
	name string
	kind format.Type
}{
	{"group", format.ByteArray}, {"metric", format.ByteArray}, {"stat", format.ByteArray},
	{"time", format.Int64}, {"value", format.Double}, {"ingested_at", format.Int64},
}

// series identifies a column of values over time.
type series struct {
	group, metric string
	stat          api.Stat
}

// row is one value of a series; times are in microseconds since 1970, UTC.
type row struct {
	series   int32 // index into part.series
	time     int64
	ingested int64
	value    float64
}

// part is a decoded part. It is immutable and may be shared.
type part struct {
	series   []series
	rows     []row
	min, max int64 // of row.time; min > max when there are no rows
}

// decodePart returns the rows of a Parquet file that encodePart wrote, or an
// error for any other bytes. It does not panic, and it allocates nothing that
// the length of b and the bounds above do not justify. Names that are among those
// of like, the series of another part, share their memory.
func decodePart(b []byte, like []series) (*part, error) {
	meta, err := decodeFooter(b)
	if err != nil {
		return nil, err
	}
	n := int(meta.NumRows)
	plain, err := readColumns(b, meta)
	if err != nil {
		return nil, err
	}
	p := &part{series: make([]series, 0, min(n, len(like))), rows: make([]row, n), min: math.MaxInt64, max: math.MinInt64}
	names := nameReader{columns: [3][]byte(plain[:3]), part: p, like: like}
	for i := range n {
		index, err := names.next()
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", i, err)
		}
		r := row{
			series:   index,
			time:     int64(binary.LittleEndian.Uint64(plain[3][8*i:])),
			value:    math.Float64frombits(binary.LittleEndian.Uint64(plain[4][8*i:])),
			ingested: int64(binary.LittleEndian.Uint64(plain[5][8*i:])),
		}
		if math.IsNaN(r.value) || math.IsInf(r.value, 0) {
			return nil, fmt.Errorf("row %d: value %v is not finite", i, r.value)
		}
		p.rows[i] = r
		p.min, p.max = min(p.min, r.time), max(p.max, r.time)
	}
	if !names.done() {
		return nil, fmt.Errorf("there are more names than rows")
	}
	return p, nil
}

// decodeFooter returns the file's metadata, checked against the schema.
//
// Source: Parquet, README.md, "File format": PAR1, pages, metadata, the length
// of the metadata as 4 bytes little-endian, PAR1.
func decodeFooter(b []byte) (*format.FileMetaData, error) {
	if len(b) > maxPartBytes {
		return nil, fmt.Errorf("%d bytes are more than a part may have (%d)", len(b), maxPartBytes)
	}
	if len(b) < 12 || string(b[:4]) != "PAR1" || string(b[len(b)-4:]) != "PAR1" {
		return nil, fmt.Errorf("not a Parquet file, or cut short (%d bytes)", len(b))
	}
	size := uint64(binary.LittleEndian.Uint32(b[len(b)-8:]))
	if size > maxFooterBytes || size > uint64(len(b)-12) {
		return nil, fmt.Errorf("footer of %d bytes in a file of %d", size, len(b))
	}
	footer := b[len(b)-8-int(size) : len(b)-8]
	if n, err := thriftLen(footer); err != nil || n != len(footer) {
		return nil, fmt.Errorf("footer: %w", errThrift)
	}
	meta := new(format.FileMetaData)
	if err := thrift.Unmarshal(new(thrift.CompactProtocol), footer, meta); err != nil {
		return nil, fmt.Errorf("footer: %w", err)
	}
	if meta.NumRows < 0 || meta.NumRows > maxReadRows {
		return nil, fmt.Errorf("footer claims %d rows; a part has at most %d", meta.NumRows, maxReadRows)
	}
	return meta, checkSchema(meta)
}

func checkSchema(meta *format.FileMetaData) error {
	if err := checkVersion(keyValue(meta, schemaKey)); err != nil {
		return err
	}
	if len(meta.Schema) != 1+len(columns) {
		return fmt.Errorf("%d columns, want %d", len(meta.Schema)-1, len(columns))
	}
	for i, want := range columns {
		got := meta.Schema[1+i]
		if got.Name != want.name || !got.Type.Valid || got.Type.V != want.kind ||
			!got.RepetitionType.Valid || got.RepetitionType.V != format.Required {
			return fmt.Errorf("column %d is not a required %s %s", i, want.kind, want.name)
		}
	}
	return nil
}

// checkVersion returns why this program cannot read a file of the schema version.
// The rule of migration is in docs/data-lake.md: readers learn a version before
// writers use it, and keep it.
func checkVersion(text string) error {
	version, err := strconv.Atoi(text)
	switch known, _ := strconv.Atoi(schemaVersion); {
	case err != nil:
		return fmt.Errorf("%s is %q, not a version: the file is not ours; use import for foreign files", schemaKey, text)
	case version > known:
		return fmt.Errorf("%s is %d; this program reads up to %d: %w", schemaKey, version, known, ErrNewer)
	case version < oldestSchema:
		return fmt.Errorf("%s is %d, older than any release has written (%d)", schemaKey, version, oldestSchema)
	}
	return nil
}

// keyValue returns an entry of the file's key-value metadata, or "".
func keyValue(meta *format.FileMetaData, key string) string {
	for _, kv := range meta.KeyValueMetadata {
		if kv.Key == key {
			return kv.Value
		}
	}
	return ""
}

// readColumns returns, for each column, its plain-encoded values one after the
// other. The columns of fixed width hold exactly meta.NumRows of them.
func readColumns(b []byte, meta *format.FileMetaData) ([][]byte, error) {
	plain := make([][]byte, len(columns))
	budget := maxPlainBytes
	var rows int64
	for _, group := range meta.RowGroups {
		if len(group.Columns) != len(columns) {
			return nil, fmt.Errorf("row group with %d columns, want %d", len(group.Columns), len(columns))
		}
		rows += group.NumRows
		for i, chunk := range group.Columns {
			c := &chunkReader{b: b, chunk: chunk.MetaData, budget: &budget}
			if chunk.MetaData.Type != columns[i].kind {
				return nil, fmt.Errorf("column %s: type %s", columns[i].name, chunk.MetaData.Type)
			}
			var err error
			if plain[i], err = c.read(plain[i], group.NumRows); err != nil {
				return nil, fmt.Errorf("column %s: %w", columns[i].name, err)
			}
		}
	}
	if rows != meta.NumRows {
		return nil, fmt.Errorf("row groups hold %d rows, footer claims %d", rows, meta.NumRows)
	}
	for i, c := range columns {
		if c.kind != format.ByteArray && int64(len(plain[i])) != 8*rows {
			return nil, fmt.Errorf("column %s: %d bytes for %d rows", c.name, len(plain[i]), rows)
		}
	}
	return plain, nil
}

// chunkReader reads the pages of one column chunk.
type chunkReader struct {
	b      []byte
	chunk  format.ColumnMetaData
	budget *int // decompressed bytes that the part may still take
}

// read appends to dst the values of the chunk, which must be want in number.
func (c *chunkReader) read(dst []byte, want int64) ([]byte, error) {
	start, size := c.chunk.DataPageOffset, c.chunk.TotalCompressedSize
	if start < 4 || size < 0 || start > int64(len(c.b)) || size > int64(len(c.b))-start {
		return nil, fmt.Errorf("pages at %d..%d lie outside of the file", start, start+size)
	}
	pages := c.b[start : start+size]
	var values int64
	for len(pages) > 0 {
		n, err := thriftLen(pages)
		if err != nil {
			return nil, fmt.Errorf("page header: %w", err)
		}
		var head format.PageHeader
		if err := thrift.Unmarshal(new(thrift.CompactProtocol), pages[:n], &head); err != nil {
			return nil, fmt.Errorf("page header: %w", err)
		}
		pages = pages[n:]
		if head.CompressedPageSize < 0 || int(head.CompressedPageSize) > len(pages) {
			return nil, fmt.Errorf("page of %d bytes where %d are left", head.CompressedPageSize, len(pages))
		}
		data := pages[:head.CompressedPageSize]
		pages = pages[head.CompressedPageSize:]
		if dst, err = c.page(dst, &head, data); err != nil {
			return nil, err
		}
		values += int64(head.DataPageHeader.V.NumValues)
	}
	if values != want {
		return nil, fmt.Errorf("%d values for %d rows", values, want)
	}
	return dst, nil
}

// page appends to dst the plain values of one page.
func (c *chunkReader) page(dst []byte, head *format.PageHeader, data []byte) ([]byte, error) {
	if head.Type != format.DataPage || !head.DataPageHeader.Valid || head.DataPageHeader.V.Encoding != format.Plain {
		return nil, fmt.Errorf("%s is not a plain data page, the only kind that parts have", head.Type)
	}
	if got := crc32.ChecksumIEEE(data); got != uint32(head.CRC) {
		return nil, fmt.Errorf("page checksum %08x, want %08x", got, uint32(head.CRC))
	}
	size := int(head.UncompressedPageSize)
	if size < 0 || size > *c.budget || head.DataPageHeader.V.NumValues < 0 {
		return nil, fmt.Errorf("page of %d bytes and %d values", size, head.DataPageHeader.V.NumValues)
	}
	*c.budget -= size
	switch c.chunk.Codec {
	case format.Uncompressed:
		if len(data) != size {
			return nil, fmt.Errorf("page of %d bytes, want %d", len(data), size)
		}
		return append(dst, data...), nil
	case format.Snappy:
		// A snappy block begins with its length, which the decoder allocates, and
		// no three bytes of it can yield more than 64 (a copy of tag and offset).
		length, n := binary.Uvarint(data)
		if n <= 0 || length != uint64(size) || size > 64*len(data) {
			return nil, fmt.Errorf("snappy block of %d bytes for a page of %d", length, size)
		}
		out, err := parquet.Snappy.Decode(nil, data)
		if err != nil {
			return nil, err
		}
		return append(dst, out...), nil
	}
	return nil, fmt.Errorf("compressed with %s; parts use snappy", c.chunk.Codec)
}
