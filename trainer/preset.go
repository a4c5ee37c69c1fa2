package trainer

import (
	"cmp"
	"slices"

	"github.com/forescale/forescale/trainer/feature"
	"github.com/forescale/forescale/trainer/nn"
	"github.com/forescale/forescale/trainer/tree"
)

// The presets.
const (
	// PresetReference is the network of the reference project: three LSTM layers
	// of 128 over 24 slots, min-max scaling, squared error. Minutes.
	PresetReference = "reference"
	// PresetAdvanced is the reference project's larger network: two LSTM layers of
	// 64 with attention over 36 slots and all features, five of them. Minutes.
	PresetAdvanced = "advanced"
	// PresetDefault combines linear models, residual networks and boosted trees on
	// the same features. Minutes.
	PresetDefault = "default"
	// PresetFast is a linear model with a small network for what it leaves. Seconds.
	PresetFast = "fast"
)

// recipe is what a preset stands for.
type recipe struct {
	lookback, horizon, maxGap int
	window                    int            // slots that a network reads
	calendar                  bool           // clock features and lags, and all that is built on them
	modes                     []feature.Mode // of linear members
	naive                     bool           // the naives are members
	guarded                   bool           // see guard
	networks                  []networkRecipe
	trees                     []treesRecipe
	spread                    feature.Mode // of the quantiles
	quantiles                 []float64
	scaleFree                 bool // for groups of any size: feature.NewScaleFree and no other set
}

// networkRecipe is a recurrent member.
type networkRecipe struct {
	name     string
	network  nn.Network // the sizes that do not follow from the data
	seeds    int
	ranged   bool // reads and answers values by their range; see ranged
	residual bool // corrects the linear members; otherwise persistence
	refit    bool // fitted again on the validation part too
	schedule schedule
}

// defaultQuantiles are the levels of a quantile forecast. 0.05 is there beside
// those that a scaler asks for, so that the interval of 90 % can be scored.
var defaultQuantiles = []float64{0.05, 0.1, 0.5, 0.9, 0.95, 0.99}

var annealed = schedule{batch: 128, epochs: 16, epochSteps: 150, rate: 3e-3, decay: 1e-3, clip: 1, anneal: true}

var presets = map[string]recipe{
	PresetReference: {
		lookback: 24, horizon: 1, maxGap: 6, window: 24, quantiles: defaultQuantiles,
		networks: []networkRecipe{{
			name: "lstm", ranged: true, seeds: 1,
			network:  nn.Network{Layers: 3, Hidden: 128, Head: 64, Dropout: 0.2},
			schedule: schedule{loss: lossSquared, batch: 64, epochs: 25, rate: 1e-3, clip: 1, plateau: 2, patience: 6},
		}},
	},
	PresetAdvanced: {
		lookback: 36, horizon: 1, maxGap: 6, window: 36, calendar: true, quantiles: defaultQuantiles,
		networks: []networkRecipe{{
			name: "lstm", seeds: 5,
			network:  nn.Network{Layers: 2, Hidden: 64, Head: 64, Dropout: 0.2, Attention: true},
			schedule: schedule{loss: lossSquared, batch: 64, epochs: 25, rate: 1e-3, clip: 1, plateau: 2, patience: 6},
		}},
	},
	PresetDefault: {
		lookback: 36, horizon: 12, maxGap: 6, window: 24, calendar: true, quantiles: defaultQuantiles,
		modes: feature.Modes, naive: true, guarded: true,
		networks: []networkRecipe{
			{name: "residual", residual: true, refit: true, seeds: 3,
				network: nn.Network{Layers: 1, Hidden: 32, Head: 48, Dropout: 0.2, ZeroOutput: true}, schedule: annealed},
			{name: "change", refit: true, seeds: 3,
				network: nn.Network{Layers: 1, Hidden: 32, Head: 48, Dropout: 0.2, Linear: true, ZeroOutput: true}, schedule: annealed},
		},
		trees: []treesRecipe{{name: "trees", config: tree.Defaults()}, {name: "residual_trees", residual: true, config: tree.Defaults()}},
	},
	PresetFast: {
		lookback: 36, horizon: 12, maxGap: 6, window: 24, calendar: true, quantiles: defaultQuantiles,
		modes: []feature.Mode{feature.Raw, feature.Log}, naive: true, guarded: true,
		networks: []networkRecipe{{name: "residual", residual: true, refit: true, seeds: 1,
			network:  nn.Network{Layers: 1, Hidden: 16, Head: 32, Dropout: 0.2, ZeroOutput: true},
			schedule: schedule{batch: 128, epochs: 6, epochSteps: 100, rate: 3e-3, decay: 1e-3, clip: 1, anneal: true}}},
	},
}

// allModes returns the modes of every feature set that the recipe needs.
func (r recipe) allModes() []feature.Mode {
	modes := slices.Clone(r.modes)
	for _, m := range []feature.Mode{r.plainMode(), r.spread} {
		if !slices.Contains(modes, m) {
			modes = append(modes, m)
		}
	}
	return modes
}

// plainMode returns the mode where there is no reason for another.
func (r recipe) plainMode() feature.Mode {
	if r.scaleFree {
		return feature.Ratio
	}
	return feature.Raw
}

// The kinds of members, as Config.Members names them.
const (
	membersLinear  = "linear"
	membersNaive   = "naive"
	membersNetwork = "network"
	membersTrees   = "trees"
)

var memberKinds = []string{membersLinear, membersNaive, membersNetwork, membersTrees}

// recipe returns the preset with the configuration's own values put over it.
func (c Config) recipe() recipe {
	r := presets[c.Preset]
	r.lookback = cmp.Or(c.Lookback, r.lookback)
	r.window = min(r.window, r.lookback)
	r.horizon = cmp.Or(c.Horizon, r.horizon)
	r.maxGap = min(cmp.Or(c.MaxGap, r.maxGap), r.lookback-1)
	if c.Quantiles != nil {
		r.quantiles = c.Quantiles
	}
	if c.Members != nil {
		r = r.only(c.Members)
	}
	r.networks = slices.Clone(r.networks)
	for i := range r.networks {
		c.reshape(&r.networks[i])
	}
	return r
}

// only returns the recipe with these kinds of members and no others; those that
// it lacks are taken from the default preset.
func (r recipe) only(kinds []string) recipe {
	has := func(kind string) bool { return slices.Contains(kinds, kind) }
	whole := presets[PresetDefault]
	r.naive = has(membersNaive)
	if r.modes == nil {
		r.modes = whole.modes
	}
	if r.trees == nil {
		r.trees = whole.trees
	}
	if !has(membersLinear) {
		r.modes = nil
	}
	if !has(membersNetwork) {
		r.networks = nil
	}
	if !has(membersTrees) {
		r.trees = nil
	}
	return r
}

// reshape puts the configuration's values over a network's.
func (c Config) reshape(n *networkRecipe) {
	s, net := &n.schedule, &n.network
	s.epochs = cmp.Or(c.Epochs, s.epochs)
	s.patience = cmp.Or(c.Patience, s.patience)
	s.batch = cmp.Or(c.Batch, s.batch)
	s.rate = cmp.Or(c.Rate, s.rate)
	s.loss = cmp.Or(c.Loss, s.loss)
	s.level = cmp.Or(c.LossLevel, 0.5)
	net.Layers = cmp.Or(c.Layers, net.Layers)
	net.Hidden = cmp.Or(c.Hidden, net.Hidden)
	net.Head = cmp.Or(c.Head, net.Head)
	n.seeds = cmp.Or(c.Seeds, n.seeds)
	if c.Dropout != nil {
		net.Dropout = *c.Dropout
	}
	if c.Attention != nil {
		net.Attention = *c.Attention
	}
	if c.Linear != nil {
		net.Linear = *c.Linear
	}
}
