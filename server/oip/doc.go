// Package oip is the Open Inference Protocol (KServe's V2) without a network: it
// reads inference requests from JSON, from JSON followed by binary tensors, and from
// gRPC messages into one Request, puts that to what a model says of its inputs
// (Bind), and writes the Response in the same three forms.
//
// Everything here comes from outside: nothing is allocated on the strength of a
// shape alone, and every *Error names the tensor or field at fault.
//
// The protocol: https://github.com/kserve/open-inference-protocol. The binary tensor
// extension is the one of https://kserve.github.io/website (Data Plane, V2).
package oip
