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
	"github.com/forescale/forescale/collector/cloudwatch"
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
	Name       string             `yaml:"name"`
	CloudWatch *cloudwatch.Config `yaml:"cloudwatch"`
}

// DefaultConfig returns a configuration without sources.
func DefaultConfig() Config { return Config{Config: collector.DefaultConfig()} }

// name returns the name of the source, or "" when it has neither name nor driver.
func (s Source) name() string {
	switch {
	case s.Name != "":
		return s.Name
	case s.CloudWatch != nil:
		return "cloudwatch"
	}
	return ""
}

// Validate returns all faults at once.
func (c Config) Validate(step time.Duration) error {
	faults := []error{c.Config.Validate(step)}
	seen := map[string]bool{}
	for i, s := range c.Sources {
		where := fmt.Sprintf("collector.sources[%d]", i)
		if s.CloudWatch == nil {
			faults = append(faults, fmt.Errorf("%s: names no driver (cloudwatch)", where))
			continue
		}
		if seen[s.name()] {
			faults = append(faults, fmt.Errorf("%s: the name %q is used twice; set name", where, s.name()))
		}
		seen[s.name()] = true
		if err := s.CloudWatch.Validate(); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", where, err))
		}
	}
	return errors.Join(faults...)
}

// Deps is what drivers are opened with.
type Deps struct {
	AWS  conf.AWS
	Step time.Duration
	Log  *slog.Logger
}

// Open returns the configured sources, in order. It connects to nothing. The
// error names each source that cannot be opened.
func Open(ctx context.Context, c Config, d Deps) ([]collector.Source, error) {
	var opened []collector.Source
	var faults []error
	for i, s := range c.Sources {
		src, err := open(ctx, s, d)
		if err != nil {
			faults = append(faults, fmt.Errorf("collector.sources[%d] %s: %w", i, s.name(), err))
			continue
		}
		opened = append(opened, src)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return opened, nil
}

func open(ctx context.Context, s Source, d Deps) (collector.Source, error) {
	switch {
	case s.CloudWatch != nil:
		client, err := cloudwatch.NewClient(ctx, *s.CloudWatch, d.AWS, d.Log)
		if err != nil {
			return nil, err
		}
		return cloudwatch.New(s.name(), *s.CloudWatch, client, d.Step, d.Log)
	}
	return nil, errors.New("names no driver")
}
