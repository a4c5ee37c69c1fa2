package plan

import (
	"math"
	"slices"
	"time"

	"github.com/forescale/forescale/api"
)

// leadPrior is how many launches the configured lead time counts for.
const leadPrior = 10

// leadQuantile is the share of launches that have served by the lead time.
const leadQuantile = 0.95

// leadBounds keep what was learned from leaving the configured lead time by more
// than this factor: whoever wrote it down knew the order of magnitude.
const leadBounds = 4

// LearnLead returns the lead time of a group: the 95th percentile of what its
// launches took, among which the configured one counts as leadPrior launches.
// Launches that failed, or came out of a warm pool, say nothing of the others.
// With few launches the result is the prior; it never leaves a quarter to four
// times of it.
func LearnLead(prior time.Duration, launches []api.Launch) time.Duration {
	var took []time.Duration
	for _, l := range launches {
		if l.Failed == "" && !l.Warm && l.Took > 0 {
			took = append(took, l.Took)
		}
	}
	n := len(took)
	if n == 0 || prior <= 0 {
		return prior
	}
	slices.Sort(took)
	at := int(math.Ceil(leadQuantile*float64(n))) - 1
	weight := float64(n) / float64(n+leadPrior)
	learned := time.Duration(weight*float64(took[at]) + (1-weight)*float64(prior)).Round(time.Second)
	return max(prior/leadBounds, min(prior*leadBounds, learned))
}
