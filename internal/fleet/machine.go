package fleet

import (
	"slices"
	"time"
)

// A pool counts units of capacity. In a group of weights a machine is a run of
// units with consecutive IDs that come and go together, and the first of them
// stands for it; in every other group each unit is a machine.

// leads reports whether a unit stands for a machine.
func (g *group) leads(id int) bool { return len(g.Weights) == 0 || g.weights[id] > 0 }

// weight returns the units of the machine that a unit stands for.
func (g *group) weight(id int) int { return max(1, g.weights[id]) }

// machines returns those of some units that stand for a machine, in the same
// order. The result is the caller's.
func (g *group) machines(units []Instance) []Instance {
	return slices.DeleteFunc(slices.Clone(units), func(i Instance) bool { return !g.leads(i.ID) })
}

// nextWeight returns the units of the machine that is launched next.
func (g *group) nextWeight() int {
	if len(g.Weights) == 0 {
		return 1
	}
	w := g.Weights[g.machineCount%len(g.Weights)]
	g.machineCount++
	return w
}

// adopt makes machines of the units that the simulation began with.
func (g *group) adopt(n int) {
	for id := 1; len(g.Weights) > 0 && id <= n; {
		w := min(g.nextWeight(), n-id+1)
		g.weights[id] = w
		id += w
	}
	for _, i := range g.sim.Pool.Serving() {
		g.opened(i)
	}
}

// remove takes a machine out of the pool.
func (g *group) remove(i Instance) bool {
	there := false
	for id := i.ID; id < i.ID+g.weight(i.ID); id++ {
		there = g.sim.Pool.Remove(id) || there
	}
	return there
}

// forget drops what is known of a machine that is gone and recorded.
func (g *group) forget(i Instance) {
	delete(g.weights, i.ID)
	delete(g.protected, i.ID)
	delete(g.names, i.ID)
}

// reconcile launches or removes machines until the group has what is desired. A
// group of weights may end up with more than that, never with less.
func (g *group) reconcile() {
	switch before := g.sim.Pool.Billed(); {
	case g.desired > before:
		g.grow(before)
	case g.desired+g.excess < before:
		g.shrink(before)
	}
}

// launch is a machine about to be launched.
type launch struct {
	lead  int // minutes
	units int
	name  string // of a machine out of the warm pool
}

func (g *group) grow(before int) {
	m := g.sim.Minute()
	if _, off := g.suspended[processLaunch]; off || m < g.launchAfter {
		return
	}
	var starts []launch
	var leads []int // by unit
	for missing := g.desired - before; missing > 0; {
		l := launch{units: g.nextWeight()}
		missing -= l.units
		if !g.fate(&l) {
			continue
		}
		starts = append(starts, l)
		for range l.units {
			leads = append(leads, l.lead)
		}
	}
	g.excess = max(0, before+len(leads)-g.desired)
	next := 0
	units := slices.Clone(g.sim.Pool.Order(m, before+len(leads), func() int { next++; return leads[next-1] }).Launched)
	for _, l := range starts {
		if len(g.Weights) > 0 {
			g.weights[units[0].ID] = l.units
		}
		if l.name != "" {
			g.names[units[0].ID] = l.name
		}
		g.launched(units[0], before, g.desired)
		units = units[l.units:]
	}
}

// fate decides what becomes of a launch and reports whether it begins at all. One
// that does not leaves a failed activity, and ends the attempt for a while.
func (g *group) fate(l *launch) bool {
	if name, ok := g.takeWarm(); ok {
		l.lead, l.name = g.WarmLead.draw(g.rng), name
		return true
	}
	switch trap := g.cloud.traps.launch(g.Name, g.now()); {
	case trap == nil:
		l.lead = g.Lead.draw(g.rng)
	case trap.Kind == LaunchFails || trap.Kind == LaunchQuota:
		g.launchFailed(trap.Kind)
		g.launchAfter = g.sim.Minute() + launchRetryMinutes
		return false
	case trap.Lead > 0:
		l.lead = int(trap.Lead / time.Minute)
	default:
		l.lead = Never
	}
	return true
}

// shrink gives starting machines up, the newest first, and then terminates those
// in service, the oldest first, but none that is protected.
func (g *group) shrink(before int) {
	if _, off := g.suspended[processTerminate]; off {
		return
	}
	surplus := before - g.desired
	for _, i := range slices.Backward(g.machines(g.sim.Pool.Pending())) {
		if w := g.weight(i.ID); w <= surplus && g.remove(i) {
			surplus -= w
			g.cancelled(i)
			g.forget(i)
		}
	}
	for _, i := range g.machines(g.sim.Pool.Serving()) {
		if w := g.weight(i.ID); w <= surplus && !g.protected[i.ID] && g.remove(i) {
			surplus -= w
			g.terminated(i, before, g.desired)
			g.forget(i)
		}
	}
}

// setProtection answers SetInstanceProtection.
func (c *Cloud) setProtection(form request) (any, *apiError) {
	g, err := c.named(form)
	if err != nil {
		return nil, err
	}
	on := form.Get("ProtectedFromScaleIn") == "true"
	ids := map[string]int{}
	for _, i := range g.machines(g.sim.Pool.Serving()) {
		ids[g.instanceName(i)] = i.ID
	}
	for _, name := range members(form, "InstanceIds") {
		if _, ok := ids[name]; !ok {
			return nil, validation("The instance %s is not part of Auto Scaling group %s.", name, g.Name)
		}
	}
	for _, name := range members(form, "InstanceIds") {
		g.protected[ids[name]] = on
	}
	return &struct{}{}, nil
}
