package accuracy

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// page is a Markdown document on its way.
type page struct{ strings.Builder }

// text adds a paragraph.
func (p *page) text(format string, args ...any) {
	fmt.Fprintf(p, format+"\n\n", args...)
}

// table adds a table. The head of a column of text begins with "<", of figures
// with nothing.
func (p *page) table(head []string, rows [][]string) {
	line := func(cells []string) { fmt.Fprintf(p, "| %s |\n", strings.Join(cells, " | ")) }
	names, rule := make([]string, len(head)), make([]string, len(head))
	for i, h := range head {
		name, left := strings.CutPrefix(h, "<")
		names[i], rule[i] = name, "--:"
		if left {
			rule[i] = ":--"
		}
	}
	line(names)
	line(rule)
	for _, row := range rows {
		line(row)
	}
	p.WriteString("\n")
}

// undefined stands for a measure that has no value.
const undefined = "–"

// significant writes v with n significant digits and no exponent.
func significant(v float64, n int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return undefined
	}
	decimals := n - 1
	if v != 0 {
		decimals -= int(math.Floor(math.Log10(math.Abs(v))))
	}
	return strconv.FormatFloat(v, 'f', min(max(0, decimals), 12), 64)
}

// fixed writes v with so many decimals.
func fixed(v float64, decimals int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return undefined
	}
	s := strconv.FormatFloat(v, 'f', decimals, 64)
	if strings.Trim(s, "-0.") == "" {
		return strings.TrimPrefix(s, "-") // no minus zero
	}
	return s
}

// percent writes a share in percent.
func percent(share float64, decimals int) string {
	if s := fixed(100*share, decimals); s != undefined {
		return s + " %"
	}
	return undefined
}

// percentOf is percent of a measure that may not be there.
func percentOf(share *float64) string {
	if share == nil {
		return undefined
	}
	return percent(*share, 1)
}

// code marks a name, whatever it holds, as one that a table can show.
func code(name string) string {
	return "`" + strings.NewReplacer("|", "/", "`", "'", "\n", " ").Replace(name) + "`"
}
