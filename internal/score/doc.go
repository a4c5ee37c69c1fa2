// Package score measures forecasts: the errors of a model and of its baselines on
// the very same slots, the split of a history into parts, the training report and
// the table of predictions. It is pure: no I/O but to a given writer, no clock.
//
// With y the actual values, f the forecasts and e = f - y over n slots:
//
//	MAE      = Σ|e| / n
//	RMSE     = √(Σe² / n)
//	R2       = 1 - Σe² / Σ(y - mean y)²
//	MAPE     = 100 · Σ|e/y| / m, over the m slots with y ≠ 0
//	Accuracy = 100 - MAPE
//	WAPE     = Σ|e| / Σ|y|
//	MASE     = MAE / naive, the mean |y[i] - y[i-1]| of the training part
//	Skill    = 1 - MAE / MAE of the persistence on the same slots
//	Pinball  = mean over slots and levels q of max(q·(y-f), (q-1)·(y-f))
//
// A measure whose denominator is 0 is not defined: NaN here, null in JSON.
package score
