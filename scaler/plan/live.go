package plan

import (
	"fmt"
	"math"
)

// saturatedGrowth is by how much a group grows whose load nobody can measure,
// because it fills the instances: as often as a tick comes, up to overOrder times
// those that are in service. Those that have not come have not shown yet whether
// they are enough.
const saturatedGrowth = 1.25

// overOrder is how many times what the load needs is ordered at most to make up
// for instances that are stuck: whatever keeps them may keep the next ones too.
const overOrder = 2

// need is what the live load asks for.
type need struct {
	serve int    // instances that have to serve for it; 0: nobody knows
	size  int    // the group's size that makes sure of that
	why   string // one sentence with the numbers
}

// live returns what the live load needs to be within the objective. Instances
// that are stuck do not serve, and nobody knows whom a provider lets go first:
//
//	size = serve + Missing
//
// but the group grows to at most overOrder · serve by that, and where launches
// fail not at all: the provider is trying for what is missing already.
func (e Evidence) live(objective float64) need {
	var n need
	if e.Saturated {
		n.serve = min(int(math.Ceil(saturatedGrowth*float64(e.Serving))), max(e.Serving, overOrder*e.InService))
		n.why = fmt.Sprintf("CPU %s is saturated, and the demand may be anything: a quarter more than the %d that serve", percent(e.CPU), e.Serving)
		if e.InService < e.Serving {
			n.why += fmt.Sprintf(", to at most %d times the %d in service", overOrder, e.InService)
		}
	} else {
		demand := e.LiveDemand()
		if !(demand > 0) {
			return n
		}
		n.serve = instances(demand, objective)
		young := ""
		if e.Young > 0 && n.serve > e.Desired {
			// A start may keep an instance busy. Counted as load it would order more
			// instances, whose starts would order more.
			n.serve = max(e.Desired, instances(demand-float64(e.Young), objective))
			young = fmt.Sprintf(", of which up to %d may be instances that have just started,", e.Young)
		}
		n.why = fmt.Sprintf("the live load of %.2f instance-equivalents%s needs %d at %.0f %%", demand, young, n.serve, 100*objective)
	}
	n.size = n.serve
	if e.Missing > 0 {
		most := overOrder * n.serve
		if e.Failing {
			most = n.serve
		}
		n.size = min(n.serve+e.Missing, max(e.Desired, most))
		n.why += fmt.Sprintf(", besides %d that are stuck", e.Missing)
	}
	return n
}
