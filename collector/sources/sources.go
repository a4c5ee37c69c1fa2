// Package sources is the one place that lists the collector's drivers: it opens
// what the configuration names. Nothing else imports a driver.
package sources

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/collector/azuremonitor"
	"github.com/forescale/forescale/collector/cloudwatch"
	"github.com/forescale/forescale/collector/mqtt"
	"github.com/forescale/forescale/collector/prometheus"
	"github.com/forescale/forescale/internal/conf"
)

// Config is the section collector of the configuration file.
type Config struct {
	collector.Config `yaml:",inline"`
	Sources          []Source `yaml:"sources"`
}

// Source configures one source: a name and exactly one driver.
type Source struct {
	// Name identifies the source in the state, the log and the metrics. Default:
	// the driver's name. Keep it: a renamed source does not know where it stopped.
	Name         string               `yaml:"name"`
	CloudWatch   *cloudwatch.Config   `yaml:"cloudwatch"`
	Prometheus   *prometheus.Config   `yaml:"prometheus"`
	AzureMonitor *azuremonitor.Config `yaml:"azure_monitor"`
	MQTT         *mqtt.Config         `yaml:"mqtt"`
}

// DefaultConfig returns a configuration without sources.
func DefaultConfig() Config { return Config{Config: collector.DefaultConfig()} }

// driver is what one entry of Source asks for: exactly one of source and stream
// is set.
type driver struct {
	name     string
	validate func() error
	source   func(ctx context.Context, name string, d Deps) (collector.Source, error)
	stream   func(ctx context.Context, name string, d Deps) (collector.Stream, error)
	describe func(step time.Duration) []string // what it asks for, line by line; nil: nothing worth showing
}

// drivers returns the drivers that the entry configures: one, unless it is at fault.
func (s Source) drivers() []driver {
	var named []driver
	if c := s.CloudWatch; c != nil {
		named = append(named, driver{name: "cloudwatch", validate: c.Validate, source: openCloudWatch(c)})
	}
	if c := s.Prometheus; c != nil {
		named = append(named, driver{name: "prometheus", validate: c.Validate, source: openPrometheus(c), describe: c.Describe})
	}
	if c := s.AzureMonitor; c != nil {
		named = append(named, driver{name: "azure_monitor", validate: c.Validate, source: openAzureMonitor(c)})
	}
	if c := s.MQTT; c != nil {
		named = append(named, driver{name: "mqtt", validate: c.Validate, stream: openMQTT(c)})
	}
	return named
}

// known names every driver, for messages.
const known = "cloudwatch, prometheus, azure_monitor, mqtt"

// driver returns the one driver of the entry.
func (s Source) driver() (driver, error) {
	switch named := s.drivers(); len(named) {
	case 0:
		return driver{}, fmt.Errorf("names no driver (%s)", known)
	case 1:
		return named[0], nil
	default:
		return driver{}, fmt.Errorf("names two drivers (%s and %s); make two entries of it", named[0].name, named[1].name)
	}
}

// nameWith returns the name of the source that the driver is to have.
func (s Source) nameWith(d driver) string {
	if s.Name != "" {
		return s.Name
	}
	return d.name
}

// Validate returns all faults at once.
func (c Config) Validate(step time.Duration) error {
	faults := []error{c.Config.Validate(step)}
	seen := map[string]bool{}
	for i, s := range c.Sources {
		where := fmt.Sprintf("collector.sources[%d]", i)
		d, err := s.driver()
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", where, err))
			continue
		}
		name := s.nameWith(d)
		if seen[name] {
			faults = append(faults, fmt.Errorf("%s: the name %q is used twice; set name", where, name))
		}
		seen[name] = true
		for _, fault := range apart(d.validate()) {
			faults = append(faults, fmt.Errorf("%s: %w", where, fault))
		}
	}
	return errors.Join(faults...)
}

// apart returns the faults that have been joined to one error.
func apart(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // only what was joined, not what is wrapped
		var out []error
		for _, fault := range joined.Unwrap() {
			out = append(out, apart(fault)...)
		}
		return out
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// Streams reports whether any of the sources pushes.
func (c Config) Streams() bool {
	for _, s := range c.Sources {
		if d, err := s.driver(); err == nil && d.stream != nil {
			return true
		}
	}
	return false
}

// Describe returns what a valid configuration asks for where that does not stand in
// it word by word, such as the expressions of a preset: lines with the field path.
func (c Config) Describe(step time.Duration) []string {
	var out []string
	for i, s := range c.Sources {
		if d, err := s.driver(); err == nil && d.describe != nil {
			for _, line := range d.describe(step) {
				out = append(out, fmt.Sprintf("collector.sources[%d].%s.%s", i, d.name, line))
			}
		}
	}
	return out
}

// Deps is what drivers are opened with.
type Deps struct {
	AWS  conf.AWS
	Step time.Duration
	Log  *slog.Logger

	paces *cloudwatch.Paces // of one account and region, whichever source calls; set by Open
}

// Open returns the configured sources that are asked, in order. It connects to
// nothing. The error names each source that cannot be opened.
func Open(ctx context.Context, c Config, d Deps) ([]collector.Source, error) {
	d.paces = new(cloudwatch.Paces)
	return open(c, func(driver driver, name string) (collector.Source, error) {
		if driver.source == nil {
			return nil, nil
		}
		return driver.source(ctx, name, d)
	})
}

// OpenStreams returns the configured sources that push, in order. It connects to
// nothing. The error names each one that cannot be opened.
func OpenStreams(ctx context.Context, c Config, d Deps) ([]collector.Stream, error) {
	return open(c, func(driver driver, name string) (collector.Stream, error) {
		if driver.stream == nil {
			return nil, nil
		}
		return driver.stream(ctx, name, d)
	})
}

// open calls one for each entry and returns what it opened; nil without an error
// is an entry of the other kind.
func open[T comparable](c Config, one func(d driver, name string) (T, error)) ([]T, error) {
	var opened []T
	var faults []error
	var none T
	for i, s := range c.Sources {
		d, err := s.driver()
		if err == nil {
			var v T
			if v, err = one(d, s.nameWith(d)); err == nil && v != none {
				opened = append(opened, v)
			}
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("collector.sources[%d] %s: %w", i, s.Name, err))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return opened, nil
}

// A driver's entry: how it is opened, in the order of the fields of Source.

func openCloudWatch(c *cloudwatch.Config) func(context.Context, string, Deps) (collector.Source, error) {
	return func(ctx context.Context, name string, d Deps) (collector.Source, error) {
		return cloudwatch.Open(ctx, name, *c, cloudwatch.Deps{AWS: d.AWS, Step: d.Step, Log: d.Log, Paces: d.paces})
	}
}

func openPrometheus(c *prometheus.Config) func(context.Context, string, Deps) (collector.Source, error) {
	return func(_ context.Context, name string, d Deps) (collector.Source, error) {
		return prometheus.Open(name, *c, d.Step, d.Log)
	}
}

func openAzureMonitor(c *azuremonitor.Config) func(context.Context, string, Deps) (collector.Source, error) {
	return func(_ context.Context, name string, d Deps) (collector.Source, error) {
		return azuremonitor.Open(name, *c, d.Step)
	}
}

func openMQTT(c *mqtt.Config) func(context.Context, string, Deps) (collector.Stream, error) {
	return func(_ context.Context, name string, d Deps) (collector.Stream, error) {
		return mqtt.New(name, *c, mqtt.Deps{Log: d.Log})
	}
}
