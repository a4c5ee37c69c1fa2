package window

import (
	"fmt"
	"math"
	"strings"

	"github.com/forescale/forescale/models"
)

// feature is one entry of Spec.Calendar: the names of its components and the
// function that writes them for one slot. With ahead it has all components for
// each of the 1+Horizon slots from the origin on, slot by slot.
type feature struct {
	name       string // what is seen of a slot: the feature's name without aheadSuffix
	components []string
	put        func(dst []float32, c clock)
	ahead      bool
}

// size returns the number of places in the context row.
func (f feature) size(spec models.Spec) int {
	if f.ahead {
		return len(f.components) * (1 + spec.Horizon)
	}
	return len(f.components)
}

// names returns what ContextNames calls the feature's places.
func (f feature) names(spec models.Spec) []string {
	names := make([]string, 0, f.size(spec))
	for k := range f.size(spec) / max(1, len(f.components)) {
		for _, component := range f.components {
			name := f.name
			if component != "" {
				name += " " + component
			}
			if f.ahead {
				name += fmt.Sprintf(" at +%d", k)
			}
			names = append(names, name)
		}
	}
	return names
}

// aheadSuffix ends the names of the features that speak of the slots ahead too.
const aheadSuffix = "_ahead"

// features is the table of calendar features by name; the package documentation
// describes them.
var features = func() map[string]feature {
	byName := make(map[string]feature, 2*len(slotFeatures))
	for _, f := range slotFeatures {
		byName[f.name] = f
		f.ahead = true
		byName[f.name+aheadSuffix] = f
	}
	return byName
}()

var slotFeatures = []feature{
	{name: "hour_of_day", components: harmonics(3), put: func(dst []float32, c clock) {
		putHarmonics(dst, (float64(c.hour)+c.minutes()/60)/24)
	}},
	{name: "minute_of_hour", components: harmonics(5), put: func(dst []float32, c clock) {
		putHarmonics(dst, c.minutes()/60)
	}},
	{name: "day_of_week", components: []string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"},
		put: func(dst []float32, c clock) {
			clear(dst)
			dst[c.weekday] = 1
		}},
	{name: "weekend", components: []string{""}, put: func(dst []float32, c clock) {
		dst[0] = indicator(c.weekday >= 5)
	}},
	{name: "business_hours", components: []string{""}, put: func(dst []float32, c clock) {
		dst[0] = indicator(c.weekday < 5 && c.hour >= 9 && c.hour < 17)
	}},
}

func indicator(holds bool) float32 {
	if holds {
		return 1
	}
	return 0
}

// harmonics names n pairs of sine and cosine.
func harmonics(n int) []string {
	var names []string
	for k := 1; k <= n; k++ {
		names = append(names, fmt.Sprintf("sin%d", k), fmt.Sprintf("cos%d", k))
	}
	return names
}

// putHarmonics writes sin(2πk·phase), cos(2πk·phase) for k = 1 … len(dst)/2.
func putHarmonics(dst []float32, phase float64) {
	for k := 1; 2*k <= len(dst); k++ {
		sin, cos := math.Sincos(2 * math.Pi * float64(k) * phase)
		dst[2*k-2], dst[2*k-1] = float32(sin), float32(cos)
	}
}

// Check returns an error that names the first field of a Spec that this package
// cannot build windows for: what Spec.Validate finds, and an unknown or repeated
// calendar feature. A server calls it when it loads a model, a trainer before it
// trains.
func Check(spec models.Spec) error {
	if err := spec.Validate(); err != nil {
		return err
	}
	if spec.TimeZone == "Local" { // a model must not depend on the machine it runs on
		return fmt.Errorf("spec: time_zone: \"Local\" differs between machines; name the zone, for example Europe/Berlin")
	}
	seen := make(map[string]bool)
	for i, name := range spec.Calendar {
		if _, ok := features[name]; !ok {
			return fmt.Errorf("spec: calendar[%d]: unknown feature %.40q; known are %s, and each of them with %s", i, name, knownFeatures(), aheadSuffix)
		}
		if seen[name] {
			return fmt.Errorf("spec: calendar[%d]: names %q twice", i, name)
		}
		seen[name] = true
	}
	if n := ContextLen(spec); n > maxContext {
		return fmt.Errorf("spec: the context has %d values, at most %d are allowed", n, maxContext)
	}
	return nil
}

// knownFeatures lists the calendar features of a slot for an error.
func knownFeatures() string {
	names := make([]string, len(slotFeatures))
	for i, f := range slotFeatures {
		names[i] = f.name
	}
	return strings.Join(names, ", ")
}

// maxContext bounds the context row, in values: 4 MB of float32.
const maxContext = 1 << 20

// ContextLen returns the number of values in a row of the context input, in the
// order that models.Spec documents; 0 when the model has none.
func ContextLen(spec models.Spec) int {
	n := len(spec.Future)
	for _, lag := range spec.Lags {
		n += len(lag.Offsets)
	}
	n *= 1 + spec.Horizon
	for _, name := range spec.Calendar {
		n += features[name].size(spec)
	}
	return n
}

// ChannelNames returns the names of the channels of the series input, in order:
// the series, then with Masks each one's "NAME missing".
func ChannelNames(spec models.Spec) []string {
	names := append([]string(nil), spec.Series...)
	if spec.Masks {
		for _, name := range spec.Series {
			names = append(names, name+" missing")
		}
	}
	return names
}

// ContextNames returns the names of the values of the context row, in order, for
// people to read: "demand lag 288 at +3", "is_holiday at +1", "hour_of_day sin1",
// "weekend", "weekend at +3" (of weekend_ahead).
func ContextNames(spec models.Spec) []string {
	names := make([]string, 0, ContextLen(spec))
	for _, lag := range spec.Lags {
		for _, offset := range lag.Offsets {
			for k := range 1 + spec.Horizon {
				names = append(names, fmt.Sprintf("%s lag %d at +%d", lag.Series, offset, k))
			}
		}
	}
	for _, flag := range spec.Future {
		for k := range 1 + spec.Horizon {
			names = append(names, fmt.Sprintf("%s at +%d", flag, k))
		}
	}
	for _, name := range spec.Calendar {
		names = append(names, features[name].names(spec)...)
	}
	return names
}

// ContextAhead returns, for each value of the context row, the slot ahead that it
// speaks of, 0 being the origin; of a lagged value, the slot that it is a lag of.
func ContextAhead(spec models.Spec) []int {
	var aheads []int
	add := func(components int) {
		for k := range 1 + spec.Horizon {
			for range components {
				aheads = append(aheads, k)
			}
		}
	}
	for _, lag := range spec.Lags {
		for range lag.Offsets {
			add(1)
		}
	}
	for range spec.Future {
		add(1)
	}
	for _, name := range spec.Calendar {
		f := features[name]
		if f.ahead {
			add(len(f.components))
			continue
		}
		aheads = append(aheads, make([]int, len(f.components))...)
	}
	return aheads
}
