package gate

import (
	"math"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/conf"
)

func TestAFileNamesOnlyWhatItChanges(t *testing.T) {
	c, want := DefaultConfig(), DefaultConfig()
	want.MinSlots, want.Size, want.RollBack.Below, want.Drift.InputWeek = 300, 2, 0.1, 0.4
	if err := conf.Decode([]byte("min_slots: 300\nsize_ratio: 2\nrollback: {coverage_below: 0.1}\ndrift:\n  input_week: 0.4\n"), &c); err != nil || c != want {
		t.Errorf("got %+v, %v", c, err)
	}
	if err := conf.Decode([]byte("min_slot: 300\n"), &c); err == nil || !strings.Contains(err.Error(), `unknown key "min_slot"`) {
		t.Errorf("an unknown key: %v", err)
	}
}

func TestConfigIsValidated(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	for want, spoil := range map[string]func(*Config){
		"gate.min_slots: 0":                 func(c *Config) { c.MinSlots = 0 },
		"gate.cost_increase: -0.1":          func(c *Config) { c.Cost = -0.1 },
		"gate.violation_increase: NaN":      func(c *Config) { c.Violations = math.NaN() },
		"gate.unserved_increase: 101":       func(c *Config) { c.Unserved = 101 },
		"gate.error_increase: +Inf":         func(c *Config) { c.Error = math.Inf(1) },
		"gate.calibration_increase":         func(c *Config) { c.Calibration = 2 },
		"gate.coverage_below":               func(c *Config) { c.Below = -1 },
		"gate.coverage_above":               func(c *Config) { c.Above = 1.1 },
		"gate.size_ratio: 0.5":              func(c *Config) { c.Size = 0.5 },
		"gate.persistence_gain: 1 ":         func(c *Config) { c.Gain = 1 },
		"gate.rollback.min_slots":           func(c *Config) { c.RollBack.MinSlots = -1 },
		"narrower than that of a promotion": func(c *Config) { c.RollBack.Below = 0.01 },
		"gate.drift.min_slots":              func(c *Config) { c.Drift.MinSlots = 0 },
		"gate.drift.input_day":              func(c *Config) { c.Drift.InputDay = -1 },
		"gate.drift.missing":                func(c *Config) { c.Drift.Missing = 7 },
		"gate.drift.alarm":                  func(c *Config) { c.Drift.Alarm = 0 },
		"must be greater than drift.slack":  func(c *Config) { c.Drift.Clip = 0.3 },
	} {
		c := DefaultConfig()
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if err := (Config{}).Validate(); strings.Count(err.Error(), "\n") < 4 {
		t.Errorf("an empty configuration: %v", err)
	}
}
