package dataset

import (
	"encoding/binary"
	"errors"
)

// CheckParquetFooter returns an error when the metadata at the end of a Parquet
// file, whoever wrote it, claims more than its bytes can hold: the decoder of
// parquet-go would allocate what it claims. tail is the file's end.
//
// Source: Parquet, README.md, "File format".
func CheckParquetFooter(tail []byte) error {
	if len(tail) < 12 || string(tail[len(tail)-4:]) != "PAR1" {
		return errors.New("it does not end as a Parquet file does, or is cut short")
	}
	size := uint64(binary.LittleEndian.Uint32(tail[len(tail)-8:]))
	if size > uint64(len(tail)-8) {
		return errors.New("its metadata are longer than the file, or than allowed")
	}
	footer := tail[len(tail)-8-int(size) : len(tail)-8]
	if n, err := thriftLenWithin(footer, maxForeignElements); err != nil || n != len(footer) {
		return errThrift
	}
	return nil
}

// maxForeignElements bounds the elements of all lists in a footer.
const maxForeignElements = 1 << 17
