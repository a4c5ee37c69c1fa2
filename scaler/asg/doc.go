// Package asg scales EC2 Auto Scaling Groups. It is a scaler.Target and decides
// nothing: it reads sizes, names who else is at work, sets absolute desired
// capacities, and says truthfully whether that was accepted.
//
// # Calls
//
// The provider has one allowance of calls per account and region, for everybody.
// All calls of this process to one of them pass a [Throttle], which gives way when
// others need the allowance. A tick costs
//
//	groups/100              DescribeAutoScalingGroups, for the sizes
//	2 per changed group     one DescribeAutoScalingGroups, one SetDesiredCapacity
//	at most LookCalls       for everything else, below
//
// and no failure of the third kind, throttled or not, costs a tick anything: what
// was known before is said again.
//
// # Rivals
//
// Suspended processes, the warm pool and PredictedCapacity come with the sizes, at
// every tick. The rest needs calls of its own, which a look makes. A look happens
// at the first reading of sizes that comes at least [lookEvery] after the last one,
// thus once a tick, and makes at most LookCalls calls (B). It spends, in this order,
//
//	B/4   on pages of all scaling policies of the account and region (DescribePolicies)
//	B/4   on pages of all its scheduled actions (DescribeScheduledActions)
//	B/4   on suspects: groups whose instances come or go though desired capacity
//	      stands, that lack instances, or that were being refreshed at the last look
//	      (DescribeInstanceRefreshes, and DescribeScalingActivities when they lack any)
//	rest  on all groups in turn, the longest unread first (DescribeInstanceRefreshes)
//
// and passes on what one of them leaves over. With G groups, and P policies and S
// scheduled actions in the account, it follows that each group's
//
//	policies           are read again at least every ceil(P/100 / (B/4)) ticks,
//	scheduled actions  at least every ceil(S/100 / (B/4)) ticks,
//	instance refresh   at least every ceil(G / (B/4)) ticks, and while it moves
//	                   instances at the next tick, unless B/4 others do as well
//
// as long as the provider does not throttle and the time of a look suffices: it ends
// with the first call that is refused for its rate, after ten seconds, and after a
// third of what the caller's deadline leaves. For 10,000 groups with a policy and a scheduled action each and the
// default of B = 100 that is 4, 4 and at most 400 ticks; then the look costs five
// seconds at the default pace. Up to 25 groups, everything is read at every tick.
//
// A policy is no rival while it is disabled, or while the process that carries it
// out is suspended; nor is a predictive one that only forecasts. A scheduled action
// is one from an hour before its time.
//
// # What the provider's errors become
//
//	ScalingActivityInProgress, ResourceContention, throttling   scaler.ErrBusy
//	ValidationError: outside of the bounds                      scaler.ErrBounds
//	ValidationError: no such group                              scaler.ErrUnknownGroup
//	any other ValidationError or 4xx                            scaler.ErrRefused
//	no answer, 5xx                                              read back; open unless found
//
// The SDK tries throttling, contention and lost answers four times first. Group
// cooldowns are never honoured, so that neither they nor a stuck instance keep a
// group from growing.
package asg
