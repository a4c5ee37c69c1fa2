package scaler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/window"
)

// recentSlots is how many slots back the newest measured load is looked for.
// What is older tells nothing of the present.
const recentSlots = 12

// past is the history of the groups, as far as a tick knows it. A grid is nil
// where nothing is known.
type past struct {
	recent func(group string) *window.Grid // every series of the newest slots
	deep   func(group string) *window.Grid // at least the series that the models read, as far back as they look
	slots  int                             // how far back that is
	// shallow says that deep knows the slots that windows are cut from, and no others.
	// A grid is then good until the next one is asked for.
	shallow bool
}

// tailed is what a History may offer besides: to be read on from where the last
// tick ended. dataset.Dataset does.
type tailed interface {
	Tail(grain time.Duration) *dataset.Tail
}

// memory is the history that a process keeps from tick to tick, so that the weeks
// that models look back are read once and not at every tick. It holds nothing
// that is not in the lake, and a new process reads it anew.
type memory struct {
	tail         *dataset.Tail
	recent, deep *window.History
	series       []string // of deep, sorted
	end          time.Time
}

// maxRemembered bounds the values of memory.deep: two gigabytes. A fleet that
// needs more is read anew at every tick.
const maxRemembered = 256 << 20

// remember reads as much history of the groups as their models need. On a fault
// what came beside it counts, and what was known before.
func (t *tick) remember(ctx context.Context, w *seen) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Deadlines.History)
	defer cancel()
	depth, series := t.reach()
	w.past = past{slots: depth}
	lake, lasting := t.deps.History.(tailed)
	var err error
	switch {
	case t.brief(ctx, depth, series, &w.past, &err):
	case lasting:
		err = t.readOn(ctx, lake, depth, series, &w.past)
	default:
		err = t.readAll(ctx, depth, &w.past)
	}
	if err != nil {
		w.histErr = errors.Join(w.histErr, fmt.Errorf("history: %w", err)) // of both readings, if there are two
	}
}

// readAll reads the whole depth, and keeps nothing.
func (t *tick) readAll(ctx context.Context, depth int, p *past) error {
	from := t.at.Add(-time.Duration(depth) * t.step)
	samples, err := t.deps.History.Scan(ctx, dataset.Query{Groups: t.names, From: from, To: t.at})
	grids := window.FromSamples(samples, t.step, from, t.at)
	for _, g := range grids {
		g.AddDemand()
	}
	p.deep = func(group string) *window.Grid { return grids[group] }
	p.recent = p.deep
	return err
}

// readOn brings the memory up to date, or begins a new one when it does not go
// back far enough, lacks a series, or is ahead of this tick.
func (t *tick) readOn(ctx context.Context, lake tailed, depth int, series []string, p *past) error {
	m := t.memory
	if !m.fits(depth, series, t.at) {
		m = newMemory(lake, t.step, depth, series, t.at)
	}
	err := m.readOn(ctx, t.at, t.names)
	p.recent, p.deep = m.recent.Grid, m.deep.Grid
	if t.memory, t.loading = m, nil; depth*len(series)*len(t.names) > maxRemembered {
		t.memory = nil
	}
	return err
}

// newMemory returns a memory that knows nothing yet.
func newMemory(lake tailed, step time.Duration, depth int, series []string, at time.Time) *memory {
	return &memory{tail: lake.Tail(step), series: series, end: at,
		recent: window.NewHistory(step, recentSlots, at, nil),
		deep: window.NewHistory(step, depth, at, func(name string) bool {
			_, found := slices.BinarySearch(series, name)
			return found
		})}
}

// fits reports whether the memory, which may be nil, is one of such a kind and not
// ahead of a tick.
func (m *memory) fits(depth int, series []string, at time.Time) bool {
	return m != nil && m.deep.Slots() == depth && slices.Equal(m.series, series) && !m.end.After(at)
}

// readOn brings the memory up to date for a tick. After an error the next call goes
// on where this one ended.
func (m *memory) readOn(ctx context.Context, at time.Time, groups []string) error {
	m.recent.Advance(at)
	m.deep.Advance(at)
	m.end = at
	return m.tail.Next(ctx, m.deep.Start(), at, groups, func(lo, hi time.Time, samples []api.Sample) {
		m.recent.Put(samples[0].Group, lo, hi, samples)
		m.deep.Put(samples[0].Group, lo, hi, samples)
	})
}

// reach returns how many slots of history the models of this tick read, and which
// series: theirs, and those that demand is derived from.
func (t *tick) reach() (slots int, series []string) {
	slots = recentSlots
	all := map[string]bool{api.MetricCPU: true, api.MetricInService: true, api.SeriesDemand: true}
	if units := t.unitSeries(); len(units) > 0 {
		slots = max(slots, t.unitSlots())
		for _, name := range units {
			all[name] = true
		}
	}
	seen := map[version]bool{}
	for _, m := range t.manifests {
		v := version{m.Name, m.Version}
		if seen[v] {
			continue
		}
		seen[v] = true
		slots = max(slots, m.Spec.Lookback)
		for _, name := range slices.Concat(m.Spec.Series, m.Spec.Future) {
			all[name] = true
		}
		for _, lag := range m.Spec.Lags {
			all[lag.Series] = true
			slots = max(slots, lag.Offsets[len(lag.Offsets)-1]+1)
		}
	}
	return slots, slices.Sorted(maps.Keys(all))
}
