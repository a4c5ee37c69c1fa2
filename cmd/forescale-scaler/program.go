package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/calendar"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/obs"
	"github.com/forescale/forescale/internal/registry"
	"github.com/forescale/forescale/internal/tell"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/scaler"
	"github.com/forescale/forescale/scaler/control"
	"github.com/forescale/forescale/scaler/targets"
)

const manual = `forescale-scaler changes the size of groups before their load arrives.

  forescale-scaler -config FILE                      every step, until stopped
  forescale-scaler -config FILE -once [-at TIME]     one tick, for cron and Lambda
  forescale-scaler -config FILE -dry-run             decide and record, change nothing

Every decision is printed as one line and kept in the audit log. A group is in
dry-run mode until its configuration says mode: live.`

// releaseTimeout bounds giving the lease back at the end.
const releaseTimeout = 5 * time.Second

// dryRunShard is where -dry-run keeps what it makes of groups in live mode: in
// the common audit log it would take the tick from the scaler that is to act.
const dryRunShard = "dry-run"

// program is the command line, and what check makes of it.
type program struct {
	out, errOut io.Writer

	config, at, listen string
	once, dryRun       bool

	common   conf.Common
	section  scaler.Config
	calendar *calendar.Live // nil: none
	checking func() bool    // -check was given
	moment   time.Time      // of -at; zero: now
	teller   *tell.Teller   // nil: nobody is told
	log      *slog.Logger
}

func (p *program) command() cli.Command {
	return cli.Command{Name: "forescale-scaler", Manual: manual, Flags: p.flags, Check: p.check, Run: p.run}
}

func (p *program) flags(fs *flag.FlagSet) {
	p.checking = func() bool { f := fs.Lookup("check"); return f != nil && f.Value.String() == "true" }
	fs.StringVar(&p.config, "config", "", "configuration `FILE`")
	fs.BoolVar(&p.once, "once", false, "run one tick and exit")
	fs.BoolVar(&p.dryRun, "dry-run", false, "put every group into dry-run mode, whatever the configuration says")
	fs.StringVar(&p.listen, "listen", "", "`ADDRESS` of a Prometheus endpoint, host:port (overrides scaler.metrics_listen)")
	fs.StringVar(&p.at, "at", "", "with -once: act as of this `TIME` (RFC 3339)")
}

// check loads the configuration and returns every fault of it and of the command
// line at once.
func (p *program) check() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if p.config == "" {
		bad("-config: a configuration file is needed; it lists the groups (see -help)")
		return errors.Join(faults...)
	}
	p.section = scaler.DefaultConfig()
	var err error
	p.common, err = conf.Load(p.config, "scaler", &p.section)
	faults = append(faults, err)
	// A group that could not be read is told about, and is not there to be judged.
	unread := err != nil && len(p.section.Groups) == 0
	if p.listen != "" {
		p.section.MetricsListen = p.listen
	}
	if p.section.ID == "" {
		if p.section.ID, err = os.Hostname(); err != nil || p.section.ID == "" {
			bad("scaler.id: is not set and the host has no name: %v", err)
		}
	}
	if !unread {
		faults = append(faults, p.section.Validate(p.common.Step), targets.Validate(p.section, p.common))
	}
	faults = append(faults, checkStore("data", p.common.Data))
	if p.predicts() {
		faults = append(faults, checkStore("models", p.common.Models), registry.Check(p.common), p.section.CheckServer())
	}
	if p.log, err = obs.NewLogger(p.errOut, p.common.Log.Level, p.common.Log.Format); err != nil {
		faults = append(faults, err)
	}
	if p.common.Calendar != "" {
		p.calendar, err = calendar.Open(p.common.Calendar)
		faults = append(faults, err)
	}
	if p.at != "" {
		if p.moment, err = time.Parse(time.RFC3339, p.at); err != nil {
			bad("-at: %q is not a time such as 2026-03-02T12:05:00Z", p.at)
		}
		if !p.once {
			bad("-at: only goes with -once")
		}
	}
	if err := errors.Join(faults...); err != nil || !p.checking() {
		return err
	}
	return p.checkFlags(context.Background())
}

// checkFlags reports the models that read a flag which the calendar does not have.
// Only -check asks for it: a scaler that is started again must not stay away from
// all groups because of one model. A registry that cannot be read is no fault of
// the configuration, and is told of.
func (p *program) checkFlags(ctx context.Context) error {
	if !p.predicts() {
		return nil
	}
	if dir := blob.Directory(p.common.Models); dir != "" {
		if _, err := os.Stat(dir); err != nil { // Open would make it
			fmt.Fprintf(p.errOut, "the models were not checked: %v\n", err)
			return nil
		}
	}
	specs, err := registry.Open(ctx, p.common, blob.WithLog(p.log))
	if err != nil {
		return err
	}
	deps := scaler.Deps{Store: blob.NewMemory(), Specs: specs, Log: p.log, Flags: p.plans()}
	s, err := scaler.New(p.section, p.common.Step, deps)
	if err != nil {
		return err
	}
	return s.CheckFlags(ctx)
}

// plans returns the calendar as the scaler's source of flags. A nil *Live in the
// interface would hide the lake's own flags.
func (p *program) plans() window.Flags {
	if p.calendar == nil {
		return nil
	}
	return p.calendar
}

// ticked prints a record and lets a changed calendar count from the next tick on.
func (p *program) ticked(rec api.TickRecord) {
	_ = p.print(rec, nil)
	p.teller.Tell(scaler.Told(rec))
	if p.calendar != nil {
		p.calendar.Refresh(p.log)
	}
}

// predicts reports whether any group wants forecasts.
func (p *program) predicts() bool {
	for _, g := range p.section.Groups {
		if g.Predicted() {
			return true
		}
	}
	return false
}

// checkStore reports what is wrong with a store's URL.
func checkStore(key, rawURL string) error {
	if rawURL == "" {
		return fmt.Errorf("%s: the URL is missing", key)
	}
	if err := blob.Check(context.Background(), rawURL); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

func (p *program) run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		return cli.Usagef("unexpected argument %q", args[0])
	}
	s, err := p.open(ctx)
	if err != nil {
		return err
	}
	switch {
	case !p.once:
		err = p.serve(ctx, s)
	case p.moment.IsZero():
		err = p.tellOf(s.Newest(ctx))
	default:
		err = p.tellOf(s.Once(ctx, p.moment))
	}
	// The server is told at the end, too, within the teller's own time limit.
	defer p.teller.Wait(context.WithoutCancel(ctx))
	p.release(ctx, s)
	return err
}

// now is the wall clock, or the moment that -at names, where time stands still:
// a tick then writes the same record however long it takes.
func (p *program) now() time.Time {
	if p.moment.IsZero() {
		return time.Now()
	}
	return p.moment
}

// open wires the scaler to its stores, server and provider.
func (p *program) open(ctx context.Context) (*scaler.Scaler, error) {
	shard := ""
	if p.dryRun {
		for i, g := range p.section.Groups {
			if g.Mode == api.ModeLive {
				shard = dryRunShard
			}
			p.section.Groups[i].Mode = api.ModeDryRun
		}
	}
	lake, err := blob.Open(ctx, p.common.Data, blob.WithLog(p.log))
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	deps := scaler.Deps{Store: lake, History: dataset.New(lake), Controls: control.New(lake), Log: p.log, Now: p.now, Shard: shard, Version: cli.Version,
		OnTick: p.ticked, Flags: p.plans()}
	if p.predicts() {
		if deps.Specs, err = registry.Open(ctx, p.common, blob.WithLog(p.log)); err != nil {
			return nil, err
		}
		c, err := p.section.NewClient()
		if err != nil {
			return nil, err
		}
		deps.Forecaster = tracing{c, p.log}
	}
	if deps.Target, err = targets.Open(ctx, p.section, p.common, p.log); err != nil {
		return nil, err
	}
	if p.teller, err = p.section.NewTeller(p.log); err != nil {
		return nil, err
	}
	return scaler.New(p.section, p.common.Step, deps)
}

// tellOf prints a single tick and has the server told of it.
func (p *program) tellOf(rec api.TickRecord, err error) error {
	if err == nil {
		p.teller.Tell(scaler.Told(rec))
	}
	return p.print(rec, err)
}

// print writes a tick's decisions, one a line, and passes the tick's error on.
func (p *program) print(rec api.TickRecord, err error) error {
	if err != nil {
		return err
	}
	for _, d := range rec.Decisions {
		fmt.Fprintln(p.out, scaler.Describe(d))
	}
	for _, e := range rec.Errors {
		fmt.Fprintf(p.out, "%s error: %s\n", rec.Tick.UTC().Format(time.RFC3339), e)
	}
	return nil
}
