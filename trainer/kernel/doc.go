// Package kernel is the one place where the trainer's arithmetic meets the
// machine: matrix products, the LSTM cell, and the vector operations of a training
// step. Everything above it is written once for float32 (training) and float64
// (gradient checks).
//
// For float32 there are three sets of kernels, of which one is chosen when the
// program starts: avx512 and avx2, in Go assembly, where the processor has the
// instructions and the operating system saves the registers, and portable, in Go
// with gonum's BLAS, everywhere. The environment variable FORESCALE_KERNEL names
// another one; [Set] says which is in use and [Notice] why a choice was not
// followed. float64 is always portable.
//
// Invariant: results depend on the operands alone. Not on the number of
// processors or goroutines, on timing or on where in memory a slice begins. Nor
// does an element depend on its neighbours:
//
//   - An element of a product depends on its row of A, its column of B, what C
//     held before, and the set. So a batch may be cut into shards of any size. In
//     the assembly sets it is the sum, in order, of blocks of 256 terms, each a
//     chain of fused multiply-adds from zero; packing and transposition change
//     nothing. gonum adds in another order, and in yet another when an operand is
//     transposed.
//   - An element of a vector depends on the elements of the same index. avx512
//     and avx2 give the same bytes, for they do the same operations.
//   - [AddRows] adds row after row, [SumSquares] in sixteen fixed lanes, [Dot] in
//     an order that depends on the set. [Dropout] drops the same elements in all.
//
// In the assembly sets sigmoid is within 1.5e-7 and tanh within 1.8e-7 of the true
// value, relatively, over all of float32 (but sigmoid is never under 1e-38). NaN in
// gives NaN out, everywhere but in [ReLUBackward], which reads a NaN as not positive.
//
// A call runs on the goroutine that made it and allocates nothing; callers get
// their parallelism by working on several batch shards at once. The slices of one
// call must not overlap unless its documentation says that they may.
package kernel
