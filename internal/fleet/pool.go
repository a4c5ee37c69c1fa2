package fleet

import (
	"math"
	"slices"
)

// Never is the ready minute of an instance that is stuck: it starts for ever.
const Never = math.MaxInt

// Instance is one machine of a pool. Minutes count from the start of the demand.
type Instance struct {
	ID       int // unique within the pool, ascending in the order of launch
	Launched int // minute of the order
	Ready    int // minute from which it serves
}

// Pool is the instances of one fleet, and the only place where they come and go:
// the replay and the simulated cloud both run on it. The zero value is empty.
// It is not safe for concurrent use.
type Pool struct {
	launched int        // instances ever made: the last ID
	serving  []Instance // in service, the oldest first
	starting []Instance // ordered and not yet in service, the oldest order first
}

// Change is what an order did. Its slices are valid until the pool's next call.
type Change struct {
	Launched   []Instance
	Cancelled  []Instance // starting ones that will never serve
	Terminated []Instance // taken out of service
}

// NewPool returns a pool with n instances in service since minute m.
func NewPool(n, m int) *Pool {
	p := &Pool{}
	for range n {
		p.launched++
		p.serving = append(p.serving, Instance{ID: p.launched, Launched: m, Ready: m})
	}
	return p
}

// InService returns the number of instances that take load.
func (p *Pool) InService() int { return len(p.serving) }

// Starting returns the number of instances that were ordered and do not serve yet.
func (p *Pool) Starting() int { return len(p.starting) }

// Billed returns the number of instances that exist: in service and starting.
func (p *Pool) Billed() int { return len(p.serving) + len(p.starting) }

// Serving returns the instances in service. The caller must not change it.
func (p *Pool) Serving() []Instance { return p.serving }

// Pending returns the starting instances. The caller must not change it.
func (p *Pool) Pending() []Instance { return p.starting }

// Arrive puts the instances into service that are ready at minute m and returns
// them. It is called once at the start of each minute, before any order.
func (p *Pool) Arrive(m int) []Instance {
	if len(p.starting) == 0 {
		return nil
	}
	before := len(p.serving)
	p.starting = slices.DeleteFunc(p.starting, func(i Instance) bool {
		if i.Ready > m {
			return false
		}
		p.serving = append(p.serving, i)
		return true
	})
	return p.serving[before:]
}

// Order carries out, at minute m, a desired capacity that the caller has clipped
// to the fleet's bounds. lead gives each new instance its lead time in minutes;
// zero or less puts it into service at once.
func (p *Pool) Order(m, desired int, lead func() int) Change {
	if missing := desired - p.Billed(); missing > 0 {
		return Change{Launched: p.launch(m, missing, lead)}
	}
	surplus := p.Billed() - desired
	newest := len(p.starting) - min(surplus, len(p.starting))
	c := Change{Cancelled: p.starting[newest:]}
	surplus -= len(c.Cancelled)
	p.starting = p.starting[:newest:newest]
	c.Terminated, p.serving = p.serving[:surplus], p.serving[surplus:]
	return c
}

func (p *Pool) launch(m, n int, lead func() int) []Instance {
	made := make([]Instance, n)
	for i := range made {
		p.launched++
		made[i] = Instance{ID: p.launched, Launched: m, Ready: m}
		if l := lead(); l == Never {
			made[i].Ready = Never
		} else {
			made[i].Ready = m + max(0, l)
		}
		if made[i].Ready > m {
			p.starting = append(p.starting, made[i])
		} else {
			p.serving = append(p.serving, made[i])
		}
	}
	return made
}

// Remove takes the instance with the given ID out of the pool, whatever its
// state, and reports whether it was there.
func (p *Pool) Remove(id int) bool {
	is := func(i Instance) bool { return i.ID == id }
	before := p.Billed()
	p.serving = slices.DeleteFunc(slices.Clone(p.serving), is)
	p.starting = slices.DeleteFunc(slices.Clone(p.starting), is)
	return p.Billed() < before
}
