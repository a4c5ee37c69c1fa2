package window

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/models"
)

// Flags answers what the calendar says of the slot that starts at t: the value
// of the named flag, usually 0 or 1, and 0 for a flag that does not hold.
type Flags interface {
	Flag(name string, t time.Time) float64
}

// FlagPrefix begins the names of calendar flags, so that the absence of a flag
// (it does not hold: 0) can be told from the absence of a metric (missing).
const FlagPrefix = "is_"

// IsFlag reports whether spec treats the named series as a flag of the calendar:
// by its prefix, or because it is known for the future.
func IsFlag(spec models.Spec, name string) bool {
	return strings.HasPrefix(name, FlagPrefix) || slices.Contains(spec.Future, name)
}

// ColumnFlags returns the flag columns of a grid as a calendar known in advance:
// what a recorded trace offers in place of one. Where the column is missing, and
// past its end, the last known value holds; before the first known value, and
// for a name without a column, the flag is 0.
//
// It answers for any column and for any time. Which of them may honestly be
// known in advance is the business of whoever writes Spec.Future.
func ColumnFlags(g *Grid) Flags { return columnFlags{g} }

type columnFlags struct{ grid *Grid }

func (f columnFlags) Flag(name string, t time.Time) float64 {
	column := f.grid.Columns[name]
	if len(column) == 0 || t.Before(f.grid.Start) {
		return 0
	}
	for i := min(int(t.Sub(f.grid.Start)/f.grid.Step), len(column)-1); i >= 0; i-- {
		if !math.IsNaN(column[i]) {
			return column[i]
		}
	}
	return 0
}
