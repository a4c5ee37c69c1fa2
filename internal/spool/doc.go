// Package spool is a log of records on the local disk: appended at its end, read
// in order, removed from its front. It holds what is to go elsewhere while
// elsewhere is away. It is no database: there are no keys, and nothing in the
// middle is ever removed.
//
// # What it promises
//
//   - Append returns nil only when its record is on disk: file and directory are
//     synced. Appends that come at the same time share one fsync.
//   - After kill -9 or the loss of power at any moment, Open finds every record
//     whose Append returned nil and that was not removed or dropped since, in
//     order, each whole. A record whose Append did not return may be there or not.
//     A record that was removed may be there again: what a reader does with
//     records must be harmless when done twice.
//   - It never takes more than Config.MaxBytes of disk, but for files that it found
//     not to be segments and set aside (".damaged", for somebody to look at). When it
//     is full, the oldest segment goes, and the records in it are counted as dropped.
//   - A full or failing disk is an error of Append and loses nothing of before; a
//     later Append may work again.
//   - Two processes cannot have the same spool open (flock, which the kernel
//     releases with the process).
//
// # On disk
//
// A directory of segments, each a file named by the sequence number of its first
// record, 20 decimal digits and ".log", and the file "lock". A segment begins with
// magic (8 bytes); records follow each other:
//
//	length  uint32, little-endian: of the payload, 0 to MaxRecord
//	check   uint32, little-endian: CRC-32C of sequence number, length and payload
//	payload
//
// The sequence number is not stored: it is the segment's plus the record's place.
// That it is part of the checksum keeps a record from being taken for another one.
// What does not check out ends its segment: at the end of the last one it is the
// torn tail of a crash; anywhere else it is damage, and what is missing up to the
// next segment is counted as lost. Nothing is ever appended behind a doubtful tail:
// each Open, and each failed write, begins a new segment. Where a failed write left
// more in its segment than it was credited with, the next segment's name says
// where that ends.
//
// A segment is deleted when all of its records were removed. How far the records
// of a segment were removed is not on disk.
package spool
