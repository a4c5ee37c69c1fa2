package tidy

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/forescale/forescale/api"
)

// Limits bounds what reading a file may cost.
type Limits struct {
	Bytes int64 // of text, after decompression
	Line  int   // bytes in one line
	Cells int   // values in all, timestamps included
}

// DefaultLimits is what ReadFile allows: 1 GiB of text, lines of 1 MiB, and 2^23
// values (forty years of one metric at five minutes), which take at most about
// 600 MB of memory while they are read.
func DefaultLimits() Limits { return Limits{Bytes: 1 << 30, Line: 1 << 20, Cells: 1 << 23} }

// maxColumns bounds the columns of a file.
const maxColumns = 10_000

// Error says what is wrong with a file, where, and what to do about it.
type Error struct {
	File   string
	Line   int    // 1 is the header; 0: the file as a whole
	Column int    // 1 is the first; 0: the line as a whole
	Name   string // of the column, where it has one
	Detail string
	Fix    string
	Err    error // the cause, where there is one
}

// Error has the form FILE:LINE: column N (NAME): what is wrong; what to do.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": ")
	if e.Column > 0 {
		fmt.Fprintf(&b, "column %d", e.Column)
		if e.Name != "" {
			fmt.Fprintf(&b, " (%.64s)", printable(e.Name))
		}
		b.WriteString(": ")
	}
	b.WriteString(e.Detail)
	if e.Fix != "" {
		b.WriteString("; " + e.Fix)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// ReadFile reads a .csv or .csv.gz file within DefaultLimits. The error is an
// *Error, or that of opening the file.
func ReadFile(path string) (*Table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Read(f, path, DefaultLimits())
}

// Read reads a table from r, which may be gzipped: its first bytes tell. name
// stands for it in errors; a name that ends in .gz must be gzipped.
func Read(r io.Reader, name string, limits Limits) (*Table, error) {
	in := bufio.NewReader(r)
	magic, err := in.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, &Error{File: name, Detail: "cannot be read: " + err.Error(), Err: err}
	}
	var text io.Reader = in
	switch gzipped := string(magic) == "\x1f\x8b"; {
	case gzipped:
		unzip, err := gzip.NewReader(in)
		if err != nil {
			return nil, &Error{File: name, Detail: "the gzip header is broken: " + err.Error(), Fix: "compress the file again", Err: err}
		}
		text = unzip
	case len(magic) > 0 && strings.HasSuffix(name, ".gz"):
		return nil, &Error{File: name, Detail: "the name ends in .gz but the content is not gzip", Fix: "compress it, or drop .gz from its name"}
	}
	p := &parser{file: name, limits: limits}
	p.in = &bounded{r: text, left: limits.Bytes}
	p.lines = bufio.NewScanner(p.in)
	p.lines.Split(p.in.split)
	p.lines.Buffer(make([]byte, 0, min(64<<10, limits.Line)), limits.Line)
	return p.table()
}

// errTooLarge means that the text is longer than Limits.Bytes.
var errTooLarge = errors.New("text too large")

// bounded fails, rather than ends, once more than left bytes came out of r.
type bounded struct {
	r      io.Reader
	left   int64
	failed bool // the text broke off, rather than ended
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		n, err = 0, errTooLarge
	}
	b.failed = b.failed || err != nil && !errors.Is(err, io.EOF)
	return n, err
}

// split is bufio.ScanLines, but where the text broke off it withholds the last
// line, which may be half a one: what is wrong is the file, not that line.
func (b *bounded) split(data []byte, atEOF bool) (advance int, token []byte, err error) {
	return bufio.ScanLines(data, atEOF && !b.failed)
}

// parser reads one file, line by line.
type parser struct {
	file   string
	limits Limits
	in     *bounded
	lines  *bufio.Scanner
	line   int // number of the line last read

	header []string // all columns, in order
	stamp  int      // index of the timestamp column
	layout int      // index in layouts of the one that fitted last

	times  []time.Time
	rows   []int // line of each row
	values []api.Series
}

func (p *parser) table() (*Table, error) {
	if !p.next() {
		if err := p.readError(); err != nil {
			return nil, err
		}
		return nil, &Error{File: p.file, Detail: "the file is empty", Fix: "its first line must name the columns, timestamp among them"}
	}
	if err := p.readHeader(); err != nil {
		return nil, err
	}
	for p.next() {
		if err := p.readRow(); err != nil {
			return nil, err
		}
	}
	if err := p.readError(); err != nil {
		return nil, err
	}
	if len(p.times) == 0 {
		return nil, &Error{File: p.file, Line: p.line, Detail: "the file has a header and no rows", Fix: "add a row per slot"}
	}
	return p.finish()
}

// next advances to the next line that is not blank. Lines are as bounded as
// values, or a gigabyte of blank ones would be read to its end.
func (p *parser) next() bool {
	for p.line < p.limits.Cells && p.lines.Scan() {
		p.line++
		if len(strings.TrimSpace(p.lines.Text())) > 0 {
			return true
		}
	}
	return false
}

func (p *parser) readError() error {
	err := p.lines.Err()
	e := &Error{File: p.file, Line: p.line + 1, Err: err}
	switch {
	case err == nil && p.line >= p.limits.Cells:
		e.Detail, e.Fix = fmt.Sprintf("the file has %d lines or more", p.limits.Cells), "split it"
	case err == nil:
		return nil
	case errors.Is(err, bufio.ErrTooLong):
		e.Detail, e.Fix = fmt.Sprintf("the line is longer than %d bytes", p.limits.Line), "is this a CSV file?"
	case errors.Is(err, errTooLarge):
		e.Detail, e.Fix = fmt.Sprintf("the text is longer than %d bytes", p.limits.Bytes), "split the file"
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Detail, e.Fix = "the gzip data ends early", "the file was cut short; copy it again"
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader):
		e.Detail, e.Fix = "the gzip data is corrupt ("+err.Error()+")", "copy the file again"
	default:
		e.Detail = "cannot be read: " + err.Error()
	}
	return e
}

func (p *parser) readHeader() error {
	fields, err := p.fields(strings.TrimPrefix(p.lines.Text(), "\ufeff")) // spreadsheets write a byte order mark
	if err != nil {
		return err
	}
	if len(fields) > maxColumns {
		return &Error{File: p.file, Line: p.line, Detail: fmt.Sprintf("%d columns, at most %d are read", len(fields), maxColumns), Fix: "split the file"}
	}
	p.stamp = -1
	for i, name := range fields {
		name = strings.Clone(strings.TrimSpace(name))
		e := &Error{File: p.file, Line: p.line, Column: i + 1}
		switch j := slices.Index(p.header, name); {
		case name == "":
			e.Detail, e.Fix = "the column has no name", "name it or remove it"
			return e
		case len(name) > api.MaxNameLen:
			e.Detail, e.Fix = fmt.Sprintf("the name %.40q… is longer than %d bytes", name, api.MaxNameLen), "shorten it"
			return e
		case j >= 0:
			e.Detail, e.Fix = fmt.Sprintf("column %d is called %q too", j+1, name), "rename one of them"
			return e
		}
		if name == "timestamp" {
			p.stamp = i
		}
		p.header = append(p.header, name)
	}
	if p.stamp < 0 {
		return &Error{File: p.file, Line: p.line,
			Detail: fmt.Sprintf("no column is called timestamp; the columns are %.200s", printable(strings.Join(p.header, ", "))),
			Fix:    "rename the column that holds the times, and separate columns by commas"}
	}
	if len(p.header) == 1 {
		return &Error{File: p.file, Line: p.line, Detail: "there is no column beside timestamp", Fix: "add a column per metric"}
	}
	p.values = make([]api.Series, len(p.header))
	return nil
}

// printable quotes what a terminal must not be sent: the file may be no text at all.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) || r == utf8.RuneError }) {
		return strconv.QuoteToASCII(text)
	}
	return text
}

func (p *parser) readRow() error {
	fields, err := p.fields(p.lines.Text())
	if err != nil {
		return err
	}
	if len(fields) != len(p.header) {
		return &Error{File: p.file, Line: p.line, Detail: fmt.Sprintf("the row has %d fields, the header %d", len(fields), len(p.header)),
			Fix: "leave a missing value as an empty field between its commas"}
	}
	if (len(p.rows)+1)*len(p.header) > p.limits.Cells {
		return &Error{File: p.file, Line: p.line, Detail: fmt.Sprintf("the file has more than %d values", p.limits.Cells), Fix: "split it"}
	}
	for i, text := range fields {
		text = strings.TrimSpace(text)
		var e *Error
		if i == p.stamp {
			var t time.Time
			if t, e = p.time(text); e == nil {
				p.times = append(p.times, t)
			}
		} else {
			var v float64
			if v, e = number(text); e == nil {
				p.values[i] = append(p.values[i], v)
			}
		}
		if e != nil {
			e.File, e.Line, e.Column, e.Name = p.file, p.line, i+1, p.header[i]
			return e
		}
	}
	p.rows = append(p.rows, p.line)
	return nil
}

// number reads a cell; NaN is a missing one.
func number(text string) (float64, *Error) {
	switch strings.ToLower(text) {
	case "", "nan", "null":
		return math.NaN(), nil
	}
	v, err := strconv.ParseFloat(text, 64)
	switch {
	case errors.Is(err, strconv.ErrRange), err == nil && math.IsInf(v, 0):
		return 0, &Error{Detail: fmt.Sprintf("%.40q is not finite", text), Fix: "leave the cell empty if the value is missing"}
	case err != nil, strings.ContainsAny(text, "xX"):
		return 0, &Error{Detail: fmt.Sprintf("%.40q is not a number", text), Fix: "write a decimal number with a point, or leave the cell empty"}
	}
	return v, nil
}

var layouts = []string{
	time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00",
	"2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02",
}

// Times outside of these years are typing errors, and further apart than a
// time.Duration can say.
const firstYear, lastYear = 1900, 2150

func (p *parser) time(text string) (time.Time, *Error) {
	t, ok := time.Time{}, false
	for i := 0; i < len(layouts) && !ok && strings.ContainsAny(text, "-:"); i++ {
		layout := (p.layout + i) % len(layouts)
		if parsed, err := time.Parse(layouts[layout], text); err == nil {
			t, ok, p.layout = parsed.UTC(), true, layout
		}
	}
	if !ok {
		seconds, fraction, _ := strings.Cut(text, ".")
		whole, err := strconv.ParseInt(seconds, 10, 64)
		nanos, err2 := strconv.ParseUint((fraction + "000000000")[:9], 10, 32)
		switch {
		case err != nil || err2 != nil:
			return t, &Error{Detail: fmt.Sprintf("%.40q is not a time", text), Fix: "write RFC 3339, for example 2026-01-31T12:05:00Z, or Unix seconds"}
		case whole >= 1e11 || whole < 1e8:
			return t, &Error{Detail: fmt.Sprintf("%.40q is not a time in Unix seconds", text), Fix: "write RFC 3339, for example 2026-01-31T12:05:00Z, or seconds since 1970"}
		}
		t = time.Unix(whole, int64(nanos)).UTC()
	}
	if t.Year() < firstYear || t.Year() > lastYear {
		return t, &Error{Detail: fmt.Sprintf("%.40q is outside the years %d to %d", text, firstYear, lastYear), Fix: "correct the time"}
	}
	return t, nil
}
