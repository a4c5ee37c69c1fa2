// Package window turns samples into a regular grid, cuts the grid into the
// windows that a model reads, and encodes a window into the model's tensors. It
// is the one home of the shape logic that training and serving share: the
// trainer calls [Slide] and [Encode], the scaler [Latest], the server [Encode],
// so what a model is served is what it was trained on.
//
// It is not a store and keeps no history. It does no I/O and does not log.
//
// Invariants:
//
//   - A missing value is NaN in a [Grid] and in a Window, null in JSON. Only
//     Encode replaces it, and says so in the mask channels where the Spec has them.
//   - Nothing in a Window depends on a value after its newest slot, except the
//     flags of the calendar, which are known in advance.
//   - A Window, sent as JSON and read back, encodes to the same floats.
//
// # Calendar features
//
// Spec.Calendar names features of the clock at the start of the newest slot, in
// Spec.TimeZone. Each takes a fixed number of places in the context row:
//
//	hour_of_day     6   sin, cos of 2πk·hour/24 for k = 1, 2, 3 (hour with its fraction)
//	minute_of_hour 10   sin, cos of 2πk·minute/60 for k = 1 … 5 (minute with its fraction)
//	day_of_week     7   one-hot, Monday first
//	weekend         1   1 on Saturday and Sunday
//	business_hours  1   1 from Monday to Friday, from 9:00 until before 17:00
//
// Any of them with _ahead, such as weekend_ahead, speaks of the slots forecast
// too: with n the newest slot it has these places for slot n, then for slot n+1,
// and so on until slot n+Horizon, (1+Horizon) times as many in all. A slot ahead
// starts a whole number of steps of real time after the newest one, so where the
// clocks are changed in between, its local time follows.
//
// The time zone database comes from the system. A binary that may run without
// one (a scratch container) imports time/tzdata.
package window
