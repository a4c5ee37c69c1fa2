// Forescale-trainer fits a forecasting model to the history of one group, measures
// it on the last fifth of that history, and exports it as one ONNX file.
//
//	forescale-trainer -data FILE -out DIR [-target COLUMN] [-preset NAME]
//	forescale-trainer -data URL -group NAME -out DIR -models URL
//	forescale-trainer -config FILE -check
//
// # Input
//
// FILE is a CSV or CSV.gz file with a column timestamp; see package tidy. Columns
// is_NAME are flags of the calendar, columns NAME_label are never read. -target
// may be left out where there is one metric only. URL is a data lake (file:///DIR
// or s3://BUCKET/PREFIX); its target is demand unless -target says otherwise, and
// -group is needed where it holds several.
//
// # Output
//
// DIR receives model.onnx, manifest.json, report.json and predictions.csv, each
// written under another name first and then renamed. predictions.csv has a row
// for every slot of the last fifth with a known target, at every horizon; where
// the window before it has too wide a gap for the model, the forecast is the last
// known value, and the closing lines say how often.
//
// With -models the model becomes the next version of -name in the registry. A
// first version serves at once; a later one is a challenger until promoted.
//
// # Search
//
// With -search, settings are tried on the part of the history before the last
// fifth (see trainer.Search), the table of trials goes to DIR/trials.csv and
// DIR/trials.md, and the model is trained with the best of them. DIR/.search keeps
// every trial as it ends, so that -resume goes on with a search that was stopped.
//
// # Stopping
//
// SIGINT and SIGTERM end training between two steps; then nothing is written. A
// model that is trained but not yet registered is not registered any more.
//
// # Repeating
//
// The same data, configuration and -seed give the same bytes of model.onnx, for
// any number of -workers.
package main

import "github.com/forescale/forescale/internal/cli"

func main() { cli.Main(new(program).command()) }
