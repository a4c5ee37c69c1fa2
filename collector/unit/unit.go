// Package unit converts what a provider measures into the units of api.Metrics,
// at the edge: everything behind a driver speaks one unit. Only proportional
// conversions exist. It does not guess: a unit is what the configuration says.
package unit

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/forescale/forescale/api"
)

// Conversion says what unit the provider's values are in. At most one of its
// fields is set; without any the values are taken as they come. It is meant to
// stand inline in the definition of a metric.
type Conversion struct {
	// Scale is what a value is multiplied by, for example 0.001. 0: not set.
	Scale float64 `yaml:"scale"`
	// From names the provider's unit, for example milliseconds.
	From string `yaml:"from"`
}

// known is the factor of each unit into the base unit that api.Metrics uses.
var known = map[string]struct {
	factor float64
	base   string
}{
	"nanoseconds":  {1e-9, "seconds"},
	"microseconds": {1e-6, "seconds"},
	"milliseconds": {1e-3, "seconds"},
	"minutes":      {60, "seconds"},
	"ratio":        {100, "percent"}, // 0 to 1
	"bits":         {1. / 8, "bytes"},
	"kilobytes":    {1e3, "bytes"},
	"kibibytes":    {1 << 10, "bytes"},
	"megabytes":    {1e6, "bytes"},
	"mebibytes":    {1 << 20, "bytes"},
	"milliwatts":   {1e-3, "watts"},
	"kilowatts":    {1e3, "watts"},
}

// Factor returns what a value is multiplied by to be in the unit of the metric.
// It is finite and positive. The error says which field is at fault.
func (c Conversion) Factor(metric string) (float64, error) {
	if c.From == "" {
		if c.Scale == 0 {
			return 1, nil
		}
		if !(c.Scale > 0) || math.IsInf(c.Scale, 0) {
			return 0, fmt.Errorf("scale: %g must be a positive number", c.Scale)
		}
		return c.Scale, nil
	}
	if c.Scale != 0 {
		return 0, errors.New("scale and from exclude each other")
	}
	u, ok := known[c.From]
	if !ok {
		return 0, fmt.Errorf("from: %q is none of %s; use scale", c.From, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	}
	for _, m := range api.Metrics {
		if base, _, _ := strings.Cut(m.Unit, " "); m.Name == metric && base != u.base { // "bytes per step" is in bytes
			return 0, fmt.Errorf("from: %s is measured in %s, into which %s do not convert", metric, m.Unit, c.From)
		}
	}
	return u.factor, nil
}

// String names the conversion, empty where there is none.
func (c Conversion) String() string {
	switch {
	case c.From != "":
		return "from " + c.From
	case c.Scale != 0:
		return fmt.Sprintf("times %g", c.Scale)
	}
	return ""
}
