package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/journal"
	"github.com/forescale/forescale/internal/registry"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/models/gate"
	"github.com/forescale/forescale/scaler/backtest"
)

const watchManual = `forescale watch looks after the models at work. Run it once a day, or more often.

  forescale watch -config forescale.yaml
  forescale watch -config forescale.yaml -dry-run            # look, change nothing
  forescale watch -config forescale.yaml -retrain-if-drifted -metrics /var/lib/node_exporter/forescale.prom

For each model of the registry it asks two things.

Does it keep what it promised? The audit log has every forecast that was acted upon
and what came true. If an upper quantile covers a share of the actual values that is out
of the band around its level (gate.rollback), counted since the model became champion,
the one before it serves again, with the evidence beside it in the registry. A version
that came back by a roll-back is not rolled back itself: then a person is asked.

Is the world still the one that it learned from? The model's inputs of the last day and
week are set beside those of its training (stability index), and the errors of the last
day beside the band that was forecast (shares outside of it, and a cumulative sum). What
is out of bounds (gate.drift) asks for a retraining; -retrain-if-drifted does it, as
'forescale retrain' would, for models of a single group; one that groups share is for
'forescale-trainer -shared'. Too little data asks for nothing.

The defaults of the limits:

  gate:
    rollback: {min_slots: 576, coverage_below: 0.05, coverage_above: 0.09}
    drift: {min_slots: 200, input_day: 0.5, input_week: 0.25, missing: 0.2,
            outside: 0.1, slack: 0.5, alarm: 10, clip: 3}

Exit codes: 0 nothing is to be done, or it has been done by -retrain-if-drifted; 1
something could not be looked at; 2 the command line or the configuration is wrong;
3 a model's coverage is out of its band (rolled back or not), or a retraining is asked
for.`

// exitAsked is the exit code of a watch that asks for something.
const exitAsked = 3

// watch is the command line of forescale watch.
type watch struct {
	site
	shard, metrics, report, atText string
	back                           time.Duration
	dryRun, retrain                bool

	at          time.Time
	version     string
	now         func() time.Time
	out, errOut io.Writer
	reg         *models.Registry
}

func watchCommand() cli.Command {
	w := &watch{now: time.Now, version: cli.Version, out: os.Stdout, errOut: os.Stderr}
	return cli.Command{Name: "forescale watch", Manual: watchManual, Flags: w.flags, Check: w.check,
		Run: func(ctx context.Context, args []string) error {
			if len(args) > 0 {
				return cli.Usagef("unexpected argument %q; every model of the registry is looked at", args[0])
			}
			return w.run(ctx)
		}}
}

func (w *watch) flags(fs *flag.FlagSet) {
	w.site.declare(fs)
	fs.StringVar(&w.dataURL, "data", "", "`URL` of the data lake, with the audit log, in place of the configuration's")
	fs.StringVar(&w.shard, "shard", journal.Default, "`SHARD` of the audit log")
	fs.DurationVar(&w.back, "back", 14*day, "how far back the audit log is read, at most; never before a model became champion")
	fs.StringVar(&w.atText, "at", "", "look as it was at `TIME`, such as 2026-03-01T00:00:00Z (default: now)")
	fs.BoolVar(&w.dryRun, "dry-run", false, "roll nothing back and retrain nothing")
	fs.BoolVar(&w.retrain, "retrain-if-drifted", false, "retrain the groups for which it is asked for")
	fs.StringVar(&w.metrics, "metrics", "", "write Prometheus metrics to this `FILE`.prom, for node_exporter's textfile collector")
	fs.StringVar(&w.report, "report", "", "write what was found as JSON to this `FILE`")
}

func (w *watch) check() error {
	faults := []error{w.site.load(), registry.Check(w.common)}
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if !isURL(w.common.Data) {
		bad("-data: the URL of the data lake is needed, which has the audit log: file:///DIR or s3://BUCKET/PREFIX")
	}
	if w.back < w.common.Step {
		bad("-back %s: must be a slot at least", w.back)
	}
	if w.shard == "" {
		bad("-shard is empty")
	}
	if w.atText != "" {
		var err error
		if w.at, err = parseTime(w.atText); err != nil {
			bad("-at: %w", err)
		}
	}
	if w.metrics != "" && filepath.Ext(w.metrics) != ".prom" {
		bad("-metrics: %s must end in .prom, or node_exporter would pass it over", w.metrics)
	}
	if err := w.trainer.Validate(); err != nil {
		bad("training: %w", err)
	}
	if w.retrain && w.dryRun {
		bad("-retrain-if-drifted and -dry-run exclude each other")
	}
	for name, path := range map[string]string{"-metrics": w.metrics, "-report": w.report} {
		if info, err := os.Stat(filepath.Dir(path)); path != "" && (err != nil || !info.IsDir()) {
			bad("%s: the folder %s does not exist", name, filepath.Dir(path))
		}
	}
	return errors.Join(faults...)
}

func (w *watch) run(ctx context.Context) error {
	if w.at.IsZero() {
		w.at = w.now()
	}
	w.at = w.at.UTC().Truncate(w.common.Step)
	var err error
	if w.reg, err = registry.Open(ctx, w.common); err != nil {
		return err
	}
	all, found, err := w.atWork(ctx)
	if err != nil {
		return err
	}
	notes := w.readAudit(ctx, all)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		found = append(found, w.judge(ctx, name, all[name]))
	}
	drifts := w.drift(ctx, all, found)
	w.print(found)
	report := watchReport{At: w.at, Program: w.version, DryRun: w.dryRun, Models: found}
	var trained error
	if w.retrain {
		report.Retrain, trained = w.retrainDrifted(ctx, found)
	}
	faults := []error{notes, drifts, trained, ctx.Err()}
	for _, f := range found {
		if f.Error != "" {
			faults = append(faults, fmt.Errorf("model %s: %s", f.Model, f.Error))
		}
	}
	failure := errors.Join(faults...)
	if w.report != "" {
		failure = errors.Join(failure, w.write(report))
	}
	if w.metrics != "" {
		failure = errors.Join(failure, w.writeMetrics(found, failure != nil))
	}
	if failure != nil {
		return failure
	}
	return w.asked(found)
}

// atWork returns the champions of the registry, by name, and what of it cannot be
// read, which hides nothing else.
func (w *watch) atWork(ctx context.Context) (all map[string]*watched, unreadable []finding, err error) {
	entries, err := w.reg.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	all = map[string]*watched{}
	for _, e := range entries {
		if e.Foreign {
			continue // nothing is known of what it forecasts
		}
		it, err := w.champion(ctx, e)
		if err != nil {
			unreadable = append(unreadable, finding{Model: e.Name, Version: e.Champion, Error: err.Error()})
			continue
		}
		all[e.Name] = it
	}
	if len(all)+len(unreadable) == 0 {
		return nil, nil, fmt.Errorf("%s has no model that Forescale trained", w.common.Models)
	}
	return all, unreadable, nil
}

// champion returns the version of a name that serves, and since when.
func (w *watch) champion(ctx context.Context, e models.Entry) (*watched, error) {
	if e.Err != nil {
		return nil, e.Err
	}
	it := &watched{counts: map[float64]*gate.Counts{}, groups: map[string]*watchedGroup{}}
	var err error
	if it.manifest, err = w.reg.Champion(ctx, e.Name); err != nil {
		return nil, err
	}
	changes, err := w.reg.History(ctx, e.Name)
	if err != nil && !errors.Is(err, models.ErrNoModel) {
		return nil, err
	}
	it.change = models.Change{Version: it.manifest.Version}
	if len(changes) > 0 && changes[0].Version == it.manifest.Version {
		it.change = changes[0]
	}
	for _, group := range it.manifest.Groups {
		if group != models.AnyGroup {
			it.group(group)
		}
	}
	return it, nil
}

// readAudit pairs the forecasts of the champions with what came true.
func (w *watch) readAudit(ctx context.Context, all map[string]*watched) error {
	store, err := blob.Open(ctx, w.common.Data)
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	first := w.at
	for _, it := range all {
		if it.change.At.Before(first) {
			first = it.change.At
		}
	}
	if limit := w.at.Add(-w.back); first.Before(limit) {
		first = limit
	}
	p := &pairing{models: all, day: w.at.Add(-day), issued: map[string][]promise{}}
	return p.read(ctx, journal.New(store).Shard(w.shard), first.Truncate(w.common.Step), w.at.Add(w.common.Step))
}

// judge says whether a model has to give way, and makes it.
func (w *watch) judge(ctx context.Context, name string, it *watched) finding {
	f := finding{Model: name, Version: it.change.Version, Since: it.change.At, Live: it.live(), Drift: map[string]gate.Drifted{}, inputs: map[string][]gate.Series{},
		single: slices.Equal(it.manifest.Groups, []string{name})}
	f.Return = w.gate.RollBack.Judge(f.Live)
	if !f.Return.RollBack || w.dryRun {
		return f
	}
	raw, err := json.Marshal(struct {
		Program string      `json:"program"`
		Live    gate.Live   `json:"live"`
		Return  gate.Return `json:"return"`
	}{w.version, f.Live, f.Return})
	if err != nil {
		f.Error = err.Error()
		return f
	}
	change, err := w.reg.RollBack(ctx, name, models.Change{From: f.Version, At: w.now(), By: "forescale watch", Why: f.Return.Why, Evidence: raw})
	switch {
	case errors.Is(err, models.ErrConflict):
		f.Return.Why += "; somebody else has moved the champion meanwhile"
	case errors.Is(err, models.ErrPinned):
		f.Return.Why += "; but " + err.Error()
	case err != nil:
		f.Error = err.Error()
	default:
		f.RolledBackTo = change.Version
	}
	return f
}

// drift measures how far the inputs and errors of each group are from training's.
func (w *watch) drift(ctx context.Context, all map[string]*watched, found []finding) error {
	var groups []string
	for _, it := range all {
		groups = append(groups, slices.Collect(maps.Keys(it.groups))...)
	}
	slices.Sort(groups)
	groups = slices.Compact(groups)
	shelf, err := w.grids(ctx, groups, w.at, w.errOut)
	if err != nil {
		return err
	}
	of := map[string][]int{} // indices into found
	for i, f := range found {
		if it := all[f.Model]; it != nil {
			for group := range it.groups {
				of[group] = append(of[group], i)
			}
		}
	}
	for _, group := range groups {
		grid, _, err := shelf.Take(ctx, group)
		if err != nil {
			return err
		}
		for _, i := range of[group] {
			it := all[found[i].Model]
			seen := gate.Seen{Series: inputs(it.manifest, grid, w.at), Level: it.groups[group].level, Residuals: it.groups[group].residuals}
			found[i].Drift[group], found[i].inputs[group] = w.gate.Drift.Judge(seen), seen.Series
		}
	}
	return nil
}

// retrainDrifted retrains the models of a single group for which it is asked for.
func (w *watch) retrainDrifted(ctx context.Context, found []finding) ([]retrained, error) {
	r := &retrain{site: w.site, version: w.version, now: w.now, out: w.out, errOut: w.errOut, reg: w.reg, show: newMeter(w.errOut),
		test: 14 * day, leadTime: 5 * time.Minute, policyName: backtest.DefaultPolicy, end: w.at}
	if err := r.checkPolicy(); err != nil {
		return nil, err
	}
	var groups []string
	for _, f := range found {
		if f.single && len(f.drifted()) > 0 {
			groups = append(groups, f.Model)
		}
	}
	return r.each(ctx, groups)
}
