package fleet

import (
	"cmp"
	"math"
	"slices"
)

// Point is what one setting of a policy's knob leads to.
type Point struct {
	ViolationPct  float64
	InstanceHours float64
	Knob          float64
}

// Curve is what a policy can reach: the points that no other setting dominates,
// by ascending violations and thus descending instance-hours.
type Curve []Point

// NewCurve returns the curve through the points of a sweep. A point is dominated
// by one that is no worse in either measure and better in one; of equal points the
// one with the lesser knob stays.
func NewCurve(sweep []Point) Curve {
	points := slices.Clone(sweep)
	slices.SortStableFunc(points, func(a, b Point) int {
		return cmp.Or(cmp.Compare(a.ViolationPct, b.ViolationPct), cmp.Compare(a.InstanceHours, b.InstanceHours), cmp.Compare(a.Knob, b.Knob))
	})
	var c Curve
	for _, p := range points {
		if len(c) == 0 || p.InstanceHours < c[len(c)-1].InstanceHours {
			c = append(c, p)
		}
	}
	return c
}

// HoursAt returns the instance-hours at a violation percentage, linearly between
// the neighbouring points. It is not ok where the policy has more violations
// whatever it is set to. Where it always has fewer, its cheapest point answers:
// that keeps the limit as well.
func (c Curve) HoursAt(violationPct float64) (hours float64, ok bool) {
	if n := len(c); n > 0 && c[n-1].ViolationPct <= violationPct {
		return c[n-1].InstanceHours, true
	}
	p, ok := c.at(violationPct, func(p Point) float64 { return p.ViolationPct })
	return p.InstanceHours, ok
}

// ViolationAt returns the violation percentage at a number of instance-hours, as
// HoursAt does the other way round.
func (c Curve) ViolationAt(hours float64) (violationPct float64, ok bool) {
	// Negated, they ascend like the violations.
	p, ok := c.at(-hours, func(p Point) float64 { return -p.InstanceHours })
	return p.ViolationPct, ok
}

// at returns the place on the curve where a measure that ascends along it has a
// value.
func (c Curve) at(x float64, of func(Point) float64) (Point, bool) {
	i := slices.IndexFunc(c, func(p Point) bool { return of(p) >= x })
	switch {
	case i < 0 || math.IsNaN(x):
		return Point{}, false
	case of(c[i]) == x:
		return c[i], true
	case i == 0:
		return Point{}, false
	}
	a, b := c[i-1], c[i]
	w := (x - of(a)) / (of(b) - of(a))
	mix := func(a, b float64) float64 { return a + float64(w*(b-a)) }
	return Point{ViolationPct: mix(a.ViolationPct, b.ViolationPct), InstanceHours: mix(a.InstanceHours, b.InstanceHours), Knob: math.NaN()}, true
}
