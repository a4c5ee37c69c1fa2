package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/collector/sources"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/calendar"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/internal/obs"
)

// program is the command line, and what check makes of it.
type program struct {
	config, data, at, backfill, importFile, group string
	source                                        string
	once, compact                                 bool
	columns                                       columnFlag

	now      func() time.Time // nil: time.Now
	common   conf.Common
	section  sources.Config
	sources  []collector.Source // none for an import
	streams  []collector.Stream // none for an import
	calendar *calendar.Live     // nil: none
	moment   time.Time          // of -at; zero: now
	from, to time.Time          // of -backfill
	log      *slog.Logger
}

func (p *program) command() cli.Command {
	if p.now == nil {
		p.now = time.Now
	}
	return cli.Command{
		Name:    "forescale-collector",
		Manual:  cli.PackageComment(source),
		Flags:   p.flags,
		Check:   p.check,
		Explain: p.explain,
		Run:     p.run,
	}
}

func (p *program) flags(fs *flag.FlagSet) {
	fs.StringVar(&p.config, "config", "", "configuration `FILE`")
	fs.StringVar(&p.data, "data", "", "`URL` of the data lake, in place of the configured one")
	fs.BoolVar(&p.once, "once", false, "run one tick and exit")
	fs.StringVar(&p.at, "at", "", "with -once: act as of this `TIME` (RFC 3339)")
	fs.BoolVar(&p.compact, "compact", false, "compact the closed days of the lake, remove the old ones, and exit")
	fs.StringVar(&p.backfill, "backfill", "", "fetch a `RANGE` of the past and exit: a length (14d, 36h) or FROM/TO (RFC 3339)")
	fs.StringVar(&p.source, "source", "", "with -backfill: of the source with this `NAME` only")
	fs.StringVar(&p.importFile, "import", "", "store the CSV or CSV.gz `FILE` and exit")
	fs.StringVar(&p.group, "group", "", "with -import: the `NAME` of the group that the file speaks of")
	fs.Var(&p.columns, "column", "with -import: `METRIC=COLUMN` takes a metric from a column; may be repeated")
}

// check loads the configuration and returns every fault of it and of the command
// line at once.
func (p *program) check() error {
	p.section = sources.DefaultConfig()
	var faults []error
	common, loadErr := conf.Load(p.config, "collector", &p.section)
	p.common = common
	faults = append(faults, loadErr)
	if p.data != "" {
		p.common.Data = p.data
	}
	if p.common.Data != "" || loadErr == nil { // what could not be read is not missing
		faults = append(faults, checkData(p.common.Data))
	}
	sectionErr := p.section.Validate(p.common.Step)
	if sectionErr == nil {
		if err := p.section.Notify.Check(); err != nil {
			sectionErr = fmt.Errorf("collector.notify.%w", err)
		}
	}
	faults = append(faults, sectionErr, p.checkMode())
	var err error
	p.log, err = obs.NewLogger(os.Stderr, p.common.Log.Level, p.common.Log.Format)
	faults = append(faults, err)
	if p.common.Calendar != "" {
		p.calendar, err = calendar.Open(p.common.Calendar)
		faults = append(faults, err)
	}
	switch { // an import or a compaction needs no provider and no credentials
	case p.importFile != "" || p.compact || loadErr != nil || sectionErr != nil || p.log == nil:
	case len(p.section.Sources) == 0:
		faults = append(faults, errors.New("collector.sources: none is configured"))
	default: // connects to nothing
		deps := sources.Deps{AWS: p.common.AWS, Step: p.common.Step, Log: p.log}
		p.sources, err = sources.Open(context.Background(), p.section, deps)
		faults = append(faults, err)
		p.streams, err = sources.OpenStreams(context.Background(), p.section, deps)
		faults = append(faults, err, p.checkSpool(), p.choose())
	}
	return errors.Join(faults...)
}

// checkData reports what is wrong with the lake's URL.
func checkData(rawURL string) error {
	if rawURL == "" {
		return errors.New("data: the URL of the data lake is missing (data in the configuration, or -data)")
	}
	if err := blob.Check(context.Background(), rawURL); err != nil {
		return fmt.Errorf("data: %w", err)
	}
	return nil
}

// checkMode reports contradictions of the command line and parses its times.
func (p *program) checkMode() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	modes := 0
	for _, set := range []bool{p.once, p.compact, p.backfill != "", p.importFile != ""} {
		if set {
			modes++
		}
	}
	if modes > 1 {
		bad("-once, -compact, -backfill and -import exclude each other")
	}
	if p.at != "" {
		var err error
		if p.moment, err = time.Parse(time.RFC3339, p.at); err != nil {
			bad("-at %q: want a time like 2026-03-01T12:00:00Z", p.at)
		}
		if !p.once {
			bad("-at: only with -once")
		}
	}
	if p.backfill != "" {
		var err error
		if p.from, p.to, err = parseRange(p.backfill, p.now().Add(-p.section.Settle)); err != nil {
			bad("-backfill %q: %w", p.backfill, err)
		}
	}
	if p.source != "" && p.backfill == "" {
		bad("-source: only with -backfill")
	}
	switch {
	case p.importFile != "" && p.group == "":
		bad("-import: -group is missing")
	case p.importFile == "" && (p.group != "" || len(p.columns) > 0):
		bad("-group and -column: only with -import")
	}
	if p.group != "" {
		if err := api.CheckName(p.group); err != nil {
			bad("-group: %w", err)
		}
	}
	return errors.Join(faults...)
}

// parseRange reads a length that ends now, in days (14d) or as Go writes
// durations (36h), or FROM/TO.
func parseRange(text string, now time.Time) (from, to time.Time, err error) {
	if first, second, ok := strings.Cut(text, "/"); ok {
		from, err1 := time.Parse(time.RFC3339, first)
		to, err2 := time.Parse(time.RFC3339, second)
		if err := errors.Join(err1, err2); err != nil {
			return from, to, err
		}
		if !from.Before(to) {
			return from, to, errors.New("FROM is not before TO")
		}
		return from, to, nil
	}
	var length time.Duration
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 1 || n > maxBackfillDays {
			return from, to, fmt.Errorf("want 1d to %dd", maxBackfillDays)
		}
		length = time.Duration(n) * 24 * time.Hour
	} else if length, err = time.ParseDuration(text); err != nil || length <= 0 {
		return from, to, errors.New("want a length like 14d or 36h, or FROM/TO")
	}
	return now.Add(-length), now, nil
}

const maxBackfillDays = 3660

// columnFlag collects -column METRIC=COLUMN.
type columnFlag map[string]string

// String implements flag.Value.
func (c *columnFlag) String() string { return "" }

// Set implements flag.Value.
func (c *columnFlag) Set(text string) error {
	metric, column, ok := strings.Cut(text, "=")
	if !ok || metric == "" || column == "" {
		return errors.New("want METRIC=COLUMN")
	}
	if *c == nil {
		*c = columnFlag{}
	}
	if _, twice := (*c)[metric]; twice {
		return fmt.Errorf("the metric %s is given twice", metric)
	}
	(*c)[metric] = column
	return nil
}
