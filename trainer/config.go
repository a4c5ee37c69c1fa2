package trainer

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/search"
)

// Config says what to train and how. A zero number means the preset's value.
type Config struct {
	// Preset is the recipe: see Presets.
	Preset string `yaml:"preset"`
	// Target names the series to forecast.
	Target string `yaml:"target"`
	// Inputs names the series read beside the target. Nil: every metric of the
	// data that is known often enough (see Data); an empty list: none.
	Inputs []string `yaml:"inputs"`
	// Known names the flags that are known for the future. Nil: those of
	// DefaultKnown that the data has; an empty list: none.
	Known    []string `yaml:"known"`
	Horizon  int      `yaml:"horizon"`   // slots to forecast
	Lookback int      `yaml:"lookback"`  // slots to look back
	MaxGap   int      `yaml:"max_gap"`   // slots that may be missing in a row, below lookback
	TimeZone string   `yaml:"time_zone"` // IANA name for clock features; empty: UTC

	Seed uint64 `yaml:"seed"`
	// Workers is the number of goroutines that compute; 0: one per processor. The
	// model does not depend on it.
	Workers int `yaml:"workers"`

	// Members names the kinds of forecasters that are combined: linear, naive,
	// network, trees. Nil: the preset's.
	Members []string `yaml:"members"`
	// Quantiles are the levels forecast beside the point, ascending, in (0, 1). Nil:
	// the preset's; an empty list: none.
	Quantiles []float64 `yaml:"quantiles"`
	// Masks tells networks which values of the lookback were missing.
	Masks bool `yaml:"masks"`

	// Of the preset's networks:
	Layers    int      `yaml:"layers"`    // LSTM layers
	Hidden    int      `yaml:"hidden"`    // units of each
	Head      int      `yaml:"head"`      // units of the dense layer behind them
	Seeds     int      `yaml:"seeds"`     // networks of each shape, from different seeds
	Dropout   *float64 `yaml:"dropout"`   // share of units left out in training
	Attention *bool    `yaml:"attention"` // pool all states by attention, not the last alone
	Linear    *bool    `yaml:"linear"`    // a linear path beside the network
	Loss      string   `yaml:"loss"`      // absolute, huber, squared or pinball
	// LossLevel is the quantile that the pinball loss aims at; 0: the median.
	LossLevel float64 `yaml:"loss_level"`

	Epochs   int     `yaml:"epochs"`   // at most so many passes
	Patience int     `yaml:"patience"` // epochs without improvement before training stops
	Batch    int     `yaml:"batch"`    // windows a step
	Rate     float64 `yaml:"rate"`     // learning rate at the start

	// Of TrainShared:

	// SharedWindows bounds the windows that the model learns from; 0:
	// DefaultSharedWindows.
	SharedWindows int `yaml:"shared_windows"`
	// Compare is the number of groups for which a model of their own is trained
	// beside, to compare; 0: none.
	Compare int `yaml:"compare"`

	// Search, when set, declares a search for better settings, for whoever calls
	// the function Search with it. Train passes over it.
	Search *search.Config `yaml:"search"`

	// Checkpoint, when set, lets an interrupted training go on.
	Checkpoint Checkpoint `yaml:"-"`
	// Progress, when set, is called as parts of the training are done, never twice at a time.
	Progress func(Progress) `yaml:"-"`
	// Now, when set, is the clock of the reported duration and of Manifest.CreatedAt;
	// without it both stay zero. Nothing else depends on the time.
	Now func() time.Time `yaml:"-"`
}

// DefaultKnown are the flags that count as known in advance when the data has
// them. Other flags are so only by name (Config.Known).
var DefaultKnown = []string{"is_holiday", "is_sale_active", "is_event_active"}

// DefaultConfig returns the configuration that holds where nothing is said.
func DefaultConfig() Config { return Config{Preset: PresetDefault} }

// labelSuffix ends the names of columns that label the data afterwards. They are
// never an input.
const labelSuffix = "_label"

// Validate returns all faults at once.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if _, ok := presets[c.Preset]; !ok {
		fault("preset: %q is unknown; there are %s", c.Preset, strings.Join(Presets(), ", "))
	}
	for _, f := range []struct {
		name  string
		value int
		most  int
	}{
		{"horizon", c.Horizon, models.MaxHorizon}, {"lookback", c.Lookback, models.MaxLookback}, {"max_gap", c.MaxGap, models.MaxLookback - 1},
		{"layers", c.Layers, 16}, {"hidden", c.Hidden, 4096}, {"head", c.Head, 4096}, {"seeds", c.Seeds, 100},
		{"workers", c.Workers, 1024}, {"epochs", c.Epochs, 100_000}, {"patience", c.Patience, 100_000}, {"batch", c.Batch, 1024},
	} {
		if f.value < 0 || f.value > f.most {
			fault("%s: %d must be 1 to %d, or 0 for the preset's value", f.name, f.value, f.most)
		}
	}
	if !(c.Rate >= 0 && c.Rate <= 1) { // NaN is a fault too
		fault("rate: %v must be above 0 and at most 1, or 0 for the preset's value", c.Rate)
	}
	faults = append(faults, c.validateModel()...)
	if _, err := time.LoadLocation(c.TimeZone); err != nil || c.TimeZone == "Local" {
		fault("time_zone: %q is not the IANA name of a time zone, such as Europe/Berlin", c.TimeZone)
	}
	for field, names := range map[string][]string{"target": {c.Target}, "inputs": c.Inputs, "known": c.Known} {
		for _, name := range names {
			switch {
			case strings.HasSuffix(name, labelSuffix) && name != "":
				fault("%s: %q is a label, which nobody knows when a forecast is made", field, name)
			case len(name) > api.MaxNameLen:
				fault("%s: %.40q… is longer than %d bytes", field, name, api.MaxNameLen)
			case name == "" && field != "target":
				fault("%s: a name is empty", field)
			}
		}
	}
	if s := c.Search; s != nil {
		c.Search = nil
		faults = append(faults, c.searchFaults(c.completed(*s))...)
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(faults...)
}

// validateModel returns the faults of what the model is made of.
func (c Config) validateModel() (faults []error) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for _, m := range c.Members {
		if !slices.Contains(memberKinds, m) {
			fault("members: %.40q is unknown; there are %s", m, strings.Join(memberKinds, ", "))
		}
	}
	if c.Members != nil && len(c.Members) == 0 {
		fault("members: the list is empty; a model needs at least one of %s", strings.Join(memberKinds, ", "))
	}
	for i, q := range c.Quantiles {
		if !(q > 0 && q < 1) || i > 0 && q <= c.Quantiles[i-1] {
			fault("quantiles: %v must be ascending and between 0 and 1", c.Quantiles)
			break
		}
	}
	if c.SharedWindows < 0 {
		fault("shared_windows: %d must be positive, or 0 for %d", c.SharedWindows, DefaultSharedWindows)
	}
	if c.Compare < 0 {
		fault("compare: %d must not be negative", c.Compare)
	}
	if c.Dropout != nil && !(*c.Dropout >= 0 && *c.Dropout < 1) {
		fault("dropout: %v must be at least 0 and below 1", *c.Dropout)
	}
	if c.Loss != "" && !slices.Contains(losses, c.Loss) {
		fault("loss: %.40q is unknown; there are %s", c.Loss, strings.Join(losses, ", "))
	}
	if !(c.LossLevel >= 0 && c.LossLevel < 1) || c.LossLevel != 0 && c.Loss != lossPinball {
		fault("loss_level: %v must lie between 0 and 1, and belongs to the loss %s", c.LossLevel, lossPinball)
	}
	return faults
}

// Presets returns the names of the presets.
func Presets() []string { return slices.Sorted(maps.Keys(presets)) }
