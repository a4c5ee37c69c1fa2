package gate

import (
	"errors"
	"fmt"
	"math"
)

// Config holds the limits of a promotion: how much worse than the champion's a
// figure of the challenger may be, which allows for noise and for no more. Shares
// are fractions of the champion's figure; points are percentage points.
type Config struct {
	// MinSlots is how many held-out slots both models must have been scored on.
	MinSlots int `yaml:"min_slots"`
	// Cost bounds the increase of instance-hours at equal violations, as a share.
	Cost float64 `yaml:"cost_increase"`
	// Violations and Unserved bound the increase at the default knob, in points.
	Violations float64 `yaml:"violation_increase"`
	Unserved   float64 `yaml:"unserved_increase"`
	// Error bounds the increase of the weighted absolute percentage error, as a share.
	Error float64 `yaml:"error_increase"`
	// Calibration bounds the increase of the mean distance between the upper
	// quantiles' coverage and their levels, both between 0 and 1.
	Calibration float64 `yaml:"calibration_increase"`
	// Below and Above are the band around a level, both between 0 and 1, in which
	// the coverage of each upper quantile must be, whatever the champion's is.
	Below float64 `yaml:"coverage_below"`
	Above float64 `yaml:"coverage_above"`
	// Size bounds the challenger's file, as a multiple of the champion's.
	Size float64 `yaml:"size_ratio"`
	// Gain is the share by which a challenger must beat the persistence in cost when
	// there is no champion, and in error too.
	Gain     float64  `yaml:"persistence_gain"`
	RollBack RollBack `yaml:"rollback"`
	Drift    Drift    `yaml:"drift"`
}

// DefaultConfig returns the limits that hold when nothing is configured, for slots
// of five minutes.
func DefaultConfig() Config {
	return Config{
		MinSlots: 2016, // a week
		Cost:     0.005, Violations: 0.05, Unserved: 0.02, Error: 0.02, Calibration: 0.01,
		Below: 0.03, Above: 0.06, Size: 4, Gain: 0.01,
		RollBack: RollBack{MinSlots: 576, Below: 0.05, Above: 0.09},
		Drift: Drift{
			MinSlots: 200, InputDay: 0.5, InputWeek: 0.25, Outside: 0.1,
			Slack: 0.5, Alarm: 10, Clip: 3, Missing: 0.2,
		},
	}
}

// Validate returns all faults at once.
func (c Config) Validate() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf("gate."+format, args...)) }
	count := func(key string, n int) {
		if n < 1 || n > 10_000_000 {
			bad("%s: %d is not in 1..10000000", key, n)
		}
	}
	within := func(key string, v, low, high float64) {
		if !(v >= low && v <= high) || math.IsNaN(v) {
			bad("%s: %g is not in %g..%g", key, v, low, high)
		}
	}
	count("min_slots", c.MinSlots)
	within("cost_increase", c.Cost, 0, 1)
	within("violation_increase", c.Violations, 0, 100)
	within("unserved_increase", c.Unserved, 0, 100)
	within("error_increase", c.Error, 0, 1)
	within("calibration_increase", c.Calibration, 0, 1)
	within("coverage_below", c.Below, 0, 1)
	within("coverage_above", c.Above, 0, 1)
	within("size_ratio", c.Size, 1, 1000)
	within("persistence_gain", c.Gain, 0, 0.99)
	r := c.RollBack
	count("rollback.min_slots", r.MinSlots)
	within("rollback.coverage_below", r.Below, 0, 1)
	within("rollback.coverage_above", r.Above, 0, 1)
	if r.Below < c.Below || r.Above < c.Above {
		bad("rollback: its band is narrower than that of a promotion: what is promoted today would be rolled back tomorrow")
	}
	d := c.Drift
	count("drift.min_slots", d.MinSlots)
	within("drift.input_day", d.InputDay, 0, 100)
	within("drift.input_week", d.InputWeek, 0, 100)
	within("drift.missing", d.Missing, 0, 1)
	within("drift.outside", d.Outside, 0, 1)
	within("drift.slack", d.Slack, 0, 10)
	within("drift.alarm", d.Alarm, 0.1, 10_000)
	within("drift.clip", d.Clip, 0.1, 100)
	if d.Clip <= d.Slack {
		bad("drift.clip: %g must be greater than drift.slack (%g), or no residual counts", d.Clip, d.Slack)
	}
	return errors.Join(faults...)
}
