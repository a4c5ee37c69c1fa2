package fleet

import (
	"fmt"
	"slices"
)

// warmMachine is a machine of the warm pool.
type warmMachine struct {
	name  string
	ready int       // minute from which it may be taken
	entry *Activity // its launch into the pool, while that lasts
}

// takeWarm takes a machine that is ready out of the warm pool.
func (g *group) takeWarm() (name string, ok bool) {
	i := slices.IndexFunc(g.warm, func(w warmMachine) bool { return w.ready <= g.sim.Minute() })
	if i < 0 {
		return "", false
	}
	name = g.warm[i].name
	g.warm = slices.Delete(g.warm, i, i+1)
	return name, true
}

// fillWarm takes what is ready into the warm pool and launches what it lacks.
func (g *group) fillWarm() {
	for i := range g.warm {
		if w := &g.warm[i]; w.entry != nil && w.ready <= g.sim.Minute() {
			g.finish(w.entry, activitySuccessful)
			w.entry = nil
		}
	}
	if _, off := g.suspended[processLaunch]; off {
		return
	}
	for len(g.warm) < g.WarmPool {
		w := g.newWarm(g.sim.Minute() + g.Lead.draw(g.rng))
		w.entry = g.record("Launching a new EC2 instance into warm pool: "+w.name, fmt.Sprintf(
			"At %s an instance was started in response to a difference between desired and actual capacity, increasing the warm pool.", stamp(g.now())))
		w.entry.Status, w.entry.Progress = activityPreInService, 30
		g.warm = append(g.warm, w)
	}
}

func (g *group) newWarm(ready int) warmMachine {
	g.warmCount++
	return warmMachine{name: fmt.Sprintf("i-%017x", hash(g.Name, "warm", fmt.Sprint(g.warmCount))>>2), ready: ready}
}

func (g *group) warmConfiguration() *xmlWarmPool {
	return &xmlWarmPool{MinSize: g.WarmPool, PoolState: "Stopped"}
}

// describeWarmPool answers DescribeWarmPool.
func (c *Cloud) describeWarmPool(form request) (any, *apiError) {
	g, err := c.named(form)
	if err != nil {
		return nil, err
	}
	from, to, next, err := page(form, len(g.warm), warmPage)
	if err != nil {
		return nil, err
	}
	out := &xmlWarmPoolResult{NextToken: next}
	if g.WarmPool > 0 {
		out.Configuration = g.warmConfiguration()
	}
	for _, w := range g.warm[from:to] {
		state := "Warmed:Stopped"
		if w.ready > g.sim.Minute() {
			state = "Warmed:Pending"
		}
		out.Instances = append(out.Instances, xmlInstance{ID: w.name, Type: instanceType(1), AvailabilityZone: g.zone(), LifecycleState: state, HealthStatus: "Healthy"})
	}
	return out, nil
}

type xmlWarmPoolResult struct {
	Configuration *xmlWarmPool  `xml:"WarmPoolConfiguration"`
	Instances     []xmlInstance `xml:"Instances>member"`
	NextToken     string        `xml:"NextToken,omitempty"`
}
