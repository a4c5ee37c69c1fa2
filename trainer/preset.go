package trainer

import (
	"cmp"

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
	network                   nn.Network // the sizes that do not follow from the data

	// change forecasts the change from the last value in units of the usual change;
	// otherwise the value itself, by its range in the training part.
	change bool
	// clock adds the clock and, where the history is long enough, the values a day
	// and a week before.
	clock bool
	// recent adds the target's lookback to the head's input.
	recent bool
	// absolute minimises the absolute error, each horizon in units of
	// persistence's; otherwise the squared error.
	absolute bool

	batch      int
	epochs     int
	epochSteps int // at most so many steps an epoch; 0: all windows
	rate       float64
	decay      float64
	clip       float64
	plateau    int // epochs without improvement before the rate is halved; 0: never
	patience   int // epochs without improvement before training stops
	// anneal lets the rate rise over the first tenth of the steps and fall to zero
	// along a cosine until the last.
	anneal bool
}

var presets = map[string]recipe{
	PresetReference: {
		lookback: 24, horizon: 1, maxGap: 6,
		network: nn.Network{Layers: 3, Hidden: 128, Head: 64, Dropout: 0.2},
		batch:   64, epochs: 25, rate: 1e-3, clip: 1, plateau: 2, patience: 6,
	},
	PresetFast: {
		lookback: 24, horizon: 12, maxGap: 6,
		network: nn.Network{Layers: 1, Hidden: 32, Head: 48, Linear: true, ZeroOutput: true},
		change:  true, clock: true, recent: true, absolute: true,
		batch: 128, epochs: 16, epochSteps: 150, rate: 3e-3, decay: 1e-3, clip: 1, patience: 16, anneal: true,
	},
}

// recipe returns the preset with the configuration's own values put over it.
func (c Config) recipe() recipe {
	r := presets[c.Preset]
	r.lookback = cmp.Or(c.Lookback, r.lookback)
	r.horizon = cmp.Or(c.Horizon, r.horizon)
	r.maxGap = min(cmp.Or(c.MaxGap, r.maxGap), r.lookback-1)
	r.epochs = cmp.Or(c.Epochs, r.epochs)
	r.patience = cmp.Or(c.Patience, r.patience)
	r.batch = cmp.Or(c.Batch, r.batch)
	r.rate = cmp.Or(c.Rate, r.rate)
	return r
}
