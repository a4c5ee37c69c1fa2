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
// # Later drivers
//
// A source that is asked implements [Source]. A source that pushes (sensors)
// will implement Stream, {Name() string; Run(ctx, emit func([]api.Sample) error)
// error}, where emit returns only when the samples are safe and the message may
// be acknowledged; the tick then drains what was emitted through the same path
// as what was fetched.
package collector
