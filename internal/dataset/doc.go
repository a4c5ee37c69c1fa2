// Package dataset keeps samples as immutable Parquet parts on a blob store, and
// merges them when they are read. It is the data lake of Forescale: collectors
// append, trainers and scalers scan. It does not resample or fill gaps; that is
// internal/window.
//
// # Parts
//
// A part holds what one writer learned in one interval about one UTC day:
//
//	open/date=YYYY-MM-DD/<interval start>/<escaped writer>-<sha256 of the rows>.parquet
//
// One object holds all groups of a tick. Its columns are group, metric, stat
// (strings), time, ingested_at (UTC timestamps in microseconds) and value
// (double), sorted by group, metric, stat and time; any Parquet reader can read
// it. Parts are written with If-None-Match and never change, so writers cannot
// lose each other's rows, and a part is there whole or not at all.
//
// # Revisions
//
// A later part may state a (group, metric, stat, time) again. Readers merge: the
// row with the later ingested_at wins, and on a tie the one with the greater value.
//
// The sha256 in the key is taken over the rows without ingested_at. Appending
// the same rows for the same interval again, as a restarted collector does,
// therefore meets its own part and changes nothing: the ingested_at of the first
// write stands. One case needs more: when another part has overruled some of
// these rows since, appending them again is a new statement, not a repetition.
// It is then stored beside the first, with ingested_at at the end of the name,
// and wins by its time.
//
// # Closed days
//
// [Dataset.Compact] turns the parts of days that have ended into few large files,
//
//	closed/date=YYYY-MM-DD/part-<number>-of-<files>.parquet
//
// with the same columns, the winners only, sorted as parts are, in row groups that
// are small enough for a reader of one group to read about a hundredth of a day.
// Each file has its key for good and is replaced as a whole, by compare-and-swap,
// with the join of itself and late parts; and it says which parts it stands for.
// Readers list the parts before the files and leave out the parts that the files
// stand for. They are exact at every moment, and so is any reader of the closed
// files alone for what these cover: docs/data-lake.md and ADR 15.
//
// # What readers trust
//
// Nothing. A part that is cut short, is not Parquet, fails a checksum, claims
// more than its bytes can hold, or states impossible rows, is reported as
// *CorruptError and left out, without hiding the other parts. To bound the
// memory that a hostile part can ask for before anything is allocated, only the
// subset of Parquet that this package writes is read: required columns, plain
// encoding and snappy in parts, dictionaries for names and zstd in closed files,
// whose row groups and footer have hashes of their own.
//
// # Recent
//
// recent/ is a cache of what windows need, beside open/ and closed/: see Recent and
// Refresher. It holds nothing that is not in the lake, names the parts that it was
// made of, and may be deleted at any time (ADR 16).
package dataset
