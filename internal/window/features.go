package window

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/forescale/forescale/models"
)

// feature is one entry of Spec.Calendar: the names of its components and the
// function that writes them for a local time.
type feature struct {
	components []string
	put        func(dst []float32, t time.Time)
}

// features is the table of calendar features; the package documentation
// describes them.
var features = map[string]feature{
	"hour_of_day": {harmonics(3), func(dst []float32, t time.Time) {
		putHarmonics(dst, (float64(t.Hour())+minuteOf(t)/60)/24)
	}},
	"minute_of_hour": {harmonics(5), func(dst []float32, t time.Time) {
		putHarmonics(dst, minuteOf(t)/60)
	}},
	"day_of_week": {[]string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"},
		func(dst []float32, t time.Time) {
			clear(dst)
			dst[(int(t.Weekday())+6)%7] = 1
		}},
	"weekend": {[]string{""}, func(dst []float32, t time.Time) {
		dst[0] = 0
		if t.Weekday() == time.Saturday || t.Weekday() == time.Sunday {
			dst[0] = 1
		}
	}},
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

// minuteOf returns the minute of the hour with its fraction.
func minuteOf(t time.Time) float64 {
	return float64(t.Minute()) + (float64(t.Second())+float64(t.Nanosecond())/1e9)/60
}

// zones caches time zones by name: time.LoadLocation reads and parses a file each
// time. It holds at most the names of the time zone database.
var zones sync.Map

func loadZone(name string) (*time.Location, error) {
	if z, ok := zones.Load(name); ok {
		return z.(*time.Location), nil
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("spec: time_zone: %w", err)
	}
	zones.Store(name, z)
	return z, nil
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
			return fmt.Errorf("spec: calendar[%d]: unknown feature %.40q; known are hour_of_day, minute_of_hour, day_of_week, weekend", i, name)
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
		n += len(features[name].components)
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
// "weekend".
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
		for _, component := range features[name].components {
			if component == "" {
				names = append(names, name)
				continue
			}
			names = append(names, name+" "+component)
		}
	}
	return names
}
