// Package trainer fits a forecasting model to the history of one group and
// exports it: [Train] takes a grid of series and returns one self-contained ONNX
// file with its manifest, its report and its forecasts of the test part.
//
// It reads no files and no store, registers nothing and does not log; the
// commands do. It uses no cgo and no ONNX Runtime.
//
// # What a model is
//
// A model is a weighted mean of members. All of them read the same encoded window
// and answer physical values: linear models of the features (package feature) in
// several modes, fitted towards the absolute error; persistence and the seasonal
// naives; recurrent networks and boosted trees, which correct the linear models or
// persistence. Around the point lie quantiles, multiples of a learned spread, and
// the quantiles of the greatest value so far. Features, members, weights, guard
// and quantiles are nodes of one graph; Train compares that graph, run in pure Go,
// with what the members say before it returns it.
//
// # The parts of a history
//
// A history begins with the first slot in which the target is known. Its slots
// are cut in the order of time at 70 % and 80 % (score.NewSplit) into a training,
// a validation and a test part. A window belongs to the part that its target slots
// lie in. One whose targets straddle two parts belongs to none, but for the linear
// models, which are fitted step by step: there the one target counts. Windows may
// look back into an earlier part, since that is the past.
//
// # Early and late
//
// Each fitted member exists twice. The early one learned from the training part
// alone and says what the kind is worth on slots that it has not seen; the late
// one takes its place in the model and has learned from the validation part too,
// with what was chosen for the early one: the strength of regularisation, the
// number of epochs, of trees. The networks of the presets reference and advanced are
// not fitted again; there the early one is the late one. Nobody judges a late member before the test part.
//
//	part         what rests on it
//	training     scales and bounds of features, units of corrections, the reach of
//	             the guard, the early members
//	folds        two ends of the training part, each judged by models of what comes
//	             before it, and the validation part, judged by those of the training
//	             part: λ of the linear models, the weights of their modes, by that
//	             the mode of networks and trees, and the errors that the spread is
//	             learned from
//	validation   the moment to stop, the weights of members, the offsets of
//	             quantiles and of peaks; then the late members learn from it
//	test         nothing. It is forecast and scored
//
// The validation part is thus used several times. Its errors are a little smaller
// than those to come: intervals are widened for that (see interval), and no score
// of it is reported.
//
// Without linear members the spread is learned from the errors of the first member
// in the training part.
//
// # Determinism
//
// The same configuration, seed and data give the same bytes of model.onnx,
// whatever the number of workers and however long they take, on the same kernel
// set (package kernel): a batch is cut into shards of a fixed size, random numbers
// are functions of what they are for, and the shards' gradients are added in a
// fixed order. Budgets are counted in steps, never in seconds.
//
// So does a training that was interrupted and goes on from its [Checkpoint].
// Networks are kept after every epoch; what is quick, linear models and trees, is
// fitted again.
package trainer
