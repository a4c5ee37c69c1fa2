// Package engine learns from one batch at a time on all cores. It cuts a batch
// into shards of a fixed number of rows, computes the loss and gradient of each
// on a tape of its own, adds the gradients up, and takes one step of the
// optimiser.
//
// It knows nothing of networks and data: a [Loss] brings both. It starts
// goroutines for the time of a call only.
//
// Invariant: results do not depend on the number of workers or on timing. What
// is summed, and in which order, follows from the number of rows of a batch and
// of a shard alone. Once each worker has met a shard of the largest size, a step
// allocates nothing.
package engine
