// Package access says who may ask the server for what, and by which encryption.
//
// A caller is known by a bearer token, of which the configuration holds a SHA-256
// hash alone, or by the certificate that its connection was opened with. Each has
// some of five rights, none of which holds another. [Guard] judges a request,
// whichever protocol brought it; [Certificates] are what TLS is spoken with, read
// again while the server runs.
//
// Invariants:
//
//   - No token is in the configuration, in a log or in an error.
//   - A token is compared with all known hashes in a time that does not depend on
//     which of them it agrees with, nor in how many bytes.
//   - What is remembered of callers is bounded, however many there are.
//   - A certificate that cannot be used never replaces one that can.
package access
