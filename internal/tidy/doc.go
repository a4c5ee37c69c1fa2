// Package tidy reads and writes time series as tidy CSV: a column called
// timestamp, then one column per metric or flag, one row per slot. It reads plain
// and gzipped files, refuses what it cannot read with an error that names the
// file, the line, the column, the text and the fix, and says in Table.Notes what
// it mended.
//
// It never invents a value: an empty cell, and a slot without a row, stay missing.
//
// # Timestamps
//
// RFC 3339 with or without a fraction; the same without a zone, which is then
// taken as UTC, with T or a blank between date and time; a date alone; Unix
// seconds, with or without a fraction.
//
// # Columns
//
// A column is_NAME is a flag of the calendar. A column NAME_label is a label that
// somebody gave the data afterwards: it is read and written, but it is no input,
// no flag, and not on the grid. All others are metrics.
//
// # From rows to slots
//
// The step is the most common difference between neighbouring rows. Rows that
// keep it exactly, gaps aside, keep their stamps too: 18:22:39.75, 18:27:39.75 and
// so on are the starts of their slots. Otherwise slots lie on the absolute grid of
// whole steps (12:00, 12:05, …) and a row belongs to the slot that it falls into.
// Where that would put two rows into one slot, because stamps waver around whole
// steps, the nearest whole step is taken instead, and failing that the first row's
// stamp starts the grid. If rows still share a slot, they are reduced as
// window.FromSamples reduces samples. All but the plain case are noted.
package tidy
