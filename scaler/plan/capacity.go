package plan

import (
	"fmt"
	"math"
	"slices"
)

// tolerance keeps a demand that fills its instances exactly, up to rounding, from
// asking for one more.
const tolerance = 1e-9

// instances returns the smallest number that serves a demand at a utilisation of
// at most rho.
func instances(demand, rho float64) int {
	if !(demand > 0) {
		return 0
	}
	return int(min(math.Ceil(demand/rho-tolerance), maxInstances))
}

// span is a stretch of time that a choice of capacity answers for, step by step.
type span []Share

// Target keeps as much capacity as the demand does not exceed with a given
// probability: the forecast's quantile at a target utilisation.
//
//	n = least n with P(demand > Utilisation · n) ≤ 1 - Quantile
//
// where P is the mean over the time that n answers for. An order answers for the
// time from when it serves until the next one can; instances that are let go
// cannot be had back before that, so staying answers for all of the time until
// then, and at a fifth of the probability: who goes too soon comes back for more.
// No demand beyond Outlook.Believable is provided for.
type Target struct {
	Quantile    float64  `json:"quantile"`    // in (0, 1)
	Utilisation float64  `json:"utilisation"` // in (0, 1]; the group's Objective is usual
	Fallback    Fallback `json:"fallback"`
}

// Fallback is how capacity follows the live load where no forecast may be used.
type Fallback struct {
	// Utilisation is aimed at, in (0, 1]; it should be lower than with a forecast, since the load
	// of the lead time must fit in as well.
	Utilisation float64 `json:"utilisation"`
}

// stay is how many times as dear, or as improbable, it must be to be wrong about
// letting an instance go. Chosen on the first 80 % of the traces, for fewer
// actions at the same cost.
const stay = 5

// Name implements Policy.
func (Target) Name() string { return "target" }

// Want implements Policy.
func (t Target) Want(e Evidence) (int, string) {
	if e.Outlook == nil {
		return t.Fallback.want(e)
	}
	need := func(over span, risk float64) (int, string) {
		n := search(func(n int) bool { return e.risk(over, t.Utilisation*float64(n)) <= risk })
		most := 0
		for _, share := range over {
			most = max(most, instances(e.Outlook.Believable(share.Step), t.Utilisation))
		}
		n = min(n, most)
		return n, fmt.Sprintf("%d for the %.4g quantile of demand in steps %s at %.0f %%", n, 1-risk, over, 100*t.Utilisation)
	}
	risk := 1 - t.Quantile
	return settle(e, func(over span) (int, string) { return need(over, risk) },
		func(over span) (int, string) { return need(over, risk/stay) })
}

// Cost keeps as much capacity as pays: it weighs the price of an instance against
// the price of a violation, step by step.
//
//	n = max over the steps of argmin_n  n · p + v · w_k · P(demand_k > Utilisation · n)
//
// with p the price of an instance-minute, v that of a violation minute and w_k
// the share of the time, of which n answers for, that falls into step k. The
// quantile that is covered follows from it: a narrow forecast is covered almost
// surely, because that costs little, and a wide one less so. It is never less
// than leastCovered, below which a cheaper group would be bought with certain
// violations. To decide what may go, a violation counts stay times as much. No
// demand beyond Outlook.Believable is paid for at any price.
type Cost struct {
	InstanceHour float64 `json:"instance_hour"` // price, > 0
	// ViolationMinute is the price of a minute with more load than the group's
	// objective allows. 0: as much as ViolationPeaks says.
	ViolationMinute float64 `json:"violation_minute"`
	// ViolationPeaks, in place of ViolationMinute, prices a violation minute at so
	// many minutes of the whole group at its usual daily peak: a measure that is
	// the same for groups of all sizes.
	ViolationPeaks float64  `json:"violation_peaks"`
	Utilisation    float64  `json:"utilisation"` // in (0, 1]
	Fallback       Fallback `json:"fallback"`
}

// DefaultViolationPeaks prices a violation minute of a group whose owner has not
// said what it is worth. Chosen on the first 80 % of the traces, the same for all.
const DefaultViolationPeaks = 8

// leastCovered is the quantile of each step that Cost covers at any price.
const leastCovered = 0.95

// Name implements Policy.
func (Cost) Name() string { return "cost" }

// price returns the price of a violation minute in instance-minutes.
func (c Cost) price(e Evidence) float64 {
	if c.ViolationMinute > 0 {
		return c.ViolationMinute / (c.InstanceHour / 60)
	}
	return c.ViolationPeaks * max(leastPeak, e.UsualPeak/c.Utilisation)
}

// leastPeak, in instances, stands for the usual peak of a group that has hardly
// any load.
const leastPeak = 2

// Want implements Policy.
func (c Cost) Want(e Evidence) (int, string) {
	if e.Outlook == nil {
		return c.Fallback.want(e)
	}
	price := c.price(e)
	need := func(price float64) func(over span) (int, string) {
		return func(over span) (int, string) {
			most, at, why := -1, 0, ""
			for _, share := range over {
				n, limit := c.worth(e, share, price), "one more is not worth its price"
				if believed := instances(e.Outlook.Believable(share.Step), c.Utilisation); n > believed {
					n, limit = believed, "more is not believed to be needed"
				}
				if n > most {
					most, at, why = n, share.Step, limit
				}
			}
			return most, fmt.Sprintf("%d cover step %d with probability %.4f, %s (a violation minute costs %.4g instance-minutes)",
				most, at, 1-e.Outlook.Exceeds(at, c.Utilisation*float64(most)), why, price)
		}
	}
	return settle(e, need(price), need(stay*price))
}

// worth returns the number of instances that pays for a step. Where the density
// falls, the sum of both costs has one minimum beyond the quantile that is
// covered in any case, and it is the last n that saves more than it costs:
//
//	P(demand > ρ (n-1)) - P(demand > ρ n)  >  p / (v w)
func (c Cost) worth(e Evidence, share Share, price float64) int {
	exceeds := func(n int) float64 { return e.Outlook.Exceeds(share.Step, c.Utilisation*float64(n)) }
	median := instances(float64(e.Outlook.Steps[share.Step-1].Median), c.Utilisation)
	least := max(median, search(func(n int) bool { return exceeds(n) <= 1-leastCovered }))
	gain := 1 / (price * share.Weight)
	return least + search(func(more int) bool { return exceeds(least+more)-exceeds(least+more+1) <= gain })
}

// search returns the least number for which ok holds, at least 0 and at most
// maxInstances; from there on it must hold for all.
func search(ok func(n int) bool) int {
	high := 1
	for ; high < maxInstances && !ok(high-1); high *= 2 {
	}
	low := high / 2 // everything below it fails
	for low < high {
		if mid := (low + high) / 2; ok(mid) {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return min(high, maxInstances)
}

// settle returns what stands between what must come and what may go: out is
// needed from when an order serves, and keep must not be let go.
func settle(e Evidence, order, hold func(over span) (int, string)) (int, string) {
	out, why := order(e.Order)
	if out > e.Desired {
		return out, why
	}
	keep, kept := hold(e.Hold)
	switch {
	case keep >= e.Desired:
		return e.Desired, fmt.Sprintf("%s; held, since to go is riskier: %s", why, kept)
	case keep > out:
		return keep, fmt.Sprintf("%s; kept, since to go is riskier: %s", why, kept)
	}
	return out, why
}

// want follows the live load.
func (f Fallback) want(e Evidence) (int, string) {
	demand := e.LiveDemand()
	if math.IsNaN(demand) {
		return e.Desired, "the live load is unknown: hold"
	}
	n := instances(demand, f.Utilisation)
	return n, fmt.Sprintf("%d for the live load of %.2f instance-equivalents at %.0f %%", n, demand, 100*f.Utilisation)
}

// risk returns the mean probability, over a span, that the demand is greater than
// what is given.
func (e Evidence) risk(over span, demand float64) float64 {
	risk := 0.0
	for _, s := range over {
		risk += s.Weight * e.Outlook.Exceeds(s.Step, demand)
	}
	return risk
}

// String names the steps of a span.
func (s span) String() string {
	first := slices.MinFunc(s, func(a, b Share) int { return a.Step - b.Step }).Step
	last := slices.MaxFunc(s, func(a, b Share) int { return a.Step - b.Step }).Step
	if first == last {
		return fmt.Sprint(first)
	}
	return fmt.Sprintf("%d to %d", first, last)
}
