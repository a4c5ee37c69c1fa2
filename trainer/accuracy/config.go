package accuracy

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/forescale/forescale/trainer"
)

// Config says what to measure.
type Config struct {
	Traces    string // folder of tidy traces
	Manifest  string // CSV that lists them; empty: manifest.csv in the folder
	Baselines string // CSV of other forecasters' errors; empty: baselines.csv in the folder where it is there
	Only      []string
	Preset    string
	Seed      uint64
	Workers   int  // goroutines; 0: one per processor. No result depends on it
	Dev       bool // leave out the last fifth of every trace; for choosing between recipes

	// Cache is a folder for finished traces, so that a measurement that was stopped
	// goes on; empty: none is kept.
	Cache string
	Fresh bool // do not read the cache
	// Program identifies the code that trains. What another program measured is not
	// taken from the cache.
	Program string

	Log io.Writer        // progress, for people; nil: none
	Now func() time.Time // clock of the training times; must be set
}

// Validate returns all faults at once.
func (c Config) Validate() error {
	var faults []error
	if c.Traces == "" {
		faults = append(faults, errors.New("traces: the folder of the traces is missing"))
	} else if info, err := os.Stat(c.Traces); err != nil || !info.IsDir() {
		faults = append(faults, fmt.Errorf("traces: %s is no folder", c.Traces))
	}
	if c.Workers < 0 {
		faults = append(faults, fmt.Errorf("workers: %d must not be negative", c.Workers))
	}
	if c.Dev && c.Baselines != "" {
		faults = append(faults, errors.New("baselines: they were measured on the last fifth of the traces, which -dev never sees"))
	}
	return errors.Join(append(faults, trainer.Config{Preset: c.Preset, Target: "y"}.Validate())...)
}

// complete returns the configuration with the files that stand in the folder of
// the traces where none are named.
func (c Config) complete() Config {
	if c.Manifest == "" {
		c.Manifest = filepath.Join(c.Traces, "manifest.csv")
	}
	if c.Baselines == "" && !c.Dev {
		if path := filepath.Join(c.Traces, "baselines.csv"); exists(path) {
			c.Baselines = path
		}
	}
	return c
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
