// Package gate judges models by what came of them: whether a challenger may
// replace the champion ([Config.Judge]), whether a promoted one has to give way
// to its predecessor again ([RollBack.Judge]), and whether the world has moved
// away from what a model was trained on ([Drift.Judge]). It is pure: plain data in,
// a verdict with every figure and limit out; no I/O, no clock, no log. It trains,
// backtests and moves nothing itself.
//
// Invariants, held by property tests:
//
//   - A figure that is missing, NaN or infinite never speaks for a change: what is
//     not known promotes nothing, rolls nothing back and asks for no retraining.
//   - A challenger that costs, violates, leaves unserved, errs or weighs more than
//     another one, everything else being equal, is not promoted where that is not.
//   - The same input gives the same verdict, byte for byte.
package gate
