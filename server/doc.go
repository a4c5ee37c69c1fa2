// Package server answers predictions over HTTP, from the models of the registry,
// and shows what the system knows and does.
//
// It keeps no history and makes no decision: a request carries all that its model
// needs. It reads the data lake and the scaler's journal only to show them.
//
// Invariants:
//
//   - Every error body is a problem (RFC 9457) that names the field at fault.
//   - A forecast that is handed out is finite.
//   - A window at fault spoils its own forecast and no other.
//   - Once the context of Run has ended, the server is not ready, answers what it
//     has accepted within the drain timeout, and leaves no goroutine behind.
package server
