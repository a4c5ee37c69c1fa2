// Package catalog keeps the champions of the model registry loaded: on demand,
// the most recently used within a memory budget, and renewed when the registry
// names another champion; and beside them the versions that are pinned, the newest
// and the shadow. It is not the registry and never writes to it.
//
// Invariants:
//
//   - A version serves only after it has been verified: its checksum, its graph
//     against its Spec, and its golden request.
//   - A version that fails never displaces the one that serves.
//   - A version that was displaced is destroyed when its last user has released
//     it, not before.
//   - What is loaded serves on while the registry is away.
package catalog
