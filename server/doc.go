// Package server answers predictions over HTTP and gRPC, from the models of the
// registry, and shows what the system knows and does. Beside its own /predict it
// speaks the Open Inference Protocol (KServe's V2); docs/serving.md describes both.
//
// It keeps no history and makes no decision: a request carries all that its model
// needs. It reads the data lake and the scaler's journal only to show them.
//
// Invariants:
//
//   - Every error body names the field at fault. It is a problem (RFC 9457), or what
//     the Open Inference Protocol says under /v2 and over gRPC.
//   - A forecast that is handed out is finite.
//   - A window at fault spoils its own forecast and no other.
//   - Once the context of Run has ended, the server is not ready, answers what it
//     has accepted within the drain timeout, and leaves no goroutine behind.
package server
