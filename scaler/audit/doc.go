// Package audit reads records of the audit log (internal/journal keeps them): it
// tells in words and numbers why a decision is what it is ([Explain]), and reaches
// decisions anew from their records ([Replay]). It reads no store and no clock, and
// decides nothing: whatever it says is in the record, or is what package plan makes
// of it.
package audit
