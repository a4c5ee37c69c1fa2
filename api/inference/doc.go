// Package inference is the Open Inference Protocol (KServe's V2) over gRPC: the
// messages, a client and the interface of a server, generated from
// open_inference.proto by `make proto`.
package inference
