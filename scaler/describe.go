package scaler

import (
	"fmt"
	"strings"

	"github.com/forescale/forescale/api"
)

// forecastShown is how many steps of a forecast a described decision shows.
const forecastShown = 3

// Describe returns a decision as one readable line: group, load, forecast,
// capacity, what came of it and why.
func Describe(d api.Decision) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s:", stamp(d.Tick), d.Group)
	if len(d.Observed) == 0 {
		b.WriteString(" load unknown")
	}
	if cpu, ok := d.Observed[api.MetricCPU]; ok {
		fmt.Fprintf(&b, " cpu %.1f %%", cpu)
	}
	if demand, ok := d.Observed[api.SeriesDemand]; ok {
		fmt.Fprintf(&b, " demand %.2f", demand)
	}
	if f := d.Forecast; f != nil && f.Error == nil && len(f.Point) > 0 {
		b.WriteString(", forecast")
		for _, v := range f.Point[:min(forecastShown, len(f.Point))] {
			fmt.Fprintf(&b, " %.2f", v)
		}
		if len(f.Point) > forecastShown {
			b.WriteString(" …")
		}
	}
	if !d.Capacity.Known() {
		b.WriteString(", capacity unknown")
	} else if d.Desired == d.Capacity.Desired {
		fmt.Fprintf(&b, ", capacity stays %d", d.Desired)
	} else {
		fmt.Fprintf(&b, ", capacity %d -> %d %s", d.Capacity.Desired, d.Desired, d.Outcome.Status)
	}
	fmt.Fprintf(&b, " (%s, %s)", d.Mode, d.Basis)
	for i, r := range d.Reasons {
		fmt.Fprintf(&b, "%s %s: %s", map[bool]string{true: " because", false: ";"}[i == 0], r.Rule, r.Detail)
	}
	if d.Outcome.Detail != "" {
		fmt.Fprintf(&b, " [%s]", d.Outcome.Detail)
	}
	return b.String()
}
