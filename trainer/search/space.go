package search

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Space names the parameters and what each may be. The names are keys of the
// configuration that the parameters are put over; a dot descends into a section.
type Space map[string]Domain

// Domain is the set that a parameter is drawn from. Its zero value is empty, and
// a fault. In YAML it is one of
//
//	[32, 64]                  one of these texts, numbers or truth values,
//	[[a], [a, b]]             or lists of them
//	{int: [1, 4]}             a whole number from 1 to 4, both included
//	{log_int: [8, 256]}       the same, evenly by its logarithm
//	{uniform: [0, 0.5]}       a number from 0 to 0.5
//	{log: [1e-4, 1e-2]}       the same, evenly by its logarithm
//
// A parameter that matters only beside a certain value of another one is drawn
// all the same, and the objective passes over it.
type Domain struct {
	kind      kind
	choices   []any // string, bool, int, float64 or []any of them
	low, high float64
}

type kind string

const (
	kindChoice  kind = "choice"
	kindInt     kind = "int"
	kindLogInt  kind = "log_int"
	kindUniform kind = "uniform"
	kindLog     kind = "log"
)

var rangeKinds = []kind{kindInt, kindLog, kindLogInt, kindUniform}

// Choice is one of the values: texts, truth values, int, float64, or []any of them.
func Choice(values ...any) Domain { return Domain{kind: kindChoice, choices: values} }

// Int is a whole number from low to high, both included.
func Int(low, high int) Domain {
	return Domain{kind: kindInt, low: float64(low), high: float64(high)}
}

// LogInt is a whole number from low to high, both included, evenly by its logarithm.
func LogInt(low, high int) Domain {
	return Domain{kind: kindLogInt, low: float64(low), high: float64(high)}
}

// Uniform is a number from low to high.
func Uniform(low, high float64) Domain { return Domain{kind: kindUniform, low: low, high: high} }

// Log is a number from low to high, evenly by its logarithm.
func Log(low, high float64) Domain { return Domain{kind: kindLog, low: low, high: high} }

// UnmarshalYAML reads one of the forms of Domain. It gets a node, with which the
// decoder no longer refuses unknown keys; so it does that itself.
func (d *Domain) UnmarshalYAML(n *yaml.Node) error {
	fault := func(at *yaml.Node, format string, args ...any) error {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: ", at.Line) + fmt.Sprintf(format, args...)}}
	}
	switch {
	case n.Kind == yaml.SequenceNode:
		*d = Domain{kind: kindChoice}
		return n.Decode(&d.choices)
	case n.Kind != yaml.MappingNode:
		return fault(n, "a parameter is a list of choices, or a range such as {log: [1e-4, 1e-2]}")
	case len(n.Content) != 2:
		return fault(n, "a range has one key, not %d", len(n.Content)/2)
	}
	key := n.Content[0]
	if !slices.Contains(rangeKinds, kind(key.Value)) {
		return fault(key, "unknown key %.40q; a range is int, log, log_int or uniform", key.Value)
	}
	var bounds []float64
	if err := n.Content[1].Decode(&bounds); err != nil || len(bounds) != 2 {
		return fault(n.Content[1], "%s: two numbers in brackets are needed, the least and the greatest", key.Value)
	}
	*d = Domain{kind: kind(key.Value), low: bounds[0], high: bounds[1]}
	return nil
}

// String returns the domain as it is written in YAML.
func (d Domain) String() string {
	if d.kind != kindChoice {
		return fmt.Sprintf("{%s: [%s, %s]}", d.kind, number(d.low), number(d.high))
	}
	return inBrackets(d.choices)
}

// inBrackets returns a list as it is written in YAML.
func inBrackets(list []any) string {
	texts := make([]string, len(list))
	for i, c := range list {
		switch v := c.(type) {
		case string:
			texts[i] = strconv.Quote(v)
		case []any:
			texts[i] = inBrackets(v)
		default:
			texts[i] = fmt.Sprint(c)
		}
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

// number writes a float in the fewest digits that read back as the same.
func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// maxBound bounds whole numbers, so that they are exact in a float64.
const maxBound = 1 << 50

// leastWidth is the least width of a range of numbers, relative to its greatest
// bound: below it, six digits would not tell enough trials apart.
const leastWidth = 0.01

// fault says what is wrong with the domain, "" when nothing is.
func (d Domain) fault() string {
	whole := d.kind == kindInt || d.kind == kindLogInt
	switch {
	case d.kind == kindChoice:
		return choiceFault(d.choices)
	case d.kind == "":
		return "is neither a list of choices nor a range"
	case math.IsNaN(d.low+d.high) || math.IsInf(d.low, 0) || math.IsInf(d.high, 0):
		return "the bounds must be finite"
	case d.low >= d.high:
		return fmt.Sprintf("the least, %s, must be below the greatest, %s", number(d.low), number(d.high))
	case (d.kind == kindLog || d.kind == kindLogInt) && d.low <= 0:
		return fmt.Sprintf("a logarithmic range must lie above 0, %s does not", number(d.low))
	case whole && (d.low != math.Trunc(d.low) || d.high != math.Trunc(d.high)):
		return "the bounds must be whole numbers"
	case max(math.Abs(d.low), math.Abs(d.high)) > maxBound && whole:
		return fmt.Sprintf("the bounds must not exceed %d", maxBound)
	case !whole && d.high-d.low < leastWidth*max(math.Abs(d.low), math.Abs(d.high)):
		return fmt.Sprintf("%s to %s is too narrow to search; name the value as a choice", number(d.low), number(d.high))
	}
	return ""
}

func choiceFault(choices []any) string {
	if len(choices) == 0 {
		return "the list of choices is empty"
	}
	seen := map[string]bool{}
	for _, c := range choices {
		parts, ok := c.([]any)
		if !ok {
			parts = []any{c}
		}
		for _, part := range parts {
			if text := partFault(part); text != "" {
				return fmt.Sprintf("the choice %v %s", c, text)
			}
		}
		// 1 and 1.0 are one value in a configuration.
		text := Choice(c).String()
		if seen[text] {
			return fmt.Sprintf("the choice %v is there twice", c)
		}
		seen[text] = true
	}
	return ""
}

// partFault says what is wrong with a choice that is no list, or a part of one
// that is.
func partFault(part any) string {
	switch v := part.(type) {
	case string, bool, int:
		return ""
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return "is not finite"
		}
		return ""
	}
	return "is neither a text nor a number, true or false, nor a list of such"
}

// size returns how many values can be told apart, at least so for numbers.
func (d Domain) size() float64 {
	switch d.kind {
	case kindChoice:
		return float64(len(d.choices))
	case kindInt, kindLogInt:
		return d.high - d.low + 1
	}
	return 1000 // of six digits, at the least width
}

// Size returns how many combinations the space has, numbers counted as a thousand.
func (s Space) Size() float64 {
	size := 1.0
	for _, d := range s {
		size *= d.size()
	}
	return size
}

// names returns the names of the parameters, sorted.
func (s Space) names() []string { return slices.Sorted(maps.Keys(s)) }

var validName = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$`)

const maxNameLen = 255

// faults returns all faults, by the parameters' names.
func (s Space) faults() []error {
	var faults []error
	if len(s) == 0 {
		faults = append(faults, fmt.Errorf("space: there is no parameter to search"))
	}
	for _, name := range s.names() {
		if !validName.MatchString(name) || len(name) > maxNameLen {
			faults = append(faults, fmt.Errorf("space: %.40q is no name; it must be a key such as rate, or a path of keys such as head.width", name))
		}
		for i, c := range name {
			if _, taken := s[name[:i]]; c == '.' && taken {
				faults = append(faults, fmt.Errorf("space: %s lies inside of %s, which is a parameter too", name, name[:i]))
			}
		}
		if text := s[name].fault(); text != "" {
			faults = append(faults, fmt.Errorf("space: %s: %s", name, text))
		}
	}
	return faults
}
