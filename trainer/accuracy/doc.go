// Package accuracy measures a preset on a folder of load traces and writes what
// came out as a document: docs/accuracy.md.
//
// It chooses nothing. Every figure is of a model that was trained on the first
// 80 % of a trace and then asked for the last 20 %. To choose between two recipes,
// Config.Dev cuts the last fifth off every trace before anything else is done, so
// that no choice can rest on the figures of the document.
//
// The document follows from the results alone, and those from the code, the
// kernel set, the configuration and the traces: measured again, its bytes are the
// same but for one line of training times, which is marked.
package accuracy
