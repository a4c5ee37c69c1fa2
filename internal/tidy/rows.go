package tidy

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
)

// Format says how to read a table that is not tidy: which columns hold what, and
// what its times mean.
type Format struct {
	Time       string // column of the times; empty: timestamp
	TimeFormat string // a layout of package time, unix, unix_ms, or empty: as in a tidy file
	// Zone is that of times which say none; nil: UTC. Repeated says which of the
	// two is meant where clocks went back and a local time came twice.
	Zone     *time.Location
	Repeated Repeated
	Group    string   // column of the group; empty: the rows are of one group, ""
	Columns  []string // to be read; nil: all others
}

// Repeated says what is meant by a local time that came twice.
type Repeated string

// The choices of Repeated. Without one, such a time is a fault.
const (
	RepeatedFault   Repeated = ""
	RepeatedEarlier Repeated = "earlier"
	RepeatedLater   Repeated = "later"
)

// Rows is a file's content by group.
type Rows struct {
	Groups map[string]*Table // by name; without Notes
	Lines  int               // rows read, bad ones included
	Bad    int               // rows that were not understood, and are in no table
	Faults []*Error          // why, for the first maxRowFaults of them
	Same   int               // rows that repeat another one, and were dropped
}

const (
	maxRowFaults = 20
	maxGroups    = 100_000
)

// lineReader hands out the rows of a file, as texts; an empty one is missing.
type lineReader interface {
	header() []string
	// next returns a row and the number of its line, or of the row where there are
	// no lines. The error is io.EOF after the last; an *Error for a row that cannot
	// be read, when fatal is false; or what ends reading.
	next() (fields []string, line int, fatal bool, err error)
}

// read sorts the rows of a file by group and time. A row at fault is counted and
// named, and left out as a whole.
func (f Format) read(file string, in lineReader, limits Limits) (*Rows, error) {
	r := &rowReader{format: f, file: file, header: in.header(), rows: &Rows{Groups: map[string]*Table{}}, lines: map[string][]int{}}
	if err := r.place(); err != nil {
		return nil, err
	}
	cells := 0
	for {
		fields, line, fatal, err := in.next()
		if errors.Is(err, io.EOF) && fatal {
			break
		}
		if fatal {
			return nil, err
		}
		r.rows.Lines++
		if cells += 1 + len(r.columns); cells > limits.Cells {
			return nil, &Error{File: file, Line: line, Detail: fmt.Sprintf("the file has more than %d values", limits.Cells), Fix: "split it"}
		}
		if e := (*Error)(nil); errors.As(err, &e) {
			r.bad(e)
			continue
		}
		if err := r.add(fields, line); err != nil {
			return nil, err
		}
	}
	if r.rows.Lines == 0 {
		return nil, &Error{File: file, Detail: "the file has no rows", Fix: "add a row per slot"}
	}
	for group, t := range r.rows.Groups {
		r.settle(group, t)
	}
	return r.rows, nil
}

// rowReader puts rows into tables.
type rowReader struct {
	format  Format
	file    string
	header  []string
	stamp   int // indexes of columns
	group   int // -1: none
	columns []int
	rows    *Rows
	lines   map[string][]int // of each row of a group
	layouts parser           // for times as in a tidy file
}

// place finds the columns.
func (r *rowReader) place() error {
	missing := func(name, what, flag string) error {
		return &Error{File: r.file, Line: 1, Detail: fmt.Sprintf("there is no column %.64q for %s; there are %.300s", name, what, printable(strings.Join(r.header, ", "))), Fix: flag}
	}
	name := r.format.Time
	if name == "" {
		name = "timestamp"
	}
	if r.stamp = slices.Index(r.header, name); r.stamp < 0 {
		return missing(name, "the times", "name it with -time-column")
	}
	r.group = -1
	if r.format.Group != "" {
		if r.group = slices.Index(r.header, r.format.Group); r.group < 0 {
			return missing(r.format.Group, "the groups", "name it with -group-column")
		}
	}
	names := r.format.Columns
	if names == nil {
		for i, name := range r.header {
			if i != r.stamp && i != r.group && name != "" {
				names = append(names, name)
			}
		}
	}
	for _, name := range names {
		i := slices.Index(r.header, name)
		if i < 0 {
			return missing(name, "a metric", "name it with -column METRIC=COLUMN")
		}
		if err := api.CheckName(name); err != nil {
			return &Error{File: r.file, Line: 1, Column: i + 1, Detail: "the name " + err.Error(), Fix: "correct it"}
		}
		r.columns = append(r.columns, i)
	}
	if len(r.columns) == 0 {
		return &Error{File: r.file, Line: 1, Detail: "there is no column beside the times", Fix: "add a column per metric"}
	}
	return nil
}

func (r *rowReader) bad(e *Error) {
	if r.rows.Bad++; len(r.rows.Faults) < maxRowFaults {
		e.File = r.file
		r.rows.Faults = append(r.rows.Faults, e)
	}
}

// add puts a row into its group's table. The error ends reading.
func (r *rowReader) add(fields []string, line int) error {
	fault := func(column int, e *Error) {
		e.Line, e.Column, e.Name = line, column+1, r.header[column]
		r.bad(e)
	}
	at, e := r.format.time(strings.TrimSpace(fields[r.stamp]), &r.layouts)
	if e != nil {
		fault(r.stamp, e)
		return nil
	}
	group := ""
	if r.group >= 0 {
		group = strings.TrimSpace(fields[r.group])
		if err := api.CheckName(group); err != nil {
			fault(r.group, &Error{Detail: "the group's name " + err.Error(), Fix: "correct it"})
			return nil
		}
	}
	values := make([]float64, len(r.columns))
	for i, column := range r.columns {
		if values[i], e = number(strings.TrimSpace(fields[column])); e != nil {
			fault(column, e)
			return nil
		}
	}
	t := r.rows.Groups[group]
	if t == nil {
		if len(r.rows.Groups) == maxGroups {
			return &Error{File: r.file, Line: line, Detail: fmt.Sprintf("the file has more than %d groups", maxGroups), Fix: "is this the right -group-column?"}
		}
		t = &Table{Columns: map[string]api.Series{}}
		for _, column := range r.columns {
			t.Names = append(t.Names, strings.Clone(r.header[column]))
		}
		r.rows.Groups[strings.Clone(group)] = t
	}
	t.Times = append(t.Times, at)
	r.lines[group] = append(r.lines[group], line)
	for i, name := range t.Names {
		t.Columns[name] = append(t.Columns[name], values[i])
	}
	return nil
}

// settle brings a table into the order of time, drops rows that repeat another and
// counts as bad those that contradict one.
func (r *rowReader) settle(group string, t *Table) {
	order := make([]int, len(t.Times))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return t.Times[a].Compare(t.Times[b]) })
	kept := make([]int, 0, len(order))
	for _, row := range order {
		if len(kept) == 0 || !t.Times[kept[len(kept)-1]].Equal(t.Times[row]) {
			kept = append(kept, row)
			continue
		}
		first := kept[len(kept)-1]
		if name, differs := t.differ(first, row); differs {
			r.bad(&Error{Line: r.lines[group][row], Detail: fmt.Sprintf("line %d has the same time %s and another %s (%s, here %s)", r.lines[group][first],
				stamp(t.Times[row]), name, format(t.Columns[name][first]), format(t.Columns[name][row])), Fix: "remove the row that is wrong"})
		} else {
			r.rows.Same++
		}
	}
	times := make([]time.Time, len(kept))
	for i, row := range kept {
		times[i] = t.Times[row]
	}
	for name, column := range t.Columns {
		values := make(api.Series, len(kept))
		for i, row := range kept {
			values[i] = column[row]
		}
		t.Columns[name] = values
	}
	t.Times = times
}

// differ returns the first column in which two rows say different things.
func (t *Table) differ(a, b int) (name string, differs bool) {
	for _, name := range t.Names {
		x, y := t.Columns[name][a], t.Columns[name][b]
		if x != y && !(math.IsNaN(x) && math.IsNaN(y)) {
			return name, true
		}
	}
	return "", false
}

// time reads a time.
func (f Format) time(text string, tidy *parser) (time.Time, *Error) {
	bad := func(what, fix string) *Error { return &Error{Detail: fmt.Sprintf("%.40q %s", text, what), Fix: fix} }
	var t time.Time
	switch f.TimeFormat {
	case "":
		if f.Zone == nil || !localTime(text) {
			return tidy.time(text)
		}
		for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly} {
			var err error
			if t, err = time.Parse(layout, text); err == nil {
				return f.local(t, text)
			}
		}
		return t, bad("is not a time", "say how it is written with -time-format")
	case "unix", "unix_ms":
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(n) || math.Abs(n) > 1e14 {
			return t, bad("is not a Unix time", "correct it, or name another -time-format")
		}
		if f.TimeFormat == "unix_ms" {
			n /= 1000
		}
		whole, part := math.Modf(n)
		t = time.Unix(int64(whole), int64(math.Round(part*1e6))*1000).UTC()
	default:
		parsed, err := time.Parse(f.TimeFormat, text)
		if err != nil {
			return t, bad("is not written like "+f.TimeFormat, "correct it, or the -time-format")
		}
		if t = parsed.UTC(); f.Zone != nil && parsed.Location() == time.UTC && !strings.Contains(f.TimeFormat, "Z07") && !strings.Contains(f.TimeFormat, "-07") {
			return f.local(parsed, text)
		}
	}
	if t.Year() < firstYear || t.Year() > lastYear {
		return t, bad(fmt.Sprintf("is outside the years %d to %d", firstYear, lastYear), "correct the time, or the -time-format")
	}
	return t, nil
}

// localTime reports whether a time says neither its zone nor seconds since 1970.
func localTime(text string) bool {
	if len(text) < len(time.DateOnly) || text[4] != '-' {
		return false
	}
	return !strings.HasSuffix(text, "Z") && !strings.ContainsAny(text[len(time.DateOnly):], "+-")
}

// local places what a clock on a wall shows, as a time in UTC, on the line of time.
func (f Format) local(wall time.Time, text string) (time.Time, *Error) {
	var found []time.Time
	for _, near := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		_, offset := wall.Add(near).In(f.Zone).Zone()
		t := wall.Add(-time.Duration(offset) * time.Second)
		if _, holds := t.In(f.Zone).Zone(); holds == offset && !slices.ContainsFunc(found, t.Equal) {
			found = append(found, t)
		}
	}
	slices.SortFunc(found, time.Time.Compare)
	switch {
	case len(found) == 0:
		return wall, &Error{Detail: fmt.Sprintf("%.40q never was in %s: clocks went forward over it", text, f.Zone), Fix: "write the time with its offset, or in UTC"}
	case len(found) == 1:
	case f.Repeated == RepeatedEarlier:
	case f.Repeated == RepeatedLater:
		return found[1], nil
	default:
		return wall, &Error{Detail: fmt.Sprintf("%.40q was twice in %s: clocks went back", text, f.Zone),
			Fix: "write the time with its offset, or in UTC, or say -repeated earlier or -repeated later"}
	}
	if t := found[0]; t.Year() < firstYear || t.Year() > lastYear {
		return t, &Error{Detail: fmt.Sprintf("%.40q is outside the years %d to %d", text, firstYear, lastYear), Fix: "correct the time"}
	}
	return found[0], nil
}
