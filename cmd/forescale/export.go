package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/file"
	"github.com/forescale/forescale/internal/tidy"
)

const exportManual = `forescale export writes what the data lake holds to files that other tools read, and
of which import, backtest and the trainer read the wide ones back.

  forescale export web -out web.csv.gz -config forescale.yaml -from 2026-01-01
  forescale export -out traces/ -config forescale.yaml               every group, a file each
  forescale export -out all.parquet -layout long -metric cpu_utilization -store s3://lake/prod

The wide layout has a row per slot and a column per metric; a file holds one group, so
that several groups need a directory (a name that ends in /, or one that exists), in
which -format says what files are. The long layout has a row per value: timestamp,
group, metric, stat, value. The end of the name says the format: .csv, .csv.gz or
.parquet. What is missing in the lake is an empty cell, or no row.`

// exporter is the command line of export.
type exporter struct {
	place
	out, format, layout string
	from, to            string
	metrics             listFlag
	start, end          time.Time // of from and to; zero: no bound
	say, warn           io.Writer
}

func exportCommand() cli.Command {
	e := &exporter{say: os.Stdout, warn: os.Stderr}
	return cli.Command{Name: "forescale export", Manual: exportManual, Flags: e.flags, Check: e.check, Run: e.run, Arguments: true}
}

func (e *exporter) flags(fs *flag.FlagSet) {
	e.place.flags(fs)
	fs.StringVar(&e.out, "out", "", "`FILE`, or directory for a file per group")
	fs.StringVar(&e.format, "format", "csv.gz", "in a directory: `FORMAT` of the files: csv, csv.gz or parquet")
	fs.StringVar(&e.layout, "layout", "wide", "`LAYOUT`: wide, a row per slot, or long, a row per value")
	fs.StringVar(&e.from, "from", "", "`TIME` from which on (default: all)")
	fs.StringVar(&e.to, "to", "", "`TIME` up to which, exclusive (default: all)")
	fs.Var(&e.metrics, "metric", "`METRIC` to export, with all its statistics; may be repeated (default: all)")
}

// formats are the ends of the names of files.
var formats = []string{"csv", "csv.gz", "parquet"}

// check returns all faults of the command line at once.
func (e *exporter) check() error {
	faults := []error{e.place.check()}
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	var err error
	if e.from != "" {
		if e.start, err = parseTime(e.from); err != nil {
			bad("-from: %w", err)
		}
	}
	if e.to != "" {
		if e.end, err = parseTime(e.to); err != nil {
			bad("-to: %w", err)
		} else if !e.end.After(e.start) {
			bad("-to: %s is not after -from", e.to)
		}
	}
	if e.layout != "wide" && e.layout != "long" {
		bad("-layout: %q is not wide or long", e.layout)
	}
	if !slices.Contains(formats, e.format) {
		bad("-format: %q is not csv, csv.gz or parquet", e.format)
	}
	switch {
	case e.out == "":
		bad("-out is missing: a FILE, or a directory")
	case e.directory():
	case formatOf(e.out) == "":
		bad("-out: %s ends neither in .csv, .csv.gz nor .parquet; a directory ends in /", e.out)
	}
	return errors.Join(faults...)
}

// directory reports whether -out names a directory.
func (e *exporter) directory() bool {
	info, err := os.Stat(e.out)
	return err == nil && info.IsDir() || strings.HasSuffix(e.out, "/")
}

// formatOf returns the format that a file's name says, "" for none.
func formatOf(path string) string {
	for _, format := range formats {
		if strings.HasSuffix(path, "."+format) {
			return format
		}
	}
	return ""
}

func (e *exporter) run(ctx context.Context, groups []string) error {
	store, err := e.open(ctx)
	if err != nil {
		return err
	}
	lake := dataset.New(store)
	known, err := lake.Groups(ctx, e.start, e.end)
	if err := e.bear(err); err != nil {
		return err
	}
	for _, group := range groups {
		if err := notAmong(group, known); err != nil {
			return fmt.Errorf("%s: %w", e.url, err)
		}
	}
	if len(groups) == 0 {
		groups = known
	}
	if len(groups) == 0 {
		return fmt.Errorf("%s has no samples in this range", e.url)
	}
	if !e.directory() {
		if e.layout == "wide" && len(groups) > 1 {
			return cli.Usagef("-out: a wide file holds one group, and these are %d; name a directory (%s/), one group, or -layout long", len(groups), strings.TrimSuffix(e.out, "."+formatOf(e.out)))
		}
		return e.write(ctx, lake, e.out, formatOf(e.out), groups)
	}
	if err := os.MkdirAll(e.out, 0o777); err != nil {
		return err
	}
	for _, group := range groups {
		if err := e.write(ctx, lake, filepath.Join(e.out, blob.Escape(group)+"."+e.format), e.format, []string{group}); err != nil {
			return err
		}
	}
	return nil
}

// bear reports parts of the lake that cannot be read, and returns any other error.
func (e *exporter) bear(err error) error {
	if err == nil || !dataset.OnlyCorrupt(err) {
		return err
	}
	fmt.Fprintf(e.warn, "left out: %v\n", err)
	return nil
}

// write writes groups to a file, which appears as a whole or not at all.
func (e *exporter) write(ctx context.Context, lake *dataset.Dataset, path, format string, groups []string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close() // the first error is the one worth telling
			_ = os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", path, file.Advise(err))
		}
	}()
	rows := newTableWriter(f, format, e.layout)
	values := 0
	for _, group := range groups {
		samples, err := lake.Scan(ctx, dataset.Query{Groups: []string{group}, Metrics: e.metrics, From: e.start, To: e.end})
		if err := e.bear(err); err != nil {
			return err
		}
		if err := rows.add(samples); err != nil {
			return err
		}
		values += len(samples)
	}
	if values == 0 {
		return errors.New("there is nothing to write: no such metric, or nothing in this range")
	}
	if err := errors.Join(rows.close(), f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	fmt.Fprintf(e.say, "%s: %d values of %d groups\n", path, values, len(groups))
	return nil
}

// tableWriter writes samples in a format and a layout.
type tableWriter struct {
	out    *bufio.Writer
	zip    *gzip.Writer // nil: none
	text   io.Writer
	format string
	wide   bool
	long   *csv.Writer
	rows   *parquet.GenericWriter[longRow]
}

// longRow is a row of the long layout.
type longRow struct {
	Time   time.Time `parquet:"timestamp,timestamp(microsecond)"`
	Group  string    `parquet:"group,dict"`
	Metric string    `parquet:"metric,dict"`
	Stat   string    `parquet:"stat,dict"`
	Value  float64   `parquet:"value"`
}

func newTableWriter(to io.Writer, format, layout string) *tableWriter {
	w := &tableWriter{out: bufio.NewWriter(to), format: format, wide: layout == "wide"}
	w.text = w.out
	if format == "csv.gz" {
		w.zip = gzip.NewWriter(w.out)
		w.text = w.zip
	}
	return w
}

// add writes the samples of a group: of the only one, in the wide layout.
func (w *tableWriter) add(samples []api.Sample) error {
	switch {
	case w.wide && w.format == "parquet":
		return writeWideParquet(w.out, wideTable(samples))
	case w.wide:
		return tidy.Write(w.text, wideTable(samples))
	case w.format == "parquet":
		if w.rows == nil {
			w.rows = parquet.NewGenericWriter[longRow](w.out, parquet.Compression(&parquet.Zstd))
		}
		for _, s := range samples {
			if _, err := w.rows.Write([]longRow{{s.Time, s.Group, s.Metric, string(s.Stat), s.Value}}); err != nil {
				return err
			}
		}
		return nil
	}
	if w.long == nil {
		w.long = csv.NewWriter(w.text)
		if err := w.long.Write([]string{"timestamp", "group", "metric", "stat", "value"}); err != nil {
			return err
		}
	}
	for _, s := range samples {
		if err := w.long.Write([]string{s.Time.UTC().Format(time.RFC3339Nano), s.Group, s.Metric, string(s.Stat), strconv.FormatFloat(s.Value, 'g', -1, 64)}); err != nil {
			return err
		}
	}
	return nil
}

func (w *tableWriter) close() error {
	var faults []error
	if w.rows != nil {
		faults = append(faults, w.rows.Close())
	}
	if w.long != nil {
		w.long.Flush()
		faults = append(faults, w.long.Error())
	}
	if w.zip != nil {
		faults = append(faults, w.zip.Close())
	}
	return errors.Join(append(faults, w.out.Flush())...)
}

// wideTable returns samples of one group as a table with a row per time and a
// column per series.
func wideTable(samples []api.Sample) *tidy.Table {
	t := &tidy.Table{Columns: map[string]api.Series{}}
	for _, s := range samples {
		t.Times = append(t.Times, s.Time.UTC())
	}
	slices.SortFunc(t.Times, time.Time.Compare)
	t.Times = slices.CompactFunc(t.Times, time.Time.Equal)
	for _, s := range samples {
		name := api.SeriesName(s.Metric, s.Stat)
		column := t.Columns[name]
		if column == nil {
			column = make(api.Series, len(t.Times))
			for i := range column {
				column[i] = math.NaN()
			}
			t.Columns[name] = column
			t.Names = append(t.Names, name)
		}
		at, _ := slices.BinarySearchFunc(t.Times, s.Time, time.Time.Compare)
		column[at] = s.Value
	}
	return t
}

// writeWideParquet writes a table with a timestamp and a column of optional numbers
// per series.
func writeWideParquet(out io.Writer, t *tidy.Table) error {
	const stampColumn = "timestamp"
	columns := parquet.Group{stampColumn: parquet.Timestamp(parquet.Microsecond)}
	for _, name := range t.Names {
		columns[name] = parquet.Optional(parquet.Leaf(parquet.DoubleType))
	}
	schema := parquet.NewSchema("slots", columns)
	w := parquet.NewWriter(out, schema, parquet.Compression(&parquet.Zstd))
	names := make([]string, 0, len(columns))
	for _, f := range schema.Fields() { // the library orders them
		names = append(names, f.Name())
	}
	row := make(parquet.Row, len(names))
	for i, at := range t.Times {
		for c, name := range names {
			switch {
			case name == stampColumn:
				row[c] = parquet.Int64Value(at.UnixMicro()).Level(0, 0, c)
			case math.IsNaN(t.Columns[name][i]):
				row[c] = parquet.NullValue().Level(0, 0, c)
			default:
				row[c] = parquet.DoubleValue(t.Columns[name][i]).Level(0, 1, c)
			}
		}
		if _, err := w.WriteRows([]parquet.Row{row}); err != nil {
			return err
		}
	}
	return w.Close()
}

// listFlag collects the values of a flag that may be repeated.
type listFlag []string

// String implements flag.Value.
func (l *listFlag) String() string { return "" }

// Set implements flag.Value.
func (l *listFlag) Set(text string) error {
	if text == "" {
		return errors.New("is empty")
	}
	*l = append(*l, text)
	return nil
}
