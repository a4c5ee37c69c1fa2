package trainer

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/forescale/forescale/trainer/search"
)

// budgetKey is the key of Config that a search sets by its budgets.
const budgetKey = "epochs"

// unsearchable says, for the keys of Config that no search may change, why.
var unsearchable = map[string]string{
	"target":    "it is what is forecast, not how",
	"horizon":   "it is what is forecast, not how",
	"quantiles": "they do not change the forecast that is judged",
	"workers":   "they do not change the forecast",
	"seed":      "the best of several seeds is luck; seeds says how many networks are averaged",
	"search":    "it is the search itself",
	budgetKey:   "they are the search's budget",
}

// keys returns the index of the field of Config for each key of its YAML.
var keys = configKeys()

func configKeys() map[string]int {
	m := map[string]int{}
	of := reflect.TypeFor[Config]()
	for i := range of.NumField() {
		if key := of.Field(i).Tag.Get("yaml"); key != "-" {
			m[key] = i
		}
	}
	return m
}

// with returns the configuration with a trial's parameters put over it, as YAML
// would put them. The error names the keys that are none, and values of another
// type.
func (c Config) with(p search.Params) (Config, error) {
	v := reflect.ValueOf(&c).Elem()
	for name, value := range p {
		i, ok := keys[name]
		if !ok {
			continue
		}
		if f, ok := value.(float64); ok && v.Field(i).CanInt() && f != math.Trunc(f) {
			return c, fmt.Errorf("%s: %v is not a whole number; its range is int or log_int", name, f) // the decoder would cut it off
		}
		v.Field(i).SetZero() // else a value behind a pointer, which other trials share, would be written to
	}
	err := p.Apply(&c)
	return c, err
}

// says reports whether the configuration has a value of its own for a key.
func (c Config) says(key string) bool { return !reflect.ValueOf(c).Field(keys[key]).IsZero() }

// searchFaults returns all faults of a search over the configuration: of its plan,
// of the names in its space, and of the trials' values, one for each key of the
// configuration that they break.
func (c Config) searchFaults(sc search.Config) []error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf("search: "+format, args...)) }
	if err := sc.Validate(); err != nil {
		for line := range strings.Lines(err.Error()) {
			fault("%s", strings.TrimSuffix(line, "\n"))
		}
	}
	if c.Epochs != 0 && c.Epochs != sc.MaxBudget {
		fault("max_budget: %d epochs contradict the %d of the configuration; the winner trains with as many as the last rung", sc.MaxBudget, c.Epochs)
	}
	sound := sc
	sound.Space = maps.Clone(sc.Space)
	for _, name := range slices.Sorted(maps.Keys(sc.Space)) {
		_, known := keys[name]
		why, fixed := unsearchable[name]
		switch {
		case !known:
			fault("space: %.40q is no key of the trainer's configuration; there are %s", name, strings.Join(searchable(), ", "))
		case fixed:
			fault("space: %s cannot be searched: %s", name, why)
		default:
			continue
		}
		delete(sound.Space, name)
	}
	if sound.Validate() != nil {
		return faults // there are no candidates to be judged
	}
	return append(faults, c.candidateFaults(sound.Candidates())...)
}

// searchable returns the keys that a space may have, sorted.
func searchable() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(keys)), func(key string) bool { return unsearchable[key] != "" })
}

// candidateFaults returns, for each key of the configuration, the first fault that
// a trial's value has and the configuration itself has not.
func (c Config) candidateFaults(candidates []search.Params) []error {
	seen := map[string]bool{}
	for _, err := range joined(c.Validate()) {
		seen[keyOf(err)] = true
	}
	var faults []error
	keep := func(trial int, key string, err error) {
		if !seen[key] {
			seen[key] = true
			faults = append(faults, fmt.Errorf("search: space: trial %d: %w", trial, err))
		}
	}
	for i, p := range candidates {
		p = maps.Clone(p)
		for _, name := range slices.Sorted(maps.Keys(p)) {
			if _, err := c.with(search.Params{name: p[name]}); err != nil {
				keep(i, name, err)
				delete(p, name)
			}
		}
		trial, err := c.with(p)
		for _, err := range joined(errors.Join(err, trial.Validate())) {
			keep(i, keyOf(err), err)
		}
	}
	return faults
}

// joined returns the errors that errors.Join has joined.
func joined(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range many.Unwrap() {
			all = append(all, joined(e)...)
		}
		return all
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// keyOf returns the key that a fault of the configuration begins with.
func keyOf(err error) string {
	key, _, _ := strings.Cut(err.Error(), ":")
	return key
}
