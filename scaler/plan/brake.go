package plan

import (
	"fmt"

	"github.com/forescale/forescale/api"
)

// DefaultBrake is the share of a fleet that may wish to scale in at once.
const DefaultBrake = 0.2

// brakeLeast is the number of groups with a known capacity from which on shares
// mean anything: of two groups, one is half of the fleet.
const brakeLeast = 10

// ApplyBrake pulls the fleet-wide brake when more than limit of the groups, or of
// their instances, wish to scale in at one tick: then every such wish is held.
// Groups do not empty all at once; what looks like it is a fault that they share,
// such as a metric that reads zero everywhere. It returns nil when it did not
// have to. A limit of 0 never brakes, and neither does a fleet of fewer than ten
// groups. Decisions that are not to be carried out count as well, and are held as
// well: they say what would be done.
func ApplyBrake(limit float64, ds []api.Decision) *api.Brake {
	if limit <= 0 {
		return nil
	}
	b := api.Brake{Limit: limit}
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
	for i := range ds {
		if d := &ds[i]; d.Capacity.Known() && d.Desired < d.Capacity.Desired {
			d.Reasons = append(d.Reasons, api.Reason{Rule: RuleBrake, From: d.Desired, To: d.Capacity.Desired,
				Detail: fmt.Sprintf("%d of %d groups wish to remove %d of %d instances at once, limit %.0f %%: a fault that they share is likelier",
					b.Groups, groups, b.Instances, instances, 100*limit)})
			d.Desired = d.Capacity.Desired
			d.Outcome = api.Outcome{Status: api.OutcomeNone}
		}
	}
	return &b
}
