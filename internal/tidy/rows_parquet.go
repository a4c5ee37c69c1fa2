package tidy

import (
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"time"

	"github.com/forescale/forescale/internal/dataset"
	"github.com/parquet-go/parquet-go"
	pqformat "github.com/parquet-go/parquet-go/format"
)

// ReadParquetRows reads the rows of a flat Parquet file: columns of numbers,
// booleans, texts and timestamps. Rows are counted from 1 on, the header's line of
// CSV left out.
func ReadParquetRows(r io.ReaderAt, size int64, name string, f Format, limits Limits) (rows *Rows, err error) {
	// The library panics over some broken files, which come from outside.
	defer func() {
		if p := recover(); p != nil {
			rows, err = nil, &Error{File: name, Detail: fmt.Sprintf("cannot be read (%v)", p), Fix: "copy the file again"}
		}
	}()
	refuse := func(detail string, args ...any) (*Rows, error) {
		return nil, &Error{File: name, Detail: fmt.Sprintf(detail, args...), Fix: "split the file"}
	}
	if size > limits.Bytes {
		return refuse("%d bytes are more than %d", size, limits.Bytes)
	}
	tail := make([]byte, min(size, maxFooter))
	if _, err := r.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return nil, &Error{File: name, Detail: "cannot be read: " + err.Error(), Err: err}
	}
	if err := dataset.CheckParquetFooter(tail); err != nil {
		return nil, &Error{File: name, Detail: "is no Parquet file that can be read: " + err.Error(), Fix: "copy the file again", Err: err}
	}
	file, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, &Error{File: name, Detail: "is no Parquet file that can be read: " + err.Error(), Err: err}
	}
	plain := int64(0)
	for _, group := range file.Metadata().RowGroups {
		for _, column := range group.Columns {
			if n := column.MetaData.TotalUncompressedSize; n < 0 || n > limits.Bytes {
				return refuse("a column takes %d bytes", n)
			} else if plain += n; plain > limits.Bytes {
				return refuse("the columns take more than %d bytes", limits.Bytes)
			}
		}
	}
	p := &parquetRows{file: name, in: parquet.MultiRowGroup(file.RowGroups()...).Rows(), buffer: make([]parquet.Row, 64)}
	defer p.in.Close()
	fields := file.Schema().Fields()
	if len(fields) > maxColumns {
		return refuse("%d columns, at most %d are read", len(fields), maxColumns)
	}
	for _, field := range fields {
		if !field.Leaf() || field.Repeated() {
			return nil, &Error{File: name, Detail: fmt.Sprintf("the column %.64q is nested or a list; a table is flat", field.Name()), Fix: "leave it out of the file"}
		}
		p.names, p.kinds = append(p.names, field.Name()), append(p.kinds, field.Type())
	}
	return f.read(name, p, limits)
}

// maxFooter bounds the metadata of a file, in bytes.
const maxFooter = 16 << 20

// parquetRows reads Parquet row by row.
type parquetRows struct {
	file   string
	in     parquet.Rows
	names  []string
	kinds  []parquet.Type
	buffer []parquet.Row
	filled []parquet.Row
	ended  bool
	row    int
}

func (p *parquetRows) header() []string { return p.names }

func (p *parquetRows) next() (fields []string, line int, fatal bool, err error) {
	for len(p.filled) == 0 {
		if p.ended {
			return nil, 0, true, io.EOF
		}
		n, err := p.in.ReadRows(p.buffer)
		p.filled = p.buffer[:n]
		if p.ended = errors.Is(err, io.EOF); err != nil && !p.ended {
			return nil, 0, true, &Error{File: p.file, Line: p.row + 1, Detail: "cannot be read: " + err.Error(), Fix: "copy the file again", Err: err}
		}
		if n == 0 && err == nil {
			p.ended = true
		}
	}
	row := p.filled[0]
	p.filled = p.filled[1:]
	p.row++
	fields = make([]string, len(p.names))
	for _, v := range row {
		if c := v.Column(); c >= 0 && c < len(fields) {
			fields[c] = cell(v, p.kinds[c])
		}
	}
	return fields, p.row, false, nil
}

// cell writes a value as CSV would hold it; a missing one is empty.
func cell(v parquet.Value, kind parquet.Type) string {
	if v.IsNull() {
		return ""
	}
	if logical := kind.LogicalType(); logical != nil {
		if stamp, ok := logical.Value.(*pqformat.TimestampType); ok && stamp.Unit.Value != nil {
			unit := int64(stamp.Unit.Value.Duration())
			second := int64(time.Second) / unit
			t := time.Unix(v.Int64()/second, v.Int64()%second*unit).UTC()
			if !stamp.IsAdjustedToUTC { // a clock on a wall
				return t.Format("2006-01-02T15:04:05.999999999")
			}
			return t.Format(time.RFC3339Nano)
		}
		if decimal, ok := logical.Value.(*pqformat.DecimalType); ok {
			return decimalCell(v, decimal.Scale)
		}
	}
	switch v.Kind() {
	case parquet.Boolean:
		if v.Boolean() {
			return "1"
		}
		return "0"
	case parquet.Int32:
		return strconv.FormatInt(int64(v.Int32()), 10)
	case parquet.Int64:
		return strconv.FormatInt(v.Int64(), 10)
	case parquet.Float:
		return strconv.FormatFloat(float64(v.Float()), 'g', -1, 32)
	case parquet.Double:
		return strconv.FormatFloat(v.Double(), 'g', -1, 64)
	}
	return string(v.ByteArray())
}

// maxDecimal bounds a decimal, in bytes: 38 digits, as databases have them, take 16.
const maxDecimal = 32

// decimalCell writes a DECIMAL, which is stored as the whole number unscaled, in
// bytes as two's complement, with value = unscaled x 10^-scale.
//
// Source: Parquet, LogicalTypes.md, "DECIMAL".
func decimalCell(v parquet.Value, scale int32) string {
	unscaled := new(big.Int)
	switch v.Kind() {
	case parquet.Int32:
		unscaled.SetInt64(int64(v.Int32()))
	case parquet.Int64:
		unscaled.SetInt64(v.Int64())
	default:
		raw := v.ByteArray()
		if len(raw) == 0 || len(raw) > maxDecimal {
			return fmt.Sprintf("a decimal of %d bytes", len(raw)) // at fault, as a number
		}
		if unscaled.SetBytes(raw); raw[0] >= 0x80 {
			unscaled.Sub(unscaled, new(big.Int).Lsh(big.NewInt(1), uint(8*len(raw))))
		}
	}
	return fmt.Sprintf("%de%d", unscaled, -int64(scale))
}
