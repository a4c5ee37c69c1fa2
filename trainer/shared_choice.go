package trainer

import (
	"cmp"
	"context"
	"hash/fnv"
	"iter"
	"slices"

	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/feature"
)

// idle is the scale of a window, in the group's unit, below which it teaches
// nothing: what follows is nothing on it, or beyond all measure.
const idle = 1e-3

// windows makes the windows to learn from, of all groups, in the order of time and
// within a slot of name. Their targets are in their group's unit, their origins count on the timeline.
func (t *shared) windows(ctx context.Context, r recipe, spec models.Spec) (*windows, error) {
	first, test := firstOrigin(spec), t.timeline.split.TestStart()
	var able []*sharer
	var counts []int
	for _, g := range t.sharers {
		g.unit = g.data.change(spec.Target, spec.Horizon, t.timeline.split.ValidationStart()-g.late)
		// The last origin has one target before the test part.
		if n := min(g.data.Grid.Len(), test-1-g.late) - first; n > 0 && g.unit > 0 {
			able, counts = append(able, g), append(counts, n)
		}
	}
	share := quotas(counts, cmp.Or(t.config.SharedWindows, DefaultSharedWindows))
	chosen, quota := make(map[*sharer]iter.Seq[int], len(able)), make(map[*sharer]int, len(able))
	for i, g := range able {
		quota[g] = share[i]
		chosen[g] = choice(g.name(), g.data.Grid.Time(0).Unix()/int64(spec.StepSeconds), first, counts[i], share[i])
	}
	of := make(map[*sharer]*samples, len(able))
	for _, g := range able {
		of[g] = &samples{}
	}
	// Only to tell which windows are idle: it needs no fit.
	scales := feature.NewScaleFree(spec, r.window)
	err := t.each(able, "windows", collectCost, func(g *sharer) error {
		s, err := collectAt(ctx, spec, g.scaled(spec), quota[g], chosen[g])
		if err != nil {
			return err
		}
		g.gaps = s.gaps
		s.keep(spec, busy(scales))
		for i := range s.origins {
			s.origins[i] += g.late
		}
		s.forget(spec.Horizon, test)
		g.windows = s.len()
		*of[g] = *s
		return nil
	})
	if err != nil {
		return nil, err
	}
	var all []*samples
	for _, g := range able {
		all = append(all, of[g])
	}
	return newWindows(spec, merged(spec, all), t.config.Workers), nil
}

// busy reports whether a window has a scale.
func busy(set *feature.Set) func(series, context []float32) bool {
	space := set.NewWorkspace()
	return func(series, context []float32) bool { return set.Scale(space, series, context) >= idle }
}

// quotas shares out a budget of windows among groups that have so many: each may
// have as many as any other, and those that have fewer leave the rest to them.
func quotas(counts []int, budget int) []int {
	order := iota(len(counts))
	slices.SortStableFunc(order, func(a, b int) int { return counts[a] - counts[b] })
	out := make([]int, len(counts))
	for n, i := range order {
		out[i] = min(counts[i], max(1, budget/(len(order)-n)))
		budget = max(0, budget-out[i])
	}
	return out
}

// choice returns about quota of the count origins from first on, evenly spread and
// in no step with hours or days: those where the multiples of the golden ratio,
// less their whole part, fall below quota/count. A group begins at a place of its
// own, so that at any time some groups are chosen. slot is the number of the
// group's slot 0 from 1970 on; what is chosen depends on nothing else.
// Source: Knuth, The Art of Computer Programming 3, section 6.4, for the multiples.
func choice(group string, slot int64, first, count, quota int) iter.Seq[int] {
	const golden = 0x9E3779B97F4A7C15 // 2^64 divided by the golden ratio
	h := fnv.New64a()
	_, _ = h.Write([]byte(group))
	offset := h.Sum64()
	const precision = 53
	below := uint64(float64(quota) / float64(count) * (1 << precision))
	return func(yield func(int) bool) {
		for origin := first; origin < first+count; origin++ {
			at := (uint64(slot)+uint64(origin))*golden + offset
			if quota < count && at>>(64-precision) >= below {
				continue
			}
			if !yield(origin) {
				return
			}
		}
	}
}

// keep leaves out the windows for which good is false.
func (s *samples) keep(spec models.Spec, good func(series, context []float32) bool) {
	wide, extra := widths(spec)
	H, n := spec.Horizon, 0
	for i, origin := range s.origins {
		series, context := s.series[i*wide:][:wide], s.context[i*extra:][:extra]
		if !good(series, context) {
			continue
		}
		s.origins[n] = origin
		copy(s.series[n*wide:], series)
		copy(s.context[n*extra:], context)
		copy(s.target[n*H:], s.target[i*H:][:H])
		n++
	}
	s.origins, s.series, s.context, s.target = s.origins[:n], s.series[:n*wide], s.context[:n*extra], s.target[:n*H]
}

// merged returns the windows of all, by origin; of the same origin in the order of
// all.
func merged(spec models.Spec, all []*samples) *samples {
	type at struct{ origin, from, row int }
	var order []at
	out := &samples{}
	for from, s := range all {
		out.gaps += s.gaps
		for row, origin := range s.origins {
			order = append(order, at{origin, from, row})
		}
	}
	slices.SortFunc(order, func(a, b at) int { return cmp.Or(a.origin-b.origin, a.from-b.from) })
	wide, extra := widths(spec)
	H, n := spec.Horizon, len(order)
	out.origins = make([]int, 0, n)
	out.series, out.context, out.target = make([]float32, 0, n*wide), make([]float32, 0, n*extra), make([]float32, 0, n*H)
	for _, o := range order {
		s := all[o.from]
		out.origins = append(out.origins, o.origin)
		out.series = append(out.series, s.series[o.row*wide:][:wide]...)
		out.context = append(out.context, s.context[o.row*extra:][:extra]...)
		out.target = append(out.target, s.target[o.row*H:][:H]...)
	}
	return out
}
