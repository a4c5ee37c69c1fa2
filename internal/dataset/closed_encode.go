package dataset

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// closedRecord is a row of a closed file: the columns of record, names as indexes
// into a dictionary, all under zstd.
type closedRecord struct {
	Group      string  `parquet:"group,dict,zstd"`
	Metric     string  `parquet:"metric,dict,zstd"`
	Stat       string  `parquet:"stat,dict,zstd"`
	Time       int64   `parquet:"time,timestamp(microsecond),plain,zstd"`
	Value      float64 `parquet:"value,plain,zstd"`
	IngestedAt int64   `parquet:"ingested_at,timestamp(microsecond),plain,zstd"`
}

// The key-value metadata of a closed file, beside schemaKey.
const (
	// blocksKey: for each row group "offset:length:hash", separated by blanks: where
	// its bytes are, in hexadecimal, and the first 16 bytes of their SHA-256. A
	// reader that has the footer of one version of the file and reads the row group
	// of another notices.
	blocksKey = "forescale.row_groups"
	// partsKey: the partIDs of the parts that the file stands for, ascending, 16
	// hexadecimal digits each, without separators.
	partsKey = "forescale.parts"
	// sumKey: the SHA-256 of what readers choose row groups by (footerSum). Parquet
	// protects pages with checksums, but not the footer.
	sumKey = "forescale.sum"
)

// Bounds of a row group, in rows. One group is then a small part of a day.
const (
	minBlockRows = 4096
	maxBlockRows = 64 << 10
)

// blockRows returns how many rows a row group should have in a file of total
// rows. Who reads one group reads the footer, some 700 bytes for each row group,
// and one row group, some 9 bytes for each row: the sum is least where both are
// the same.
func blockRows(total int) int {
	return min(max(int(math.Sqrt(float64(total)*700/9)), minBlockRows), maxBlockRows)
}

// closedWriter writes the rows of a closed file in their order.
type closedWriter struct {
	buf    bytes.Buffer
	w      *parquet.GenericWriter[closedRecord]
	target int // rows after which a row group ends with its group
	rows   int // of the row group that is being written
	total  int
	last   series
	begin  int // of the row group that is being written, in buf
	block  block
	blocks []block
	batch  []closedRecord
}

// newClosedWriter returns a writer of a file that will have about total rows.
func newClosedWriter(total int) *closedWriter {
	c := &closedWriter{target: blockRows(total)}
	c.w = parquet.NewGenericWriter[closedRecord](&c.buf,
		parquet.DataPageVersion(1),
		parquet.PageBufferSize(256<<10),
		parquet.WriteBufferSize(0), // buf holds what has been written
		parquet.DataPageStatistics(false),
		parquet.CreatedBy("forescale", schemaVersion, "none"),
		parquet.KeyValueMetadata(schemaKey, schemaVersion),
		parquet.BloomFilters(parquet.SplitBlockFilter(10, "group")),
		parquet.SortingWriterConfig(parquet.SortingColumns(
			parquet.Ascending("group"), parquet.Ascending("metric"), parquet.Ascending("stat"), parquet.Ascending("time"))),
	)
	return c
}

// add writes the rows of one series, which is greater than the one before.
func (c *closedWriter) add(s series, rows []row) error {
	if c.rows >= c.target && s.group != c.last.group {
		if err := c.flush(); err != nil {
			return err
		}
	}
	c.last = s
	for len(rows) > 0 {
		n := min(len(rows), maxBlockRows-c.rows, 4096)
		if n == 0 {
			if err := c.flush(); err != nil {
				return err
			}
			continue
		}
		c.batch = c.batch[:0]
		for _, r := range rows[:n] {
			c.batch = append(c.batch, closedRecord{s.group, s.metric, string(s.stat), r.time, r.value, r.ingested})
		}
		if _, err := c.w.Write(c.batch); err != nil {
			return fmt.Errorf("encode closed file: %w", err)
		}
		c.rows += n
		c.total += n
		if c.rows == n {
			c.block = block{first: s.group, min: rows[0].time, max: rows[0].time}
		}
		c.block.last = s.group
		c.block.min, c.block.max = min(c.block.min, rows[0].time), max(c.block.max, rows[n-1].time)
		rows = rows[n:]
	}
	return nil
}

// flush ends the row group.
func (c *closedWriter) flush() error {
	if c.rows == 0 {
		return nil
	}
	if err := c.w.Flush(); err != nil {
		return fmt.Errorf("encode closed file: %w", err)
	}
	written := c.buf.Bytes()[c.begin:]
	sum := sha256.Sum256(written)
	c.block.offset, c.block.length, c.block.rows = int64(c.begin), int64(len(written)), c.rows
	c.block.sum = [16]byte(sum[:16])
	c.blocks = append(c.blocks, c.block)
	c.begin = c.buf.Len()
	c.rows = 0
	return nil
}

// finish returns the file, which stands for the parts. The same rows and parts
// give the same bytes.
func (c *closedWriter) finish(parts []partID) ([]byte, error) {
	if err := c.flush(); err != nil {
		return nil, err
	}
	parts = slices.Compact(slices.Sorted(slices.Values(parts)))
	var ids strings.Builder
	for _, id := range parts {
		fmt.Fprintf(&ids, "%016x", uint64(id))
	}
	places := make([]string, len(c.blocks))
	for i, b := range c.blocks {
		places[i] = fmt.Sprintf("%x:%x:%s", b.offset, b.length, hex.EncodeToString(b.sum[:]))
	}
	c.w.SetKeyValueMetadata(blocksKey, strings.Join(places, " "))
	c.w.SetKeyValueMetadata(partsKey, ids.String())
	c.w.SetKeyValueMetadata(sumKey, footerSum(c.blocks, parts))
	if err := c.w.Close(); err != nil {
		return nil, fmt.Errorf("encode closed file: %w", err)
	}
	return c.buf.Bytes(), nil
}

// footerSum returns the SHA-256, in hexadecimal, of where the row groups are, what
// they hold, and of the parts: integers are 64 bits, little-endian, and names have
// their lengths before them.
func footerSum(blocks []block, parts []partID) string {
	h := sha256.New()
	var buf []byte
	for _, b := range blocks {
		buf = buf[:0]
		for _, v := range []int64{b.offset, b.length, int64(b.rows), b.min, b.max, int64(len(b.first)), int64(len(b.last))} {
			buf = binary.LittleEndian.AppendUint64(buf, uint64(v))
		}
		buf = append(append(append(buf, b.sum[:]...), b.first...), b.last...)
		h.Write(buf)
	}
	for _, id := range parts {
		h.Write(binary.LittleEndian.AppendUint64(buf[:0], uint64(id)))
	}
	return hex.EncodeToString(h.Sum(nil))
}
