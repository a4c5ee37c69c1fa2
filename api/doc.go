// Package api is the vocabulary of Forescale: the types that cross a process or
// a storage boundary. It holds no behaviour beyond encoding and validation, and
// it imports no other package of the project, so that everything may import it.
//
// Conventions that hold for every type here:
//
//   - Times are UTC. An interval is half-open: a slot that starts at t covers
//     [t, t+step).
//   - Values are in the physical unit of their metric (see [Metrics]).
//   - A missing value is the absence of a row in storage, null in JSON and NaN
//     in memory. It is never zero.
package api
