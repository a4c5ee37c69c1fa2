package demo

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// frame is what the terminal shows after one tick.
type frame struct {
	Time        time.Time // end of the newest slot, simulated
	Tick, Ticks int
	Speed       string // how the simulated clock runs, in words
	Step        time.Duration
	Groups      []groupFrame
	PageURL     string
}

// groupFrame is one group's part of a frame. The series are oldest first, in
// instance-equivalents, and of equal length; NaN is unknown.
type groupFrame struct {
	Name      string
	Note      string    // how the group is steered, in a few words
	Demand    []float64 // measured
	Forecast  []float64 // what was forecast for the slot one lead time ahead of it; nil for a group without forecasts
	InService []float64

	Desired          int
	Utilisation      float64 // percent of the newest slot
	ViolationMinutes int
	InstanceHours    float64
	Last             string // the last decision that changed something, with its reason
	LastAt           time.Time
}

// ANSI colours, chosen from the sixteen that every terminal has themed.
const (
	dim    = "\x1b[2m"
	bold   = "\x1b[1m"
	cyan   = "\x1b[36m"
	yellow = "\x1b[33m"
	green  = "\x1b[32m"
	reset  = "\x1b[0m"
)

// Marks of the three series of a chart.
const (
	markCapacity = '▔'
	markForecast = '·'
	markDemand   = '●'
)

// draw writes the frame for a terminal of the given size, from its home position
// and without scrolling.
func draw(w io.Writer, f frame, width, height int) {
	var b strings.Builder
	b.WriteString("\x1b[H")
	line := func(format string, args ...any) {
		b.WriteString(clip(fmt.Sprintf(format, args...), width))
		b.WriteString("\x1b[K\n")
	}
	line("%sForescale demo%s  %s UTC  tick %d of %d  %s%s%s", bold, reset, f.Time.Format("Mon 2006-01-02 15:04"), f.Tick, f.Ticks, dim, f.Speed, reset)
	line("%s", progress(f.Tick, f.Ticks, width-2))
	top := 1.0 // both groups on one scale, so that they can be compared
	for _, g := range f.Groups {
		top = max(top, g.peak(width-8))
	}
	rows := max(4, min(12, (height-6-len(f.Groups)*4)/max(1, len(f.Groups))))
	for _, g := range f.Groups {
		line("")
		violations := green
		if g.ViolationMinutes > 0 {
			violations = yellow
		}
		line("%s%s%s %s%s%s  load %.1f %% of %d desired · %s%d violation minutes%s · %.0f instance-hours",
			bold, g.Name, reset, dim, g.Note, reset, g.Utilisation, g.Desired, violations, g.ViolationMinutes, reset, g.InstanceHours)
		for _, l := range chart(g, top, width-8, rows) {
			line("%s", l)
		}
		if g.Last == "" {
			line("%sno change decided so far%s", dim, reset)
		} else {
			line("%s %s", g.LastAt.Format("15:04"), g.Last)
		}
	}
	line("")
	line("%s%c%s demand  %s%c%s forecast made one lead time before  %s%c%s in service   page: %s   Ctrl-C stops",
		cyan, markDemand, reset, yellow, markForecast, reset, green, markCapacity, reset, f.PageURL)
	b.WriteString("\x1b[J")
	io.WriteString(w, b.String())
}

// progress returns a bar of the given width.
func progress(done, of, width int) string {
	if of <= 0 || width <= 0 {
		return ""
	}
	n := min(width, width*done/of)
	return cyan + strings.Repeat("━", n) + reset + dim + strings.Repeat("─", width-n) + reset
}

// peak returns the greatest value among the newest slots of the group's series.
func (g groupFrame) peak(slots int) float64 {
	from := max(0, len(g.Demand)-slots)
	top := 0.0
	for _, s := range [][]float64{g.Demand, g.Forecast, g.InService} {
		for _, v := range s[min(from, len(s)):] {
			if v > top { // false for NaN
				top = v
			}
		}
	}
	return top
}

// chart draws the newest slots of a group, one column a slot, into rows lines
// with an axis on the left that reaches up to top.
func chart(g groupFrame, top float64, width, rows int) []string {
	n := min(len(g.Demand), width)
	if n <= 0 {
		return nil
	}
	from := len(g.Demand) - n
	cells := make([][]rune, rows)
	for r := range cells {
		cells[r] = []rune(strings.Repeat(" ", n))
	}
	plot := func(s []float64, mark rune) {
		for i := from; i < len(s); i++ {
			if !math.IsNaN(s[i]) && s[i] >= 0 {
				r := rows - 1 - int(math.Min(float64(rows-1), s[i]/top*float64(rows)))
				cells[r][i-from] = mark
			}
		}
	}
	plot(g.InService, markCapacity)
	plot(g.Forecast, markForecast)
	plot(g.Demand, markDemand)
	colour := map[rune]string{markCapacity: green, markForecast: yellow, markDemand: cyan}
	out := make([]string, rows)
	for r, row := range cells {
		label := "     "
		if r == 0 || r == rows-1 {
			label = fmt.Sprintf("%5.1f", top*float64(rows-1-r)/float64(rows))
		}
		var b strings.Builder
		b.WriteString(dim + label + " │" + reset)
		last := rune(0)
		for _, c := range row {
			if c != last {
				b.WriteString(reset + colour[c])
				last = c
			}
			b.WriteRune(c)
		}
		b.WriteString(reset)
		out[r] = b.String()
	}
	return out
}

// clip cuts a line to width visible characters; escape sequences have none.
func clip(s string, width int) string {
	seen := 0
	for i := 0; i < len(s); {
		if s[i] == '\x1b' {
			end := strings.IndexByte(s[i:], 'm')
			if end < 0 {
				return s[:i]
			}
			i += end + 1
			continue
		}
		if seen == width {
			return s[:i] + reset
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		seen++
		i += size
	}
	return s
}
