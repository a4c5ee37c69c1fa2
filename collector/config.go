package collector

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/forescale/forescale/api"
)

// Config says how the collector works, whatever its sources are. It is part of
// the section collector of the configuration file; collector/sources adds the
// list of sources to it.
type Config struct {
	// Writer names this collector in the keys of the lake and in its state. Two
	// collectors may share a name: they then do the same work twice, harmlessly.
	// It must not change over restarts (no host names of containers). Default collector.
	Writer string `yaml:"writer"`
	// LookBack is the number of slots asked for at each tick, the newest included.
	// Points that arrive later than that are lost to the live path. Default 3.
	LookBack int `yaml:"look_back"`
	// Settle is how long after the end of a slot Run waits before it asks, because
	// providers publish with a delay. Default 60s; less than a step.
	Settle time.Duration `yaml:"settle"`
	// CatchUp bounds how far back a hole is filled by itself, after a stop or an
	// outage. What is older needs a back-fill by hand. 0 turns catching up off. Default 168h.
	CatchUp time.Duration `yaml:"catch_up"`
	// FetchTimeout is the deadline of one Fetch of one source, StoreTimeout that of
	// one read or write of the lake. Defaults 2m and 1m.
	FetchTimeout time.Duration `yaml:"fetch_timeout"`
	StoreTimeout time.Duration `yaml:"store_timeout"`
	// MetricsListen is the address of a Prometheus endpoint, for example
	// 127.0.0.1:9464. Empty, the default: none.
	MetricsListen string `yaml:"metrics_listen"`
	// Lake says when days are compacted, and for how long they are kept.
	Lake LakeConfig `yaml:"lake"`
}

// DefaultConfig returns the defaults named at each field.
func DefaultConfig() Config {
	return Config{
		Writer:       "collector",
		LookBack:     3,
		Settle:       time.Minute,
		CatchUp:      7 * 24 * time.Hour,
		FetchTimeout: 2 * time.Minute,
		StoreTimeout: time.Minute,
		Lake:         LakeConfig{CompactAfter: 6 * time.Hour},
	}
}

// maxLookBack bounds LookBack, in slots: a day of 5 minute slots.
const maxLookBack = 288

// Validate returns all faults at once, given the length of a slot.
func (c Config) Validate(step time.Duration) error {
	var faults []error
	bad := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("collector."+format, args...))
	}
	if c.Writer == "" || len(c.Writer) > api.MaxNameLen {
		bad("writer: must be 1 to %d bytes long", api.MaxNameLen)
	}
	if c.LookBack < 1 || c.LookBack > maxLookBack {
		bad("look_back: %d is not in 1..%d", c.LookBack, maxLookBack)
	}
	if c.Settle < 0 || c.Settle >= step {
		bad("settle: %s must be at least 0 and less than a step (%s)", c.Settle, step)
	}
	if c.CatchUp < 0 {
		bad("catch_up: %s is negative", c.CatchUp)
	}
	if c.FetchTimeout <= 0 {
		bad("fetch_timeout: %s must be positive", c.FetchTimeout)
	}
	if c.StoreTimeout <= 0 {
		bad("store_timeout: %s must be positive", c.StoreTimeout)
	}
	if c.MetricsListen != "" {
		if _, _, err := net.SplitHostPort(c.MetricsListen); err != nil {
			bad("metrics_listen: %v", err)
		}
	}
	if err := c.Lake.validate(c.CatchUp); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}
