// Package batch trains many groups in one run: in parallel within a memory
// budget, in shards over many machines, and resumable. [Run] takes the jobs and a
// function that trains one of them, and answers with a [Summary].
//
// It does not read data, does not know what a model is and writes nothing but its
// ledger: the command gives it jobs, and a function that trains and delivers.
//
// # What it guarantees
//
//   - A group that fails or panics stops no other. A full disk stops the run, since
//     no other group could be delivered either.
//   - At most so many bytes are in use as the jobs' own estimates say; one job
//     always runs, whatever it needs.
//   - A group is in the ledger if, and only if, it was delivered. A resumed run
//     trains what is not there, what failed, and what has changed since: its data,
//     its configuration or the program.
//   - Every group is in exactly one shard i of n, whatever other groups there are.
package batch
