package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/forescale/forescale/api"
)

// printFleet writes how the groups stand for people.
func printFleet(out io.Writer, page terminal, f api.Fleet) error {
	var b strings.Builder
	b.WriteString(strings.Join(page.wrap(0, fleetLine(f)), "\n") + "\n")
	if n := f.Brake; n != nil {
		fmt.Fprintf(&b, "%s the fleet-wide brake holds scale-ins: %s wished to shrink at once\n", page.paint(yellow, "*"), counted(n.Groups, "group"))
	}
	for _, w := range f.Warnings {
		for i, line := range page.wrap(2, printable(w)) {
			b.WriteString(map[bool]string{true: page.paint(yellow, "*") + " ", false: "  "}[i == 0] + line + "\n")
		}
	}
	table := [][]string{{"", "GROUP", "STATE", "LOAD", "FORECAST", "SIZE", "BOUNDS", "DATA", "MODEL", "WHY"}}
	for _, r := range f.Groups {
		table = append(table, fleetCells(r))
	}
	writeTable(&b, page, table)
	_, err := io.WriteString(out, b.String())
	return err
}

// fleetLine sums the fleet up.
func fleetLine(f api.Fleet) string {
	attention := 0
	for _, r := range f.Groups {
		if r.Attention >= api.AttentionWarning {
			attention++
		}
	}
	line := fmt.Sprintf("%s, %d to look at", counted(len(f.Groups), "group"), attention)
	if !f.Tick.IsZero() {
		line += ", decided at " + stamp(f.Tick)
		if age := f.Now.Sub(f.Tick); !f.Replay {
			line += ", " + left(max(age, 0)) + " ago"
		}
	}
	if f.Scaler != "" {
		line += ", by " + printable(f.Scaler)
	}
	if e := nextEvent(f); e != nil {
		line += fmt.Sprintf("; next: %s %s", printable(e.Name), e.From.UTC().Format("Mon 2006-01-02 15:04 UTC"))
		if !e.From.After(f.Now) {
			line = strings.Replace(line, "; next: ", "; now: ", 1) + ", until " + stamp(e.To)
		}
	}
	return line
}

// nextEvent returns the first event of any group.
func nextEvent(f api.Fleet) (first *api.FleetEvent) {
	for _, r := range f.Groups {
		if e := r.NextEvent; e != nil && (first == nil || e.From.Before(first.From)) {
			first = e
		}
	}
	return first
}

// attentionMark returns the first column of a row, and its colour.
func attentionMark(attention int) (mark, colour string) {
	switch {
	case attention >= api.AttentionFault:
		return "!", red
	case attention >= api.AttentionWarning:
		return "*", yellow
	case attention >= api.AttentionNotice:
		return "-", faint
	}
	return "", ""
}

// fleetCells returns a row of the table.
func fleetCells(r api.FleetRow) []string {
	mark, _ := attentionMark(r.Attention)
	load, forecast, size, bounds, data, model := "?", "-", "?", "-", "-", "-"
	if l := r.Load; l != nil {
		load = fmt.Sprintf("%.4g", l.Value)
		if l.Series == api.MetricCPU {
			load += " %"
		}
	}
	if x := r.Forecast; x != nil {
		forecast = fmt.Sprintf("%.4g at %s", x.Value, x.At.UTC().Format("15:04"))
	}
	if c := r.Capacity; c != nil {
		size, bounds = fmt.Sprint(c.InService), fmt.Sprintf("%d-%d", c.Min, c.Max)
		if c.Before != c.InService || c.Desired != c.InService {
			size += fmt.Sprintf(" of %d", c.Before)
		}
		if c.Desired != c.Before {
			size += fmt.Sprintf(" -> %d", c.Desired)
		}
	}
	if r.DataAgeSeconds != nil {
		data = left(max(time.Duration(*r.DataAgeSeconds)*time.Second, 0))
	}
	if m := r.Model; m != nil {
		model = fmt.Sprintf("%s/%d", m.Name, m.Version)
		if m.AgeSeconds != nil {
			model += " " + left(max(time.Duration(*m.AgeSeconds)*time.Second, 0))
		}
		if m.Problem != "" {
			model += " (" + m.Problem + ")"
		}
	}
	state := string(r.State)
	if r.Mode == api.ModeDryRun {
		state += " (dry-run)"
	}
	cells := []string{mark, r.Group, state, load, forecast, size, bounds, data, model, r.Reason}
	for i := range cells {
		cells[i] = printable(cells[i])
	}
	return cells
}

const (
	widestCell = 28 // of all columns but the last
	leastWhy   = 40 // columns of the last one, below which it goes onto a line of its own
)

// writeTable aligns the rows, of which the first is the head. The last column takes
// what is left of the terminal's width and is broken into lines; where little is
// left it stands below its row.
func writeTable(b *strings.Builder, page terminal, rows [][]string) {
	last := len(rows[0]) - 1
	widths := make([]int, last)
	margin := 0
	for i := range widths {
		for _, row := range rows {
			row[i] = fit(row[i], widestCell)
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
		margin += widths[i] + 2
	}
	below := page.width-margin < leastWhy
	if below {
		margin = 4
	}
	for n, row := range rows {
		line := ""
		for i, w := range widths {
			line += row[i] + strings.Repeat(" ", w-utf8.RuneCountInString(row[i])+2)
		}
		colour := map[string]string{"!": red, "*": yellow, "-": faint}[row[0]]
		why := page.wrap(margin, row[last])
		if len(why) > 0 && !below {
			line, why = line+why[0], why[1:]
		}
		if n > 0 || !below {
			line = fit(strings.TrimRight(line, " "), page.width)
		} else { // the head of what stands below has no place
			line, why = fit(strings.TrimRight(line, " "), page.width), nil
		}
		b.WriteString(page.paint(colour, line) + "\n")
		for _, more := range why {
			b.WriteString(strings.Repeat(" ", margin) + page.paint(colour, more) + "\n")
		}
	}
}
