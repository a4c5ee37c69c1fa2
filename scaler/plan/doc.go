// Package plan decides how many instances a group shall have. It is pure: no
// I/O, no clock, no randomness, no log. Whatever a decision depends on is an
// argument of [Decide], so that the same arguments give the same decision in
// production, in a backtest and in a bug report (testdata holds scenarios).
//
// A decision is made in stages, each of which leaves its [api.Reason]:
//
//	evidence    what is known, and how far it may be trusted: the forecast is
//	            checked, the metrics' age is measured, starting instances and
//	            instances that will never start are told apart
//	learning    the newest slot enters what the group's past says of its forecasts
//	            ([Calibration]), and the forecast becomes a distribution ([Outlook])
//	safety      whether that is trusted ([Safety], [Trust])
//	policy      what the evidence asks for ([Policy]: [Cost], [Target],
//	            [Threshold]), within the [Schedule], and what a breach needs
//	guardrails  what is left of it ([Guard], [Cooldown], [Bounds], rivals, orders)
//
// After the decisions of all groups, [ApplyBrake] may hold every scale-in.
//
// Invariants, held by property tests whatever the arguments are:
//
//   - The result lies within the bounds, or between the bounds and where the
//     group already is: a guardrail never turns a wish to hold or to grow into a
//     scale-in, not even when somebody has raised the group above its maximum.
//   - Without fresh metrics nothing is ever scaled in. A missing value is never
//     read as zero.
//   - A higher forecast never yields a smaller group.
//   - Without knowledge of the capacity nothing is decided at all.
//
// # What CPU means here
//
// Load is demand, in instance-equivalents (api.SeriesDemand), and a CPU figure is
//
//	cpu = 100 · demand / desired     [percent]
//
// over the *desired* capacity, which counts the instances that are starting. An
// instance that boots slowly is thus not ordered twice, and the CPU that a young
// group shows while half of it still starts does not run away with it. The one
// exception are instances that have been missing for longer than the lead time
// and a step: they are taken for stuck, do not count as help, and do not stand
// in the way of any change (see Evidence.Serving).
package plan
