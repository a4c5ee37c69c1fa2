package search

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// table returns the header and the rows of all evaluations: the greatest budget
// first, and in a rung the least loss first, failures last. digits is the format
// of losses and numbers.
func (r Result) table(digits string) (head []string, rows [][]string) {
	trials := slices.Clone(r.Trials)
	slices.SortFunc(trials, func(a, b Trial) int { return cmp.Or(cmp.Compare(b.Rung, a.Rung), better(a, b)) })
	names := map[string]bool{}
	for _, t := range trials {
		for name := range t.Params {
			names[name] = true
		}
	}
	params := slices.Sorted(maps.Keys(names))
	head = []string{"rung", "budget", "bracket", "trial", "state", "loss", "seconds", "error"}
	for _, name := range params {
		if slices.Contains(head, name) { // loss is a likely name of a parameter
			name = "parameter " + name
		}
		head = slices.Insert(head, len(head)-1, name)
	}
	for _, t := range trials {
		loss := ""
		if t.State == Done {
			loss = fmt.Sprintf(digits, t.Loss)
		}
		row := []string{fmt.Sprint(t.Rung), fmt.Sprint(t.Budget), fmt.Sprint(t.Bracket), fmt.Sprint(t.ID), string(t.State),
			loss, fmt.Sprintf("%.3f", t.Seconds)}
		for _, name := range params {
			row = append(row, cell(t.Params[name], digits))
		}
		// A message may hold a whole stack; a row is one line.
		rows = append(rows, append(row, strings.Join(strings.Fields(t.Err), " ")))
	}
	return head, rows
}

func cell(value any, digits string) string {
	switch v := value.(type) {
	case nil: // a given trial says nothing of it
		return ""
	case float64:
		return fmt.Sprintf(digits, v)
	}
	return fmt.Sprint(value)
}

const (
	shortDigits = "%.6g" // for people
	exactDigits = "%v"   // reads back as the same
)

// WriteText writes the table of trials for a terminal.
func (r Result) WriteText(w io.Writer) error {
	head, rows := r.table(shortDigits)
	var b bytes.Buffer
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{head}, rows...) {
		fmt.Fprintln(tw, strings.Join(row, "\t")) // a buffer has no errors
	}
	tw.Flush()
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// WriteCSV writes the table of trials as CSV, with all digits.
func (r Result) WriteCSV(w io.Writer) error {
	head, rows := r.table(exactDigits)
	return csv.NewWriter(w).WriteAll(append([][]string{head}, rows...))
}

// WriteMarkdown writes the table of trials as a table in Markdown.
func (r Result) WriteMarkdown(w io.Writer) error {
	head, rows := r.table(shortDigits)
	rule := slices.Repeat([]string{"---"}, len(head))
	for _, row := range append([][]string{head, rule}, rows...) {
		for i, text := range row {
			row[i] = strings.ReplaceAll(text, "|", `\|`)
		}
		if _, err := fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | ")); err != nil {
			return err
		}
	}
	return nil
}
