package trainer

import (
	"cmp"

	"github.com/forescale/forescale/trainer/feature"
	"github.com/forescale/forescale/trainer/nn"
)

// The presets.
const (
	// PresetReference is the network of the reference project: three LSTM layers
	// of 128 over 24 slots, min-max scaling, squared error. Minutes.
	PresetReference = "reference"
	// PresetFast is a small network that forecasts the change from the last value,
	// with the day before and the clock as features. Seconds.
	PresetFast = "fast"
)

// recipe is what a preset stands for.
type recipe struct {
	lookback, horizon, maxGap int
	calendar                  bool // clock features and lags, and all that is built on them
	modes                     []feature.Mode
	networks                  []networkRecipe
}

// networkRecipe is a recurrent member.
type networkRecipe struct {
	name     string
	network  nn.Network // the sizes that do not follow from the data
	seeds    int
	residual bool // corrects the linear members; otherwise persistence
	schedule schedule
}

var presets = map[string]recipe{
	PresetFast: {
		lookback: 36, horizon: 12, maxGap: 6, calendar: true,
		modes: feature.Modes,
		networks: []networkRecipe{{
			name: "residual", residual: true, seeds: 1,
			network:  nn.Network{Layers: 1, Hidden: 32, Head: 48, Linear: false, ZeroOutput: true},
			schedule: schedule{batch: 128, epochs: 16, epochSteps: 150, rate: 3e-3, decay: 1e-3, clip: 1, patience: 16, anneal: true},
		}},
	},
}

// recipe returns the preset with the configuration's own values put over it.
func (c Config) recipe() recipe {
	r := presets[c.Preset]
	r.lookback = cmp.Or(c.Lookback, r.lookback)
	r.horizon = cmp.Or(c.Horizon, r.horizon)
	r.maxGap = min(cmp.Or(c.MaxGap, r.maxGap), r.lookback-1)
	return r
}
