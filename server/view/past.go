package view

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/forescale/forescale/api"
)

// maxPast bounds the decisions that are remembered, over all groups: some 2 KB each.
const maxPast = 20_000

// past remembers the decisions of the groups that were looked at: a record never
// changes, and who looks at a group looks at it again and again. It is safe for
// concurrent use.
type past struct {
	mu    sync.Mutex
	by    map[string]*remembered // by group; guarded by mu, with what follows
	count int                    // decisions in all of them
	clock int                    // counts the uses
}

// remembered is what is known of one group. A tick whose record does not know the
// group has nil.
type remembered struct {
	at   map[int64]*api.Decision // by the tick's Unix time
	used int
}

// decisions returns those on a group at the given ticks, and reads the ones that are
// not remembered. They are shared, and not to be changed.
func (p *past) decisions(ctx context.Context, journal Journal, group string, ticks []time.Time) ([]*api.Decision, error) {
	known := make(map[int64]*api.Decision, len(ticks))
	var unknown []time.Time
	p.mu.Lock()
	if r := p.by[group]; r != nil {
		p.clock++
		r.used = p.clock
		for _, tick := range ticks {
			if d, found := r.at[tick.Unix()]; found {
				known[tick.Unix()] = d
			}
		}
	}
	p.mu.Unlock()
	for _, tick := range ticks {
		if _, found := known[tick.Unix()]; !found {
			unknown = append(unknown, tick)
		}
	}
	var err error
	if len(unknown) > 0 {
		var read []api.Decision
		read, err = journal.Group(ctx, group, unknown)
		fresh := make(map[int64]*api.Decision, len(unknown))
		if err == nil { // what is not there never will be
			for _, tick := range unknown {
				fresh[tick.Unix()] = nil
			}
		}
		for i := range read {
			fresh[read[i].Tick.Unix()] = lean(&read[i])
		}
		p.remember(group, fresh)
		for at, d := range fresh {
			known[at] = d
		}
	}
	found := make([]*api.Decision, 0, len(ticks))
	for _, tick := range ticks {
		if d := known[tick.Unix()]; d != nil {
			found = append(found, d)
		}
	}
	return found, err
}

// remember adds decisions on a group. To make room, the groups go first that were
// looked at longest ago; more than all of the room is not remembered at all.
func (p *past) remember(group string, fresh map[int64]*api.Decision) {
	if len(fresh) > maxPast {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.by[group]
	if r == nil {
		r = &remembered{at: map[int64]*api.Decision{}}
		p.by[group] = r
	}
	p.clock++
	r.used = p.clock
	for at, d := range fresh {
		if _, known := r.at[at]; !known {
			p.count++
		}
		r.at[at] = d
	}
	for p.count > maxPast {
		p.shrink()
	}
}

// shrink forgets the group that was looked at longest ago; of the last one, the older
// half. past.mu is held.
func (p *past) shrink() {
	oldest := ""
	for group, r := range p.by {
		if oldest == "" || r.used < p.by[oldest].used {
			oldest = group
		}
	}
	r := p.by[oldest]
	if len(p.by) > 1 {
		p.count -= len(r.at)
		delete(p.by, oldest)
		return
	}
	times := make([]int64, 0, len(r.at))
	for at := range r.at {
		times = append(times, at)
	}
	slices.Sort(times)
	for _, at := range times[:len(times)/2+1] {
		delete(r.at, at)
		p.count--
	}
}

// lean leaves out of a decision what only serves to reach it again.
func lean(d *api.Decision) *api.Decision {
	d.Before, d.Flags, d.Shadow = nil, nil, nil
	if d.Forecast != nil {
		d.Forecast.Peaks = nil
	}
	return d
}

// plain is a decision without its forecast.
func plain(d *api.Decision) api.Decision {
	bare := *d
	bare.Forecast = nil
	return bare
}
