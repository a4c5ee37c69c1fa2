package collector

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/tell"
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
	// Spool is where readings of sensors, and ticks that the lake did not take, are
	// kept.
	Spool SpoolConfig `yaml:"spool"`
	// Stream bounds what sensors may send.
	Stream StreamConfig `yaml:"stream"`
	// Recent says what is kept in recent/ for scalers that start.
	Recent RecentConfig `yaml:"recent"`
	// Lake says when days are compacted, and for how long they are kept.
	Lake LakeConfig `yaml:"lake"`
	// Notify says which prediction server is told after each tick, so that its pages
	// show the new samples at once.
	Notify tell.Config `yaml:"notify"`
}

// SpoolConfig says where the spool is and how much of the disk it may take.
type SpoolConfig struct {
	// Dir is the directory; each lake and writer has one of its own in it. Empty,
	// the default: the command chooses, $STATE_DIRECTORY (systemd's) or else
	// $XDG_STATE_HOME/forescale, ~/.local/state/forescale. "off": no spool, as on
	// AWS Lambda, where no disk lasts: what the lake did not take is then fetched
	// again by a later run, and sensors are not possible.
	Dir string `yaml:"dir"`
	// MaxBytes bounds it, one half for ticks and one for readings. When a half is
	// full its oldest records go. Default 512 MiB, at least 16 MiB.
	MaxBytes int64 `yaml:"max_bytes"`
}

// SpoolOff as SpoolConfig.Dir turns the spool off.
const SpoolOff = "off"

// Half returns the bound of each of the two spools.
func (s SpoolConfig) Half() int64 { return s.MaxBytes / 2 }

// minSpoolBytes is the least that the spool may take.
const minSpoolBytes = 16 << 20

// StreamConfig bounds what sensors may send. What exceeds a bound is dropped and
// counted. Names count while a slot that they have readings in is kept.
type StreamConfig struct {
	// Keep is how long after its end a slot still takes readings: it is stored when
	// it ends, and again when more came. Default 25h: sensors and brokers keep a day.
	// The oldest slots go before that, down to 1h, while more than a quarter of
	// MaxReadings is kept.
	Keep time.Duration `yaml:"keep"`
	// Skew is how far a sensor's clock may be ahead of ours. Default 5m.
	Skew time.Duration `yaml:"skew"`
	// MaxGroups bounds the groups, MaxSensors the sensors of each group and
	// MaxMetrics its metrics. Defaults 10000, 10000 and 100.
	MaxGroups  int `yaml:"max_groups"`
	MaxSensors int `yaml:"max_sensors"`
	MaxMetrics int `yaml:"max_metrics"`
	// MaxReadings bounds the readings that are kept, over all slots, and a tenth of it
	// those of one sensor, because all are
	// in memory for exact percentiles: some 25 bytes each where a sensor has many in
	// a slot, some 200 where it has one. Default 4 million.
	MaxReadings int `yaml:"max_readings"`
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
		Spool:        SpoolConfig{MaxBytes: 512 << 20},
		Stream: StreamConfig{
			Keep: 25 * time.Hour, Skew: 5 * time.Minute,
			MaxGroups: 10_000, MaxSensors: 10_000, MaxMetrics: 100, MaxReadings: 4_000_000,
		},
		Lake: LakeConfig{CompactAfter: 6 * time.Hour},
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
	if c.Spool.MaxBytes < minSpoolBytes {
		bad("spool.max_bytes: %d is less than %d (16 MiB)", c.Spool.MaxBytes, minSpoolBytes)
	}
	if d := c.Spool.Dir; d != "" && d != SpoolOff && !filepath.IsAbs(d) {
		bad("spool.dir: %q is not an absolute path (or %q)", d, SpoolOff)
	}
	if c.Stream.Keep < 0 || c.Stream.Keep > maxKeep {
		bad("stream.keep: %s is not in 0..%s", c.Stream.Keep, maxKeep)
	}
	if c.Stream.Skew < 0 || c.Stream.Skew > maxKeep {
		bad("stream.skew: %s is not in 0..%s", c.Stream.Skew, maxKeep)
	}
	for _, bound := range []struct {
		name string
		n    int
	}{{"max_groups", c.Stream.MaxGroups}, {"max_sensors", c.Stream.MaxSensors}, {"max_metrics", c.Stream.MaxMetrics}, {"max_readings", c.Stream.MaxReadings}} {
		if bound.n < 1 {
			bad("stream.%s: %d must be at least 1", bound.name, bound.n)
		}
	}
	if step > 0 { // otherwise the step is told about
		for _, fault := range c.Recent.Refresh(step).Faults() {
			faults = append(faults, fmt.Errorf("collector.%w", fault))
		}
	}
	if err := c.Notify.Validate(); err != nil {
		bad("notify.%w", err)
	}
	if err := c.Lake.validate(c.CatchUp); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// maxKeep bounds how long readings are kept in memory.
const maxKeep = 48 * time.Hour
