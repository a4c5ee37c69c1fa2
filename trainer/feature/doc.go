// Package feature turns the encoded window of a model into what its members
// compute on: numbers of order one that say how the present differs from the
// past, and what is known of the slots to come.
//
// Almost everything is a change from the target's newest value, so that a shift
// of the level is no surprise. The changes are taken in a [Mode]: of the value
// itself, of its logarithm, or of its ratio to the last day's mean. With y_a the
// target a slots before the origin (its age), T the transformation of the mode
// and k the number of slots ahead, the features are
//
//	level           T(y_0)
//	lags            T(y_a) - T(y_0), a < Lookback, and whole days and weeks ago
//	                at the origin and, by the horizon, at the slot forecast
//	profiles        mean of T over the same slot of several days, weeks
//	rolling means   of T over the last hour, the lookback, the day
//	roughness       mean |T(y_a) - T(y_(a+1))|
//	other series    x_a - x_0, and x_0
//	flags, calendar at the origin, the slot forecast, and the slots lagged
//
// each centred and divided by its standard deviation in the training part, and
// then bent back (Hampel's three-part function): what lies within 5 deviations
// counts in full, what lies beyond 10 counts nothing. A value that far out says
// that the world is another one, as after a shift of the level, where yesterday
// has nothing to say; without it the forecast falls back on the newest value. The
// level is bent back twice as early.
//
// A [Set] computes them in Go for training, and adds the same computation to an
// ONNX graph, so that a model takes physical values and nothing else.
//
// Invariant: a feature of k steps ahead reads nothing after the origin but flags
// and the calendar, which are known in advance.
package feature
