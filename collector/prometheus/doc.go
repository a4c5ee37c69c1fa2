// Package prometheus reads the results of PromQL expressions from a Prometheus
// server, or from anything that speaks its HTTP interface (Thanos, Mimir,
// VictoriaMetrics), with query_range. Istio's metrics, the replicas that
// kube-state-metrics counts and the CPU of containers are presets: expressions
// that need no writing. It does not parse PromQL; the server does.
//
// # Which evaluation describes which slot
//
// Prometheus evaluates an expression AT a time and looks back from it. The slot
// [t, t+S) is therefore described by the evaluation at its end, t+S:
//
//	increase(x[S]) at t+S  speaks of  (t, t+S]  and becomes the slot t
//
// Fetch of [from, to) asks for evaluations from from+S to to, both included, and
// gives the point at T to the slot T-S. Taking the point at t for the slot t would
// describe each slot by the one before it: every model would see the load a step
// late. Taking the one at t+2S would show it the future. Expressions that look
// elsewhere than back (offset -5m, @) are refused for the same reason. In an
// expression $step is replaced by the length of a slot, for example 300s.
//
// # What PromQL does by itself
//
//   - rate() and increase() handle counter resets, and extrapolate from the scrapes
//     in the window to its edges: a count may be a fraction, and what happens
//     between the last scrape of a slot and the first of the next is estimated. A
//     raw counter says nothing of a slot; an expression in which one can be
//     recognised (…_total or …_bucket outside of rate and its like) is refused.
//   - An instant selector takes the last scrape of up to 5 minutes before. For a
//     gauge avg_over_time(x[$step]) says more of a slot than its last scrape does.
//   - 0/0 is NaN: the mean of no requests is missing, not zero. NaN and infinities
//     become no sample.
//
// # Trust
//
// An answer is bounded in size; one that would be too large is asked for in
// halves. An answer that the server calls incomplete (a warning that is not about
// the expression, isPartial) is not taken: a sum over a part of the series would
// look like the truth. Points that were not asked for, and two result series of
// one group without a configured aggregation, are errors that name them. Errors
// hold what the server said, without the credentials that were sent.
package prometheus
