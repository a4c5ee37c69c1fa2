package view

import (
	"time"

	"github.com/forescale/forescale/api"
)

// addForecasts puts what had been forecast for each bucket, lead steps before, beside
// what came, and adds the newest forecast. Decisions are oldest first.
func addForecasts(out *api.GroupHistory, g grid, decisions []*api.Decision, lead int) {
	// The forecast for the lead reaches past the newest slot.
	wide := g
	wide.n += (lead + g.slots() - 1) / g.slots()
	point := newBuckets(wide.n)
	quantiles := map[string]*buckets{}
	var lowest, highest float64
	begin := time.Duration(lead-1) * g.step
	for _, d := range decisions {
		f := d.Forecast
		if f == nil || f.Error != nil || len(f.Point) == 0 || f.StepSeconds != out.StepSeconds {
			continue
		}
		scale := scaleOf(d, out.Target)
		out.Forecast = scaled(f, scale)
		at := f.IssuedAt.Add(begin)
		if len(f.Point) < lead || !wide.holds(at) {
			continue
		}
		i := wide.index(at)
		put := func(b *buckets, value float64) { b.add(api.Series{scale * value}, i, 1) }
		put(point, f.Point[lead-1])
		if n := len(f.Quantiles); n > 0 && len(f.Values) >= lead && len(f.Values[lead-1]) == n {
			lowest, highest = f.Quantiles[0], f.Quantiles[n-1]
			for j, q := range f.Quantiles {
				if quantiles[level(q)] == nil {
					quantiles[level(q)] = newBuckets(wide.n)
				}
				put(quantiles[level(q)], f.Values[lead-1][j])
			}
		}
	}
	out.Lead.Values, _, _ = point.done()
	out.Fan = api.Fan{LeadSteps: lead, Times: make([]time.Time, wide.n), Point: out.Lead.Values, Quantiles: map[string]api.Series{}}
	for i := range out.Fan.Times {
		out.Fan.Times[i] = wide.time(i)
	}
	for key, b := range quantiles {
		out.Fan.Quantiles[key], _, _ = b.done()
	}
	if lowest < highest {
		out.Lead.Level = []float64{lowest, highest}
		out.Lead.Low, out.Lead.High = out.Fan.Quantiles[level(lowest)], out.Fan.Quantiles[level(highest)]
	}
}

// scaled returns a forecast in another unit; the given one is shared.
func scaled(f *api.Forecast, by float64) *api.Forecast {
	if by == 1 {
		return f
	}
	out := *f
	out.Point = make([]float64, len(f.Point))
	for i, value := range f.Point {
		out.Point[i] = by * value
	}
	out.Values = make([][]float64, len(f.Values))
	for i, row := range f.Values {
		out.Values[i] = make([]float64, len(row))
		for j, value := range row {
			out.Values[i][j] = by * value
		}
	}
	return &out
}

// addCapacity adds the steps of the capacity. With one slot a bucket it is every
// tick; otherwise ticks that changed something, of those in a bucket the first, the
// last and the extremes.
func addCapacity(out *api.GroupHistory, g grid, decisions []*api.Decision) {
	var all []api.CapacityPoint
	for _, d := range decisions {
		if d.Tick.Before(out.From) || !d.Capacity.Known() {
			continue
		}
		c := d.Capacity
		all = append(all, api.CapacityPoint{At: d.Tick.UTC(), InService: c.InService, Pending: c.Pending, Before: c.Desired, Desired: d.Desired, Min: c.Min, Max: c.Max})
	}
	if g.slots() == 1 {
		out.Capacity = append(out.Capacity, all...)
		return
	}
	for begin := 0; begin < len(all); {
		end := begin + 1
		for end < len(all) && g.index(all[end].At) == g.index(all[begin].At) {
			end++
		}
		for _, i := range extremes(all[begin:end]) {
			p := all[begin+i]
			if n := len(out.Capacity); n > 0 && same(p, out.Capacity[n-1]) && begin+i < len(all)-1 {
				continue
			}
			out.Capacity = append(out.Capacity, p)
		}
		begin = end
	}
}

// same reports whether two points differ in their times alone.
func same(a, b api.CapacityPoint) bool {
	a.At = b.At
	return a == b
}

// extremes returns the indices, in order, of the first and last point and of those
// with the least and greatest capacity.
func extremes(points []api.CapacityPoint) []int {
	last := len(points) - 1
	keep := make([]bool, len(points))
	keep[0], keep[last] = true, true
	for _, value := range []func(api.CapacityPoint) int{
		func(p api.CapacityPoint) int { return p.InService }, func(p api.CapacityPoint) int { return p.Desired },
	} {
		low, high := 0, 0
		for i, p := range points {
			if value(p) < value(points[low]) {
				low = i
			}
			if value(p) > value(points[high]) {
				high = i
			}
		}
		keep[low], keep[high] = true, true
	}
	var kept []int
	for i, k := range keep {
		if k {
			kept = append(kept, i)
		}
	}
	return kept
}

// maxMarks bounds the marks of one answer.
const maxMarks = 500

// addMarks adds the newest decisions, and marks those that did something or were held.
// Of a group that is held by the same for tick after tick, the first one is marked.
func addMarks(out *api.GroupHistory, decisions []*api.Decision) {
	var marks []api.Mark
	held := ""
	for _, d := range decisions {
		if d.Tick.Before(out.From) {
			continue
		}
		m := markOf(d)
		now := ""
		if m.To == m.From && len(m.Clamps) > 0 {
			now = m.Clamps[len(m.Clamps)-1]
		}
		did := m.To != m.From || m.Moved != nil || m.Outcome == api.OutcomeFailed || m.Outcome == api.OutcomeSkipped
		if did || now != "" && now != held {
			marks = append(marks, m)
		}
		held = now
	}
	out.MarksLeftOut = max(0, len(marks)-maxMarks)
	for i := len(marks) - 1; i >= out.MarksLeftOut; i-- {
		out.Marks = append(out.Marks, marks[i])
	}
	for i := len(decisions) - 1; i >= 0 && len(out.Decisions) < maxDecisions; i-- {
		out.Decisions = append(out.Decisions, plain(decisions[i]))
	}
}

// markOf returns a decision as a mark. Its clamps are the rules that moved what the
// policy wanted.
func markOf(d *api.Decision) api.Mark {
	m := api.Mark{At: d.Tick.UTC(), From: d.Capacity.Desired, Wanted: d.Wanted, To: d.Desired, Mode: d.Mode, Policy: d.Policy, Basis: d.Basis,
		Safety: d.Safety, Moved: d.Moved, Outcome: d.Outcome.Status, Detail: d.Outcome.Detail, Alerts: d.Alerts, Reasons: d.Reasons}
	if m.Reasons == nil {
		m.Reasons = []api.Reason{}
	}
	wished := d.Wanted == d.Capacity.Desired // then every step away from it is a clamp
	for _, r := range d.Reasons {
		if wished && r.From != r.To {
			m.Clamps = append(m.Clamps, r.Rule)
		}
		wished = wished || r.To == d.Wanted
	}
	return m
}
