package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/file"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/internal/reports"
	"github.com/forescale/forescale/scaler/backtest"
	"github.com/forescale/forescale/trainer"
)

const backtestManual = `forescale backtest replays the decisions that Forescale would have made over your own
history, minute by minute, beside target tracking, the HPA, a rule, a constant and an
oracle that knows the future. It prints what each would have cost and how often it
would have been too small, says in plain words whether forecasts would have helped,
and recommends a policy. It changes nothing, and needs no cloud account.

  # A CSV file, gzipped or not, with a column timestamp and a column of load:
  forescale backtest -data requests.csv.gz -target request_count

  # With the page to look at, the numbers, and the fleets to check them by:
  forescale backtest -data requests.csv.gz -html backtest.html -report report.json -capacity fleets/

  # Put the result where the server's page shows it, under What if:
  forescale backtest -data s3://lake/forescale -group web -publish s3://lake/forescale

  # A group of the data lake, with instances that take three minutes to start:
  forescale backtest -data s3://lake/forescale -group web -lead 3m

  # With a model that stands (a folder that forescale-trainer -out wrote); in seconds:
  forescale backtest -data requests.csv.gz -model model/

The load is scaled such that its busy hours need 20 instances at 60 % CPU; a fleet has
2 to 60, and a minute is a violation when CPU is above 90 %. Of the history, the last
fifth is the test. Without -model, one is trained on what lies before it, and a second
one on the first 70 %, by which policy and knob are recommended; the test chooses
nothing. A model that has learned from the test is refused.

Every policy has a knob, and is replayed at many settings of it. The table shows the
setting of somebody who does not tune, and what the best one needs for 0.5 %
violation minutes. FILE of -report has the whole curves, DIR of -capacity a file
POLICY.csv (timestamp, desired) for each policy.`

// backtestFlags is the command line.
type backtestFlags struct {
	data, target, group, model, policies, preset string
	endText, report, capacity, html, publish     string
	lead, step, history, refit                   time.Duration
	seed                                         uint64

	end      time.Time // of -end; zero: none
	selected []backtest.Policy
}

func backtestCommand() cli.Command {
	var f backtestFlags
	return cli.Command{
		Name: "forescale backtest", Manual: backtestManual, Flags: f.declare, Check: f.check,
		Run: func(ctx context.Context, args []string) error {
			if len(args) > 0 {
				return cli.Usagef("unexpected argument %q; the history is given by -data", args[0])
			}
			if f.data == "" {
				return cli.Usagef("-data is missing: a CSV file, or the URL of a data lake")
			}
			return f.run(ctx, os.Stdout, os.Stderr)
		},
	}
}

func (f *backtestFlags) declare(fs *flag.FlagSet) {
	fs.StringVar(&f.data, "data", "", "CSV or CSV.gz `FILE` with a column timestamp, or URL of a data lake")
	fs.StringVar(&f.target, "target", "", "`COLUMN` of the load (default: the model's target, a data lake's demand, or the only metric)")
	fs.StringVar(&f.group, "group", "", "`NAME` of the group in a data lake; may be left out where there is only one")
	fs.StringVar(&f.model, "model", "", "`DIR` of a trained model (model.onnx and manifest.json); default: one is trained")
	fs.StringVar(&f.preset, "preset", trainer.PresetDefault, "recipe `NAME` of the models that are trained: "+strings.Join(trainer.Presets(), ", "))
	fs.StringVar(&f.policies, "policy", "all", "policies to replay, `A,B`, or all")
	fs.DurationVar(&f.lead, "lead", 5*time.Minute, "time from the order of an instance until it serves")
	fs.StringVar(&f.endText, "end", "", "leave out what lies at or after `TIME`, such as 2026-03-01T00:00:00Z")
	fs.DurationVar(&f.refit, "refit", 0, "also replay with models that are trained anew so often in the test, such as 168h")
	fs.DurationVar(&f.step, "step", 5*time.Minute, "length of a slot of a data lake")
	fs.DurationVar(&f.history, "history", 60*day, "how far back to read a data lake")
	fs.Uint64Var(&f.seed, "seed", 0, "`NUMBER` that all randomness of training follows from")
	fs.StringVar(&f.report, "report", "", "write all figures as JSON to this `FILE`")
	fs.StringVar(&f.capacity, "capacity", "", "write each policy's fleet to POLICY.csv in this `DIR`")
	fs.StringVar(&f.publish, "publish", "", "put the report beside the journal, where the server shows it: `URL` of the data lake, as data: in its configuration")
	fs.StringVar(&f.html, "html", "", "write a page with charts to this `FILE`; it needs nothing else to be looked at")
}

// check returns every fault of the command line at once.
func (f *backtestFlags) check() (err error) {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if f.selected, err = backtest.Select(strings.Split(f.policies, ",")); err != nil {
		bad("-policy: %w", err)
	}
	if f.lead < 0 || f.lead%time.Minute != 0 || f.lead > time.Hour {
		bad("-lead %s: must be whole minutes, at most an hour", f.lead)
	}
	if f.endText != "" {
		if f.end, err = parseTime(f.endText); err != nil {
			bad("-end: %w", err)
		}
	}
	if f.step < time.Minute || f.step%time.Minute != 0 || f.step > day {
		bad("-step %s: must be whole minutes, at most a day", f.step)
	}
	if f.history <= 0 {
		bad("-history %s: must be positive", f.history)
	}
	if f.refit < 0 {
		bad("-refit %s: must not be negative", f.refit)
	}
	if !slices.Contains(trainer.Presets(), f.preset) {
		bad("-preset: %q is unknown; there are %s", f.preset, strings.Join(trainer.Presets(), ", "))
	}
	if isURL(f.data) {
		if err := blob.Check(context.Background(), f.data); err != nil {
			bad("-data: %w", err)
		}
	}
	if f.publish != "" {
		if err := blob.Check(context.Background(), f.publish); err != nil {
			bad("-publish: %w", err)
		}
	}
	return errors.Join(append(faults, f.checkOutputs())...)
}

// checkOutputs returns why nothing could be written where the flags say: found out
// here, and not after minutes of work.
func (f *backtestFlags) checkOutputs() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for _, x := range []struct{ name, path string }{{"-report", f.report}, {"-html", f.html}} {
		if x.path == "" {
			continue
		}
		if info, err := os.Stat(filepath.Dir(x.path)); err != nil || !info.IsDir() {
			bad("%s: the folder %s does not exist", x.name, filepath.Dir(x.path))
		} else if info, err := os.Stat(x.path); err == nil && info.IsDir() {
			bad("%s: %s is a folder; name a file", x.name, x.path)
		}
	}
	if f.report != "" && filepath.Clean(f.report) == filepath.Clean(f.html) {
		bad("-report and -html: both are %s", f.report)
	}
	if f.capacity != "" {
		// What is not there yet is made; what it is made in must be a folder.
		dir := filepath.Clean(f.capacity)
		info, err := os.Stat(dir)
		for errors.Is(err, os.ErrNotExist) && filepath.Dir(dir) != dir {
			dir = filepath.Dir(dir)
			info, err = os.Stat(dir)
		}
		if err != nil {
			bad("-capacity: %w", err)
		} else if !info.IsDir() {
			bad("-capacity: %s is no folder", dir)
		}
	}
	return errors.Join(faults...)
}

// run does the work and delivers it; what goes on is told to stderr.
func (f *backtestFlags) run(ctx context.Context, stdout, stderr io.Writer) error {
	h, err := f.load(ctx, stderr)
	if err != nil {
		return err
	}
	if f.refit%h.demand.Step != 0 {
		return cli.Usagef("-refit %s: must be a multiple of the step, %s", f.refit, h.demand.Step)
	}
	show := newMeter(stderr)
	config := backtest.Config{
		Trace: h.name, Group: h.grid.Group, Demand: h.demand, Lead: int(f.lead / time.Minute),
		Policies: f.selected, Workers: runtime.GOMAXPROCS(0),
		Progress: func(done, total int) { show.update("replaying", float64(done)/float64(total)) },
	}
	var model *backtest.Model
	if f.predicts() {
		if model, err = f.foresee(ctx, h, &config, show); err != nil {
			return err
		}
	} else {
		// Nothing looks ahead, and the rehearsal needs no forecasts either.
		config.Rehearsal = backtest.Forecasts{}
	}
	result, err := backtest.Run(ctx, config)
	show.finish()
	if err != nil {
		return err
	}
	result.Report.Model = model
	// What was found is told before it is written: a full disk must not take it along.
	return errors.Join(result.Report.Print(stdout), f.deliver(result), f.show(ctx, result, stderr))
}

// show puts the report where the server finds it, under a name that says what of and
// up to when it is: the same backtest again takes the place of the one before.
func (f *backtestFlags) show(ctx context.Context, r *backtest.Result, stderr io.Writer) error {
	if f.publish == "" {
		return nil
	}
	content, err := r.Report.JSON()
	if err != nil {
		return err
	}
	store, err := blob.Open(ctx, f.publish)
	if err != nil {
		return fmt.Errorf("-publish: %w", err)
	}
	name := r.Report.Trace + " until " + r.Report.ScoreTo.UTC().Format("2006-01-02 15:04")
	if err := reports.New(store).Put(ctx, name, content); err != nil {
		return fmt.Errorf("-publish: %w", err)
	}
	fmt.Fprintf(stderr, "published as %q\n", name)
	return nil
}

// predicts reports whether any policy needs forecasts.
func (f *backtestFlags) predicts() bool {
	for _, p := range f.selected {
		if p.Predictive {
			return true
		}
	}
	return false
}

// deliver writes what was asked for.
func (f *backtestFlags) deliver(r *backtest.Result) error {
	var files []file.Content
	if f.report != "" {
		content, err := r.Report.JSON()
		if err != nil {
			return err
		}
		files = append(files, file.Content{Path: f.report, Data: content})
	}
	if f.html != "" {
		content, err := r.Page()
		if err != nil {
			return err
		}
		files = append(files, file.Content{Path: f.html, Data: content})
	}
	if f.capacity != "" {
		if err := os.MkdirAll(f.capacity, 0o755); err != nil {
			return fmt.Errorf("-capacity: %w", err)
		}
		for _, name := range slices.Sorted(maps.Keys(r.Plans)) {
			content, err := capacityFile(r.Plans[name])
			if err != nil {
				return err
			}
			files = append(files, file.Content{Path: filepath.Join(f.capacity, name+".csv"), Data: content})
		}
	}
	return file.Advise(file.ReplaceAll(files...))
}

func capacityFile(plan fleet.Plan) ([]byte, error) {
	var b strings.Builder
	err := plan.Write(&b)
	return []byte(b.String()), err
}
