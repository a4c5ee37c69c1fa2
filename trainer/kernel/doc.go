// Package kernel multiplies matrices: the one place where the trainer's
// arithmetic meets the machine. Everything above it is written once for float32
// (training) and float64 (gradient checks) against [Gemm].
//
// Invariant: the result depends on the operands alone, never on the number of
// processors or on timing. A call runs on the goroutine that made it; callers
// get their parallelism by working on several batch shards at once.
package kernel
