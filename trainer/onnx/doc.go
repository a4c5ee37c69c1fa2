// Package onnx writes the trainer's models as ONNX files, and reads and runs
// what it has written, in pure Go.
//
// [Graph] is a model in the making: constants, inputs and one method per
// operator. [Graph.Marshal] gives the bytes of a ModelProto, which any ONNX
// runtime runs. [Load] reads such bytes back into a [Program] whose Answer computes
// forecast and quantiles without a runtime, for backtests and for checking exports.
//
// It is not a general ONNX library. Load accepts exactly the operators and
// attributes that Graph writes, and refuses everything else by name: what it
// does not refuse, it computes as the ONNX specification says. Files come from
// outside, so Load and Run answer any bytes with an error at worst, never with a
// panic or with memory out of proportion. NaN and infinities come out as ONNX
// Runtime has them.
//
// Source: the message layout is onnx.proto3 and the operators are those of the
// ONNX operator specification, opset 17, IR version 8, and for trees of the domain
// ai.onnx.ml, opset 3.
package onnx
