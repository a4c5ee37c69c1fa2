package accuracy

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/forescale/forescale/internal/tidy"
	"github.com/forescale/forescale/trainer"
)

// Core are the traces that the targets of the headline speak of.
var Core = []string{
	"nasa_http_1995", "twitter_mentions_amzn", "twitter_mentions_goog", "ms_ecommerce_api_hourly",
	"ms_mongo_app01", "ms_mongo_app02", "aws_asg_cpu", "azure_v2_cluster", "google2019_service_113",
	"metro_traffic_hourly", "machine_temperature",
}

// reference is the trace of the reference project, which the manifest does not
// list: it is generated load, and measured with several presets.
var reference = Trace{Name: "reference_multi_metric", File: "reference_multi_metric.csv.gz", Target: "cpu_utilization"}

// Trace is a history to measure on.
type Trace struct {
	Name   string
	File   string // in the folder of the traces
	Target string // the column to forecast
	Kind   string // what it is, for people
}

// readManifest returns the traces of a manifest: a CSV file with the columns name,
// file, target and kind, others aside.
func readManifest(path string) ([]Trace, error) {
	var traces []Trace
	err := readRows(path, []string{"name", "file", "target", "kind"}, func(row []string) error {
		t := Trace{row[0], row[1], row[2], row[3]}
		switch {
		case t.Name == "" || t.File == "" || t.Target == "":
			return errors.New("a name, a file and a target are needed")
		case t.File != filepath.Base(t.File):
			return fmt.Errorf("the file %q must lie in the folder itself", t.File)
		case slices.ContainsFunc(traces, func(u Trace) bool { return u.Name == t.Name }):
			return fmt.Errorf("the trace %q is there twice", t.Name)
		}
		traces = append(traces, t)
		return nil
	})
	if err == nil && len(traces) == 0 {
		err = fmt.Errorf("%s: there is no trace", path)
	}
	return traces, err
}

// readRows calls each with the named columns of every row of a CSV file; the error
// of each is given the place.
func readRows(path string, names []string, each func(row []string) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if len(rows) == 0 {
		return fmt.Errorf("%s: the file is empty", path)
	}
	columns := make([]int, len(names))
	for i, name := range names {
		if columns[i] = slices.Index(rows[0], name); columns[i] < 0 {
			return fmt.Errorf("%s: there is no column %q; there are %s", path, name, strings.Join(rows[0], ", "))
		}
	}
	picked := make([]string, len(names))
	for i, row := range rows[1:] {
		for j, c := range columns {
			picked[j] = row[c]
		}
		if err := each(picked); err != nil {
			return fmt.Errorf("%s: row %d: %w", path, i+2, err)
		}
	}
	return nil
}

// devShare is the part of a trace that Config.Dev leaves, in fifths.
const devShare = 4

// load reads a trace; with dev, all but its last fifth.
func (t Trace) load(dir string, dev bool) (trainer.Data, error) {
	path := filepath.Join(dir, t.File)
	table, err := tidy.ReadFile(path)
	if err != nil {
		return trainer.Data{}, err
	}
	g, err := table.Grid(t.Name)
	if err != nil {
		return trainer.Data{}, fmt.Errorf("%s: %w", path, err)
	}
	if dev {
		n := g.Len() * devShare / 5
		for name, column := range g.Columns {
			g.Columns[name] = slices.Clone(column[:min(n, len(column))])
		}
		g.Censored = g.Censored[:min(n, len(g.Censored))]
	}
	return trainer.Data{Grid: g}, nil
}

// traces returns the traces to be measured, those of only or all: of the manifest,
// and the reference trace where the folder has it.
func (c Config) traces() (listed []Trace, ref bool, err error) {
	listed, err = readManifest(c.Manifest)
	if err != nil {
		return nil, false, err
	}
	// It is measured in its own way also where a manifest lists it.
	listed = slices.DeleteFunc(listed, func(t Trace) bool { return t.Name == reference.Name })
	switch _, err := os.Stat(filepath.Join(c.Traces, reference.File)); {
	case err == nil:
		ref = true
	case !errors.Is(err, fs.ErrNotExist):
		return nil, false, err
	}
	for _, name := range c.Only {
		if !(ref && name == reference.Name) && !slices.ContainsFunc(listed, func(t Trace) bool { return t.Name == name }) {
			return nil, false, fmt.Errorf("there is no trace %q in %s", name, c.Manifest)
		}
	}
	if len(c.Only) > 0 {
		listed = slices.DeleteFunc(listed, func(t Trace) bool { return !slices.Contains(c.Only, t.Name) })
		ref = ref && slices.Contains(c.Only, reference.Name)
	}
	return listed, ref, nil
}

// Baselines are errors of other forecasters on the last fifth of the traces, from
// a file.
type Baselines map[question]map[string]float64 // WAPE by forecaster

// question is what a baseline answered.
type question struct {
	trace, target string
	steps         int
}

// readBaselines reads a CSV file with the columns trace, target, h (steps ahead),
// model and WAPE (a share), others aside.
func readBaselines(path string) (Baselines, error) {
	b := Baselines{}
	err := readRows(path, []string{"trace", "target", "h", "model", "WAPE"}, func(row []string) error {
		steps, err := strconv.Atoi(row[2])
		if err != nil {
			return fmt.Errorf("h: %w", err)
		}
		wape, err := strconv.ParseFloat(row[4], 64)
		if err != nil {
			return fmt.Errorf("WAPE: %w", err)
		}
		if !(wape >= 0) || math.IsInf(wape, 0) {
			return fmt.Errorf("WAPE: %v is no error of a forecaster", wape)
		}
		q := question{row[0], row[1], steps}
		if b[q] == nil {
			b[q] = map[string]float64{}
		}
		if _, twice := b[q][row[3]]; twice {
			return fmt.Errorf("%s of %s, %d steps ahead, is there twice", row[3], row[0], steps)
		}
		b[q][row[3]] = wape
		return nil
	})
	return b, err
}

// least returns the forecaster with the least error, of those with the same error
// the first by name; not ok where there is none.
func least(errors map[string]float64) (name string, wape float64, ok bool) {
	for n, e := range errors {
		if math.IsNaN(e) {
			continue
		}
		if !ok || e < wape || e == wape && n < name {
			name, wape, ok = n, e, true
		}
	}
	return name, wape, ok
}
