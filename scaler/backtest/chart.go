package backtest

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/forescale/forescale/internal/fleet"
)

// chart is a drawing in a box of chartWidth x chartHeight, its frame included.
type chart struct {
	Title  string
	Note   string
	X, Y   []tick
	Lines  []line
	Limit  float64 // where a vertical rule stands; 0: none
	Width  int
	Height int
	Left   int
	Bottom int
}

// tick is a mark of an axis: where, and what is written there.
type tick struct {
	At   string
	Text string
}

// line is one series. Style numbers its colour and dashes in the page's sheet.
type line struct {
	Name  string
	Style int
	Path  string // of an SVG path
	Area  bool
	Dot   *[2]string // the default knob
}

// The drawing's size, in units of its view box, and the room for its axes.
const (
	chartWidth, chartHeight = 720, 300
	chartLeft, chartBottom  = 44, 270
	chartTop, chartRight    = 10, 708
	chartPoints             = 600 // of a line, at most
)

func newChart(title, note string) chart {
	return chart{Title: title, Note: note, Width: chartWidth, Height: chartHeight, Left: chartLeft, Bottom: chartBottom}
}

// coordinate writes a place in the drawing.
func coordinate(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

// path draws points by x and y, as steps where a value holds until the next.
func path(x, y []float64, steps bool) string {
	var b strings.Builder
	for i := range x {
		switch {
		case i == 0:
			b.WriteString("M" + coordinate(x[i]) + " " + coordinate(y[i]))
		case steps:
			b.WriteString("H" + coordinate(x[i]) + "V" + coordinate(y[i]))
		default:
			b.WriteString("L" + coordinate(x[i]) + " " + coordinate(y[i]))
		}
	}
	return b.String()
}

// fleets draws what the load needed and what some fleets had in service in the
// minutes [from, to) of the test, which begins at minute start of the demand. A
// point stands for the greatest of its minutes.
func fleets(r *Result, names []string, from, to int, title, note string) chart {
	c := newChart(title, note)
	start := r.Runs[Oracle].From
	wide := max(1, (to-from+chartPoints-1)/chartPoints)
	needed := greatest(to-from, wide, func(i int) float64 { return r.Demand.At(start+from+i) / fleet.Objective })
	top := slices.Max(needed)
	values := [][]float64{needed}
	for _, name := range names {
		v := greatest(to-from, wide, func(i int) float64 { return float64(r.Runs[name].InService[from+i]) })
		top, values = max(top, slices.Max(v)), append(values, v)
	}
	top = math.Ceil(top/5) * 5
	y := func(v float64) float64 { return chartBottom - v/top*(chartBottom-chartTop) }
	x := func(minute float64) float64 {
		return chartLeft + minute/float64(to-from)*(chartRight-chartLeft)
	}
	for n, v := range values {
		xs, ys := make([]float64, len(v)+1), make([]float64, len(v)+1)
		for i := range xs {
			xs[i], ys[i] = x(min(float64(i*wide), float64(to-from))), y(v[min(i, len(v)-1)])
		}
		l := line{Name: "needed for the load", Area: n == 0, Path: path(xs, ys, true)}
		if n == 0 {
			l.Path += fmt.Sprintf("V%dH%dZ", chartBottom, chartLeft)
		} else {
			l.Name, l.Style = called(r.Report.Policy(names[n-1])), r.style(names[n-1])
		}
		c.Lines = append(c.Lines, l)
	}
	for v := 0.0; v <= top; v += max(1, math.Round(top/5)) {
		c.Y = append(c.Y, tick{coordinate(y(v)), fmt.Sprintf("%g", v)})
	}
	c.X = timeTicks(r.Demand.Time(start+from), r.Demand.Time(start+to), x)
	return c
}

// greatest returns the greatest value of each run of so many minutes.
func greatest(n, wide int, of func(i int) float64) []float64 {
	out := make([]float64, 0, n/wide+1)
	for i := 0; i < n; i += wide {
		most := of(i)
		for k := i + 1; k < min(n, i+wide); k++ {
			most = max(most, of(k))
		}
		out = append(out, most)
	}
	return out
}

// timeTicks marks hours within a day or two, and days beyond.
func timeTicks(from, to time.Time, x func(minute float64) float64) (ticks []tick) {
	every, layout := 3*time.Hour, "15:04"
	if span := to.Sub(from); span > 36*time.Hour {
		days := time.Duration(math.Ceil(span.Hours() / 24 / 8))
		every, layout = days*24*time.Hour, "2 Jan"
	}
	first := from.Truncate(every)
	if first.Before(from) {
		first = first.Add(every)
	}
	for t := first; t.Before(to); t = t.Add(every) {
		ticks = append(ticks, tick{coordinate(x(t.Sub(from).Minutes())), t.Format(layout)})
	}
	return ticks
}

// The part of the curves that is drawn.
const (
	mostViolations = 5.0 // percent
	mostRatio      = 3.0 // of the oracle
)

// curves draws what each policy can reach. Violations are on a scale of square
// roots, which spreads the few that anybody would accept.
func curves(r *Result, names []string) chart {
	c := newChart("What turning the knob can reach", "Across: violation minutes; up: instance-hours, as a multiple of the oracle's. Lower and further left is better. A dot is the setting of somebody who does not tune; the upright line is 0.5 % violation minutes.")
	x := func(v float64) float64 {
		return chartLeft + math.Sqrt(v/mostViolations)*(chartRight-chartLeft)
	}
	y := func(ratio float64) float64 {
		return chartBottom - (ratio-1)/(mostRatio-1)*(chartBottom-chartTop)
	}
	inside := func(violation, ratio float64) bool {
		return violation <= mostViolations && ratio <= mostRatio && ratio >= 1
	}
	for _, name := range names {
		p := r.Report.Policy(name)
		l := line{Name: p.Title, Style: r.style(name)}
		var xs, ys []float64
		for _, point := range p.Curve {
			if ratio := point[1] / r.Report.OracleInstanceHours; inside(point[0], ratio) {
				xs, ys = append(xs, x(point[0])), append(ys, y(ratio))
			}
		}
		l.Path = path(xs, ys, false)
		if inside(p.ViolationPct, p.RatioToOracle) {
			l.Dot = &[2]string{coordinate(x(p.ViolationPct)), coordinate(y(p.RatioToOracle))}
		}
		c.Lines = append(c.Lines, l)
	}
	for _, v := range []float64{0, 0.1, 0.5, 1, 2, 3, 4, 5} {
		c.X = append(c.X, tick{coordinate(x(v)), fmt.Sprintf("%g %%", v)})
	}
	for v := 1.0; v <= mostRatio; v += 0.5 {
		c.Y = append(c.Y, tick{coordinate(y(v)), fmt.Sprintf("%g", v)})
	}
	c.Limit = x(Allowed)
	return c
}
