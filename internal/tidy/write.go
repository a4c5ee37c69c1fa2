package tidy

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
)

// Write writes the table as Read reads it: times in RFC 3339, a missing value as
// an empty field. Notes are not written. An infinite value, or a column without
// one value per time, is an error.
func Write(w io.Writer, t *Table) error {
	for _, name := range t.Names {
		column := t.Columns[name]
		if len(column) != len(t.Times) {
			return fmt.Errorf("write CSV: column %q has %d values for %d times", name, len(column), len(t.Times))
		}
		for i, v := range column {
			if math.IsInf(v, 0) {
				return fmt.Errorf("write CSV: column %q at %s is infinite", name, stamp(t.Times[i]))
			}
		}
	}
	buffered := bufio.NewWriter(w)
	out := csv.NewWriter(buffered)
	row := append([]string{"timestamp"}, t.Names...)
	if err := out.Write(row); err != nil {
		return err
	}
	for i, at := range t.Times {
		row[0] = at.UTC().Format(time.RFC3339Nano)
		for c, name := range t.Names {
			row[c+1] = format(t.Columns[name][i])
		}
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return err
	}
	return buffered.Flush()
}

// format writes a number so that it reads back exactly, and NaN as nothing.
func format(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
