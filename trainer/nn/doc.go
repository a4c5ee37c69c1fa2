// Package nn holds the networks that the trainer fits: which parameters they
// have, how these start, what they compute, and how that is written as an ONNX
// graph. The forward pass and its export stand beside each other, so that a
// change to one is seen to need the other.
//
// A network works on normalised numbers. What a normalised number means in
// physical units is the trainer's business, and so are data, losses and time.
//
// All parameters of a network are one flat vector, cut up by [Network.Params]:
// the optimiser, the reduction over batch shards and checkpoints treat it as a
// whole.
package nn
