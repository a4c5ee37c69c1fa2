// Package trainer fits a forecasting model to the history of one group and
// exports it: [Train] takes a grid of series and returns one self-contained ONNX
// file with its manifest, its report and its forecasts of the test part.
//
// It reads no files and no store, registers nothing and does not log; the
// commands do. It uses no cgo and no ONNX Runtime.
//
// # The parts of a history
//
// A history begins with the first slot in which the target is known. Its slots
// are cut in the order of time at 70 % and 80 % (score.NewSplit).
// Normalisation and parameters are fitted on the training part; the learning
// rate, the moment to stop and the choice of parameters rest on the validation
// part; the test part is only forecast. A window belongs to the part that its
// target slots lie in. One whose targets straddle two parts belongs to none:
// nothing that fits or chooses ever sees a target of a later part. Windows may
// look back into an earlier part, since that is the past.
//
// # Determinism
//
// The same configuration, seed and data give the same bytes of model.onnx,
// whatever the number of workers and however long they take: a batch is cut into
// shards of a fixed size, random numbers are functions of what they are for, and
// the shards' gradients are added in a fixed order. Budgets are counted in steps,
// never in seconds.
package trainer
