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
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/scaler"
	"github.com/forescale/forescale/scaler/asg"
)

// Drivers are the names that a group's target may have.
var Drivers = []string{driverASG, driverKube}

// Validate returns all groups whose driver, account or name does not exist, and
// what is wrong with accounts, clusters and the election themselves, at once.
func Validate(cfg scaler.Config, common conf.Common) error {
	faults := append(accountFaults(cfg, common.AWS), kubeFaults(cfg, common.Kubernetes)...)
	faults = append(faults, electionFaults(cfg, common.Kubernetes)...)
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
	accounts := opener{aws: common.AWS, log: log, throttles: map[[2]string]*asg.Throttle{}}
	open := map[string]scaler.Target{}
	for _, g := range cfg.Groups {
		key := instance(g)
		if open[key] != nil {
			continue
		}
		switch driver, _ := g.Route(); driver {
		case driverASG:
			t, err := accounts.open(ctx, g.Account, g.Region)
			if err != nil {
				return nil, err
			}
			open[key] = t
		case driverKube:
			t, err := openKube(common.Kubernetes, log)
			if err != nil {
				return nil, err
			}
			open[key] = t
		default:
			return nil, fmt.Errorf("target %q has no driver", driver)
		}
	}
	return NewRouter(cfg, open), nil
}

// NewRouter returns a target that sends each group to its driver under the name
// that the driver knows it by. Drivers are named as in the configuration, and
// DRIVER/ACCOUNT/REGION where a group names an account or a region. It offers
// scaler.Launches for those of them that do.
func NewRouter(cfg scaler.Config, drivers map[string]scaler.Target) scaler.Target {
	r := &router{drivers: drivers, routes: map[string]route{}}
	for _, g := range cfg.Groups {
		_, name := g.Route()
		r.routes[g.Name] = route{instance(g), name}
	}
	return r
}

type route struct{ driver, name string }

type router struct {
	drivers map[string]scaler.Target
	routes  map[string]route // by our name of the group
}

var _ scaler.Launches = (*router)(nil)

// Capacities implements scaler.Target; drivers are asked at the same time.
func (r *router) Capacities(ctx context.Context, groups []string) (map[string]api.Capacity, error) {
	return gather(r, groups, func(t scaler.Target, names []string) (map[string]api.Capacity, error) {
		return t.Capacities(ctx, names)
	})
}

// Launches implements scaler.Launches. Groups whose driver knows nothing of
// launches are absent.
func (r *router) Launches(ctx context.Context, groups []string, since time.Time) (map[string][]api.Launch, error) {
	return gather(r, groups, func(t scaler.Target, names []string) (map[string][]api.Launch, error) {
		if l, ok := t.(scaler.Launches); ok {
			return l.Launches(ctx, names, since)
		}
		return nil, nil
	})
}

// gather asks every driver for its share of the groups, all at the same time, and
// returns the answers under our names. The result counts beside an error.
func gather[T any](r *router, groups []string, ask func(scaler.Target, []string) (map[string]T, error)) (map[string]T, error) {
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
	found := map[string]T{}
	var mu sync.Mutex // guards found and faults
	var wg sync.WaitGroup
	for driver, names := range ours {
		wg.Go(func() {
			got, err := ask(r.drivers[driver], slices.Sorted(maps.Keys(names)))
			mu.Lock()
			defer mu.Unlock()
			for name, v := range got {
				if g, ok := names[name]; ok {
					found[g] = v
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
