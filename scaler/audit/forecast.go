package audit

import (
	"fmt"
	"time"
)

const (
	stepsShown  = 12 // of a forecast; a record keeps those that the decision reads
	levelsShown = 5  // of its quantiles
)

// forecast tells what the model expected, a line for each step.
func (e *explanation) forecast() {
	d, f := e.d, e.d.Forecast
	switch {
	case f == nil:
		e.entry("forecast", "none")
		return
	case f.Error != nil:
		e.entry("forecast", "none: %v", f.Error)
		return
	}
	who := "a model that is not named"
	if d.Model != "" {
		who = fmt.Sprintf("model %s, version %d", d.Model, d.ModelVersion)
	}
	e.entry("forecast", "by %s, issued at %s, of demand:", who, e.clock(f.IssuedAt))
	levels := shown(len(f.Quantiles))
	row := func(name, point string, of func(level int) string) {
		line := fmt.Sprintf("%-12s %9s", name, point)
		for _, j := range levels {
			line += fmt.Sprintf(" %9s", of(j))
		}
		e.line("%*s%s", margin, "", line)
	}
	row("", "point", func(j int) string { return fmt.Sprintf("%.4g %%", 100*f.Quantiles[j]) })
	step := time.Duration(f.StepSeconds) * time.Second
	for k, v := range f.Point {
		if k == stepsShown {
			e.entry("", "and %d steps more", len(f.Point)-k)
			break
		}
		from := f.IssuedAt.UTC().Add(time.Duration(k) * step)
		row(from.Format("15:04")+"-"+from.Add(step).Format("15:04"), number(v), cell(f.Values, k))
	}
	if n := len(f.Peaks); n > 0 {
		row("their peak", "", cell(f.Peaks, n-1))
	}
}

// shown returns which of n levels are told: the lowest, the middle, and the
// highest, which decisions rest on.
func shown(n int) []int {
	var levels []int
	for j := range n {
		if n <= levelsShown || j == 0 || j == n/2 || j > n-1-(levelsShown-2) {
			levels = append(levels, j)
		}
	}
	return levels
}

// cell returns the entries of a row of a table, which may lack it.
func cell(table [][]float64, k int) func(int) string {
	return func(j int) string {
		if k >= len(table) || j >= len(table[k]) {
			return ""
		}
		return number(table[k][j])
	}
}

func number(v float64) string { return fmt.Sprintf("%.2f", v) }
