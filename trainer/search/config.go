package search

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/internal/conf"
)

// Config says what to search and how long.
type Config struct {
	Space Space `yaml:"space"`
	// Trials is how many sets of parameters the first bracket begins with, default 27.
	Trials int `yaml:"trials"`
	// Brackets is how many brackets there are, default 1: plain successive halving.
	// Bracket b begins b rungs later, with fewer trials and about the same cost; as
	// many brackets as there are rungs is Hyperband.
	Brackets int `yaml:"brackets"`
	// Eta is how many trials compete for one place in the next rung, and by how much
	// the budget grows there, default 3.
	Eta int `yaml:"eta"`
	// MaxBudget is the budget of the last rung, default 27; MinBudget, default 1,
	// the least worth spending: rungs begin at or above it. The unit is the objective's.
	MinBudget int `yaml:"min_budget"`
	MaxBudget int `yaml:"max_budget"`
	// TimeBudget bounds how long evaluations are begun, over all runs of one journal;
	// those that run then are waited for. 0: no bound, and a result that can be
	// reproduced. It takes a clock.
	TimeBudget time.Duration `yaml:"time_budget"`
	Seed       uint64        `yaml:"seed"`
	// Given are the parameters of the first trials, which are not drawn: what the
	// drawn ones have to beat. They may be empty. They go on to every rung beside
	// those that are promoted, and take nobody's place there.
	Given []Params `yaml:"-"`
	// Workers is how many evaluations run at once, default 1. The result does not
	// depend on it.
	Workers int `yaml:"workers"`

	// DataHash is a digest of all that a loss depends on beside the parameters and
	// the budget: the data, the rest of the configuration, the version of the
	// program. A journal of another one is refused.
	DataHash string `yaml:"-"`
	// Progress, when set, is called from Run's goroutine after every evaluation.
	Progress func(Progress) `yaml:"-"`
	// Now, when set, is the clock of Trial.Seconds and of TimeBudget. Only Run's
	// goroutine asks it.
	Now func() time.Time `yaml:"-"`
}

// Progress says how far a search is.
type Progress struct {
	Trial  Trial // the evaluation that has just ended
	Reused bool  // it stood in the journal
	Done   int   // evaluations, this one included
	Total  int   // evaluations in all; failures make them fewer
}

// DefaultConfig returns what holds where nothing is said.
func DefaultConfig() Config {
	return Config{Trials: 27, Brackets: 1, Eta: 3, MinBudget: 1, MaxBudget: 27, Workers: 1}
}

// UnmarshalYAML decodes over DefaultConfig. This older form of the interface goes
// on with the caller's decoder, which refuses unknown keys.
func (c *Config) UnmarshalYAML(decode func(any) error) error {
	type plain Config
	*c = DefaultConfig()
	return decode((*plain)(c))
}

// FromYAML reads a document with the keys of Config. The error lists all unknown
// keys and wrong types at once; that the values make sense, Validate says.
func FromYAML(raw []byte) (Config, error) {
	c := DefaultConfig() // of an empty document, too
	err := conf.Decode(raw, &c)
	return c, err
}

// Limits that keep a mistaken configuration from asking for absurd searches.
const (
	maxTrials  = 10_000
	maxEta     = 100
	maxBudget  = 1_000_000_000
	maxWorkers = 1024
)

// Validate returns all faults at once.
func (c Config) Validate() error {
	faults := c.Space.faults()
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	sound := len(faults) == 0
	for _, f := range []struct {
		name               string
		value, least, most int
	}{
		{"trials", c.Trials, 1, maxTrials}, {"brackets", c.Brackets, 1, maxTrials}, {"eta", c.Eta, 2, maxEta},
		{"min_budget", c.MinBudget, 1, maxBudget}, {"max_budget", c.MaxBudget, 1, maxBudget}, {"workers", c.Workers, 1, maxWorkers},
	} {
		if f.value < f.least || f.value > f.most {
			sound = false
			fault("%s: %d must be %d to %d", f.name, f.value, f.least, f.most)
		}
	}
	if c.MinBudget > c.MaxBudget {
		sound = false
		fault("min_budget: %d is above max_budget, %d", c.MinBudget, c.MaxBudget)
	}
	if c.TimeBudget < 0 {
		fault("time_budget: %s is below 0", c.TimeBudget)
	}
	if !sound {
		return errors.Join(faults...) // the rest can only be judged of sound numbers
	}
	if rungs := c.rungs(); c.Brackets > rungs {
		fault("brackets: %d; %d trials and budgets of %d to %d by eta %d make %d rungs, and each bracket begins in another",
			c.Brackets, c.Trials, c.MinBudget, c.MaxBudget, c.Eta, rungs)
	} else if n, size := c.plan().trials(), c.Space.Size(); float64(n-len(c.Given)) > size {
		fault("trials: the space has only %.0f combinations, and %d brackets draw %d different ones", size, c.Brackets, n-len(c.Given))
	} else if len(c.Given) > c.Trials {
		fault("trials: %d are given, which is more than %d", len(c.Given), c.Trials)
	} else if n > maxTrials {
		fault("trials: %d brackets draw %d in all, which is more than %d", c.Brackets, n, maxTrials)
	}
	return errors.Join(faults...)
}

// Candidates returns the parameters of all trials of the search, so that each can
// be checked against the configuration before any is run. The configuration must
// be valid.
func (c Config) Candidates() []Params {
	return append(slices.Clone(c.Given), c.Space.Candidates(c.Seed, c.plan().trials()-len(c.Given))...)
}

// settings returns, as text, all that the losses and the plan of a search follow
// from: not the workers, and not the time budget, which may be raised in order to
// go on.
func (c Config) settings() map[string]string {
	s := map[string]string{
		"trials": fmt.Sprint(c.Trials), "brackets": fmt.Sprint(c.Brackets), "eta": fmt.Sprint(c.Eta),
		"min_budget": fmt.Sprint(c.MinBudget), "max_budget": fmt.Sprint(c.MaxBudget),
		"seed": fmt.Sprint(c.Seed), "data": c.DataHash,
	}
	for name, d := range c.Space {
		s["space."+name] = d.String()
	}
	for i, p := range c.Given {
		s[fmt.Sprintf("given.%d", i)] = p.json()
	}
	return s
}

// differences names what two settings do not share, "" when they are equal.
func differences(have, want map[string]string) string {
	all := maps.Clone(have)
	maps.Copy(all, want)
	var texts []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if have[key] != want[key] {
			texts = append(texts, fmt.Sprintf("%s is %s there and %s here", key, orNone(have[key]), orNone(want[key])))
		}
	}
	return strings.Join(texts, "; ")
}

func orNone(text string) string {
	if text == "" {
		return "absent"
	}
	return text
}
