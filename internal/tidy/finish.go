package tidy

import (
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
)

// fields splits one line. A field never spans lines: a tidy file holds times and
// numbers only, and an unclosed quote must not swallow the rest of the file.
func (p *parser) fields(line string) ([]string, error) {
	if !strings.Contains(line, `"`) {
		return strings.Split(line, ","), nil
	}
	r := csv.NewReader(strings.NewReader(line))
	r.FieldsPerRecord = -1
	fields, err := r.Read()
	if err == nil {
		return fields, nil
	}
	e := &Error{File: p.file, Line: p.line, Detail: "the quotes do not match", Fix: "remove them, no value here needs quotes", Err: err}
	if syntax := (*csv.ParseError)(nil); errors.As(err, &syntax) {
		// A quote that never ends is reported at the end of the line.
		place := min(strings.LastIndexByte(line, '"'), max(0, syntax.Column-1))
		e.Column = strings.Count(line[:place], ",") + 1
	}
	return nil, e
}

// finish sorts the rows, settles duplicates and describes what is odd.
func (p *parser) finish() (*Table, error) {
	order := make([]int, len(p.times))
	for i := range order {
		order[i] = i
	}
	var notes []string
	for i := 1; i < len(p.times); i++ {
		if p.times[i].Before(p.times[i-1]) {
			notes = append(notes, fmt.Sprintf("rows are not in the order of time, first at line %d; they were sorted", p.rows[i]))
			slices.SortStableFunc(order, func(a, b int) int { return p.times[a].Compare(p.times[b]) })
			break
		}
	}
	kept, dropped, err := p.settleDuplicates(order)
	if err != nil {
		return nil, err
	}
	if dropped > 0 {
		notes = append(notes, fmt.Sprintf("%d rows repeat the row of the same time and were dropped", dropped))
	}
	t := &Table{Times: make([]time.Time, len(kept)), Columns: make(map[string]api.Series, len(p.header)-1)}
	for i, row := range kept {
		t.Times[i] = p.times[row]
	}
	for c, name := range p.header {
		if c == p.stamp {
			continue
		}
		column := make(api.Series, len(kept))
		for i, row := range kept {
			column[i] = p.values[c][row]
		}
		t.Names = append(t.Names, name)
		t.Columns[name] = column
	}
	t.Notes = append(notes, t.describe()...)
	return t, nil
}

// settleDuplicates drops the rows, given in the order of time, that repeat the
// one before in time and values. Rows of one time with different values are an
// error: nobody here can tell which is right.
func (p *parser) settleDuplicates(order []int) (kept []int, dropped int, err error) {
	kept = order[:0]
	for _, row := range order {
		if len(kept) == 0 || !p.times[row].Equal(p.times[kept[len(kept)-1]]) {
			kept = append(kept, row)
			continue
		}
		first := kept[len(kept)-1]
		for c, column := range p.values {
			if c == p.stamp {
				continue
			}
			if a, b := column[first], column[row]; a != b && !(math.IsNaN(a) && math.IsNaN(b)) {
				return nil, 0, &Error{File: p.file, Line: p.rows[row], Column: c + 1, Name: p.header[c],
					Detail: fmt.Sprintf("line %d has the same time %s and another value (%s, here %s)", p.rows[first], stamp(p.times[row]), format(a), format(b)),
					Fix:    "remove the row that is wrong"}
			}
		}
		dropped++
	}
	return kept, dropped, nil
}
