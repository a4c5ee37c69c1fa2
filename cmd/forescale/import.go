package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/collector/sources"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/calendar"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/tidy"
)

const importManual = `forescale import stores CSV (also gzipped) and Parquet files in the data lake. It may
be run again: only what differs from the lake is written.

  # A tidy file: timestamp, and a column per metric under the metric's own name.
  forescale import web.csv.gz -group web -config forescale.yaml -dry-run

  # Any other file: which column holds what, in which unit, in whose time.
  forescale import export.csv -store s3://lake/prod -group-column service \
      -time-column when -time-format "02.01.2006 15:04" -zone Europe/Berlin \
      -column cpu_utilization=cpu -column response_time:p95=latency_ms -scale response_time:p95=0.001

-time-format is a layout of Go's package time, unix or unix_ms. Of a local time that
came twice, when clocks went back, it must be known which one is meant: -repeated
earlier or later. Statistics are avg, sum, min, max, p95 and count; without one, a
metric has its usual one. Rows nearer to each other than a slot are reduced to one
value by it.

Rows that are not understood are named with their lines, and nothing is stored;
-allow-bad N stores the others if there are no more than N of them.`

// importer is the command line of import.
type importer struct {
	store, config                  string
	group, groupColumn, timeColumn string
	timeFormat, zoneName, repeated string
	columns                        importColumns
	scales                         importScales
	step                           time.Duration
	allowBad                       int
	dryRun                         bool
	url                            string
	zone                           *time.Location
	plans                          *calendar.Calendar // nil: none
	out, errOut                    io.Writer
	now                            func() time.Time
}

func importCommand() cli.Command {
	i := &importer{out: os.Stdout, errOut: os.Stderr, now: time.Now}
	return cli.Command{Name: "forescale import", Manual: importManual, Flags: i.flags, Check: i.check, Run: i.run, Arguments: true}
}

func (i *importer) flags(fs *flag.FlagSet) {
	fs.StringVar(&i.store, "store", "", "`URL` of the data lake, as data: in the configuration: file:///DIR or s3://BUCKET/PREFIX")
	fs.StringVar(&i.config, "config", "", "configuration `FILE`, instead of -store; its step and calendar hold")
	fs.StringVar(&i.group, "group", "", "`NAME` of the group that the rows are of")
	fs.StringVar(&i.groupColumn, "group-column", "", "`COLUMN` with the group of each row, instead of -group")
	fs.StringVar(&i.timeColumn, "time-column", "timestamp", "`COLUMN` with the times")
	fs.StringVar(&i.timeFormat, "time-format", "", "how times are written: a `LAYOUT` of Go, unix or unix_ms (default: RFC 3339 and the like)")
	fs.StringVar(&i.zoneName, "zone", "UTC", "time `ZONE` of times that say none, for example Europe/Berlin")
	fs.StringVar(&i.repeated, "repeated", "", "which of two equal local times is meant where clocks went back: `earlier` or later")
	fs.Var(&i.columns, "column", "`METRIC[:STAT]=COLUMN` takes a metric from a column; may be repeated (default: every column under its own name)")
	fs.Var(&i.scales, "scale", "`METRIC[:STAT]=FACTOR` by which values are multiplied to be in the metric's unit; may be repeated")
	fs.DurationVar(&i.step, "step", 5*time.Minute, "`LENGTH` of a slot, with -store")
	fs.IntVar(&i.allowBad, "allow-bad", 0, "store the sound rows of a file with at most `N` others")
	fs.BoolVar(&i.dryRun, "dry-run", false, "show what would be stored, and store nothing")
}

// check returns all faults of the command line at once.
func (i *importer) check() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	switch {
	case i.store != "" && i.config != "":
		bad("-store and -config exclude each other")
	case i.config != "":
		section := sources.DefaultConfig()
		common, err := conf.Load(i.config, "collector", &section)
		if err != nil {
			faults = append(faults, err)
			break
		}
		if i.url, i.step = common.Data, common.Step; i.url == "" {
			bad("configuration %s: data: the URL of the data lake is missing", i.config)
		}
		if common.Calendar != "" {
			if i.plans, err = calendar.Load(common.Calendar); err != nil {
				faults = append(faults, err)
			}
		}
	case i.store != "":
		i.url = i.store
	case !i.dryRun:
		bad("-store URL or -config FILE is needed: it says where to store; or -dry-run")
	}
	if i.url != "" {
		if err := blob.Check(context.Background(), i.url); err != nil {
			faults = append(faults, err)
		}
	}
	switch {
	case i.group == "" && i.groupColumn == "":
		bad("-group NAME or -group-column COLUMN is needed: it says whose metrics these are")
	case i.group != "" && i.groupColumn != "":
		bad("-group and -group-column exclude each other")
	case i.group != "":
		if err := api.CheckName(i.group); err != nil {
			bad("-group: %w", err)
		}
	}
	if i.step < time.Minute || i.step%time.Minute != 0 || day%i.step != 0 {
		bad("-step: %s must be whole minutes that divide a day", i.step)
	}
	if i.repeated != "" && i.repeated != string(tidy.RepeatedEarlier) && i.repeated != string(tidy.RepeatedLater) {
		bad("-repeated: %q is not earlier or later", i.repeated)
	}
	if i.allowBad < 0 {
		bad("-allow-bad: %d is negative", i.allowBad)
	}
	if i.timeFormat != "" && i.timeFormat != "unix" && i.timeFormat != "unix_ms" && !strings.Contains(i.timeFormat, "06") {
		bad("-time-format: %q is not unix, unix_ms or a layout like \"2006-01-02 15:04:05\"", i.timeFormat)
	}
	var err error
	if i.zone, err = time.LoadLocation(i.zoneName); err != nil || i.zoneName == "Local" {
		bad("-zone: %.60q is no time zone; write one like Europe/Berlin", i.zoneName)
	}
	for series := range i.scales {
		if !slices.ContainsFunc(i.columns, func(c collector.Column) bool { return seriesText(c) == series }) {
			bad("-scale %s: there is no -column %s=…", series, series)
		}
	}
	return errors.Join(faults...)
}

func (i *importer) run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return cli.Usagef("which files? Name them")
	}
	var c *collector.Collector
	if !i.dryRun {
		store, err := blob.Open(ctx, i.url)
		if err != nil {
			return err
		}
		cfg := collector.DefaultConfig()
		cfg.Writer = "import"
		deps := collector.Deps{Lake: dataset.New(store), Step: i.step, Now: i.now, Log: slog.New(slog.NewTextHandler(i.errOut, nil))}
		if i.plans != nil {
			deps.Calendar = i.plans
		}
		if c, err = collector.New(cfg, deps); err != nil {
			return err
		}
	}
	for _, path := range args {
		if err := i.importFile(ctx, c, path); err != nil {
			return err
		}
	}
	return nil
}

// importFile stores a file, or shows what would be stored. Nothing is stored of a
// file with a fault in any group.
func (i *importer) importFile(ctx context.Context, c *collector.Collector, path string) error {
	rows, err := i.read(path)
	if err != nil {
		return err
	}
	if i.groupColumn == "" {
		rows.Groups = map[string]*tidy.Table{i.group: rows.Groups[""]}
	}
	groups := slices.Sorted(maps.Keys(rows.Groups))
	columns := map[string][]collector.Column{}
	view := tabwriter.NewWriter(i.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	if i.dryRun {
		fmt.Fprintln(view, "GROUP\tMETRIC\tSTAT\tVALUES\tFIRST SLOT\tLAST SLOT\tMIN\tMEAN\tMAX\t")
	}
	for _, group := range groups {
		columns[group] = i.chosen(rows.Groups[group])
		samples, err := collector.ImportedSamples(rows.Groups[group], group, columns[group], i.step)
		if err != nil {
			return fmt.Errorf("%s: group %q: %w", path, group, err)
		}
		if i.dryRun {
			describe(view, group, columns[group], samples)
		}
	}
	fmt.Fprintf(i.out, "%s: %d rows of %d groups; %d bad rows left out, %d repeated rows dropped\n", path, rows.Lines, len(groups), rows.Bad, rows.Same)
	if i.dryRun {
		return view.Flush()
	}
	stored := 0
	for at, group := range groups {
		show := func(done, total int) {
			fmt.Fprintf(i.errOut, "%s: group %d of %d, %s: %d of %d slots\n", path, at+1, len(groups), plain(group), done, total)
		}
		n, err := c.ImportColumns(ctx, rows.Groups[group], group, columns[group], i.paced(show))
		stored += n
		if err != nil {
			return fmt.Errorf("%s: group %q: %w; %d values are stored, and running it again stores the rest", path, group, err, stored)
		}
	}
	fmt.Fprintf(i.out, "%s: %d values stored; the others were there already\n", path, stored)
	return nil
}

// paced lets a progress be told at most every two seconds.
func (i *importer) paced(show func(done, total int)) func(done, total int) {
	last := i.now()
	return func(done, total int) {
		if now := i.now(); now.Sub(last) >= 2*time.Second {
			last = now
			show(done, total)
		}
	}
}

// read reads a file, and tells of the rows that are at fault.
func (i *importer) read(path string) (*tidy.Rows, error) {
	format := tidy.Format{Time: i.timeColumn, TimeFormat: i.timeFormat, Zone: i.zone, Repeated: tidy.Repeated(i.repeated), Group: i.groupColumn}
	for _, c := range i.columns {
		if !slices.Contains(format.Columns, c.Name) {
			format.Columns = append(format.Columns, c.Name)
		}
	}
	rows, err := tidy.ReadRowsFile(path, format)
	if err != nil {
		return nil, err
	}
	for _, fault := range rows.Faults {
		fmt.Fprintln(i.errOut, fault)
	}
	if more := rows.Bad - len(rows.Faults); more > 0 {
		fmt.Fprintf(i.errOut, "%s: and %d more bad rows\n", path, more)
	}
	switch {
	case rows.Bad > i.allowBad:
		return nil, fmt.Errorf("%s: %d of %d rows are bad, and nothing of the file is stored; mend them, or leave them out with -allow-bad %d", path, rows.Bad, rows.Lines, rows.Bad)
	case len(rows.Groups) == 0:
		return nil, fmt.Errorf("%s: no row is sound", path)
	}
	return rows, nil
}

// chosen returns what the columns of a table hold.
func (i *importer) chosen(t *tidy.Table) []collector.Column {
	columns := slices.Clone(i.columns)
	if columns == nil {
		for _, name := range append(t.Inputs(), t.Flags()...) {
			columns = append(columns, collector.Column{Name: name, Metric: name})
		}
	}
	for at, c := range columns {
		columns[at].Scale = i.scales[seriesText(c)]
	}
	return columns
}

// describe writes what each column gives.
func describe(w io.Writer, group string, columns []collector.Column, samples []api.Sample) {
	for _, c := range columns {
		stat := c.Stat
		if stat == "" {
			stat = api.DefaultStat(c.Metric)
		}
		n, least, greatest, mean := 0, math.Inf(1), math.Inf(-1), 0.0
		var first, last time.Time
		for _, s := range samples {
			if s.Metric != c.Metric || s.Stat != stat {
				continue
			}
			if n == 0 {
				first = s.Time
			}
			n++
			last, least, greatest = s.Time, min(least, s.Value), max(greatest, s.Value)
			mean += (s.Value - mean) / float64(n)
		}
		if n == 0 {
			fmt.Fprintf(w, "%s\t%s\t%s\t0\t-\t-\t-\t-\t-\t\n", plain(group), plain(c.Metric), stat)
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%.6g\t%.6g\t%.6g\t\n", plain(group), plain(c.Metric), stat, n, stamp(first), stamp(last), least, mean, greatest)
	}
}

// seriesText writes METRIC or METRIC:STAT.
func seriesText(c collector.Column) string {
	if c.Stat == "" {
		return c.Metric
	}
	return c.Metric + ":" + string(c.Stat)
}

// importColumns collects -column METRIC[:STAT]=COLUMN.
type importColumns []collector.Column

// String implements flag.Value.
func (c *importColumns) String() string { return "" }

// Set implements flag.Value.
func (c *importColumns) Set(text string) error {
	series, column, ok := strings.Cut(text, "=")
	metric, stat, told := strings.Cut(series, ":")
	switch {
	case !ok || metric == "" || column == "":
		return errors.New("want METRIC=COLUMN or METRIC:STAT=COLUMN")
	case told && !api.Stat(stat).Valid():
		return fmt.Errorf("%q is no statistic; there are avg, sum, min, max, p95 and count", stat)
	}
	if err := api.CheckName(metric); err != nil {
		return fmt.Errorf("the metric's name %w", err)
	}
	*c = append(*c, collector.Column{Name: column, Metric: metric, Stat: api.Stat(stat)})
	return nil
}

// importScales collects -scale METRIC[:STAT]=FACTOR.
type importScales map[string]float64

// String implements flag.Value.
func (s *importScales) String() string { return "" }

// Set implements flag.Value.
func (s *importScales) Set(text string) error {
	series, number, ok := strings.Cut(text, "=")
	factor, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || factor == 0 || math.IsNaN(factor) || math.IsInf(factor, 0) {
		return errors.New("want METRIC=FACTOR or METRIC:STAT=FACTOR, with a factor other than 0")
	}
	if *s == nil {
		*s = importScales{}
	}
	(*s)[series] = factor
	return nil
}
