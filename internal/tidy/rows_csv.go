package tidy

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// ReadRowsFile reads the rows of a .csv, .csv.gz or .parquet file, within
// DefaultLimits. The error says why the file as a whole cannot be read; rows that
// cannot are in Rows.Faults.
func ReadRowsFile(path string, f Format) (*Rows, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, &Error{File: path, Detail: "is a directory", Fix: "name the files in it"}
	}
	if strings.HasSuffix(path, ".parquet") {
		return ReadParquetRows(in, info.Size(), path, f, DefaultLimits())
	}
	return ReadCSVRows(in, path, f, DefaultLimits())
}

// ReadCSVRows reads the rows of a CSV file, which may be gzipped.
func ReadCSVRows(r io.Reader, name string, f Format, limits Limits) (*Rows, error) {
	in := bufio.NewReader(r)
	var text io.Reader = in
	if magic, _ := in.Peek(2); string(magic) == "\x1f\x8b" {
		unzip, err := gzip.NewReader(in)
		if err != nil {
			return nil, &Error{File: name, Detail: "the gzip header is broken: " + err.Error(), Fix: "compress the file again", Err: err}
		}
		text = unzip
	}
	c := &csvRows{file: name, in: csv.NewReader(&bounded{r: text, left: limits.Bytes})}
	c.in.FieldsPerRecord, c.in.ReuseRecord = -1, true
	names, err := c.in.Read()
	if errors.Is(err, io.EOF) {
		return nil, &Error{File: name, Detail: "the file is empty", Fix: "its first line must name the columns"}
	}
	if err != nil {
		return nil, c.broken(err)
	}
	if len(names) > maxColumns {
		return nil, &Error{File: name, Line: 1, Detail: fmt.Sprintf("%d columns, at most %d are read", len(names), maxColumns), Fix: "split the file"}
	}
	names[0] = strings.TrimPrefix(names[0], "\ufeff")
	seen := map[string]bool{}
	for i, column := range names {
		column = strings.Clone(strings.TrimSpace(column))
		if seen[column] && column != "" {
			return nil, &Error{File: name, Line: 1, Column: i + 1, Detail: fmt.Sprintf("there are two columns %.64q", column), Fix: "rename one of them"}
		}
		seen[column] = true
		c.names = append(c.names, column)
	}
	return f.read(name, c, limits)
}

// csvRows reads CSV row by row.
type csvRows struct {
	file  string
	in    *csv.Reader
	names []string
}

func (c *csvRows) header() []string { return c.names }

func (c *csvRows) next() (fields []string, line int, fatal bool, err error) {
	fields, err = c.in.Read()
	var syntax *csv.ParseError
	switch {
	case errors.Is(err, io.EOF):
		return nil, 0, true, err
	case errors.As(err, &syntax) && (errors.Is(err, csv.ErrQuote) || errors.Is(err, csv.ErrBareQuote)):
		return nil, syntax.Line, false, &Error{Line: syntax.StartLine, Detail: "the quotes do not match", Fix: "remove them, no value here needs quotes", Err: err}
	case err != nil:
		return nil, 0, true, c.broken(err)
	}
	line, _ = c.in.FieldPos(0)
	if len(fields) != len(c.names) {
		return nil, line, false, &Error{Line: line, Detail: fmt.Sprintf("the row has %d fields, the header %d", len(fields), len(c.names)),
			Fix: "leave a missing value as an empty field between its commas"}
	}
	return fields, line, false, nil
}

// broken explains why a file cannot be read on.
func (c *csvRows) broken(err error) error {
	e := &Error{File: c.file, Detail: "cannot be read: " + err.Error(), Err: err}
	switch {
	case errors.Is(err, errTooLarge):
		e.Detail, e.Fix = "the text is too long", "split the file"
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Detail, e.Fix = "the gzip data ends early", "the file was cut short; copy it again"
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader):
		e.Detail, e.Fix = "the gzip data is corrupt ("+err.Error()+")", "copy the file again"
	}
	return e
}
