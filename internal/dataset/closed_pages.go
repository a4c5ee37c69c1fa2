package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/forescale/forescale/api"
)

// blockReader reads the columns of one row group.
type blockReader struct {
	data   []byte
	rows   int
	budget int // decompressed bytes that the row group may still take
}

// nameColumn is a column of names: the distinct ones, and one index a row.
type nameColumn struct {
	names   []string
	indexes []uint32
}

// unzstd decompresses pages, into no more than the capacity that it is given
// whatever a frame claims. It is safe for concurrent use.
var unzstd = func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(readers), zstd.WithDecoderMaxMemory(maxBlockPlain), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return d
}()

// pages calls use with each page of the chunk, decompressed.
func (r *blockReader) pages(c chunk, use func(head *format.PageHeader, plain []byte) error) error {
	left := r.data[c.offset : c.offset+c.length]
	for len(left) > 0 {
		n, err := thriftLen(left)
		if err != nil {
			return fmt.Errorf("page header: %w", err)
		}
		var head format.PageHeader
		if err := thrift.Unmarshal(new(thrift.CompactProtocol), left[:n], &head); err != nil {
			return fmt.Errorf("page header: %w", err)
		}
		left = left[n:]
		if head.CompressedPageSize < 0 || int(head.CompressedPageSize) > len(left) {
			return fmt.Errorf("page of %d bytes where %d are left", head.CompressedPageSize, len(left))
		}
		data := left[:head.CompressedPageSize]
		left = left[head.CompressedPageSize:]
		if got := crc32.ChecksumIEEE(data); got != uint32(head.CRC) {
			return fmt.Errorf("page checksum %08x, want %08x", got, uint32(head.CRC))
		}
		size := int(head.UncompressedPageSize)
		if size < 0 || size > r.budget {
			return fmt.Errorf("page of %d bytes, decompressed", size)
		}
		r.budget -= size
		plain, err := r.decompress(c.codec, data, size)
		if err != nil {
			return err
		}
		if err := use(&head, plain); err != nil {
			return err
		}
	}
	return nil
}

func (r *blockReader) decompress(codec format.CompressionCodec, data []byte, size int) ([]byte, error) {
	if codec != format.Zstd {
		return nil, fmt.Errorf("compressed with %s; closed files use zstd", codec)
	}
	plain, err := unzstd.DecodeAll(data, make([]byte, 0, size))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	if len(plain) != size {
		return nil, fmt.Errorf("page of %d bytes, want %d", len(plain), size)
	}
	return plain, nil
}

// values returns the number of values of a data page in the given encoding.
func (r *blockReader) values(head *format.PageHeader, want format.Encoding, have int) (int, error) {
	if head.Type != format.DataPage || !head.DataPageHeader.Valid || head.DataPageHeader.V.Encoding != want {
		return 0, fmt.Errorf("%s is not a data page of the encoding %s, as closed files have", head.Type, want)
	}
	n := int(head.DataPageHeader.V.NumValues)
	if n < 0 || n > r.rows-have {
		return 0, fmt.Errorf("page of %d values after %d of %d", n, have, r.rows)
	}
	return n, nil
}

// numbers returns the values of a column of 8 bytes each, plain, one a row.
func (r *blockReader) numbers(c chunk) ([]byte, error) {
	out := make([]byte, 0, 8*r.rows)
	err := r.pages(c, func(head *format.PageHeader, plain []byte) error {
		n, err := r.values(head, format.Plain, len(out)/8)
		if err == nil && len(plain) != 8*n {
			err = fmt.Errorf("%d bytes for %d values", len(plain), n)
		}
		out = append(out, plain...)
		return err
	})
	if err == nil && len(out) != 8*r.rows {
		err = fmt.Errorf("%d bytes for %d rows", len(out), r.rows)
	}
	return out, err
}

// names returns a column of names: a dictionary page, then pages of indexes.
func (r *blockReader) names(c chunk) (nameColumn, error) {
	column := nameColumn{indexes: make([]uint32, 0, r.rows)}
	err := r.pages(c, func(head *format.PageHeader, plain []byte) (err error) {
		if head.Type == format.DictionaryPage {
			if column.names != nil {
				return errors.New("there are two dictionaries")
			}
			column.names, err = r.dictionary(head, plain)
			return err
		}
		n, err := r.values(head, format.RLEDictionary, len(column.indexes))
		if err != nil {
			return err
		}
		column.indexes, err = appendHybrid(column.indexes, plain, n)
		return err
	})
	if err != nil {
		return column, err
	}
	if len(column.indexes) != r.rows {
		return column, fmt.Errorf("%d values for %d rows", len(column.indexes), r.rows)
	}
	for _, i := range column.indexes {
		if int(i) >= len(column.names) {
			return column, fmt.Errorf("name %d of a dictionary of %d", i, len(column.names))
		}
	}
	return column, nil
}

// dictionary returns the names of a dictionary page: a length of 4 bytes before
// each.
func (r *blockReader) dictionary(head *format.PageHeader, plain []byte) ([]string, error) {
	n := 0
	if head.DictionaryPageHeader.Valid {
		n = int(head.DictionaryPageHeader.V.NumValues)
	}
	if n < 1 || n > r.rows || 4*n > len(plain) {
		return nil, fmt.Errorf("dictionary of %d names in %d bytes for %d rows", n, len(plain), r.rows)
	}
	names := make([]string, 0, n)
	for range n {
		if len(plain) < 4 {
			return nil, errors.New("dictionary ends early")
		}
		size := binary.LittleEndian.Uint32(plain)
		if size > api.MaxNameLen || int(size) > len(plain)-4 {
			return nil, fmt.Errorf("a name of %d bytes", size)
		}
		names = append(names, string(plain[4:4+size]))
		plain = plain[4+size:]
	}
	if len(plain) > 0 {
		return nil, fmt.Errorf("%d bytes after the dictionary", len(plain))
	}
	return names, nil
}

// appendHybrid appends n indexes in Parquet's hybrid of run lengths and bit
// packing, which begins with the width of an index in bits.
//
// Source: Parquet, Encodings.md, "Run Length Encoding / Bit-Packing Hybrid".
func appendHybrid(dst []uint32, b []byte, n int) ([]uint32, error) {
	end := errors.New("indexes end early")
	if len(b) == 0 {
		return dst, end
	}
	width := uint(b[0])
	if width > 32 {
		return dst, fmt.Errorf("indexes of %d bits", width)
	}
	b = b[1:]
	for n > 0 {
		head, used := binary.Uvarint(b)
		if used <= 0 || head>>1 == 0 || head>>1 > math.MaxInt32 {
			return dst, end
		}
		b = b[used:]
		count := int(head >> 1)
		if head&1 == 0 { // one value, count times
			size := int(width+7) / 8
			if size > len(b) {
				return dst, end
			}
			var v uint32
			for i := range size {
				v |= uint32(b[i]) << (8 * i)
			}
			b = b[size:]
			run := min(count, n)
			for range run {
				dst = append(dst, v)
			}
			n -= run
			continue
		}
		// count times eight values, the last of which may be padding.
		size := count * int(width)
		if size > len(b) {
			return dst, end
		}
		run := min(8*count, n)
		var bits uint64
		var have uint
		next := b[:size]
		for range run {
			for have < width {
				bits |= uint64(next[0]) << have
				next = next[1:]
				have += 8
			}
			dst = append(dst, uint32(bits&(1<<width-1)))
			bits >>= width
			have -= width
		}
		b = b[size:]
		n -= run
	}
	return dst, nil
}
