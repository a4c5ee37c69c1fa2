// Package targets opens the providers that a configuration names. It is the one
// place that lists the drivers.
package targets

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/scaler"
	"github.com/forescale/forescale/scaler/asg"
)

// Drivers are the names that a group's target may have.
var Drivers = []string{"asg", driverKube}

// Validate returns all groups whose driver does not exist, or does not know such
// a name, at once.
func Validate(cfg scaler.Config, common conf.Common) error {
	faults := kubeFaults(cfg, common.Kubernetes)
	for i, g := range cfg.Groups {
		if driver, _ := g.Route(); !slices.Contains(Drivers, driver) {
			faults = append(faults, fmt.Errorf("scaler.groups[%d] (%s): target: %q is not one of %v", i, g.Name, driver, Drivers))
		}
	}
	return errors.Join(faults...)
}

// Open returns one target for all groups of the configuration, by the names
// under which the lake knows them. Drivers log to log.
func Open(ctx context.Context, cfg scaler.Config, common conf.Common, log *slog.Logger) (scaler.Target, error) {
	if err := Validate(cfg, common); err != nil {
		return nil, err
	}
	open := map[string]scaler.Target{}
	for _, g := range cfg.Groups {
		driver, _ := g.Route()
		if open[driver] != nil {
			continue
		}
		switch driver {
		case "asg":
			t, err := asg.Open(ctx, common.AWS.Region, common.AWS.AutoScalingEndpoint, log)
			if err != nil {
				return nil, err
			}
			open[driver] = t
		case driverKube:
			t, err := openKube(common.Kubernetes, log)
			if err != nil {
				return nil, err
			}
			open[driver] = t
		default:
			return nil, fmt.Errorf("target %q has no driver", driver)
		}
	}
	return NewRouter(cfg, open), nil
}

// NewRouter returns a target that sends each group to its driver under the name
// that the driver knows it by.
func NewRouter(cfg scaler.Config, drivers map[string]scaler.Target) scaler.Target {
	r := &router{drivers: drivers, routes: map[string]route{}}
	for _, g := range cfg.Groups {
		driver, name := g.Route()
		r.routes[g.Name] = route{driver, name}
	}
	return r
}

type route struct{ driver, name string }

type router struct {
	drivers map[string]scaler.Target
	routes  map[string]route // by our name of the group
}

// Capacities implements scaler.Target; drivers are asked at the same time.
func (r *router) Capacities(ctx context.Context, groups []string) (map[string]api.Capacity, error) {
	ours := map[string]map[string]string{} // driver to its name of a group to ours
	var faults []error
	for _, g := range groups {
		to, ok := r.routes[g]
		if !ok || r.drivers[to.driver] == nil {
			faults = append(faults, fmt.Errorf("group %q: %w", g, scaler.ErrUnknownGroup))
			continue
		}
		if ours[to.driver] == nil {
			ours[to.driver] = map[string]string{}
		}
		ours[to.driver][to.name] = g
	}
	found := map[string]api.Capacity{}
	var mu sync.Mutex // guards found and faults
	var wg sync.WaitGroup
	for driver, names := range ours {
		wg.Go(func() {
			got, err := r.drivers[driver].Capacities(ctx, slices.Sorted(maps.Keys(names)))
			mu.Lock()
			defer mu.Unlock()
			for name, c := range got {
				if g, ok := names[name]; ok {
					found[g] = c
				}
			}
			if err != nil {
				faults = append(faults, err)
			}
		})
	}
	wg.Wait()
	return found, errors.Join(faults...)
}

// Scale implements scaler.Target.
func (r *router) Scale(ctx context.Context, group string, desired int) error {
	to, ok := r.routes[group]
	if !ok || r.drivers[to.driver] == nil {
		return fmt.Errorf("group %q: %w", group, scaler.ErrUnknownGroup)
	}
	return r.drivers[to.driver].Scale(ctx, to.name, desired)
}
