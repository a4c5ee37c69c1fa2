// Package backtest replays the decisions that ship over a history, beside the
// policies that they compete with, and says what each would have cost and saved.
//
// A policy with a knob is a [Policy]; [Policies] lists them. Those of package plan
// are flown by plan.Decide itself, at every end of a slot, with what a scaler would
// have known then: nothing here decides. Forecasts come through [Forecaster]; this
// package fits no model and knows of no trainer.
//
// # The parts of a history
//
// With N slots, n70 = floor(0.7 N) and n80 = floor(0.8 N):
//
//	[0, n70)      what the rehearsal's model may have learned from
//	[n70, n80)    the rehearsal: policy and knob are recommended by it
//	[n80, N)      the test: scored, and nothing is chosen by it
//
// [Run] replays every policy over the test part at each setting of its knob, and the
// recommendation rests on the same replay over the rehearsal, with forecasts of a
// model that has not seen it. What a policy learns online, it has been learning
// since n70 when the test begins, from the errors of that same model, as it would
// in production from those of the model before. Invariant, held by a test: no
// decision changes when what comes after it does.
package backtest
