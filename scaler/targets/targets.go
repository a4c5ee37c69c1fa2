// Package targets opens the providers that a configuration names. It is the one
// place that lists the drivers.
package targets

import (
	"cmp"
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
var Drivers = []string{"asg"}

// Validate returns all groups whose driver or account does not exist, and what is
// wrong with the accounts themselves, at once.
func Validate(cfg scaler.Config, aws conf.AWS) error {
	faults := []error{aws.Validate()}
	for i, g := range cfg.Groups {
		if driver, _ := g.Route(); !slices.Contains(Drivers, driver) {
			faults = append(faults, fmt.Errorf("scaler.groups[%d] (%s): target: %q is not one of %v", i, g.Name, driver, Drivers))
		}
		if _, ok := aws.Accounts[g.Account]; g.Account != "" && !ok {
			faults = append(faults, fmt.Errorf("scaler.groups[%d] (%s): account: %q is not in aws.accounts", i, g.Name, g.Account))
		}
	}
	return errors.Join(faults...)
}

// Open returns one target for all groups of the configuration, by the names
// under which the lake knows them. Drivers log to log.
func Open(ctx context.Context, cfg scaler.Config, aws conf.AWS, log *slog.Logger) (scaler.Target, error) {
	if err := Validate(cfg, aws); err != nil {
		return nil, err
	}
	groups := opener{aws: aws, log: log, throttles: map[[2]string]*asg.Throttle{}}
	open := map[string]scaler.Target{}
	for _, g := range cfg.Groups {
		key := instance(g)
		if open[key] != nil {
			continue
		}
		switch driver, _ := g.Route(); driver {
		case "asg":
			t, err := groups.open(ctx, g.Account, g.Region)
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

// instance names the one of a driver's targets that a group belongs to: DRIVER,
// followed by /ACCOUNT/REGION when it names either.
func instance(g scaler.Group) string {
	driver, _ := g.Route()
	if g.Account != "" || g.Region != "" {
		return driver + "/" + g.Account + "/" + g.Region
	}
	return driver
}

// opener opens targets of Auto Scaling Groups.
type opener struct {
	aws       conf.AWS
	log       *slog.Logger
	throttles map[[2]string]*asg.Throttle // by account number ("": our own) and region
}

// open returns the target of one account, by its name in the configuration, and
// region. Those that turn out to be of the same account and region share their pace.
func (o *opener) open(ctx context.Context, account, region string) (scaler.Target, error) {
	by := o.aws.Accounts[account] // the zero value: our own credentials
	region = cmp.Or(region, by.Region, o.aws.Region)
	where := [2]string{by.Number(), region}
	if o.throttles[where] == nil {
		o.throttles[where] = asg.NewThrottle(o.aws.CallsPerSecond)
	}
	return asg.Open(ctx, asg.Config{
		Region: region, Endpoint: o.aws.AutoScalingEndpoint,
		Role: by.Role, ExternalID: by.ExternalID, STSEndpoint: o.aws.STSEndpoint,
		Throttle: o.throttles[where], LookCalls: o.aws.RivalCalls,
	}, o.log)
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
