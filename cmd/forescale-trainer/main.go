// Forescale-trainer fits a forecasting model to the history of a group, measures it
// on the last fifth of that history, and exports it as one ONNX file. It does so for
// one group, or for many in one run.
//
//	forescale-trainer -data FILE -out DIR [-target COLUMN] [-preset NAME]
//	forescale-trainer -data URL -group NAME -out DIR -models URL
//	forescale-trainer -all-groups -data URL|DIRECTORY -out DIR [-shard I/N] [-resume]
//	forescale-trainer -shared -data URL|DIRECTORY -out DIR [-models URL] [-name NAME] [-compare N]
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
// DIR receives model.onnx, manifest.json, report.json and predictions.csv, all of
// them or, where the disk has no room for one, none: they are written under other
// names first and then renamed. predictions.csv has a row
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
// # Many groups
//
// -all-groups trains every group of the data lake, or every CSV file of a directory,
// a model for each in DIR/GROUP (percent-encoded). Groups are trained side by side,
// as many as fit into -memory by an estimate, and read in as few passes over the
// lake as that allows. A group that fails stops no other; a full disk stops the run.
// DIR/summary.csv and summary.json say what became of each group; in a shard they
// are summary-I-of-N. The exit status is 0 if every group is trained, and 1 if some
// failed or the run was stopped, by SIGTERM too: whoever started it must know that
// there is more to do.
//
// -shard I/N trains the groups whose names hash to I (batch.Shard.Has). Each group is
// in exactly one shard, and machines need not agree on a list.
//
// # One model for many groups
//
// -shared trains one model on all groups (trainer.TrainShared), under -name in the
// registry, "shared" without it; it serves any group. It reads the target, the
// calendar's flags and what -inputs names. All groups are read into memory, with
// -compare with all their metrics, in as few passes over the lake as -memory allows;
// learning takes a gigabyte for the default of -shared-windows. DIR/report.json has
// the scores of each group and over all, summary.csv and summary.json those of each
// group; there is no predictions.csv. A group whose history does not do is left out,
// and told of; the exit status is 0 all the same, since it is served.
//
// # Stopping and resuming
//
// SIGINT and SIGTERM end training between two steps; then no model is written. A
// model that is trained but not yet registered is not registered any more.
//
// One training is kept in DIR/.checkpoint while it is under way; -resume continues
// it, to the same bytes as if it had not been stopped. It must be of the same data,
// configuration, program version and kernel set; so must a search. The end of the
// history is kept with it, so that a data lake may grow meanwhile.
//
// A run over many groups is remembered in DIR/.ledger, a file for each group that is
// delivered; -resume trains what is missing, what failed, and what has changed since:
// the data, the configuration or the program. A model that another kernel set trained
// is not missing. For a data lake, a run that did not complete is continued on the
// time that it began with, for twelve hours after its last group; later, or after a
// complete run, histories end at the present again.
//
// # Metrics
//
// -metrics-file and -push-gateway tell of the run, failed or not: forescale_trainer_groups
// by status, run and group durations, samples a second, the times of the last run and of
// the last success, and with -metrics-by-group each model's error and skill. What is
// pushed has the grouping key job="forescale_trainer", shard="I-of-N".
//
// # Repeating
//
// The same data, configuration and -seed give the same bytes of model.onnx, for
// any number of -workers, on the same kernel set: avx512, avx2 or portable, of which
// the best that the processor has is taken. The environment variable FORESCALE_KERNEL
// names another one; where the processor does not have it, standard error says so
// and the best is taken.
package main

import "github.com/forescale/forescale/internal/cli"

func main() { cli.Main(new(program).command()) }
