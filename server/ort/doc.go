// Package ort runs ONNX models on ONNX Runtime. It is the only package of the
// project that needs cgo and a shared library, which it looks for (Find) and
// loads once (Open).
//
// A model comes as bytes and never causes a file to be read: external data and
// operators from outside of the standard domains are refused before ONNX Runtime
// sees them (Check). A session is shared by any number of concurrent runs and is
// destroyed when the last of them has ended.
//
// Rows of several requests run in a lane: memory for one run at a time, with views of
// its first n rows made once for each n, which sessions whose rows are alike share.
package ort
