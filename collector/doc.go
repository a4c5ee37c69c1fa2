// Package collector brings metrics from where they are measured into the data
// lake. It is not a store (internal/dataset) and knows no provider: drivers
// live in folders of their own and are listed by collector/sources alone.
//
// # The invariant
//
// Every sample that a source offers within the catch-up bound ends up in the
// lake once, whatever dies in between, and no sample is there that no source
// offered. It rests on three rules:
//
//   - Asking twice is harmless. The lake merges rows of the same series and slot,
//     so that a range may be fetched again at any time; what the lake holds
//     already is not written again.
//   - The mark moves last. For each source the collector remembers up to which
//     slot it has asked and stored ("through"), and which series failed since when
//     ("owed"). The mark is written after the samples, so that a crash in between
//     repeats work and never skips any.
//   - Missing stays missing. A slot without a value has no row: no zero, no
//     repetition of the last value.
//
// # A tick
//
// A tick T is a multiple of the step and the end of the newest complete slot
// [T-step, T). The collector asks each source for the look-back before T (three
// slots), because providers deliver points late and revise them. Then it pays
// what it owes: the hole that a stop of the process, of the store or of the
// source has left, oldest first, in chunks. Fresh data come first because the
// scaler waits for them.
//
// # Calendar flags
//
// The lake also keeps what the business calendar said at the time, so that its
// history is complete when the calendar file has moved on. A flag is stored as a
// sample of each group: the metric is the flag's name and the statistic
// api.StatAvg, so that its series is called like the flag. A flag is written
// only beside a slot that has a measured value of the group: it must never make
// a silent group look alive.
//
// # The spool of ticks
//
// A tick that the lake does not take goes to a spool on the local disk and is
// delivered later, oldest first. When a tick begins one of them is tried: while
// that fails the lake is asked for nothing else. When the lake is back the live
// range goes first, because the scaler waits for it; the rows' times of ingestion,
// which are those of their ticks, keep a late delivery from undoing a newer
// revision.
//
// The rule that keeps the marks true: in the memory of the process a tick on the
// spool counts as stored, so that it is not fetched twice. In the lake no mark is
// written while anything waits on the spool. What the lake says of itself is
// therefore true without this disk:
//
//   - killed while ticks wait: the marks in the lake are those of before the
//     outage. The next process delivers what waits, and asks the sources for the
//     hole as well; the lake has most of it by then.
//   - killed between a delivery and its removal from the spool: it is delivered
//     again, which is the same object.
//   - the disk is lost: sources are asked for all of it again. Sensors are not; what
//     they had sent and had acknowledged is lost with the disk.
//   - the spool is full, or a record of it is damaged: what went is owed by every
//     source, and fetched again. Sensors' samples in it are lost, counted and logged.
//
// Without a spool, as on AWS Lambda, a tick that the lake does not take moves no
// mark, and the next run fetches it again.
//
// # Streams
//
// A place that is asked implements [Source]; a place that pushes, [Stream]. Its
// readings go to a spool of their own, synced, before their message is acknowledged.
// They are in memory too, by cell (a metric of a group in a slot), until the slot
// has ended, its samples are stored, and stream.keep is over (or the memory is needed:
// a slot of the last hour never goes for that). A late reading revises
// its slot until then, and is dropped and counted after. What a sensor sends belongs
// to the slot of its own clock, however wrong that is within the bounds.
//
// The lake cannot add up two halves of a slot, so that a collector must have all
// readings of a group: of two that share the sensors of a group, or after the loss
// of a disk, the row that is made of more readings stays. A stream's readings of a
// slot are therefore in one collector, and its spool is on a disk that outlives it.
//
// # What is only looked at
//
// Gaps (slots without a value between two values of a series) are counted. A series
// that changes by a hundredfold or more and stays there for three slots is counted
// and logged, for its unit may have changed; nothing is corrected or left out,
// because a real jump looks the same. Another statistic is another series and is
// never mixed with the first. A negative value of a metric that is a sum by its
// nature (requests, bytes, events) comes from a counter that was reset, and is
// dropped and counted.
package collector
