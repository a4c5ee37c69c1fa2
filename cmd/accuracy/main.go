// Accuracy measures how well a preset forecasts real load, part by part, and
// writes the figures as a document. It is what `make accuracy` runs.
//
//	accuracy -traces DIR [-preset NAME] [-only A,B] [-out FILE] [-json FILE]
//	accuracy -traces DIR -dev
//
// # Input
//
// DIR holds tidy traces (CSV or CSV.gz with a column timestamp), manifest.csv with
// the columns name, file, target and kind, and perhaps baselines.csv with those of
// other forecasters: trace, target, h (steps ahead), model, WAPE. The trace
// reference_multi_metric.csv.gz is measured with several presets where it is there.
//
// # What is measured
//
// Each trace is cut at 70 % and 80 % of its slots; every figure is about the last
// 20 %, which fit and choose nothing. The model is scored whole and in variants:
// each member alone, the rest without it, with other weights, the linear member
// without groups of its features, intervals without a learned spread.
//
// # Choosing between recipes
//
// With -dev the last fifth of every trace is cut off before all else, and what is
// left is measured as a whole trace would be. It prints the document instead of
// replacing docs/accuracy.md, as -only does. Whoever compares recipes on the whole traces tunes
// them to the slots that are to judge them.
//
// # Stopping
//
// A finished trace is kept in -cache, under a fingerprint of the program, the
// configuration and the data: after SIGINT, SIGTERM or a crash the same command
// goes on with the trace that was at work, to the same document.
//
// # Repeating
//
// The same code, kernels, traces, -preset and -seed give the same document, but
// for its last line, the training times.
package main

import (
	_ "embed"

	"github.com/forescale/forescale/internal/cli"
)

//go:embed main.go
var source string

func main() { cli.Main(new(program).command()) }
