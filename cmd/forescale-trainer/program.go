package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/calendar"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/internal/registry"
	"github.com/forescale/forescale/trainer"
	"github.com/forescale/forescale/trainer/checkpoint"
	"github.com/forescale/forescale/trainer/kernel"
)

const manual = `forescale-trainer fits a forecasting model to the history of a group, measures it
on the last fifth of that history, and exports it as one ONNX file.

  # A CSV file with a column timestamp; half a minute:
  forescale-trainer -data cpu.csv.gz -target cpu_utilization -out model

  # The reference network, one step ahead, with the calendar's sale flag as a
  # known future; some minutes:
  forescale-trainer -data shop.csv -target cpu_utilization -preset reference \
      -known is_sale_active -out model

  # A group of the data lake, registered where forescale-server finds it:
  forescale-trainer -data s3://lake/forescale -group web -out model -models s3://lake/models

DIR receives model.onnx, manifest.json, report.json and predictions.csv. The first
version of a name in the registry serves at once, a later one is a challenger.
Ctrl-C stops between two steps; then no model is written, and -resume continues
where there is a checkpoint. The same data and -seed give the same bytes of
model.onnx for any number of -workers, on the same kernel set (below).

Many groups, each with a model of its own in DIR/GROUP:

  # Every file of a directory, as many at a time as fit into the memory:
  forescale-trainer -all-groups -data traces/ -out out -memory 4GiB

  # Every group of the data lake, again after a stop or a failure; only what is
  # missing or has changed is trained:
  forescale-trainer -all-groups -data s3://lake/forescale -models s3://lake/models -out out -resume

  # A quarter of them in each pod of an indexed Kubernetes Job with 4 completions:
  forescale-trainer -all-groups -shard auto/4 -resume -data s3://lake/forescale \
      -models s3://lake/models -out /scratch/out -push-gateway http://pushgateway:9091

One model for all of them, and for groups that are still to come:

  forescale-trainer -shared -data s3://lake/forescale -models s3://lake/models -name any -out out

  # The same beside a model of their own for 20 of the groups:
  forescale-trainer -shared -compare 20 -data s3://lake/forescale -out out

It reads the target and the calendar's flags, unless -inputs names more, learns from
at most -shared-windows windows, takes about a gigabyte for 150,000 of them, and has
its intervals fitted to each group. A group that is left out is told of, and served
all the same.

The table at the end is in DIR/summary.csv and .json, too. The exit status is 1 if
some group failed or the run was stopped, 0 if every group is trained.

Better settings, found by trying many on a part of the epochs and ever fewer, the
better ones, on more; then the best are trained as usual:

  # Over the networks' shape and training; ten to twenty times as long as one training:
  forescale-trainer -data cpu.csv.gz -target cpu_utilization -search default -out model

  # Over a space of your own; after Ctrl-C, the same with -resume goes on:
  forescale-trainer -data cpu.csv.gz -target cpu_utilization -search space.yaml -out model

space.yaml has the keys of the configuration's section trainer.search. The names in
its space are keys of the section trainer, each with a list of choices or a range:

  space:
    hidden: [16, 32, 64]                        # one of these
    layers: {int: [1, 3]}                       # a whole number, both included
    dropout: {uniform: [0, 0.4]}                # a number
    rate: {log: [5e-4, 1e-2]}                   # a number, evenly by its logarithm
    members: [[linear, network], [linear, network, trees]]
  trials: 27          # in the first rung; of each rung, one of eta goes on
  eta: 3
  min_budget: 2       # epochs in the first rung, at least
  max_budget: 18      # epochs in the last one, and of the winner's training
  time_budget: 2h     # begin no trial after that; without it, the result is repeatable

Trials are judged on two stretches of the history before the last fifth, by their
error over that of repeating the last value, so 0.8 is a fifth better. Trial 0 is
the configuration as it stands, which stays unless another is 1 % better. The table
of trials goes to DIR/trials.csv and DIR/trials.md, the winner's settings are printed
as YAML for the configuration.

Presets:
  default    linear models, LSTMs that correct them and boosted trees on the same
             features, weighed by errors that they did not see; 12 steps ahead
  fast       a linear model and one small LSTM, 12 steps ahead; seconds a group
  advanced   five networks of two LSTM layers of 64 with attention over 36 slots,
             one step ahead
  reference  three LSTM layers of 128 over 24 slots, one step ahead, min-max scaling

The configuration file has more: members, quantiles, the networks' shapes and loss.

The environment variable FORESCALE_KERNEL chooses the kernel set, which the last
bits of a model depend on: avx512, avx2 or portable, which is slower and runs on
every machine. Without it, the best that the processor has is taken; so it is, with
a notice, where the choice is none that the processor has. -resume continues a
training or a search only with the kernel set that began it: where a pod may move
to another kind of processor, choose one that all of them have.`

// program is the command line, and what check makes of it.
type program struct {
	configFile, data, group, name, out, models string
	calendarFile, known, inputs, untilText     string
	history                                    time.Duration
	resume                                     bool
	many                                       manyFlags
	better                                     searchFlags
	override                                   trainer.Config // what the flags say
	set                                        map[string]bool
	fs                                         *flag.FlagSet

	common   conf.Common
	config   trainer.Config
	calendar *calendar.Calendar // nil: none
	until    time.Time          // of -until; zero: now

	stdout, stderr io.Writer // nil: the process's
	train          training  // nil: train
	heard          sync.Map  // notes about the data lake that were told
}

// training fits a model, or continues from the checkpoint, which may be nil.
type training func(context.Context, trainer.Config, trainer.Data, *checkpoint.Dir) (*trainer.Result, error)

// train is the training of package trainer.
func train(ctx context.Context, c trainer.Config, d trainer.Data, kept *checkpoint.Dir) (*trainer.Result, error) {
	if kept != nil { // a nil pointer in the interface would be a checkpoint
		c.Checkpoint = kept
	}
	return trainer.Train(ctx, c, d)
}

func (p *program) command() cli.Command {
	return cli.Command{Name: "forescale-trainer", Manual: manual, Flags: p.flags, Check: p.check, Run: p.run}
}

func (p *program) flags(fs *flag.FlagSet) {
	p.fs = fs
	fs.StringVar(&p.configFile, "config", "", "configuration `FILE`; its section trainer has a key for each flag of training")
	fs.StringVar(&p.data, "data", "", "CSV or CSV.gz `FILE`, or URL of a data lake")
	fs.StringVar(&p.group, "group", "", "`NAME` of the group; for a file, the name that it gets (default: the file's)")
	fs.StringVar(&p.out, "out", "", "`DIR` for model.onnx, manifest.json, report.json and predictions.csv")
	fs.StringVar(&p.models, "models", "", "`URL` of the model registry to register the model in")
	fs.StringVar(&p.name, "name", "", "`NAME` of the model in the registry (default: the group's)")
	fs.StringVar(&p.calendarFile, "calendar", "", "business calendar `FILE`: what is known in advance, in place of the data's own is_ columns")
	fs.DurationVar(&p.history, "history", 60*24*time.Hour, "how far back to read a data lake")
	fs.StringVar(&p.untilText, "until", "", "read a data lake up to `TIME`, such as 2026-03-01T00:00:00Z (default: now)")
	fs.BoolVar(&p.resume, "resume", false, "continue what a stopped run left: a training from DIR/.checkpoint, many groups from DIR/.ledger,\na search from DIR/.search")
	p.many.declare(fs)
	p.better.declare(fs)
	o := &p.override
	fs.StringVar(&o.Target, "target", "", "`COLUMN` to forecast (default: a data lake's demand, else the only metric)")
	fs.StringVar(&o.Preset, "preset", "", "recipe `NAME`: "+strings.Join(trainer.Presets(), ", ")+" (default: default)")
	fs.StringVar(&p.known, "known", "", "flags known in advance, `A,B`, or none (default: "+strings.Join(trainer.DefaultKnown, ",")+" where present)")
	fs.StringVar(&p.inputs, "inputs", "", "series read beside the target, `A,B`, or none (default: all metrics)")
	fs.IntVar(&o.Horizon, "horizon", 0, "`SLOTS` to forecast (default: the preset's)")
	fs.IntVar(&o.Lookback, "lookback", 0, "`SLOTS` to look back (default: the preset's)")
	fs.IntVar(&o.Epochs, "epochs", 0, "train for at most `N` epochs (default: the preset's)")
	fs.Uint64Var(&o.Seed, "seed", 0, "`NUMBER` that all randomness follows from")
	fs.IntVar(&o.Compare, "compare", 0, "with -shared, also train a model of their own for `N` groups, and set both side by side")
	fs.IntVar(&o.SharedWindows, "shared-windows", 0, fmt.Sprintf("with -shared, learn from at most `N` windows of all groups together (default: %d)", trainer.DefaultSharedWindows))
	fs.IntVar(&o.Workers, "workers", 0, "`N` goroutines a model (default: one per processor; with -all-groups, shared by the jobs)")
}

// check loads the configuration, puts the flags over it and returns every fault
// at once.
func (p *program) check() error {
	p.set = map[string]bool{}
	p.fs.Visit(func(f *flag.Flag) { p.set[f.Name] = true })
	p.config = trainer.DefaultConfig()
	common, err := conf.Load(p.configFile, "trainer", &p.config)
	faults := []error{err}
	p.common = common
	p.apply()
	faults = append(faults, p.better.apply(p), p.config.Validate())
	if p.history <= 0 {
		faults = append(faults, fmt.Errorf("history: %s must be positive", p.history))
	}
	faults = append(faults, p.checkPlaces(), p.checkUntil(), p.many.check(p.set))
	if p.common.Calendar != "" {
		p.calendar, err = calendar.Load(p.common.Calendar)
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// checkPlaces reports what is wrong with where the history comes from and where
// the model goes to: before training, which may take an hour, not after it.
func (p *program) checkPlaces() error {
	var faults []error
	if isLake(p.common.Data) {
		if err := blob.Check(context.Background(), p.common.Data); err != nil {
			faults = append(faults, fmt.Errorf("data: %w", err))
		}
	}
	if p.common.Models != "" {
		if err := blob.Check(context.Background(), p.common.Models); err != nil {
			faults = append(faults, fmt.Errorf("models: %w", err))
		}
		faults = append(faults, registry.CheckToWrite(p.common))
	}
	if len(p.group) > api.MaxNameLen {
		faults = append(faults, fmt.Errorf("-group: longer than %d bytes", api.MaxNameLen))
	}
	if name := blob.Escape(cmp.Or(p.name, p.group)); len(name) > api.MaxNameLen {
		faults = append(faults, fmt.Errorf("-name: the model's name, percent-encoded, is longer than %d bytes", api.MaxNameLen))
	}
	return errors.Join(faults...)
}

// isLake reports whether -data names a data lake rather than a file.
func isLake(data string) bool {
	scheme, _, found := strings.Cut(data, "/")
	return found && len(scheme) > 1 && strings.HasSuffix(scheme, ":")
}

// apply puts the flags that were given over the configuration.
func (p *program) apply() {
	c, o := &p.config, p.override
	for name, put := range map[string]func(){
		"data":     func() { p.common.Data = p.data },
		"models":   func() { p.common.Models = p.models },
		"calendar": func() { p.common.Calendar = p.calendarFile },
		"target":   func() { c.Target = o.Target },
		"preset":   func() { c.Preset = o.Preset },
		"known":    func() { c.Known = list(p.known) },
		"inputs":   func() { c.Inputs = list(p.inputs) },
		"horizon":  func() { c.Horizon = o.Horizon },
		"lookback": func() { c.Lookback = o.Lookback },
		"epochs":   func() { c.Epochs = o.Epochs },
		"seed":     func() { c.Seed = o.Seed },
		"workers":  func() { c.Workers = o.Workers },
		"compare":  func() { c.Compare = o.Compare },

		"shared-windows": func() { c.SharedWindows = o.SharedWindows },
	} {
		if p.set[name] {
			put()
		}
	}
}

// list splits A,B; "" and none are the empty list, which is not nil.
func list(s string) []string {
	if s == "" || s == "none" {
		return []string{}
	}
	return strings.Split(s, ",")
}

// checkUntil reads -until, which is the end of the newest slot that is read.
func (p *program) checkUntil() (err error) {
	switch {
	case p.untilText == "":
		return nil
	case !isLake(p.common.Data):
		return errors.New("-until: only a data lake is read up to a time")
	}
	if p.until, err = time.Parse(time.RFC3339, p.untilText); err != nil {
		return fmt.Errorf("-until: %.40q is not a time such as 2026-03-01T00:00:00Z", p.untilText)
	}
	return nil
}

func (p *program) run(ctx context.Context, args []string) error {
	if p.stdout == nil {
		p.stdout, p.stderr = os.Stdout, os.Stderr
	}
	if p.train == nil {
		p.train = train
	}
	switch {
	case len(args) > 0:
		return cli.Usagef("unexpected argument %q", args[0])
	case p.common.Data == "":
		return cli.Usagef("-data is missing: a CSV file, or the URL of a data lake")
	case p.out == "":
		return cli.Usagef("-out is missing: the directory for the model and its report")
	}
	if notice := kernel.Notice(); notice != "" {
		fmt.Fprintln(p.stderr, notice)
	}
	if err := makeOut(p.out); err != nil { // before the work, not after it
		return err
	}
	defer frugal()()
	switch {
	case p.many.all:
		return p.runAll(ctx)
	case p.many.shared:
		return p.runShared(ctx)
	}
	return p.runOne(ctx)
}

// garbage is how much of it may pile up before it is collected, in percent of what
// is in use. A training has most of its memory from beginning to end and makes
// little garbage, so that looking often costs next to nothing, and half of Go's
// usual room is saved.
const garbage = 40

// frugal bounds the garbage, unless GOGC says otherwise. The result puts things
// back as they were.
func frugal() (back func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	before := debug.SetGCPercent(garbage)
	return func() { debug.SetGCPercent(before) }
}
