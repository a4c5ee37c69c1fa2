package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/registry"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/scaler/backtest"
	"github.com/forescale/forescale/trainer"
)

const retrainManual = `forescale retrain trains a new model of a group, a challenger, and lets it serve if it
would have served better. Both models, the challenger and the champion that serves now,
steer the same simulated fleet through the newest weeks of the history, which neither
has learned from. The gate then compares what came of it: cost at equal violations,
violations, unserved load, error, coverage of the quantiles. If all of them are in
order, the champion is moved, with the evidence beside it in the registry.

  # One group of the data lake; everything else is in the configuration:
  forescale retrain -config forescale.yaml -group web

  # What would happen? Nothing is written:
  forescale retrain -config forescale.yaml -group web -dry-run

  # Every night, all models that serve one group each:
  forescale retrain -config forescale.yaml -all-groups -report retrain.json

  # The same, by a process that stays, for containers:
  forescale retrain -config forescale.yaml -all-groups -every 24h

  # A group whose history is a file:
  forescale retrain -data web.csv.gz -group web -models file:///var/lib/forescale/models

The test is the last fifth of the history, at most -test long and at least
gate.min_slots slots; a history of five times gate.min_slots is needed (with slots of
five minutes 35 days). The challenger learns from what lies before the test and a day
of warm-up, and is what serves afterwards: what was judged, not a relative of it. A
champion that has seen a part of the test is judged, as is the challenger, on the rest;
where too little is left, nothing is judged, and the message says from when on there
will be enough. Where no model serves, the challenger has to beat the last known value.

A challenger is kept in the registry whether it is promoted or not, with the verdict
(NAME/VERSION/verdict.json). A group is retrained once a day (UTC): a run that was
stopped goes on where it was when it is started again. Stopped at any moment, it leaves
the champion as it is. Of two runs at once, one moves the champion.

The limits are the section gate of the configuration, with these defaults:

  gate:
    min_slots: 2016              # scored slots: a week of five minutes
    cost_increase: 0.005         # instance-hours at equal violations, share of the champion's
    violation_increase: 0.05     # percentage points, at the default knob
    unserved_increase: 0.02      # percentage points
    error_increase: 0.02         # WAPE, share of the champion's
    calibration_increase: 0.01   # mean distance of coverage and level
    coverage_below: 0.03         # each upper quantile may cover so much less
    coverage_above: 0.06         # or more than its level
    size_ratio: 4                # size of the file, times the champion's
    persistence_gain: 0.01       # share by which a first model must beat the last value

Exit codes: 0 every group was judged or had been judged today, whatever the verdict;
1 some group failed, and its champion serves on; 2 the command line or the
configuration is wrong. 'forescale watch' looks after a model that was promoted.`

// retrain is the command line of forescale retrain, and what a run of it needs.
type retrain struct {
	site
	named, target, preset, policyName, report, endText string
	all, dryRun, again                                 bool
	test, leadTime, every                              time.Duration
	seed                                               uint64
	fs                                                 *flag.FlagSet

	policy      backtest.Policy
	end         time.Time // of -end; zero: now
	version     string    // of the program
	now         func() time.Time
	out, errOut io.Writer

	reg  *models.Registry
	show *meter
}

func retrainCommand() cli.Command {
	r := &retrain{now: time.Now, version: cli.Version, out: os.Stdout, errOut: os.Stderr}
	return cli.Command{Name: "forescale retrain", Manual: retrainManual, Flags: r.flags, Check: r.check,
		Run: func(ctx context.Context, args []string) error {
			if len(args) > 0 {
				return cli.Usagef("unexpected argument %q; the group is given by -group", args[0])
			}
			return r.run(ctx)
		}}
}

func (r *retrain) flags(fs *flag.FlagSet) {
	r.fs = fs
	r.site.declare(fs)
	fs.StringVar(&r.dataURL, "data", "", "CSV or CSV.gz `FILE`, or URL of a data lake, in place of the configuration's")
	fs.StringVar(&r.named, "group", "", "`NAME` of the group, which is that of its model; may be left out where there is only one")
	fs.BoolVar(&r.all, "all-groups", false, "retrain every model of the registry that serves one group, and train one for each configured group that none serves, in turn")
	fs.DurationVar(&r.every, "every", 0, "do so again and again, at this `INTERVAL` from start to start, until stopped; a failure is told and ends nothing")
	fs.StringVar(&r.preset, "preset", "", "recipe `NAME` of the challenger: "+strings.Join(trainer.Presets(), ", ")+" (default: the configuration's)")
	fs.StringVar(&r.target, "target", "", "`COLUMN` to forecast (default: the champion's target, a data lake's demand, or the only metric)")
	fs.DurationVar(&r.test, "test", 14*day, "`LENGTH` of the test, at most; never more than a fifth of the history, never less than gate.min_slots")
	fs.StringVar(&r.policyName, "policy", backtest.DefaultPolicy, "policy `NAME` whose fleets are compared")
	fs.DurationVar(&r.leadTime, "lead", 5*time.Minute, "time from the order of an instance until it serves, for groups that the configuration does not list")
	fs.StringVar(&r.endText, "end", "", "leave out of the history what lies at or after `TIME`, such as 2026-03-01T00:00:00Z")
	fs.Uint64Var(&r.seed, "seed", 0, "`NUMBER` that all randomness of training follows from (default: the configuration's)")
	fs.BoolVar(&r.dryRun, "dry-run", false, "train and judge, and write nothing into the registry")
	fs.BoolVar(&r.again, "again", false, "train another challenger although there is one of today")
	fs.StringVar(&r.report, "report", "", "write what was judged and found as JSON to this `FILE`")
}

// check returns every fault of the command line and the configuration at once.
func (r *retrain) check() error {
	faults := []error{r.site.load(), registry.CheckToWrite(r.common)}
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	r.fs.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "preset":
			r.trainer.Preset = r.preset
		case "seed":
			r.trainer.Seed = r.seed
		}
	})
	if err := r.trainer.Validate(); err != nil {
		bad("training: %w", err)
	}
	switch {
	case r.common.Data == "":
		bad("-data is missing: a CSV file, or the URL of a data lake")
	case r.all && r.named != "":
		bad("-group and -all-groups exclude each other")
	case r.all && !isURL(r.common.Data):
		bad("-all-groups reads a data lake, and %s is a file", r.common.Data)
	}
	if r.every < 0 || r.every > 0 && r.every < time.Minute {
		bad("-every %s: must be at least a minute", r.every)
	}
	if r.test <= 0 {
		bad("-test %s: must be positive", r.test)
	}
	if r.leadTime < 0 || r.leadTime%time.Minute != 0 || r.leadTime > time.Hour {
		bad("-lead %s: must be whole minutes, at most an hour", r.leadTime)
	}
	if r.endText != "" {
		var err error
		if r.end, err = parseTime(r.endText); err != nil {
			bad("-end: %w", err)
		}
	}
	if err := r.checkPolicy(); err != nil {
		bad("-policy: %w", err)
	}
	if r.report != "" {
		if info, err := os.Stat(filepath.Dir(r.report)); err != nil || !info.IsDir() {
			bad("-report: the folder %s does not exist", filepath.Dir(r.report))
		}
	}
	return errors.Join(faults...)
}

// checkPolicy finds the policy, which must be one that decides by forecasts.
func (r *retrain) checkPolicy() error {
	found, err := backtest.Select([]string{r.policyName})
	if err != nil {
		return err
	}
	if len(found) != 1 || !found[0].Ships || !found[0].Predictive {
		return fmt.Errorf("%q does not compare models: it must be one that Forescale runs and that reads forecasts", r.policyName)
	}
	r.policy = found[0]
	return nil
}

// run retrains what was asked for, once or again and again.
func (r *retrain) run(ctx context.Context) error {
	if r.every == 0 {
		return r.round(ctx)
	}
	return repeat(ctx, r.every, r.round, func(err error) { fmt.Fprintf(r.errOut, "forescale retrain: %v\n", err) })
}

// repeat does the work at once and then at the interval, from start to start, or as
// soon as the one before is done. It hands on what failed, and ends with ctx.
func repeat(ctx context.Context, every time.Duration, work func(context.Context) error, failed func(error)) error {
	for {
		next := time.After(every)
		if err := work(ctx); err != nil && ctx.Err() == nil {
			failed(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-next:
		}
	}
}

// round retrains what was asked for, and tells.
func (r *retrain) round(ctx context.Context) error {
	var err error
	if r.reg, err = registry.OpenToWrite(ctx, r.common); err != nil {
		return err
	}
	r.show = newMeter(r.errOut)
	report := retrainReport{At: r.now().UTC(), Program: r.version, DryRun: r.dryRun}
	if r.all {
		report.Groups, err = r.everyGroup(ctx)
	} else {
		report.Groups, err = r.oneGroup(ctx)
	}
	r.show.finish()
	if r.report != "" {
		if report.Groups == nil {
			report.Groups = []retrained{}
		}
		err = errors.Join(err, report.write(r.report))
	}
	return err
}

// until is the end of the history of a data lake.
func (r *retrain) until() time.Time {
	end := r.end
	if end.IsZero() {
		end = r.now()
	}
	return end.UTC().Truncate(r.common.Step)
}

// oneGroup retrains the group that is named, or the only one.
func (r *retrain) oneGroup(ctx context.Context) ([]retrained, error) {
	group, read := r.named, reading(nil)
	var err error
	switch {
	case !isURL(r.common.Data):
		group = cmp.Or(group, nameOfFile(r.common.Data))
		read = func(context.Context, string) (*window.Grid, error) {
			f := backtestFlags{data: r.common.Data, group: group, end: r.end}
			return f.loadFile(r.errOut)
		}
	case group == "":
		if group, err = r.onlyGroup(ctx, r.until()); err != nil {
			return nil, err
		}
		fallthrough
	default:
		read, err = r.fromLake(ctx, []string{group})
	}
	if err != nil {
		return nil, err
	}
	res, err := r.attempt(ctx, read, group)
	r.show.finish()
	res.print(r.out)
	return []retrained{res}, err
}

// nameOfFile returns the name of a file without its extensions.
func nameOfFile(path string) string {
	base := strings.TrimSuffix(filepath.Base(path), ".gz")
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// reading returns the history of a group.
type reading func(ctx context.Context, group string) (*window.Grid, error)

// fromLake returns what reads the histories of groups, each once.
func (r *retrain) fromLake(ctx context.Context, groups []string) (reading, error) {
	shelf, err := r.grids(ctx, groups, r.until(), r.errOut)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, group string) (*window.Grid, error) {
		g, ok, err := shelf.Take(ctx, group)
		if err == nil && !ok {
			err = fmt.Errorf("%s has no samples of group %q in the %s before %s", r.common.Data, group, r.history, stamp(r.until()))
		}
		return g, err
	}, nil
}

// attempt retrains a group, with an outcome in any case.
func (r *retrain) attempt(ctx context.Context, read reading, group string) (retrained, error) {
	res, err := r.group(ctx, read, group)
	if err != nil {
		res.Outcome, res.Error = failed, err.Error()
	}
	return res, err
}

// everyGroup retrains all models that serve one group.
func (r *retrain) everyGroup(ctx context.Context) ([]retrained, error) {
	groups, err := r.candidates(ctx)
	if err != nil {
		return nil, err
	}
	return r.each(ctx, groups)
}

// each retrains groups of the data lake in turn, and tells them in a table. A group
// that fails stops no other.
func (r *retrain) each(ctx context.Context, groups []string) (results []retrained, err error) {
	if len(groups) == 0 {
		return nil, nil
	}
	read, err := r.fromLake(ctx, groups)
	if err != nil {
		return nil, err
	}
	faults := 0
	for i, group := range groups {
		res, err := r.attempt(ctx, read, group)
		if ctx.Err() != nil {
			break // it is not the group's fault
		}
		if err != nil {
			faults++
		}
		results = append(results, res)
		r.show.note("%s: %s (%d of %d)", group, cmp.Or(res.Error, res.Outcome), i+1, len(groups))
	}
	r.show.finish()
	err = retrainTable(r.out, results)
	switch {
	case ctx.Err() != nil:
		return results, fmt.Errorf("stopped after %d of %d groups; the same command goes on with the others today", len(results), len(groups))
	case faults > 0:
		return results, errors.Join(err, fmt.Errorf("%d of %d groups failed; their champions serve on", faults, len(groups)))
	}
	return results, err
}

// candidates returns the groups that have a model of their own, and those of the
// configuration that want forecasts and that no model serves, sorted. What else is in
// the registry is told of.
func (r *retrain) candidates(ctx context.Context) ([]string, error) {
	entries, err := r.reg.List(ctx)
	if err != nil {
		return nil, err
	}
	var groups []string
	served := map[string]bool{}
	for _, e := range entries {
		m, err := r.reg.Champion(ctx, e.Name)
		served[e.Name] = true // by itself, or as soon as it can be read
		for _, group := range m.Groups {
			served[group] = true
		}
		switch {
		case e.Foreign:
			r.show.note("%s: left out: it was not trained by Forescale", e.Name)
		case err == nil && !slices.Equal(m.Groups, []string{e.Name}):
			r.show.note("%s: left out: it serves %d groups or any, and is trained by 'forescale-trainer -shared'", e.Name, len(m.Groups))
		default: // one that cannot be read fails in its turn, by name
			groups = append(groups, e.Name)
		}
	}
	for _, g := range r.groups {
		if g.Predicted() && !served[g.Name] && !served[models.AnyGroup] {
			groups = append(groups, g.Name)
		}
	}
	if len(groups) == 0 {
		return nil, fmt.Errorf("%s has no model of a single group, and the configuration no group without a model; -group NAME trains a first one", r.common.Models)
	}
	slices.Sort(groups)
	return groups, nil
}
