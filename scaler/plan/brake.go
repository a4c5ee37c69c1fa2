package plan

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/forescale/forescale/api"
)

// DefaultBrake is the share of a fleet that may wish to scale in at once.
const DefaultBrake = 0.2

// brakeLeast is the number of groups with a known capacity from which on shares
// mean anything: of two groups, one is half of the fleet.
const brakeLeast = 10

// DefaultBrakeHold is how long the brake holds everything.
const DefaultBrakeHold = 30 * time.Minute

// ApplyBrake pulls the fleet-wide brake when more than limit of the groups, or of
// their instances, wish to scale in at one tick: then every such wish is held.
// Groups do not empty all at once; what looks like it is a fault that they share,
// such as a metric that reads zero everywhere. It returns nil when it did not
// have to. A limit of 0 never brakes, and neither does a fleet of fewer than ten
// groups. Decisions that are not to be carried out count as well, and are held as
// well: they say what would be done.
//
// A whole region may go to bed at the same hour, and wishes that are held do not
// go away. From release on, unless it is zero, the brake therefore lets some
// through: of the groups whose forecasts agree with what is measured
// (api.SafetyPredictive), as many as stay within the limit at this tick. A fault
// that the groups share contradicts their forecasts, and goes on being held.
func ApplyBrake(limit float64, at, release time.Time, ds []api.Decision) *api.Brake {
	if limit <= 0 {
		return nil
	}
	b := api.Brake{Limit: limit, Release: release}
	groups, instances := 0, 0
	for _, d := range ds {
		if !d.Capacity.Known() {
			continue
		}
		groups++
		instances += d.Capacity.Desired
		if n := d.Capacity.Desired - d.Desired; n > 0 {
			b.Groups++
			b.Instances += n
		}
	}
	if groups < brakeLeast || instances == 0 {
		return nil
	}
	b.GroupShare, b.InstanceShare = float64(b.Groups)/float64(groups), float64(b.Instances)/float64(instances)
	if b.GroupShare <= limit && b.InstanceShare <= limit {
		return nil
	}
	let := map[int]bool{}
	if !release.IsZero() && !at.Before(release) {
		let = letThrough(limit*float64(groups), limit*float64(instances), at, ds)
		b.Let = len(let)
	}
	for i := range ds {
		if d := &ds[i]; d.Capacity.Known() && d.Desired < d.Capacity.Desired && !let[i] {
			d.Reasons = append(d.Reasons, api.Reason{Rule: RuleBrake, From: d.Desired, To: d.Capacity.Desired,
				Detail: fmt.Sprintf("%d of %d groups wish to remove %d of %d instances at once, limit %.0f %%: a fault that they share is likelier",
					b.Groups, groups, b.Instances, instances, 100*limit)})
			d.Desired = d.Capacity.Desired
			d.Outcome = api.Outcome{Status: api.OutcomeNone}
		}
	}
	return &b
}

// letThrough chooses, among the wishes to scale in that rest on a trusted forecast,
// some of at most so many groups and instances. Who comes first changes from tick
// to tick, so that none waits for good.
func letThrough(groups, instances float64, at time.Time, ds []api.Decision) map[int]bool {
	type wish struct {
		index, instances int
		turn             uint64
	}
	var wishes []wish
	for i, d := range ds {
		n := d.Capacity.Desired - d.Desired
		if !d.Capacity.Known() || n <= 0 || d.Basis != api.BasisPredictive || d.Safety != api.SafetyPredictive {
			continue
		}
		h := fnv.New64a()
		fmt.Fprintf(h, "%d/%s", at.Unix(), d.Group)
		wishes = append(wishes, wish{i, n, h.Sum64()})
	}
	slices.SortFunc(wishes, func(a, b wish) int { return cmp.Or(cmp.Compare(a.turn, b.turn), cmp.Compare(a.index, b.index)) })
	let := map[int]bool{}
	for _, w := range wishes {
		if groups < 1 || instances < float64(w.instances) {
			continue
		}
		let[w.index] = true
		groups, instances = groups-1, instances-float64(w.instances)
	}
	return let
}
